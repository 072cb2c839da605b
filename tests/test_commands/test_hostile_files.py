"""Hostile files given to the commands; see docs/security.md."""

import json
import pickle

import numpy as np
from matplotlib.image import imsave

import sge_mmdet  # noqa: F401
from tests.helpers.hostile_files import (
    SIZE,
    Hostile,
    ground_truth,
    needs_weights_only,
    result,
)
from tests.helpers.scripts import run_script

pytestmark = needs_weights_only


def test_result_pickle_runs_no_code_in_the_tools(tmp_path, trace):
    (tmp_path / 'truth.json').write_text(json.dumps(ground_truth()))
    (tmp_path / 'r.pkl').write_bytes(pickle.dumps([Hostile(trace)]))
    for command in (
        ('evaluate.py', tmp_path / 'truth.json', tmp_path / 'r.pkl'),
        (
            'compare.py',
            tmp_path / 'r.pkl',
            tmp_path / 'r.pkl',
            '--ground-truth',
            tmp_path / 'truth.json',
        ),
    ):
        code, shown = run_script(*command)
        assert code == 1 and 'nothing of it was run: it contains' in shown


def test_names_that_files_hold_do_not_choose_where_is_written(tmp_path):
    data = ground_truth(
        categories=[
            dict(id=1, name='../../$climbs^'),
            dict(id=2, name='/tmp/absolute'),
        ]
    )
    (tmp_path / 'truth.json').write_text(json.dumps(data))
    (tmp_path / 'r.json').write_text(json.dumps(result(bbox=[9, 9, 1, 1])))
    (tmp_path / 'images').mkdir()
    imsave(tmp_path / 'images' / '0.png', np.zeros((*SIZE, 3)))
    before = {*tmp_path.rglob('*')}
    args = [tmp_path / 'r.json', tmp_path / 'truth.json']
    code, shown = run_script(
        'evaluate.py',
        *args[::-1],
        '--out-dir',
        tmp_path / 'out/e',
        '--images',
        tmp_path / 'images',
    )
    assert code == 0, shown
    code, shown = run_script(
        'compare.py',
        args[0],
        args[0],
        '--ground-truth',
        args[1],
        '--names',
        '../a',
        '$b_{',
        '--out-dir',
        tmp_path / 'out/c',
        '--resamples',
        5,
    )
    assert code == 0, shown
    new = {*tmp_path.rglob('*')} - before
    assert all(tmp_path / 'out' in [path, *path.parents] for path in new)
    assert {path.name for path in new} >= {'missed.png', 'comparison.png'}
