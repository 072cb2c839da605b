"""Building, loading and teaching ``node.cpp``, the operator in C++.

It is built against PyTorch when kernels first run on a GPU, and kept in
Triton's cache. Without a compiler Python launches the kernels, as it does
until each kind of map is known; results are the same.
"""

import ctypes
import hashlib
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import warnings
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any, Dict, Iterator, List, Optional

import torch
from triton.runtime.cache import get_cache_manager

from .. import dispatch
from ..passes import Inputs
from .backward_kernel import backward_kernel
from .forward_kernel import forward_kernel
from .launcher import Compiled, current_stream, is_watched
from .plan import Plan

SOURCE = Path(__file__).with_name('node.cpp')
VARIABLE = 'SGE_MMDET_NODE'
# That a process may take, with its wait for another one that builds. PyTorch
# lets the processes of a training wait for each other twice as long.
SECONDS = 300
# Properties of a compiled kernel; node.cpp launches none that has one.
_UNUSUAL = (
    'launch_cooperative_grid',
    'launch_pdl',
    'global_scratch_size',
    'profile_scratch_size',
)
# The module, or None where it cannot be had; empty before the first try.
_tried: List[Optional[ModuleType]] = []
# What launches on tensors of the CPU; see launching_by.
_on_cpu: Optional[ModuleType] = None
# Compiled kernels by their handles, which are valid as long as these live.
_kernels: Dict[int, Any] = {}


def node() -> Optional[ModuleType]:
    """Return the module, or None where it cannot be had.

    The first call on a machine builds it, in about half a minute. From then
    on calls of the operator that it knows go through it. It is left out if
    the environment variable ``SGE_MMDET_NODE`` is 0, with a driver older than
    CUDA 12.4, and before PyTorch 2.4.
    """
    if not _tried:
        # In case a warning is an error.
        _tried.append(None)
        if _is_wanted():
            _tried[0] = _try_to_make()
    return _tried[0]


def _is_wanted() -> bool:
    """Return whether the module is of use on this machine."""
    if os.environ.get(VARIABLE) == '0':
        return False
    try:
        driver = ctypes.CDLL('libcuda.so.1')
    except OSError:
        return False
    # It tells what a kernel takes. In older versions of PyTorch the operator,
    # which second derivatives need, is not registered.
    return hasattr(driver, 'cuFuncGetParamInfo') and hasattr(
        torch.library, 'register_fake'
    )


def _try_to_make() -> Optional[ModuleType]:
    try:
        module = made()
    except Exception as error:
        # Compilers, caches and loaders raise many types of error.
        warnings.warn(
            'SGE launches its kernels from Python, which can take longer than '
            'they do, since its C++ part cannot be built: '
            f'{_reason(error)}. It needs a C++ compiler such as g++, and a '
            f'folder TRITON_CACHE_DIR that can be written to; {VARIABLE}=0 '
            'leaves it out',
            stacklevel=5,
        )
        return None
    if not module.begin(current_stream):
        return None
    dispatch.set_shortcut(_shortcut_by(module))
    return module


def _reason(error: Exception) -> str:
    """Return what an error says, or the first error of a compiler."""
    lines = str(getattr(error, 'stderr', None) or error).splitlines()
    errors = [line for line in lines if 'error' in line.lower()]
    return ' '.join((errors or lines[-1:])[:1]) or type(error).__name__


def _shortcut_by(module: ModuleType) -> dispatch.Shortcut:
    enhance = module.enhance

    def shortcut(inputs: Inputs) -> Any:
        if (
            is_watched()
            or getattr(forward_kernel, 'pre_run_hooks', None)
            or getattr(backward_kernel, 'pre_run_hooks', None)
        ):
            return None
        return enhance(inputs)

    return shortcut


@contextmanager
def launching_by(address: Optional[int]) -> Iterator[ModuleType]:
    """Launch by a function, on tensors of the CPU, for a while.

    For tests and for benchmarks of the host's time.

    Args:
        address: Address of a function like ``cuLaunchKernel``; None for one
            that does nothing.
    """
    global _on_cpu
    module = made()
    module.begin(lambda device: 0)
    module.launch_by(address)
    _on_cpu = module
    dispatch.set_shortcut(_shortcut_by(module))
    try:
        yield module
    finally:
        module.launch_by(0)
        _on_cpu = None
        dispatch.set_shortcut(None)
        _tried.clear()


