"""The C++ node on tensors of the CPU, with PyTorch in place of kernels."""

import ctypes
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
    """Launches kernels by name; see ``teach``."""

    def __init__(self):
        self.kernels, self.launched = {}, []
        self.launch = Launch(self._launch)
        self.address = ctypes.cast(self.launch, ctypes.c_void_p).value

    def _launch(self, function, *arguments):
        # What is raised in here would be lost.
        try:
            self.launched.append(self.kernels[function](*arguments[:8]))
            kernel, numbers = self.launched[-1]
            kernel(Reader(arguments[8]), *numbers)
        except Exception as error:
            self.launched.append(error)
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
    """Teach the node a pass that PyTorch computes."""
    x, weight, bias, norm, identity, groups, _, normalize = inputs
    last = not x.is_contiguous()
    arguments = x.shape, groups, x.element_size(), last, normalize
    plan = (
        backward_plan(*arguments, norm is not None)
        if is_backward
        else forward_plan(*arguments)
    )
    phases = 1 if is_backward else 2
    launches = [list(launch[:phases]) for launch in plan.launches]
    kernel = SimpleNamespace(
        metadata=SimpleNamespace(
            **{**dict(num_warps=2, num_ctas=1, shared=64), **metadata}
        )
    )
    function = len(driver.kernels) + 1
    images = x.shape[0] if is_backward else 0
    work = torch.empty(plan.work)
    vectors = norm[:4] if norm else [None] * 4
    like = (weight, bias, *vectors)

    def run(read):
        if is_backward:
            maps = [read.tensor(x) for _ in 'gx']
            grad_y, x_ = maps
            y = read.tensor(identity)
            parameters = [read.tensor(one) for one in like]
        else:
            x_ = read.tensor(x)
            parameters = [read.tensor(one) for one in like]
            end = read.tensor(identity)
            y = read.tensor(x)
        statistics = [read.tensor(one) for one in statistics_like(inputs)]
        read.tensor(work)
        results = is_backward and Gradients(
            read.tensor(x),
            *[
                read.tensor(one, torch.float32)
                for one in (weight, bias, *vectors[:2])
            ],
            read.tensor(identity),
        )
        found = read.end(inputs, phases, plan.sizes, images)
        assert found in launches
        if found != launches[-1]:
            return
        w, b, *of_norm = parameters
        given = Inputs(
            x_,
            w,
            b,
            norm and type(norm)(*of_norm, norm.eps),
            None if is_backward else end,
            *inputs[5:],
        )
        if is_backward:
            eager.backward(given, Outputs(y, *statistics), grad_y, results)
        else:
            eager.forward(given, Outputs(y, *statistics))

    def launched(*sizes):
        assert sizes[:7] == (plan.grid[0], 1, 1, 64, 1, 1, 64)
        return (lambda read: run(read)), ()

    driver.kernels[function] = launched
    node.teach(
        Compiled(kernel, None, function, None, ()),
        inputs._replace(identity=None) if is_backward else inputs,
        plan,
        launches,
        is_backward,
        identity is not None,
    )


@contextmanager
def node_on_cpu():
    """Yield the module and a driver that launches what it is taught."""
    driver = Driver()
    with node.launching_by(driver.address) as module:
        yield module, driver
