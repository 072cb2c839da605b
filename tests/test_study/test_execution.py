import fcntl
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from sge_mmdet.study import StudyRun, execution, run_study

# Stands in for MMDetection's tools: notes its arguments and leaves what they
# leave. Seed 13 fails, seed 14 leaves no result.
FAKE = """
import json, os, sys, time
from pathlib import Path
tool, (config, *rest) = {!r}, sys.argv[1:]
work = Path(rest[rest.index('--work-dir') + 1])
start = time.time()
print('Iter(train) [ 3/9]  lr: 0.1  eta: 0:00:07  time: 1')
time.sleep(0.05)
if work.name == 'seed_13' and tool == 'train.py':
    sys.exit('out of luck')
if tool == 'train.py':
    (work / 'last.pth').touch()
    (work / 'last_checkpoint').write_text(str(work / 'last.pth'))
elif work.name != 'seed_14':
    (work / 'unfinished.bbox.json').write_text('[]')
with (work / 'calls').open('a') as file:
    gpu = os.environ.get('CUDA_VISIBLE_DEVICES')
    file.write(json.dumps([tool, sys.argv[1:], gpu, start, time.time()]))
    file.write(chr(10))
"""


@pytest.fixture(autouse=True)
def fake_tools(monkeypatch):
    monkeypatch.setattr(execution, 'TOOL', FAKE)


def runs(root, seeds):
    return [
        StudyRun(
            'SGE',
            seed,
            root / f'{seed}.py',
            root / f'seed_{seed}',
            root / 'truth.json',
            'bbox',
        )
        for seed in seeds
    ]


def calls(run):
    lines = (run.work_dir / 'calls').read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_every_run_is_trained_then_tested_with_its_last_checkpoint(tmp_path):
    (run,) = runs(tmp_path, [0])
    assert run_study([run], tmp_path) == []
    (train, trained, *_), (test, tested, *_) = calls(run)
    assert (train, test) == ('train.py', 'test.py')
    # Resumed from nothing, a config would lose the weights it starts from.
    assert trained == [str(run.config), '--work-dir', str(run.work_dir)]
    assert tested[:2] == [str(run.config), str(run.work_dir / 'last.pth')]
    assert run.is_done and not list(run.work_dir.glob('unfinished*'))


def test_finished_runs_and_trainings_are_not_repeated(tmp_path):
    done, tested_only = runs(tmp_path, [0, 1])
    run_study([done, tested_only], tmp_path)
    tested_only.detections.unlink()
    run_study([done, tested_only], tmp_path)
    assert len(calls(done)) == 2
    assert [call[0] for call in calls(tested_only)] == [
        'train.py',
        'test.py',
        'test.py',
    ]


def test_interrupted_training_goes_on(tmp_path):
    (run,) = runs(tmp_path, [0])
    run_study([run], tmp_path)
    run.detections.unlink()
    (run.work_dir / 'trained').unlink()
    run_study([run], tmp_path)
    assert calls(run)[2][1] == [
        str(run.config),
        '--resume',
        '--work-dir',
        str(run.work_dir),
    ]


def test_test_without_a_result_is_a_failure(tmp_path):
    (run,) = runs(tmp_path, [14])
    (failure,) = run_study([run], tmp_path)
    assert 'Expected the test to write detections.bbox.json' in failure.end


def test_failed_run_is_reported_and_the_others_run(tmp_path):
    good, bad, last = runs(tmp_path, [0, 13, 2])
    (failure,) = run_study([good, bad, last], tmp_path)
    assert failure.run == bad and 'out of luck' in failure.end
    assert failure.log.read_text().endswith('out of luck\n')
    assert [run.is_done for run in (good, bad, last)] == [True, False, True]


