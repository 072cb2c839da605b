"""All steps of a measurement on a GPU, and the processes that they run in."""

import os
import subprocess
import sys
import threading
import time

import pytest
from matplotlib.image import imread

from tests.helpers.scripts import TOOLS, load_script

FOLDER = TOOLS / 'benchmark'
# Cases of the step that checks the kernels: parts, types and layouts.
CHECKS = 12
linux = pytest.mark.skipif(
    not sys.platform.startswith('linux'), reason='reads /proc'
)


@pytest.fixture
def with_a_gpu(tmp_path):
    """The environment of a machine that has a GPU until it is hidden."""
    (tmp_path / 'path').mkdir()
    (tmp_path / 'path/sitecustomize.py').write_text(
        'import os, torch\n'
        'torch.cuda.is_available = lambda: '
        "os.environ.get('CUDA_VISIBLE_DEVICES') != ''\n"
    )
    env = {
        name: value
        for name, value in os.environ.items()
        if name not in ('CUDA_VISIBLE_DEVICES', 'TRITON_INTERPRET')
    }
    path = [str(tmp_path / 'path'), os.environ.get('PYTHONPATH', '')]
    return dict(env, PYTHONPATH=os.pathsep.join(filter(None, path)))


def test_everything_runs_to_its_end_on_a_cpu(tmp_path, with_a_gpu):
    """So that nothing in it is seen for the first time on a GPU."""
    done = subprocess.run(
        [
            sys.executable,
            FOLDER / 'gpu.py',
            tmp_path / 'out',
            '--small',
            '--device',
            'cpu',
        ],
        capture_output=True,
        text=True,
        timeout=900,
        env=with_a_gpu,
    )
    logs = '\n'.join(
        log.read_text()[-2000:] for log in (tmp_path / 'out').glob('*.log')
    )
    assert done.returncode == 0, done.stdout + logs
    page = (tmp_path / 'out/report.md').read_text()
    assert page.count('| done |') == 6
    assert '| skipped |' in page and 'skipped: there is no GPU' in page
    for name in 'tiles', 'ops', 'host_time', 'network', 'training':
        assert (tmp_path / f'out/{name}.csv').stat().st_size
        assert imread(tmp_path / f'out/{name}.png').std() > 0
        assert f'({name}.png)' in page
    log = (tmp_path / 'out/check.log').read_text()
    assert log.count('  triton  ') == CHECKS
    for word in (
        'block_end',
        'SGE, ours',
        'plain',
        'floor',
        'inference',
        'training',
        'bfloat16',
    ):
        assert word in page


def test_a_step_that_fails_or_hangs_costs_no_other(tmp_path, monkeypatch):
    gpu = load_script('benchmark/gpu.py')
    outcomes = [
        gpu.run_step(gpu.Step(name, name, command, limit), 'cpu', tmp_path)
        for name, command, limit in (
            ('failing', 'ops.py --dtype none', 100),
            ('hanging', 'ops.py', 0.01),
        )
    ]
    assert [one.status for one in outcomes] == ['failed', 'timed out']
    assert "invalid choice: 'none'" in outcomes[0].last
    page = gpu.page(outcomes, 'cpu', tmp_path)
    assert '| failing | failed |' in page and '| hanging | timed' in page


def test_a_step_that_does_not_fit_the_total_time_is_skipped(tmp_path, capsys):
    gpu = load_script('benchmark/gpu.py')
    todo = [
        gpu.Step(name, name, 'ops.py --dtype none', limit)
        for name, limit in (('long', 100), ('short', 50))
    ]
    outcomes = gpu.run_steps(todo, tmp_path, 1.5, 'cpu')
    assert [one.status for one in outcomes] == ['skipped', 'failed']
    assert (
        'does not fit the total of 1.5 minutes'
        in (tmp_path / 'report.md').read_text()
    )
    assert '00:00 long: skipped, 0 s (its limit' in capsys.readouterr().out


