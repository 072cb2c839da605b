import json
import os
import signal
import subprocess
import threading
import time

import pytest

from sge_mmdet.study import StudyRun, slurm
from sge_mmdet.study.slurm import run_study_on_slurm
from tests.helpers.slurm_cluster import needs_slurm, start_cluster


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    with start_cluster(tmp_path / 'cluster', monkeypatch):
        yield


@pytest.fixture(autouse=True)
def short_interval(monkeypatch):
    monkeypatch.setattr(slurm, 'INTERVAL', 0.2)


# Stands in for MMDetection's tools on the machines of the cluster.
FAKE = """
import os, sys, time
from pathlib import Path
tool, rest = {!r}, sys.argv[1:]
work = Path(rest[rest.index('--work-dir') + 1])
with (work / 'calls').open('a') as file:
    file.write(tool + ' ' + os.environ['SLURM_ARRAY_TASK_ID'] + chr(10))
if (work / 'slow').is_file():
    time.sleep(60)
if tool == 'train.py':
    (work / 'last_checkpoint').write_text(str(work / 'last.pth'))
elif not (work / 'fails').is_file():
    (work / 'unfinished.bbox.json').write_text('[]')
"""


@pytest.fixture
def fake_tools(monkeypatch, tmp_path):
    """Have the tasks, which are other processes, run the stand-in."""
    code = (
        'from sge_mmdet.study import execution, slurm; '
        f'execution.TOOL = open("{tmp_path}/fake").read(); slurm.run_task()'
    )
    (tmp_path / 'fake').write_text(FAKE)
    monkeypatch.setattr(slurm, 'TASK', code)


def runs(folder, seeds):
    return [
        StudyRun(
            'SGE',
            seed,
            folder / f'{seed}.py',
            folder / f'seed_{seed}',
            folder / 'truth.json',
            'bbox',
        )
        for seed in seeds
    ]


def mark(run, name):
    run.work_dir.mkdir(parents=True, exist_ok=True)
    (run.work_dir / name).touch()


def calls(run):
    return (run.work_dir / 'calls').read_text().splitlines()


@needs_slurm
def test_study_on_slurm_submits_collects_resumes_and_adds_seeds(
    tmp_path, cluster, fake_tools
):
    study = tmp_path / 'a study, mine'
    first, second, failing = made = runs(study, [0, 1, 2])
    mark(failing, 'fails')
    (failure,) = run_study_on_slurm(made, study, 'trains')
    assert failure.run == failing
    assert first.is_done and second.is_done and not failing.is_done
    assert calls(first) == ['train.py 0', 'test.py 0']
    assert calls(second) == ['train.py 1', 'test.py 1']
    # The next call tests what failed, and trains the new seed.
    (failing.work_dir / 'fails').unlink()
    more = [*made, *runs(study, [3])]
    assert run_study_on_slurm(more, study, 'trains', jobs=1) == []
    assert calls(first) == ['train.py 0', 'test.py 0']
    assert calls(failing)[-1] == 'test.py 0' and len(calls(failing)) == 3
    assert calls(more[3]) == ['train.py 1', 'test.py 1']

    # A killed process leaves its array running; the next one waits for it.
    (late,) = runs(study, [4])
    job = slurm._submit([late], study / 'slurm', 'trains', None, [])
    (study / 'slurm' / 'job').write_text(job)
    assert run_study_on_slurm([late], study, 'trains') == []
    assert calls(late) == ['train.py 0', 'test.py 0']

    # Stopped on purpose, it takes its array with it.
    (slow,) = runs(study, [5])
    mark(slow, 'slow')

    def stop():
        while not (slow.work_dir / 'calls').is_file():
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)

    # Workers of pytest-xdist ignore it.
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=stop, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        run_study_on_slurm([slow], study, 'trains')
    signal.signal(signal.SIGINT, previous)
    shown = ['squeue', '--noheader', '--states=PENDING,RUNNING']
    assert not subprocess.check_output(shown)

    with pytest.raises(RuntimeError, match=r'sbatch .* failed: .*partition'):
        run_study_on_slurm([slow], study, 'nowhere')


def test_controller_that_does_not_answer_for_a_while_cancels_nothing(
    tmp_path, monkeypatch
):
    called = []

    def fake_slurm(command, *options, script=''):
        called.append(command)
        if command == 'sbatch':
            return '7;cluster'
        if command == 'squeue' and len(called) < 5:
            raise RuntimeError('Unable to contact slurm controller')
        return ''

    monkeypatch.setattr(slurm, '_slurm', fake_slurm)
    monkeypatch.setattr(slurm, 'INTERVAL', 0)
    made = runs(tmp_path, [0])
    (failure,) = run_study_on_slurm(made, tmp_path, 'trains')
    assert failure.run == made[0]
    assert called == ['sbatch', *['squeue'] * 4]
    called.clear()
    monkeypatch.setattr(slurm, 'MOST_FAILURES', 2)
    with pytest.raises(RuntimeError, match='the job 7 was left as it is'):
        run_study_on_slurm(made, tmp_path, 'trains')
    assert called == ['sbatch', 'squeue', 'squeue']
    # The next call waits for it before it submits what is left.
    called[:] = ['earlier'] * 5
    run_study_on_slurm(made, tmp_path, 'trains')
    assert called[5:] == ['squeue', 'sbatch', 'squeue']


def test_machine_without_slurm_is_told_so(tmp_path, monkeypatch):
    monkeypatch.setenv('PATH', '')
    with pytest.raises(RuntimeError, match='no command sbatch of Slurm'):
        run_study_on_slurm(runs(tmp_path, [0]), tmp_path, 'trains')


def test_task_reads_its_run_by_its_number(tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(slurm, 'execute_run', done.append)
    listed = tmp_path / 'runs.json'
    made = runs(tmp_path, [4, 5])
    listed.write_text(
        json.dumps(
            [{**run.__dict__, 'classes': ['0', '1']} for run in made],
            default=str,
        )
    )
    monkeypatch.setenv('SLURM_ARRAY_TASK_ID', '1')
    monkeypatch.setattr('sys.argv', ['-c', str(listed)])
    slurm.run_task()
    (run,) = done
    assert run.seed == 5 and run.classes == ('0', '1')
    assert run.work_dir == made[1].work_dir
