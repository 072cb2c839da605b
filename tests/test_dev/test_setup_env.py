import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from tests.helpers.scripts import TOOLS, load_script

SCRIPT = TOOLS / 'dev' / 'setup_env.py'


@pytest.fixture
def setup_env():
    return load_script('dev/setup_env.py')


def run(target, **env):
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(target)],
        capture_output=True,
        text=True,
        env={**os.environ, **env},
    )
    return done.returncode, done.stderr.strip()


def test_no_compiler_is_one_line_and_nothing_is_made(tmp_path):
    code, error = run(tmp_path / 'env', CXX='no-such-compiler')
    assert code == 1
    assert error.startswith('error: no C++ compiler (no-such-compiler)')
    assert len(error.splitlines()) == 1
    assert not (tmp_path / 'env').exists()


def test_no_network_is_one_line(tmp_path):
    code, error = run(
        tmp_path / 'env',
        PIP_INDEX_URL='http://127.0.0.1:9/',
        PIP_EXTRA_INDEX_URL='',
        PIP_FIND_LINKS='',
        PIP_CONFIG_FILE=os.devnull,
        PIP_RETRIES='1',
        PIP_NO_CACHE_DIR='1',
    )
    assert code == 1
    assert error.startswith('error: torch failed: no network: pip cannot')
    assert len(error.splitlines()) == 1


def test_unsupported_python_is_named(setup_env, monkeypatch, tmp_path):
    monkeypatch.setattr(setup_env.sys, 'version_info', (3, 8, 1, 'final', 0))
    with pytest.raises(
        setup_env.SetupError,
        match=r'Python 3\.11 is needed, .* is 3\.8\. Install '
        'it and name it: make PYTHON',
    ):
        setup_env.check_python(tmp_path / 'env')


def test_too_little_disk_is_named_with_what_is_needed(
    setup_env, monkeypatch, tmp_path
):
    usage = namedtuple('usage', 'total used free')(100, 100, 2**29)
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: usage)
    with pytest.raises(
        setup_env.SetupError,
        match=r'the environment needs .* GiB in .*0\.5 GiB are '
        'free',
    ):
        setup_env.check_build(tmp_path / 'env')


def test_missing_headers_are_named(setup_env, monkeypatch, tmp_path):
    monkeypatch.setattr(
        setup_env.sysconfig, 'get_paths', lambda: dict(include=str(tmp_path))
    )
    with pytest.raises(setup_env.SetupError, match='no Python headers'):
        setup_env.check_build(tmp_path)


def test_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / 'thesis.txt').write_text('precious')
    code, error = run(tmp_path)
    assert code == 1
    assert 'already holds other files' in error
    assert [path.name for path in tmp_path.iterdir()] == ['thesis.txt']


def test_environment_that_is_up_to_date_is_left_alone(setup_env, tmp_path):
    python = tmp_path / 'bin' / 'python'
    python.parent.mkdir()
    python.write_text('not run')
    (tmp_path / 'sge_mmdet.stamp').write_text(setup_env.fingerprint())
    setup_env.set_up(tmp_path)
    assert python.read_text() == 'not run'


@pytest.mark.parametrize(
    'printed, cause',
    [
        ('OSError: [Errno 28] No space left on device', 'the disk is full'),
        (
            'c++: fatal error: Killed signal',
            'ran out of memory: set MAX_JOBS=1',
        ),
        ('OSError: CUDA_HOME environment variable is not set', 'CUDA toolkit'),
        ('ERROR: something new', 'ERROR: something new'),
    ],
)
def test_failed_step_names_the_cause_and_the_log(
    setup_env, tmp_path, printed, cause
):
    steps = setup_env.Steps(tmp_path / 'setup.log')
    with pytest.raises(setup_env.SetupError) as error:
        steps.run(
            'step',
            [sys.executable, '-c', f'print({printed!r}); raise SystemExit(1)'],
        )
    assert cause in str(error.value)
    assert str(tmp_path / 'setup.log') in str(error.value)
    assert printed in (tmp_path / 'setup.log').read_text()


def test_python_that_cannot_make_environments_is_named(
    setup_env, monkeypatch, tmp_path
):
    monkeypatch.setattr(
        setup_env.importlib.util, 'find_spec', lambda name: None
    )
    with pytest.raises(setup_env.SetupError, match=r'apt install .*-venv'):
        setup_env.check_python(tmp_path / 'env')


def test_interrupted_environment_without_pip_is_completed(setup_env, tmp_path):
    setup_env.venv.create(tmp_path / 'env', with_pip=False)
    code, error = run(
        tmp_path / 'env',
        PIP_INDEX_URL='http://127.0.0.1:9/',
        PIP_EXTRA_INDEX_URL='',
        PIP_FIND_LINKS='',
        PIP_CONFIG_FILE=os.devnull,
        PIP_RETRIES='1',
        PIP_NO_CACHE_DIR='1',
    )
    assert code == 1
    assert 'torch failed: no network' in error
    assert setup_env.works(tmp_path / 'env' / 'bin' / 'python', 'pip')


def test_what_is_installed_is_pinned_to_its_version(
    setup_env, monkeypatch, tmp_path
):
    monkeypatch.setattr(
        setup_env,
        'installed',
        lambda python: {'torch': '2.1.0', 'numpy': '1.26.4', 'scipy': '1.11'},
    )
    seen = []

    class Recorder:
        def run(self, label, command, **env):
            seen.extend(Path(command[5]).read_text().splitlines())

    setup_env.pip_install(Recorder(), 'rest', tmp_path, ['mmdet'])
    assert {'torch==2.1.0', 'numpy==1.26.4', 'mmdet==3.3.0'} <= set(seen)
    assert not [line for line in seen if line.startswith('scipy')]
