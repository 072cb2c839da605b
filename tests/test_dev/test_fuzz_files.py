"""Random edits of good files; ``make soak`` tries many more of them."""
import pytest
from scripts import load_script

fuzz_files = load_script('dev/fuzz_files.py')


@pytest.mark.parametrize('kind', fuzz_files.KINDS)
def test_good_files_work(tmp_path, kind):
    data = fuzz_files.make_files(tmp_path)[kind]
    path = tmp_path / kind
    path.write_bytes(data)
    for command in fuzz_files.commands(fuzz_files.Random(0), kind, path,
                                       tmp_path):
        assert fuzz_files.outcome(command, path) == (fuzz_files.WORKS, '')


def test_edited_files_work_or_are_refused_by_name():
    trials = fuzz_files.fuzz(range(200))
    table = fuzz_files.counts(trials).text()
    assert not [trial for trial in trials
                if trial.status == fuzz_files.DEFECT], table
    statuses = [trial.status for trial in trials]
    assert statuses.count(fuzz_files.WORKS) > 20
    assert statuses.count(fuzz_files.NAMED) > 100


@pytest.mark.parametrize('command, status', [
    (lambda: None, fuzz_files.WORKS),
    (lambda: exit('error: a.json is no file'), fuzz_files.NAMED),
    (lambda: exit('error: something is wrong'), fuzz_files.DEFECT),
    (lambda: {}['key'], fuzz_files.DEFECT)])
def test_outcome_tells_a_named_refusal_from_a_defect(tmp_path, command,
                                                     status):
    assert fuzz_files.outcome(command, tmp_path / 'a.json')[0] == status