def test_steps_without_times_run_side_by_side_and_others_alone(
    tmp_path, monkeypatch
):
    gpu = load_script('benchmark/gpu.py')
    side_by_side, alone = threading.Barrier(2), threading.Lock()

    def run_step(step, device, out, rounds):
        if step.timed:
            assert alone.acquire(blocking=False)
            alone.release()
        else:
            # Until the other one is here as well.
            side_by_side.wait(timeout=20)
        return gpu.Outcome(step, 'done', 0.0, '')

    monkeypatch.setattr(gpu, 'run_step', run_step)
    todo = [
        gpu.Step(name, name, 'ops.py', 50, timed=timed, writes=False)
        for name, timed in (('a', False), ('b', False), ('c', True))
    ]
    outcomes = gpu.run_steps(todo, tmp_path, 1.5, 'cpu')
    assert [one.step.name for one in outcomes] == ['a', 'b', 'c']


def test_steps_on_a_gpu_have_names_and_scripts_of_their_own():
    todo = load_script('benchmark/gpu.py').all_steps()
    assert len({step.name for step in todo}) == len(todo)
    assert all((FOLDER / step.command.split()[0]).is_file() for step in todo)


@pytest.mark.parametrize('small', [False, True])
def test_scripts_take_the_options_of_their_steps(small, monkeypatch):
    gpu = load_script('benchmark/gpu.py')
    for step in gpu.small_steps() if small else gpu.all_steps():
        script, *options = step.command.split()
        if step.takes_device:
            options += ['--device', 'cuda']
        monkeypatch.setattr('sys.argv', [script, *options])
        module = load_script(f'benchmark/{script}')
        module.parse_options()


def test_a_gpu_is_not_measured_where_there_is_none(monkeypatch, tmp_path):
    monkeypatch.setattr(
        'sys.argv', ['gpu.py', str(tmp_path / 'out'), '--device', 'cpu']
    )
    with pytest.raises(SystemExit, match='the device is a CPU; say --small'):
        load_script('benchmark/gpu.py').main()
    assert not (tmp_path / 'out').exists()


SLEEPING = """
import subprocess, sys
child = subprocess.Popen(['sleep', '600'])
print(child.pid, flush=True)
"""
POOL = """
import os, sys, time
from process import new_pool

def sleep(_):
    print(os.getpid(), flush=True)
    time.sleep(600)

if __name__ == '__main__':
    with new_pool(1) as pool:
        list(pool.map(sleep, [0]))
"""


def ends(pid):
    """Return whether a process ends soon; one that nobody reaps has ended."""
    for _ in range(100):
        try:
            with open(f'/proc/{pid}/stat') as file:
                if file.read().rpartition(')')[2].split()[0] == 'Z':
                    return True
        except FileNotFoundError:
            return True
        time.sleep(0.1)
    return False


@pytest.fixture
def step(tmp_path):
    """Writes a script, and returns the arguments of ``run_script``."""

    def new(code):
        script = tmp_path / 'step.py'
        script.write_text(code)
        return script, [], tmp_path / 'step.log'

    return new


@linux
def test_a_step_that_ends_leaves_no_process_behind(step):
    from process import run_script

    script, arguments, log = step(SLEEPING)
    assert run_script(script, arguments, log, 100) == 0
    assert ends(int(log.read_text()))


@linux
@pytest.mark.parametrize('code', [SLEEPING + 'child.wait()', POOL])
def test_a_step_that_times_out_leaves_no_process_behind(step, code):
    from process import run_script

    script, arguments, log = step(code)
    for seconds in (1, 4, 16, 64):
        assert run_script(script, arguments, log, seconds) is None
        if log.exists() and log.read_text():
            break
    assert ends(int(log.read_text()))


@linux
def test_a_step_ends_with_the_process_that_runs_it(step):
    import process

    script, arguments, log = step(SLEEPING + 'child.wait()')
    runner = process._context().Process(
        target=process.run_script, args=(script, arguments, log, 600)
    )
    runner.start()
    while not (log.exists() and log.read_text()):
        time.sleep(0.05)
    runner.kill()
    runner.join()
    assert ends(int(log.read_text()))


def test_a_process_that_cannot_be_killed_is_not_waited_for(monkeypatch):
    import process

    class Stuck:
        pid = 2**22 + 1
        waited = []

        def kill(self):
            pass

        def join(self, seconds):
            self.waited.append(seconds)

        def is_alive(self):
            return True

    last = []
    monkeypatch.setattr(process.atexit, 'register', last.append)
    process.kill_group(Stuck())
    assert Stuck.waited == [process.PATIENCE]
    assert last == [process._end_now]
