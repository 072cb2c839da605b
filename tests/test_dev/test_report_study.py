"""The answers of the study, from the archives that the repository holds."""

import json
import re
from functools import partial
from pathlib import Path

import pytest

from sge_mmdet.study import StudyReport
from tests.helpers.scripts import load_script, run_script

RESULTS = Path(__file__).parents[2] / 'docs' / 'results'
# Annotations of blood cells are not in the repository.
SETTINGS = ('finetune', 'scratch')


@pytest.fixture(scope='module')
def script():
    return load_script('dev/report_study.py')


def rows(setting, script):
    """Return the page's rows of a setting."""
    stored = json.loads((RESULTS / 'study_answers.json').read_text())
    assert stored['columns'] == script.COLUMNS
    answers = [dict(zip(stored['columns'], row)) for row in stored['rows']]
    return [row for row in answers if row['setting'] == script.TITLES[setting]]


@pytest.mark.parametrize('setting', SETTINGS)
def test_report_on_the_committed_results_prints_the_pages_figures(
    setting, script, tmp_path
):
    code, output = run_script(
        'run_study.py',
        *('--archive', RESULTS / 'study' / setting, '--report-only'),
        *('--work-dir', tmp_path, '--size-bins', *script.SIZES[setting]),
    )
    assert code == 0, output
    for row in rows(setting, script):
        name = row['compared with none']
        (line,) = (
            line
            for line in output.splitlines()
            if line.startswith(f'{name}  ')
        )
        assert f'  {row["seeds"]}  ' in line
        assert row['AP_small'] in line
        # How many seeds it is over follows, if some have no partner.
        assert f'  {row["difference"]} ({row["95 % interval"]}' in line
        (p,) = re.findall(
            rf'{name} differs from none in AP_small .*?p = ([\d.]+)', output
        )
        assert float(p) == float(row['p'])


@pytest.mark.parametrize('question', ['primary', 'secondary'])
def test_p_values_of_the_page_are_adjusted_by_holm(question, script):
    answers = [
        row
        for setting in script.SIZES
        for row in rows(setting, script)
        if row['question'] == question
    ]
    adjusted = script.holm([float(row['p']) for row in answers])
    assert [float(row['p, adjusted']) for row in answers] == pytest.approx(
        adjusted, abs=0.006
    )


def test_table_of_the_machines_comes_from_the_committed_results(
    script, monkeypatch
):
    # Its differences do, which need no resamples.
    monkeypatch.setattr(
        script, 'resample_runs', partial(script.resample_runs, resamples=2)
    )
    stored = json.loads((RESULTS / 'study_machines.json').read_text())
    found = script.machines(RESULTS / 'study')
    assert [row[:3] for row in stored['rows']] == [
        [*row[:3]] for row in found['rows']
    ]
    assert stored['apart'] == found['apart']


def test_archives_hold_what_the_protocol_plans(script):
    for setting, name, planned in script.PRIMARY + script.SECONDARY:
        index = json.loads(
            (RESULTS / 'study' / setting / 'runs.json').read_text()
        )
        for config in 'none', name:
            seeds = {
                run['seed']
                for run in index['runs']
                if index['configs'][run['config']] == config
            }
            assert seeds >= {*range(planned)}
            # No run more, as if there was a better one to find.
            assert config == 'none' or len(seeds) == planned


def test_comparison_that_lacks_seeds_is_left_out(script):
    values = {
        'none': {seed: {'AP_small': 0.4} for seed in range(30)},
        'SGE preserved': {seed: {'AP_small': 0.41} for seed in range(29)},
    }
    report = StudyReport(values, [], 'AP_small')
    assert len(script.pairs_of_seeds(report, 'SGE preserved')) == 29
    assert script.pairs_of_seeds(report, 'SE') == []
    assert script.pairs_of_seeds(None, 'SGE') == []
    assert (
        script.answer('primary', script.PRIMARY, dict(finetune=report)) == []
    )


def test_curves_leave_out_ap_small_where_sizes_are_not_those_of_the_log(
    script,
):
    has_small = {
        setting
        for setting in script.SIZES
        if 'validation AP_small' in script.curves_of(setting).values()
    }
    assert has_small == {'finetune', 'scratch'}
