#!/usr/bin/env python3
"""Time the page of an evaluation of COCO's size, and its use in Chromium.

Synthetic ground truth and detections of val2017's size are made, with one
image file that stands for all. Written are the seconds and the memory that the
page takes beyond the evaluation, its size, the seconds until it is drawn in
headless Chromium, and the milliseconds that a filter takes there. Needs
playwright, and Chromium from the system.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Dict, List

import numpy as np
import plotly
from PIL import Image
from playwright.sync_api import sync_playwright

from sge_mmdet.evaluation import evaluate, size_bins
from sge_mmdet.evaluation.interactive import Gallery
from sge_mmdet.evaluation.report import report_evaluation
from sge_mmdet.evaluation.synthetic import (
    HEIGHT,
    WIDTH,
    Skill,
    synthetic_detections,
    synthetic_ground_truth,
)
from sge_mmdet.utils import Writer
from sge_mmdet.utils.tables import Table

COLUMNS = ['quantity', 'value']
FILTERS = (('high', '32'), ('low', '8'), ('class', 'class 1'), ('class', ''))


def peak_gib() -> float:
    """Return the largest memory of this process so far, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def make_images(folder: Path, names: List[str]) -> None:
    """Write an image of noise on which all names are links."""
    pixels = np.random.default_rng(0).integers(
        0, 255, (HEIGHT // 8, WIDTH // 8, 3), np.uint8
    )
    Image.fromarray(pixels).resize((WIDTH, HEIGHT)).save(folder / names[0])
    for name in names[1:]:
        os.link(folder / names[0], folder / name)


def write_page(folder: Path, images: int, objects: int) -> Dict[str, float]:
    """Write a page; return what it took beyond the evaluation."""
    ground_truth = synthetic_ground_truth(images, objects, 80)
    detections = synthetic_detections(
        ground_truth, Skill(false=80 * objects / images / 7)
    )
    make_images(folder, ground_truth.file_names)
    result = evaluate(ground_truth, detections, size_bins('coco'))
    report = report_evaluation(ground_truth, detections, result)
    before, start = peak_gib(), time.perf_counter()
    page = report.page(Gallery(folder, beside=folder))
    page.write(folder / 'report.html', Writer(overwrite=True))
    return {
        'images': images,
        'detections': len(detections.score),
        'seconds to write': time.perf_counter() - start,
        'GiB more': peak_gib() - before,
        'megabytes': (folder / 'report.html').stat().st_size / 1e6,
    }


def use_page(path: Path, rounds: int) -> Dict[str, float]:
    """Return the seconds to open a page, and the milliseconds of a filter."""
    opened, filtered = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which('chromium'),
            args=['--no-sandbox', '--disable-gpu'],
        )
        for _ in range(rounds):
            page = browser.new_page(viewport=dict(width=1400, height=1000))
            start = time.perf_counter()
            page.goto(path.as_uri())
            page.wait_for_selector('body[data-ready]', timeout=120_000)
            opened.append(time.perf_counter() - start)
            for field, value in FILTERS:
                page.evaluate(
                    "() => { document.body.dataset.milliseconds = '' }"
                )
                page.fill(f'#{field}', value)
                page.wait_for_selector('body:not([data-milliseconds=""])')
                filtered.append(
                    float(page.get_attribute('body', 'data-milliseconds'))
                )
            page.close()
        browser.close()
    return {
        'seconds to open': statistics.median(opened),
        'milliseconds of a filter': statistics.median(filtered),
        'slowest filter': max(filtered),
    }


def main() -> None:
    """Print a table and write it."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--images', type=int, default=5000)
    parser.add_argument('--objects', type=int, default=36000)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument(
        '--hardware', default='not given', help='hardware, for the file'
    )
    parser.add_argument('--out', type=Path, help='JSON file to write')
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        row = write_page(Path(folder), options.images, options.objects)
        row.update(use_page(Path(folder, 'report.html'), options.rounds))
    rows = [[key, f'{value:,.4g}'] for key, value in row.items()]
    print(Table(COLUMNS, rows).text())
    if options.out:
        content = dict(
            what='The page of an evaluation of a synthetic data set, and its '
            f'use in headless Chromium, medians of {options.rounds}',
            command='tools/benchmark/report_page.py --out '
            'docs/results/report_page.json',
            date=time.strftime('%Y-%m-%d'),
            hardware=options.hardware,
            versions=f'plotly {plotly.__version__}',
            columns=COLUMNS,
            rows=rows,
        )
        Writer(overwrite=True).write(
            options.out, json.dumps(content, indent=1) + '\n'
        )


if __name__ == '__main__':
    main()
