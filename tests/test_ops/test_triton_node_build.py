"""Building and loading the operator in C++, and doing without it."""

import os
import signal
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.helpers.operator_cases import HAS_TRITON

if not HAS_TRITON:
    pytest.skip('Triton 3 is not installed', allow_module_level=True)

from sge_mmdet.ops import dispatch
from sge_mmdet.ops.triton import node


@pytest.fixture
def untried(monkeypatch):
    """Let the module be made anew, as where there is a GPU."""
    monkeypatch.setattr(node, '_tried', [])
    monkeypatch.setattr(node, '_is_wanted', lambda: True)
    monkeypatch.setattr(dispatch, '_shortcut', None)


@pytest.fixture
def library(monkeypatch, tmp_path):
    """Return what a compiler that copies it builds, with an empty cache."""
    path, compiler = tmp_path / 'library', tmp_path / 'c++'
    # The file of a module that was built a moment ago is gone.
    node.made()
    path.write_bytes(Path(node.made().__file__).read_bytes())
    compiler.write_text(
        f'#!/bin/sh\necho >> {tmp_path}/calls\nsleep 0.3\n'
        f'for last; do :; done\ncp {path} $last'
    )
    compiler.chmod(0o755)
    monkeypatch.setenv('CXX', str(compiler))
    monkeypatch.setenv('TRITON_CACHE_DIR', str(tmp_path / 'cache'))
    return path


def test_without_a_compiler_python_goes_on(untried, monkeypatch, tmp_path):
    monkeypatch.setenv('CXX', str(tmp_path / 'none'))
    with pytest.warns(UserWarning, match='needs a C.. compiler'):
        assert node.node() is None
    # It is not tried again.
    monkeypatch.setattr(node, 'made', None)
    assert node.node() is None


def test_a_compiler_that_fails_is_quoted(untried, monkeypatch, tmp_path):
    compiler = tmp_path / 'c++'
    compiler.write_text('#!/bin/sh\nprintf "a\\351\\nerror: no\\n" >&2\nfalse')
    compiler.chmod(0o755)
    monkeypatch.setenv('CXX', str(compiler))
    with pytest.raises(
        UserWarning, match='built: error: no'
    ), warnings.catch_warnings():
        warnings.simplefilter('error')
        node.node()
    # It is not tried again.
    assert node.node() is None


def test_a_damaged_library_is_built_again(library, tmp_path):
    node.made()
    (kept,) = (tmp_path / 'cache').rglob('_node*')
    assert kept.read_bytes() == library.read_bytes()
    kept.write_bytes(b'damaged')
    node.made()
    assert kept.read_bytes() == library.read_bytes()


def in_three_threads(function):
    """Stand for three processes: each one opens the file of the lock."""
    with ThreadPoolExecutor(3) as pool:
        return list(pool.map(lambda _: function(), range(3)))


def test_one_process_builds_for_all_that_start_together(library, tmp_path):
    for module in in_three_threads(node.made):
        assert module.__name__.endswith('_node')
    assert len((tmp_path / 'calls').read_text().splitlines()) == 1


def test_processes_that_wait_in_vain_give_up_together(
    library, monkeypatch, tmp_path
):
    (tmp_path / 'c++').write_text('#!/bin/sh\nexec sleep 60')
    monkeypatch.setattr(node, 'SECONDS', 1)

    def give_up():
        begin = time.monotonic()
        with pytest.raises(subprocess.TimeoutExpired):
            node.made()
        return time.monotonic() - begin

    assert max(in_three_threads(give_up)) < 2.9


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='there is no os.fork')
def test_a_forked_process_does_not_keep_the_lock(tmp_path):
    cache = SimpleNamespace(lock_path=tmp_path / 'lock')
    with node._lock(cache, time.monotonic() + 1):
        child = os.fork()
        if not child:
            time.sleep(60)
            os._exit(0)
    try:
        begin = time.monotonic()
        with node._lock(cache, begin + 10):
            assert time.monotonic() - begin < 5
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


@pytest.mark.parametrize('error', [ImportError, OSError, TypeError])
def test_errors_of_a_build_pass_through_the_lock(tmp_path, error):
    cache = SimpleNamespace(lock_path=tmp_path / 'lock')
    with pytest.raises(error), node._lock(cache, time.monotonic() + 1):
        raise error


def test_without_locks_a_process_builds_for_itself(
    library, monkeypatch, tmp_path
):
    monkeypatch.setitem(sys.modules, 'fcntl', None)
    node.made()
    (kept,) = (tmp_path / 'cache').rglob('_node*')
    assert kept.read_bytes() == library.read_bytes()


def test_it_can_be_left_out(monkeypatch):
    monkeypatch.setattr(node, '_tried', [])
    monkeypatch.setenv(node.VARIABLE, '0')
    monkeypatch.setattr(node, 'made', None)
    assert node.node() is None


def test_without_a_gpu_it_is_not_built(monkeypatch):
    def no_driver(name):
        raise OSError(name)

    monkeypatch.setattr(node, '_tried', [])
    monkeypatch.setattr(node.ctypes, 'CDLL', no_driver)
    monkeypatch.setattr(node, 'made', None)
    assert node.node() is None


def test_its_name_is_not_that_of_the_module_that_loads_it():
    node.made()
    assert sys.modules[node.__name__] is node
