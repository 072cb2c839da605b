"""Building, loading and teaching ``node.cpp``, the operator in C++.

It is built against PyTorch when kernels first run on a GPU, and kept in
Triton's cache. Without a compiler Python launches the kernels, as it does
until each kind of map is known; results are the same.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import warnings
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any, Iterator, List, Optional

import torch
from triton.runtime.cache import get_cache_manager

from .. import dispatch
from ..passes import Inputs
from .launcher import Compiled, current_stream, is_watched
from .plan import Plan

SOURCE = Path(__file__).with_name('node.cpp')
VARIABLE = 'SGE_MMDET_NODE'
# How long a compiler may take.
SECONDS = 600
# Of a compiled kernel: what node.cpp does not launch.
_UNUSUAL = (
    'launch_cooperative_grid',
    'launch_pdl',
    'global_scratch_size',
    'profile_scratch_size',
)
# What launches on tensors of the CPU; see launching_by.
_on_cpu: Optional[ModuleType] = None


@lru_cache(maxsize=None)
def node() -> Optional[ModuleType]:
    """Return the module, or None where it cannot be had.

    The first call on a machine builds it, in about half a minute. From then
    on calls of the operator that it knows go through it. It is not built if
    the environment variable ``SGE_MMDET_NODE`` is 0.
    """
    if os.environ.get(VARIABLE) == '0':
        return None
    try:
        module = load(built())
    except (OSError, ImportError, subprocess.SubprocessError) as error:
        last = [str(error), *str(getattr(error, 'stderr', '')).splitlines()]
        warnings.warn(
            'SGE launches its kernels from Python, which can take longer than '
            'they do, since its C++ part cannot be built: '
            f'{" ".join(last[:4])}. It needs a C++ compiler such as g++, and '
            'a folder TRITON_CACHE_DIR that can be written to; '
            f'{VARIABLE}=0 leaves it out',
            stacklevel=2,
        )
        return None
    if not module.begin(current_stream):
        return None
    dispatch.set_shortcut(_shortcut_by(module))
    return module


def _shortcut_by(module: ModuleType) -> dispatch.Shortcut:
    enhance = module.enhance
    return lambda inputs: None if is_watched() else enhance(inputs)


@contextmanager
def launching_by(address: int) -> Iterator[ModuleType]:
    """Launch by a function, on tensors of the CPU, for a while.

    For tests and for benchmarks of the host's time.

    Args:
        address: Address of a function like ``cuLaunchKernel``.
    """
    global _on_cpu
    module = load(built())
    module.begin(lambda device: 0)
    module.launch_by(address)
    _on_cpu = module
    dispatch.set_shortcut(_shortcut_by(module))
    try:
        yield module
    finally:
        module.launch_by(0)
        module.begin(current_stream)
        _on_cpu = None
        dispatch.set_shortcut(None)
        node.cache_clear()


def built() -> str:
    """Return the path of the library, which is built if it is not there.

    Raises:
        OSError: If there is no compiler.
        subprocess.SubprocessError: If it fails or takes too long.
    """
    command = _command()
    name = f'node{sysconfig.get_config_var("EXT_SUFFIX")}'
    facts = [SOURCE.read_text(), torch.__version__, sys.version, *command]
    cache = get_cache_manager(
        hashlib.sha256('\n'.join(facts).encode()).hexdigest()
    )
    path = cache.get_file(name)
    if path is None:
        if os.environ.get('LOCAL_RANK', '0') == '0':
            print(
                'SGE builds its C++ part for this PyTorch, once: about half '
                'a minute',
                file=sys.stderr,
                flush=True,
            )
        with tempfile.TemporaryDirectory() as folder:
            library = Path(folder, name)
            subprocess.run(
                [*command, '-o', str(library)],
                check=True,
                capture_output=True,
                text=True,
                timeout=SECONDS,
            )
            path = cache.put(library.read_bytes(), name, binary=True)
    return str(path)


def _command() -> List[str]:
    """Return the compiler's command, without the name of its result."""
    # Importing it takes a second.
    from torch.utils.cpp_extension import include_paths

    compiler = os.environ.get('CXX') or next(
        filter(None, map(shutil.which, ('c++', 'g++', 'clang++'))), None
    )
    if compiler is None:
        raise FileNotFoundError('there is no C++ compiler')
    libraries = Path(torch.__file__).parent / 'lib'
    # What PyTorch's headers ask for.
    major, minor = map(int, torch.__version__.split('.')[:2])
    standard = 20 if (major, minor) >= (2, 14) else 17
    return [
        *compiler.split(),
        *(f'-std=c++{standard}', '-O2', '-w', '-fPIC', '-shared'),
        '-fvisibility=hidden',
        f'-D_GLIBCXX_USE_CXX11_ABI={int(torch.compiled_with_cxx11_abi())}',
        *(f'-isystem{path}' for path in include_paths()),
        f'-isystem{sysconfig.get_path("include")}',
        str(SOURCE),
        f'-L{libraries}',
        *('-lc10', '-ltorch_cpu', '-ltorch_python'),
    ]


def load(path: str) -> ModuleType:
    """Return the module in a library.

    Args:
        path: The library.

    Raises:
        ImportError: If it does not fit this Python or this PyTorch.
    """
    spec = importlib.util.spec_from_file_location(f'{__package__}.node', path)
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
        inputs: What the pass was given.
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
