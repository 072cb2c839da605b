"""Choice of the implementation of SGE: by device and type, or by name."""

import importlib
import importlib.util
import os
import warnings
from contextlib import contextmanager
from functools import lru_cache
from types import ModuleType
from typing import Callable, Dict, Iterator, Optional

import torch
from torch import Tensor

from . import native
from .passes import Inputs, Outputs

BACKENDS = ('native', 'triton', 'torch', 'reference')
# Modules of this package that have a forward and a backward pass.
MODULES = dict(native='native', triton='triton', torch='eager')
VARIABLE = 'SGE_MMDET_BACKEND'


def _check_name(name: str, source: str) -> str:
    if name not in BACKENDS:
        raise ValueError(
            f'{source} takes one of {", ".join(BACKENDS)}, got {name!r}'
        )
    return name


# Process-wide, since autograd runs the backward pass in threads of its own.
_forced: Optional[str] = (
    _check_name(os.environ[VARIABLE], VARIABLE)
    if os.environ.get(VARIABLE)
    else None
)


# Runs calls that it knows past everything else; see triton/node.py.
Shortcut = Callable[[Inputs], Optional[Tensor]]
_shortcut: Optional[Shortcut] = None


def set_shortcut(function: Optional[Shortcut]) -> None:
    """Let a function be asked first where the Triton backend may run.

    Args:
        function: It returns the result, with its gradient, or None if it does
            not take a call. None for no such function.
    """
    global _shortcut
    _shortcut = function


def take_shortcut(inputs: Inputs) -> Optional[Tensor]:
    """Return the result if there is a shortcut for a call.

    Args:
        inputs: Arguments of the call, not checked yet.
    """
    if _shortcut is None or _forced not in (None, 'triton'):
        return None
    return _shortcut(inputs)


def wants_reference() -> bool:
    """Return whether the reference was asked for."""
    return _forced == 'reference'


@lru_cache(maxsize=None)
def load_backend(name: str) -> ModuleType:
    """Return the module of an implementation; see :mod:`.passes`.

    Args:
        name (str): "native", "triton" or "torch".
    """
    return importlib.import_module(f'.{MODULES[name]}', __package__)


def backend_for(x: Tensor, groups: int = 1) -> str:
    """Return the implementation that runs for a feature map.

    Args:
        x (Tensor): The feature map.
        groups (int): Number of groups of its channels. Default: 1.

    Returns:
        str: "native", the C++ kernels, on a CPU where they are built;
        "triton" on CUDA; "torch", lean but plain PyTorch, elsewhere;
        "reference", the formula step by step, where it is asked for by
        :func:`use_backend` or by the environment variable
        ``SGE_MMDET_BACKEND``, which is read at import.

    Raises:
        RuntimeError: If what is asked for cannot run, with the reason.
    """
    name = _forced
    if name is None:
        if native.is_able(x):
            return 'native'
        if (
            x.is_cuda
            and x.dtype != torch.float64
            and _triton_works(x.device.index)
            and load_backend('triton').takes(x, groups)
        ):
            return 'triton'
        return 'torch'
    _check_able(name, x, groups)
    return name


def _check_able(name: str, x: Tensor, groups: int) -> None:
    """Raise, with the reason, if what was asked for cannot run."""
    if name == 'native' and not native.is_able(x):
        raise RuntimeError(
            f'The native kernels take {", ".join(map(str, native.DTYPES))} on '
            f'the CPU, got {x.dtype} on {x.device}'
            if native.library()
            else 'The native kernels are not built: install sge_mmdet where '
            'there is a C++ compiler'
        )
    if name == 'triton':
        if not _has_triton():
            raise RuntimeError('Triton is not installed: pip install triton')
        if x.dtype == torch.float64:
            raise RuntimeError(
                f'The Triton kernels compute in float32, got {x.dtype}'
            )
        backend = load_backend('triton')
        if not (x.is_cuda or backend.IS_INTERPRETED):
            raise RuntimeError(
                f'The Triton kernels run on CUDA, got a tensor on {x.device}; '
                'set TRITON_INTERPRET=1 to try them without a GPU'
            )
        if not backend.takes(x, groups):
            raise RuntimeError(
                'The Triton kernels take up to 256 channels a group, groups '
                'of less than 2**31 values, and less than 2**26 channels in '
                f'all images; got {groups} groups of a map of shape '
                f'{tuple(x.shape)}. Choose more groups, or another backend: '
                'use_backend("torch")'
            )


@contextmanager
def use_backend(name: Optional[str]) -> Iterator[None]:
    """Choose the implementation, for the whole process, for a while.

    Args:
        name (str, optional): One of "native", "triton", "torch" and
            "reference", or None for the usual choice.

    Raises:
        ValueError: If there is no such implementation.

    Examples:
        >>> import torch
        >>> from sge_mmdet.ops import backend_for, use_backend
        >>> with use_backend('reference'):
        ...     backend_for(torch.rand(1, 4, 2, 2))
        'reference'
    """
    global _forced
    if name is not None:
        _check_name(name, 'use_backend()')
    before, _forced = _forced, name
    try:
        yield
    finally:
        _forced = before


@lru_cache(maxsize=None)
def _has_triton() -> bool:
    return importlib.util.find_spec('triton') is not None


# Whether Triton works, by the index of the GPU.
_tried: Dict[int, bool] = {}


def _triton_works(device: int) -> bool:
    """Return whether Triton can build and run a kernel on a GPU; try it once.

    It needs a C compiler, Python's headers and a GPU that is new enough. What
    may be otherwise the next time, a full memory or a stream that is being
    captured, is not remembered.
    """
    works = _tried.get(device)
    if works is not None:
        return works
    if not _has_triton() or torch.cuda.is_current_stream_capturing():
        return False
    try:
        _try_triton(torch.device('cuda', device))
        works = True
    except Exception as error:
        # A compiler, a driver and Triton raise many types of error.
        warnings.warn(
            'SGE runs in plain PyTorch on this GPU, since Triton fails: '
            f'{type(error).__name__}: {error}',
            stacklevel=2,
        )
        if (
            isinstance(error, torch.cuda.OutOfMemoryError)
            or 'out of memory' in str(error).lower()
        ):
            return False
        works = False
    _tried[device] = works
    return works


def _try_triton(device: torch.device) -> None:
    """Run a forward pass of a single value."""
    one = torch.ones((1, 1, 1, 1), device=device)
    load_backend('triton').forward(
        Inputs(one, one, one, None, None, 1, 1e-5, True),
        Outputs(
            torch.empty_like(one),
            one.new_empty((1, 1)),
            one.new_empty((1, 1, 2)),
        ),
    )