def test_each_gpu_has_one_run_at_a_time(tmp_path):
    done = runs(tmp_path, range(5))
    run_study(done, tmp_path, gpus=['2', 'GPU-7'])
    spans = {}
    for run in done:
        for _, _, gpu, start, end in calls(run):
            spans.setdefault(gpu, []).append((start, end))
    assert set(spans) == {'2', 'GPU-7'}
    for of_gpu in spans.values():
        of_gpu.sort()
        assert all(
            end <= start for (_, end), (start, _) in zip(of_gpu, of_gpu[1:])
        )


def test_jobs_run_side_by_side_with_a_share_of_the_cores(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(os, 'cpu_count', lambda: 9)
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    # Each waits until the other one has begun.
    monkeypatch.setattr(
        execution,
        'TOOL',
        FAKE
        + """
while len(list(work.parent.glob('seed_*/calls'))) < 2:
    time.sleep(0.01)
(work / 'threads').write_text(os.environ['OMP_NUM_THREADS'])
""",
    )
    done = runs(tmp_path, [0, 1])
    assert run_study(done, tmp_path, jobs=2) == []
    for run in done:
        assert (run.work_dir / 'threads').read_text() == '4'


def test_no_jobs_are_refused(tmp_path):
    with pytest.raises(ValueError, match='jobs: expected at least 1, got 0'):
        run_study(runs(tmp_path, [0]), tmp_path, jobs=0)


def test_two_studies_do_not_work_in_one_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(
        execution.study_lock.__wrapped__, '__defaults__', (0.3,)
    )
    with (tmp_path / 'lock').open('w') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(RuntimeError, match='Another study'):
            run_study(runs(tmp_path, [0]), tmp_path)
    assert run_study(runs(tmp_path, [0]), tmp_path) == []


@pytest.mark.parametrize(
    'line, words',
    [
        (
            'mmengine - INFO - Iter(train) [120/400]  lr: 5.0e-04  eta: '
            '1 day, 0:01:10  time: 0.3',
            'SGE 0 train [120/400] eta: 1 day, 0:01:10',
        ),
        (
            'Epoch(train)  [3][ 50/7330]  lr: 2.0e-02  eta: 5:00:00',
            'SGE 0 train [3][ 50/7330] eta: 5:00:00',
        ),
        ('Iter(val) [48/48]    coco/bbox_mAP: 0.3', 'SGE 0 val [48/48]'),
        ('nothing of the kind', 'SGE 0 starts'),
    ],
)
def test_progress_is_read_from_the_log(tmp_path, line, words):
    (run,) = runs(tmp_path, [0])
    run.work_dir.mkdir()
    execution.log_file(run).write_text(f'before\n{line}\nafter')
    assert execution.describe_progress(run) == words


def test_interrupted_study_ends_its_trainings(tmp_path):
    """Ctrl-C, or a kill, does not leave a training behind it."""
    # SIGINT as in a terminal; a job in the background ignores it.
    script = textwrap.dedent("""
        import signal, sys
        signal.signal(signal.SIGINT, signal.default_int_handler)
        from pathlib import Path
        from sge_mmdet.study import StudyRun, execution, run_study
        execution.TOOL = (
            'import sys, time; from pathlib import Path;'
            'Path(sys.argv[-1], "began").touch(); time.sleep(60) #{!r}')
        root = Path(sys.argv[1])
        run = StudyRun('SGE', 0, root / '0.py', root / 'seed_0',
                       root / 'truth.json', 'bbox')
        run_study([run], root)
    """)
    study = subprocess.Popen(
        [sys.executable, '-c', script, str(tmp_path)],
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    began = Path(tmp_path, 'seed_0', 'began')
    deadline = time.time() + 60
    while not began.exists() and time.time() < deadline:
        time.sleep(0.05)
    assert began.exists()
    os.kill(study.pid, signal.SIGINT)
    assert study.wait(30) != 0
    # The training held the lock as well: it is free because that has ended.
    with (tmp_path / 'lock').open('w') as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_file_called_lock_is_not_emptied(tmp_path):
    (tmp_path / 'lock').write_text('mine')
    with execution.study_lock(tmp_path):
        pass
    assert (tmp_path / 'lock').read_text() == 'mine'
