"""A short form of the simulation of coverage."""

import json
import sys

import numpy as np
import pytest

from tests.helpers.scripts import load_script

simulation = load_script('dev/simulate_coverage.py')


@pytest.fixture(scope='module')
def result(tmp_path_factory):
    """The result of a few samples of each setting."""
    out = tmp_path_factory.mktemp('coverage') / 'coverage.json'
    numbers = dict(population=600, samples=12, resamples=150)
    numbers['seed-samples'] = 60
    args = [f'--{name}={number}' for name, number in numbers.items()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'argv', ['simulate', *args, f'--out={out}'])
        patch.setattr(
            simulation,
            'PLAN',
            {
                20: (simulation.EQUAL, simulation.PAIRED),
                40: (simulation.APART, simulation.TIED),
            },
        )
        patch.setattr(simulation, 'SCENES', (12,))
        patch.setattr(simulation, 'SEEDS', (5,))
        simulation.main()
    return json.loads(out.read_text())


def test_intervals_hold_the_true_difference(result):
    rows = [dict(zip(result['columns'], row)) for row in result['rows']]
    assert {row['setting'] for row in rows} == {
        simulation.EQUAL,
        simulation.APART,
        simulation.PAIRED,
        simulation.TIED,
        simulation.BY_SCENE,
        simulation.BY_IMAGE,
        '5 seeds, paired',
        '5 seeds, not paired',
    }
    held = [
        float(row['held'].split()[0])
        for row in rows
        if row['held'] != '-' and row['setting'] != simulation.BY_IMAGE
    ]
    assert 91 <= np.mean(held) <= 99


def test_equal_detectors_seldom_differ(result):
    rows = [dict(zip(result['columns'], row)) for row in result['rows']]
    (row,) = (
        row
        for row in rows
        if row['setting'] == simulation.EQUAL and row['figure'] == 'each class'
    )
    assert float(row['adjusted p < 0.05'].split()[0]) <= 8


def test_result_says_how_many_samples_it_has(result):
    assert result['samples'] == 12 and '12 samples' in result['what']
    assert '--samples 12' in result['command']
