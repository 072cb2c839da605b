"""The answers of the study, from the archives that the repository holds."""

import json
from pathlib import Path

import pytest

from sge_mmdet.study import StudyReport
from sge_mmdet.study.archive import read_archive
from tests.helpers.scripts import load_script, run_script

RESULTS = Path(__file__).parents[2] / 'docs' / 'results'
SETTINGS = sorted(path.name for path in (RESULTS / 'study').iterdir())


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
        '--archive',
        RESULTS / 'study' / setting,
        '--report-only',
        '--work-dir',
        tmp_path,
        '--size-bins',
        *script.SIZES[setting],
    )
    assert code == 0, output
    lines = output.splitlines()
    for row in rows(setting, script):
        (line,) = (
            line
            for line in lines
            if line.startswith(row['compared with none'] + '  ')
        )
        assert row['AP_small'] in line
        assert f'{row["difference"]} ({row["95 % interval"]})' in line


def test_archives_hold_what_the_protocol_plans(script):
    for setting, name, planned in script.PRIMARY + script.SECONDARY:
        if setting not in SETTINGS:
            continue
        runs = read_archive(RESULTS / 'study' / setting)
        for config in 'none', name:
            seeds = {run.seed for run in runs if run.name == config}
            if seeds:
                assert seeds == {*range(max(seeds) + 1)}
        assert len(seeds) <= planned


def test_comparison_that_lacks_seeds_is_left_out(script, monkeypatch):
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
