"""The C++ node on tensors of the CPU, with PyTorch in place of kernels."""

import ctypes
import traceback
from contextlib import contextmanager
from types import SimpleNamespace

import torch

from sge_mmdet.ops import eager
from sge_mmdet.ops.passes import Gradients, Inputs, Outputs
from sge_mmdet.ops.triton import node
from sge_mmdet.ops.triton.launcher import Compiled
from sge_mmdet.ops.triton.plan import backward_plan, forward_plan

Launch = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_size_t,
    *[ctypes.c_uint] * 7,
    ctypes.c_void_p,
    ctypes.POINTER(ctypes.c_void_p),
    ctypes.c_void_p,
)


class Driver:
    """Launches kernels by their numbers; see ``teach``."""

    def __init__(self):
        self.kernels, self.launched = {}, []
        self.launch = Launch(self._launch)
        self.address = ctypes.cast(self.launch, ctypes.c_void_p).value

    def _launch(self, function, *arguments):
        self.launched.append(function)
        # ctypes drops the exceptions of a callback.
        try:
            self.kernels[function](arguments[:7], Reader(arguments[8]))
        except Exception:
            traceback.print_exc()
            return 1
        return 0


class Reader:
    """Reads the parameters of a kernel in their order."""

    def __init__(self, parameters):
        self.parameters, self.at = parameters, 0

    def number(self, kind=ctypes.c_int):
        self.at += 1
        return kind.from_address(self.parameters[self.at - 1]).value

    def tensor(self, like, dtype=None):
        """Return what has the place of a tensor; None stands for none."""
        if like is None:
            return None
        address = self.number(ctypes.c_size_t)
        assert address % 16 == 0
        dtype = dtype or like.dtype
        size = like.numel() * dtype.itemsize
        memory = (ctypes.c_char * size).from_address(address)
        return torch.frombuffer(memory, dtype=dtype).as_strided(
            like.shape, like.stride()
        )

    def end(self, inputs, phases, sizes, images):
        """Check the numbers; return which phases the launch runs."""
        found = [self.number() for _ in range(phases)]
        assert [self.number() for _ in range(4)] == list(sizes)
        if images:
            assert self.number() == images
        for eps in inputs.eps, inputs.norm.eps if inputs.norm else 0:
            assert self.number(ctypes.c_float) == ctypes.c_float(eps).value
        assert self.number(ctypes.c_size_t) == 0
        return found


def statistics_like(inputs):
    images, channels = inputs.x.shape[:2]
    return (
        torch.empty(images, channels),
        torch.empty(images, inputs.groups, 2),
    )


def teach(driver, inputs, is_backward, **metadata):
    """Teach the node a pass that PyTorch computes.

    Args:
        driver (Driver): What launches it.
        inputs (Inputs): Arguments of the forward pass.
        is_backward (bool): Which pass.
        **metadata: Properties that the compiled kernel has besides.
    """
    x, _, _, norm, identity, groups, _, normalize = inputs
    arguments = (
        *(x.shape, groups, x.element_size()),
        *(not x.is_contiguous(), normalize),
    )
    if is_backward:
        plan = backward_plan(*arguments, norm is not None)
    else:
        plan = forward_plan(*arguments)
    phases = 1 if is_backward else 2
    launches = [list(launch[:phases]) for launch in plan.launches]
    run = _backward if is_backward else _forward

    def kernel(sizes, read):
        assert sizes == (plan.grid[0], 1, 1, 64, 1, 1, 64)
        compute = run(read, inputs, torch.empty(plan.work))
        images = x.shape[0] if is_backward else 0
        found = read.end(inputs, phases, plan.sizes, images)
        assert found in launches
        if found == launches[-1]:
            compute()

    function = len(driver.kernels) + 1
    driver.kernels[function] = kernel
    of_kernel = {**dict(num_warps=2, num_ctas=1, shared=64), **metadata}
    node.teach(
        Compiled(
            SimpleNamespace(metadata=SimpleNamespace(**of_kernel)),
            *(None, function, None, ()),
        ),
        inputs._replace(identity=None) if is_backward else inputs,
        plan,
        launches,
        is_backward,
        identity is not None,
    )


def _vectors(inputs):
    return inputs.norm[:4] if inputs.norm else (None,) * 4


def _given(inputs, x, weight, bias, *vectors, identity=None):
    """Return Inputs of tensors that stand at the addresses of others."""
    norm = inputs.norm and type(inputs.norm)(*vectors, inputs.norm.eps)
    return Inputs(x, weight, bias, norm, identity, *inputs[5:])


def _forward(read, inputs, work):
    """Read the parameters of a forward pass; return what computes it."""
    tensors = *inputs[:3], *_vectors(inputs)
    given = [read.tensor(tensor) for tensor in tensors]
    identity, y = read.tensor(inputs.identity), read.tensor(inputs.x)
    outputs = Outputs(y, *map(read.tensor, statistics_like(inputs)))
    read.tensor(work)
    return lambda: eager.forward(
        _given(inputs, *given, identity=identity), outputs
    )


def _backward(read, inputs, work):
    """Read the parameters of a backward pass; return what computes it."""
    x, weight, bias, _, identity, *_ = inputs
    vectors = _vectors(inputs)
    grad_y, map_x, y = map(read.tensor, (x, x, identity))
    given = [read.tensor(tensor) for tensor in (weight, bias, *vectors)]
    outputs = Outputs(y, *map(read.tensor, statistics_like(inputs)))
    read.tensor(work)
    gradients = Gradients(
        read.tensor(x),
        *(
            read.tensor(tensor, torch.float32)
            for tensor in (weight, bias, *vectors[:2])
        ),
        read.tensor(identity),
    )
    return lambda: eager.backward(
        _given(inputs, map_x, *given), outputs, grad_y, gradients
    )


@contextmanager
def node_on_cpu():
    """Yield the module and a driver that launches what it is taught."""
    driver = Driver()
    with node.launching_by(driver.address) as module:
        yield module, driver
