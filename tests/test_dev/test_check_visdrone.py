"""The comparison with VisDrone's toolkit, with a program in Octave's place."""

import sys

import numpy as np
import pytest

from tests.helpers.scripts import load_script, run_script

script = load_script('dev/check_visdrone.py')


@pytest.fixture
def octave(tmp_path):
    """Return a function that makes a program which prints figures."""

    def make(figures):
        program = tmp_path / 'octave'
        lines = [
            'figures ' + ' '.join(f'{100 * value:.15g}' for value in each)
            for each in figures
        ]
        program.write_text(
            f'#!{sys.executable}\nprint({chr(10).join(lines)!r})\n'
        )
        program.chmod(0o755)
        return program

    return make


def run(octave, tmp_path, data_sets=2):
    return run_script(
        'dev/check_visdrone.py',
        *(tmp_path, '--data-sets', data_sets, '--octave', octave),
    )


def test_equal_figures_pass_and_others_are_named(octave, tmp_path):
    figures = [script.DataSet(seed).figures() for seed in range(2)]
    code, output = run(octave(figures), tmp_path)
    assert code == 0, output
    assert '2 of 2 data sets have the same figures' in output
    figures[1][3] += 1e-6
    code, output = run(octave(figures), tmp_path)
    assert code == 1
    assert "data set 1: {'AR@1'" in output
    assert '1 of 2 data sets have the same figures' in output


def test_toolkit_that_does_not_run_is_an_error(tmp_path):
    code, output = run(tmp_path / 'missing', tmp_path)
    assert code == 1
    assert 'error: the toolkit did not run' in output


def test_files_are_in_the_format_of_visdrone(tmp_path):
    # One of those with many detections.
    data = script.DataSet(260)
    data.write(tmp_path / 'data')
    for name, written in (('truth', data.truth), ('found', data.found)):
        for i, lines in enumerate(written):
            read = np.loadtxt(
                tmp_path / 'data' / name / f'{i}.txt', delimiter=',', ndmin=2
            )
            assert read.shape[1] == 8
            np.testing.assert_allclose(read, lines, rtol=1e-9)
    # The toolkit takes the first lines for the best.
    assert all((np.diff(found[:, 4]) <= 0).all() for found in data.found)
    assert any(len(found) > 500 for found in data.found)
