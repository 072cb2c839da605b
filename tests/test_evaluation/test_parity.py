"""Tools and metric against pycocotools, on data sets that COCO's are not like.

Ids are negative, not sorted, or text; scores tie; images have hundreds of
detections of a class; and some of the categories are evaluated. ``pytest
tests/test_evaluation/test_parity.py --data-sets 6000`` is the long form, of
2,000 data sets.
"""

import copy
import json

import numpy as np
import pytest

from sge_mmdet_cli import compare, evaluate
from tests.helpers.engines import ENGINES
from tests.test_evaluation.test_oracle import BINS, mean, odd_data, oracle
from tests.test_evaluation.test_protocols import run_metric

SIZES = [str(limit) for limit in BINS]
KINDS = 'numbers', 'text', 'text of images', 'text of categories'
NUMBERS = 7, 100, 300


def with_ids(data, kind):
    """Return the same data with ids of a kind, which sort alike."""
    data = copy.deepcopy(data)
    ground_truth, results = data
    for part, key in ('image', 'images'), ('category', 'categories'):
        if kind not in ('text', f'text of {key}'):
            continue
        for entry in ground_truth[key]:
            entry['id'] = f'{part} {entry["id"] + 50:03d}'
        for entry in (*ground_truth['annotations'], *results):
            entry[f'{part}_id'] = f'{part} {entry[f"{part}_id"] + 50:03d}'
    return data


def run_tools(folder, data, names, max_dets, monkeypatch):
    """Return what both tools print, with all digits."""
    paths = folder / 'truth.json', folder / 'results.json'
    for path, content in zip(paths, data):
        path.write_text(json.dumps(content))
    truth, found = map(str, paths)
    options = ['--size-bins', *SIZES, '--max-dets', str(max_dets)]
    options += ['--classes', *names]
    printed = []
    for tool in evaluate, compare:
        monkeypatch.setattr(tool, 'print', printed.append, raising=False)
    for engine in ENGINES:
        evaluate.main([truth, found, *options, '--engine', engine])
    if data[0]['annotations'] and has_objects(data[0], names):
        options += ['--resamples', '2']
        compare.main([found, found, '--ground-truth', truth, *options])
    return [one for one in printed if not isinstance(one, str)]


def has_objects(ground_truth, names):
    keys = {c['id'] for c in ground_truth['categories'] if c['name'] in names}
    return any(
        entry['category_id'] in keys and not entry['iscrowd']
        for entry in ground_truth['annotations']
    )


@pytest.mark.filterwarnings('ignore')
def test_every_figure_of_tools_and_metric_is_that_of_pycocotools(
    tmp_path, monkeypatch, capsys, pytestconfig
):
    # One of them takes as long as three of the engines alone.
    for seed in range(pytestconfig.getoption('--data-sets') // 3):
        *data, names = odd_data(seed)
        if not data[1]:
            continue
        for result in data[1]:
            # The corners of such boxes, which the metric has, are exact.
            result['bbox'] = [round(4 * value) / 4 for value in result['bbox']]
        max_dets = NUMBERS[seed % 3]
        precision, recall = oracle(*copy.deepcopy(data), names, max_dets)
        given = with_ids(data, KINDS[seed % 4])
        printed = run_tools(tmp_path, given, names, max_dets, monkeypatch)
        for result in printed[:2]:
            for got, want in (
                (result.precision, precision),
                (result.recall, recall),
            ):
                np.testing.assert_allclose(
                    got, want, rtol=0, atol=1e-10, err_msg=f'{seed}'
                )
        for comparison in printed[2:]:
            rows = {row.name: row.a for row in comparison.sizes}
            # Resamples are in single precision.
            assert rows['AP'] == pytest.approx(
                mean(precision[..., 0, 0]), abs=1e-6
            ), seed
        logged = run_metric(
            given, tmp_path, names, size_bins=BINS, max_dets=max_dets
        )
        for a, size in enumerate(['0-6', '6-12', '12-inf'], 1):
            for key, values in ('mAP', precision), ('AR', recall):
                want = mean(values[..., a, 0])
                assert logged[f'coco/bbox_{key}_{size}'] == pytest.approx(
                    -1 if np.isnan(want) else want, abs=6e-4
                ), seed
        capsys.readouterr()
