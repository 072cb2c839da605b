"""The C++ kernels of SGE for the CPU, where setup.py could build them.

They know nothing of PyTorch: memory addresses go in, by ctypes. So they are
built without PyTorch's headers, and serve all of its versions.
"""

import ctypes
import os
import re
import struct
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Optional, Sequence

import torch
from torch import Tensor

from ...native_library import load_library
from ..passes import NO_NORM, Gradients, Inputs, Outputs, sum_dtype

# To be raised here and in sge.cpp whenever ``Problem`` in group.h or a result
# changes.
VERSION = 3
FOLDER = Path(__file__).parent
DTYPES = {torch.float32: 0, torch.float64: 1, torch.bfloat16: 2}


# The struct ``Problem`` of group.h: images, groups, channels, positions; maps,
# vectors and the team of threads; eps, norm_eps; normalize, relu, threads,
# channels_last; gradients.
_PROBLEM = struct.Struct('@4q12P2d4i7P')
_NO_GRADIENTS = (None,) * 7


@lru_cache(maxsize=None)
def library() -> Optional[ctypes.CDLL]:
    """Return the built kernels, or None where there are none."""
    found = load_library(
        FOLDER, '_sge', VERSION, 'SGE runs in plain PyTorch, more slowly'
    )
    if found is not None:
        for name in 'sge_forward', 'sge_backward':
            getattr(found, name).argtypes = [ctypes.c_char_p, ctypes.c_int]
    return found


@lru_cache(maxsize=None)
def openmp_team() -> Optional[int]:
    """Return the address of ``GOMP_parallel`` in PyTorch's OpenMP, or None.

    Without it the kernels start threads of their own.
    """
    maps = Path('/proc/self/maps')
    lines = (
        os.fsdecode(maps.read_bytes()).splitlines() if maps.is_file() else []
    )
    # The sixth column is the file, which may have spaces in its name.
    loaded = {
        line.split(maxsplit=5)[-1]
        for line in lines
        if re.search(r'/lib(gomp|iomp5|omp)\b[^/]*$', line)
    }
    ours = str(Path(torch.__file__).parent)
    for path in sorted(loaded, key=lambda path: not path.startswith(ours)):
        with suppress(OSError, AttributeError):
            return ctypes.cast(
                ctypes.CDLL(path).GOMP_parallel, ctypes.c_void_p
            ).value
    return None


def is_able(x: Tensor) -> bool:
    """Return whether the kernels are there and take a tensor like x."""
    return (
        x.device.type == 'cpu' and x.dtype in DTYPES and library() is not None
    )


def forward(inputs: Inputs, outputs: Outputs) -> None:
    """Fill the outputs; see :mod:`sge_mmdet.ops.passes`.

    Raises:
        MemoryError: If buffers cannot be allocated.
    """
    _call('sge_forward', inputs, inputs.identity is not None, outputs)


def backward(
    inputs: Inputs, outputs: Outputs, grad_y: Tensor, gradients: Gradients
) -> None:
    """Fill the gradients; see :mod:`sge_mmdet.ops.passes`.

    Raises:
        MemoryError: If buffers cannot be allocated.
    """
    _call(
        'sge_backward',
        inputs,
        outputs.y is not None,
        outputs,
        (grad_y, *gradients),
    )


def _call(
    function: str,
    inputs: Inputs,
    relu: bool,
    outputs: Outputs,
    gradients: Sequence[Optional[Tensor]] = _NO_GRADIENTS,
) -> None:
    """Call a kernel with the members of ``Problem`` in their order.

    Maps have the type and the layout of x, which is dense; the others the
    type of sums.
    """
    x, weight, bias, norm, identity, groups, eps, normalize = inputs
    kind = sum_dtype(x.dtype)
    if norm is not None and norm.shift is None:
        # The kernels read and differentiate by every scale and shift alike.
        norm = norm._replace(shift=torch.zeros_like(norm.scale))
        *others, of_scale, of_shift, of_identity = gradients
        if of_scale is not None:
            of_shift = torch.empty_like(of_scale)
        gradients = (*others, of_scale, of_shift, of_identity)
    *vectors, norm_eps = norm or NO_NORM
    # Conversions are kept in here until the kernel has run.
    parameters = [
        vector
        if vector is None or (vector.dtype == kind and vector.is_contiguous())
        else vector.to(kind).contiguous()
        for vector in (weight, bias, *vectors)
    ]
    images, channels, height, width = x.shape
    problem = _PROBLEM.pack(
        images,
        groups,
        channels // groups,
        height * width,
        *map(_address, (x, identity, *parameters, *outputs)),
        openmp_team() or 0,
        eps,
        norm_eps,
        normalize,
        relu,
        torch.get_num_threads(),
        not x.is_contiguous(),
        *map(_address, gradients),
    )
    if getattr(library(), function)(problem, DTYPES[x.dtype]):
        raise MemoryError(f'{function} has no memory for its buffers')


def _address(tensor: Optional[Tensor]) -> int:
    return 0 if tensor is None else tensor.data_ptr()
