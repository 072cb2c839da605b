import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from sge_mmdet.study import StudyRun, execution, machines
from sge_mmdet.study.archive import archive_runs, read_archive
from sge_mmdet.study.files import describe_study
from sge_mmdet.study.machines import (
    describe_unlike_pairs,
    note_machine,
    read_machines,
)
from sge_mmdet.utils import Writer


@pytest.fixture
def runs(tmp_path):
    """Two configs with two seeds, all done."""
    truth = tmp_path / 'truth.json'
    content = dict(images=[], annotations=[], categories=[])
    truth.write_text(json.dumps(content))
    made = [
        StudyRun(
            name,
            seed,
            tmp_path / f'{name}.py',
            tmp_path / name / f'seed_{seed}',
            truth,
            'bbox',
        )
        for seed in (0, 1)
        for name in ('none', 'SGE')
    ]
    for run in made:
        run.work_dir.mkdir(parents=True)
        run.detections.write_text('[]')
    return made


@pytest.fixture
def on_machine(monkeypatch):
    """Let this process be on a machine of some name."""

    def be_on(name):
        monkeypatch.setattr(machines, 'processor_name', lambda: name)

    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    return be_on


def test_machines_of_a_run_are_kept_in_their_order(runs, on_machine):
    folder = runs[0].work_dir
    assert read_machines(folder) == ()
    for name in 'EPYC', 'EPYC', 'Xeon', 'EPYC':
        on_machine(name)
        note_machine(folder)
    torch_of = f'PyTorch {torch.__version__}'
    assert read_machines(folder) == (f'EPYC, {torch_of}', f'Xeon, {torch_of}')


def test_a_gpu_is_the_machine_where_there_is_one(runs, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'get_device_name', lambda: 'H200')
    note_machine(runs[0].work_dir)
    assert read_machines(runs[0].work_dir)[0].startswith('H200, PyTorch ')


def test_the_training_notes_its_machine_and_the_test_none(runs, monkeypatch):
    called = []
    folder = str(runs[0].work_dir)
    monkeypatch.setattr(execution, 'run_upstream_tool', called.append)
    monkeypatch.setattr('sys.argv', ['-c', 'config.py', '--work-dir', folder])
    execution.run_tool('test.py')
    assert not read_machines(folder)
    execution.run_tool('train.py')
    assert read_machines(folder)
    assert called == ['test.py', 'train.py']


def test_pairs_of_different_machines_are_told_also_from_an_archive(
    runs, on_machine, tmp_path
):
    for run, name in zip(runs, ('EPYC', 'EPYC', 'EPYC', 'Xeon')):
        on_machine(name)
        note_machine(run.work_dir)
    told = describe_unlike_pairs(runs)
    assert 'partners of none were trained those of SGE with seed 1 (' in told
    assert 'EPYC' in told and 'Xeon' in told
    report = SimpleNamespace(text=lambda: 'Findings.')
    assert describe_study(report, runs) == f'Findings.\n\n{told}\n'
    archive = tmp_path / 'archive'
    archive_runs(runs, archive, Writer())
    assert describe_unlike_pairs(read_archive(archive)) == told


def test_nothing_is_told_of_pairs_of_one_machine_or_of_unknown_ones(
    runs, on_machine
):
    assert describe_unlike_pairs(runs) == ''
    on_machine('EPYC')
    note_machine(runs[0].work_dir)
    assert describe_unlike_pairs(runs) == ''
    for run in runs[1:]:
        note_machine(run.work_dir)
    assert describe_unlike_pairs(runs) == ''
    # A run without a result is in no pair.
    undone = replace(runs[3], work_dir=runs[3].work_dir / 'none')
    on_machine('Xeon')
    undone.work_dir.mkdir()
    note_machine(undone.work_dir)
    assert describe_unlike_pairs([*runs[:3], undone]) == ''
