#!/usr/bin/env python3
"""Evaluate detections by object size.

Give ground truth and a result file (COCO's JSON, or the pickle of
tools/test.py --out), or a config and a checkpoint, whose test data is then run
through it.
"""

import argparse
import json
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Iterator, Sequence

from tqdm import tqdm

from sge_mmdet.commands.size_options import (
    add_size_options,
    read_sized_ground_truth,
)
from sge_mmdet.engine import DetectionFiles, detect
from sge_mmdet.evaluation import (
    Accumulated,
    Detections,
    ErrorBreakdown,
    GroundTruth,
    SizeBin,
    break_down_errors,
    class_table,
    evaluate,
    read_detections,
    size_bins,
    size_table,
)
from sge_mmdet.evaluation.plots import (
    draw_ap_by_size,
    draw_class_bars,
    draw_errors,
    draw_missed,
    draw_precision_recall,
)
from sge_mmdet.utils import Writer

TABLES = ('sizes.csv', 'classes.csv', 'evaluation.md', 'evaluation.json')
PICTURES = (
    'ap_by_size.png',
    'precision_recall.png',
    'classes.png',
    'errors.png',
    'missed.png',
)
# For the curve of AP over size, finer than a table needs.
CURVE = (0, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, float('inf'))


def main() -> None:
    """Print the tables; write them and the pictures if asked."""
    args = parse_args()
    writer = Writer(
        args.overwrite, [args.ground_truth, args.results], renews=True
    )
    try:
        if args.out_dir:
            writer.check(*(args.out_dir / name for name in TABLES + PICTURES))
        files = DetectionFiles(
            Path(args.ground_truth), args.images, Path(args.results)
        )
        if args.ground_truth.endswith('.py'):
            files = detect(
                args.ground_truth,
                args.results,
                args.out_dir
                or Path('work_dirs', Path(args.ground_truth).stem),
                args.metric,
                writer,
            )
        with progress(['ground truth', 'results', 'evaluation']) as step:
            ground_truth, bins = step(
                read_sized_ground_truth, files.ground_truth, args
            )
            detections = step(
                read_detections, files.results, ground_truth, args.metric
            )
            result = step(
                evaluate,
                ground_truth,
                detections,
                bins,
                args.metric,
                engine=args.engine,
            )
        print(size_table(result).text())
        if args.classwise:
            print(f'\n{class_table(result).text()}')
        print(
            f'\n{len(detections.image)} detections in '
            f'{len(ground_truth.image_ids)} images, at most 100 an image '
            'and class counted; areas of '
            f'{"boxes" if args.area == "box" else "annotations, as COCO"}; '
            'an object on the limit of two sizes is in both'
        )
        if args.out_dir:
            write(args, files, ground_truth, detections, result, writer)
            print(f'written to {args.out_dir}')
    except (OSError, RuntimeError, ValueError) as error:
        sys.exit(f'error: {error}')


def parse_args() -> argparse.Namespace:
    """Return the arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        'ground_truth',
        metavar='TRUTH|CONFIG',
        help='ground truth in COCO format, or a config',
    )
    parser.add_argument('results', metavar='RESULTS|CHECKPOINT')
    add_size_options(parser)
    parser.add_argument('--engine', choices=('hotcoco', 'pycocotools'))
    parser.add_argument(
        '--classwise',
        action='store_true',
        help='print a table of classes as well',
    )
    parser.add_argument(
        '--images',
        type=Path,
        help='folder of the images, for the missed objects',
    )
    parser.add_argument(
        '--score',
        type=float,
        default=0.3,
        help='least score in the breakdown of errors; default: 0.3',
    )
    parser.add_argument(
        '--out-dir', type=Path, help='write tables and pictures there'
    )
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='replace files that are '
        'there, also those that this tool did not write',
    )
    return parser.parse_args()


def write(
    args: argparse.Namespace,
    files: DetectionFiles,
    ground_truth: GroundTruth,
    detections: Detections,
    result: Accumulated,
    writer: Writer,
) -> None:
    """Write tables as JSON, CSV and Markdown, and the pictures."""
    out = args.out_dir
    # Images may lie in the same folder and have such names.
    images = [
        Path(files.images, name)
        for name in ground_truth.file_names
        if files.images and Path(name).name in PICTURES
    ]
    writer = replace(
        writer, inputs=[*writer.inputs, files.ground_truth, *images]
    )
    writer.check(*(out / name for name in TABLES + PICTURES))
    tables = dict(sizes=size_table(result), classes=class_table(result))
    for name, table in tables.items():
        writer.write(out / f'{name}.csv', table.csv())
    writer.write(
        out / 'evaluation.md',
        '\n\n'.join(table.markdown() for table in tables.values()) + '\n',
    )
    # The size that the pictures are about: the one called small, or the first.
    names = [bin.name for bin in result.bins[1:]]
    small = result.bins[1 + (names.index('small') if 'small' in names else 0)]
    with progress(['errors', 'AP by size', 'pictures']) as step:
        errors = step(
            break_down_errors,
            ground_truth,
            detections,
            small,
            args.metric,
            args.score,
        )
        curve = step(
            evaluate,
            ground_truth,
            detections,
            size_bins(CURVE),
            args.metric,
            engine=args.engine,
        )
        step(draw, out, result, curve, small, errors, writer)
        if files.images:
            draw_missed(
                errors,
                ground_truth,
                detections,
                files.images,
                out / 'missed.png',
                writer=writer,
            )
    writer.write(
        out / 'evaluation.json',
        json.dumps(
            dict(
                {name: table.records() for name, table in tables.items()},
                errors=dict(
                    size=small.name,
                    score=args.score,
                    objects=errors.objects,
                    hits=errors.hits,
                    misses=errors.misses,
                    false=errors.false,
                ),
            ),
            indent=1,
        ),
    )


def draw(
    out: Path,
    result: Accumulated,
    curve: Accumulated,
    small: SizeBin,
    errors: ErrorBreakdown,
    writer: Writer,
) -> None:
    """Draw the pictures that need no image."""
    draw_ap_by_size(curve, out / 'ap_by_size.png', writer)
    draw_precision_recall(
        result, small.name, out / 'precision_recall.png', writer
    )
    draw_class_bars(result, small.name, out / 'classes.png', writer)
    draw_errors(errors, out / 'errors.png', writer)


@contextmanager
def progress(names: Sequence[str]) -> Iterator[Callable]:
    """Give a function that runs one step after the other, with a bar.

    The bar is there only if they take longer than a second.
    """
    with tqdm(names, delay=1, leave=False) as bar:
        steps = iter(bar)

        def step(run: Callable, *args: Any, **kwargs: Any) -> Any:
            bar.set_description_str(next(steps), refresh=False)
            return run(*args, **kwargs)

        yield step


if __name__ == '__main__':
    main()