def made() -> ModuleType:
    """Return the module, from Triton's cache or built.

    Of all processes of a machine one builds it, and the others wait.

    Raises:
        OSError: If there is no compiler, or the cache cannot be written to.
        subprocess.SubprocessError: If it fails or takes too long.
        ImportError: If what it made does not fit this Python.
    """
    command = _command()
    name = f'_node{sysconfig.get_config_var("EXT_SUFFIX")}'
    facts = [SOURCE.read_text(), torch.__version__, sys.version, *command]
    cache = get_cache_manager(
        hashlib.sha256('\n'.join(facts).encode()).hexdigest()
    )
    module = _kept(cache, name)
    if module is None:
        if os.environ.get('LOCAL_RANK', '0') == '0':
            print(
                'SGE builds its C++ part for this PyTorch, once: about half a '
                'minute',
                file=sys.stderr,
                flush=True,
            )
        end = time.monotonic() + SECONDS
        with _lock(cache, end):
            module = _kept(cache, name) or _built(command, cache, name, end)
    return module


def _kept(cache: Any, name: str) -> Optional[ModuleType]:
    """Return the module from the cache, or None where none can be loaded."""
    path = cache.get_file(name)
    if path is not None:
        # One that is damaged, or of another machine, is built again.
        with suppress(ImportError):
            return load(path)
    return None


@contextmanager
def _lock(cache: Any, end: float) -> Iterator[None]:
    """Let other processes wait here, where the system has such locks.

    Args:
        cache: Triton's cache of the module.
        end: Time at which nothing is waited for any more.
    """
    with ExitStack() as stack:
        # Without a lock each process builds for itself.
        with suppress(ImportError, OSError, AttributeError, TypeError):
            import fcntl

            file = stack.enter_context(open(cache.lock_path, 'w'))
            # To close it is not enough where a process that was forked
            # meanwhile has it open.
            stack.callback(fcntl.flock, file, fcntl.LOCK_UN)
            while time.monotonic() < end:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    time.sleep(0.1)
        yield


def _built(
    command: List[str], cache: Any, name: str, end: float
) -> ModuleType:
    """Return the module that a compiler builds, and keep it in the cache."""
    seconds = end - time.monotonic()
    if seconds <= 0:
        # Those before this process have failed.
        raise subprocess.TimeoutExpired(command, SECONDS)
    before = cache.get_file(name)
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder, name)
        subprocess.run(
            [*command, '-o', str(library)],
            check=True,
            capture_output=True,
            text=True,
            errors='replace',
            timeout=seconds,
        )
        # First, so that nothing that cannot be loaded is kept.
        module = load(str(library))
        if cache.get_file(name) == before:
            # No other process was first, whose file may be in use.
            cache.put(library.read_bytes(), name, binary=True)
    return module


def _command() -> List[str]:
    """Return the compiler's command, without the name of its result."""
    compiler = (
        shlex.split(os.environ.get('CXX', ''))
        or [
            path
            for path in map(shutil.which, ('c++', 'g++', 'clang++'))
            if path
        ][:1]
    )
    if not compiler:
        raise FileNotFoundError('there is no C++ compiler')
    of_torch = Path(torch.__file__).parent
    include = of_torch / 'include'
    folders = (
        include,
        include / 'torch' / 'csrc' / 'api' / 'include',
        sysconfig.get_path('include'),
    )
    # What PyTorch's headers ask for.
    major, minor = map(int, torch.__version__.split('.')[:2])
    standard = 20 if (major, minor) >= (2, 14) else 17
    return [
        *compiler,
        *(f'-std=c++{standard}', '-O2', '-w', '-fPIC', '-shared'),
        '-fvisibility=hidden',
        f'-D_GLIBCXX_USE_CXX11_ABI={int(torch.compiled_with_cxx11_abi())}',
        *(f'-isystem{folder}' for folder in folders),
        str(SOURCE),
        f'-L{of_torch / "lib"}',
        *('-lc10', '-ltorch_cpu', '-ltorch_python'),
    ]


def load(path: str) -> ModuleType:
    """Return the module in a library.

    Args:
        path: The library.

    Raises:
        ImportError: If it does not fit this Python or this PyTorch.
    """
    spec = importlib.util.spec_from_file_location(f'{__package__}._node', path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def teach(
    compiled: Optional[Compiled],
    inputs: Inputs,
    plan: Plan,
    launches: Any,
    is_backward: bool = False,
    has_identity: bool = False,
) -> None:
    """Let calls like one that Python has launched go through the node.

    Args:
        compiled: The kernel that was launched, if it may be launched again
            directly.
        inputs: Arguments of the pass.
        plan: How it was cut.
        launches: First integers of each launch.
        is_backward: Which pass it was. Default: False.
        has_identity: Whether there is an identity. Default: False.
    """
    if compiled is None:
        return
    module = node() if inputs.x.is_cuda else _on_cpu
    if module is None:
        return
    metadata = compiled.kernel.metadata
    if metadata.num_ctas != 1 or any(
        getattr(metadata, name, 0) for name in _UNUSUAL
    ):
        return
    _kernels[compiled.function] = compiled.kernel
    module.learn(
        inputs,
        is_backward,
        has_identity,
        compiled.function,
        plan.grid[0],
        32 * metadata.num_warps,
        metadata.shared,
        plan.sizes,
        tuple(map(tuple, launches)),
        plan.work,
    )
