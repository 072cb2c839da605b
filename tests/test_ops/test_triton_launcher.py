"""Launches of compiled kernels past Triton's front end, without a GPU."""

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import torch

from tests.helpers.operator_cases import HAS_TRITON, LAST, NORMAL, fixed_norm

if not HAS_TRITON:
    pytest.skip('Triton 3 is not installed', allow_module_level=True)

import triton
from triton.backends.compiler import GPUTarget
from triton.runtime import JITFunction

from sge_mmdet.ops.passes import Gradients, Inputs, Outputs
from sge_mmdet.ops.triton import (
    backward_kernel,
    forward_kernel,
    launch,
    launcher,
)

STREAM = 77
# Programs, handles, metadata and hooks stand before a kernel's arguments.
HEAD = 9
NAMES = ('x', 'y', 'phase', 'size', 'eps', 'c')


class Compiled:
    """Stands for a compiled kernel, and notes how it is launched."""

    def __init__(self, source):
        self.src, self.runs = source, []
        self.function, self.packed_metadata = 5, (4, 1, 0)

    def run(self, *arguments):
        self.runs.append(arguments)

    def launch_metadata(self, *_):
        return 'metadata of a launch'


class Kernel:
    """Stands for a kernel; each launch through Triton gives a new one."""

    def __init__(self, names=NAMES):
        self.source = SimpleNamespace(signature=dict.fromkeys(names))
        self.compiled, self.pre_run_hooks = [], []

    def __getitem__(self, grid):
        def compile_and_launch(*_, **__):
            self.compiled.append(Compiled(self.source))
            return self.compiled[-1]

        return compile_and_launch

    def runs(self):
        return [len(compiled.runs) for compiled in self.compiled]


@pytest.fixture(autouse=True)
def stream(monkeypatch):
    monkeypatch.setattr(launcher, 'current_stream', lambda device: STREAM)


@pytest.fixture
def kernel():
    return Kernel()


@pytest.fixture
def start(kernel):
    """Return what launches the kernel, with what is given otherwise."""
    launch_it = launcher.Launcher(kernel)

    def start(x=None, y=None, size=30, c=4, phases=((0,),)):
        x = torch.zeros(8) if x is None else x
        launch_it((6,), (x, y), phases, (size, 1e-5), dict(c=c, num_warps=4))

    return start


@pytest.fixture
def through_triton(monkeypatch):
    """Let Triton bind and specialise, and compile nothing."""
    compiled = []

    def compile_source(source, **_):
        compiled.append(Compiled(source))
        return compiled[-1]

    config = triton.runtime.driver
    monkeypatch.setattr(
        config,
        '_active' if hasattr(config, '_active') else 'active',
        SimpleNamespace(
            get_current_device=lambda: 0,
            get_current_stream=lambda device: STREAM,
            get_current_target=lambda: GPUTarget('cuda', 90, 32),
        ),
    )
    monkeypatch.setattr(triton.compiler, 'compile', compile_source)
    for name, module in (
        ('forward', forward_kernel),
        ('backward', backward_kernel),
    ):
        # Where tests run on a CPU the kernels themselves are interpreted.
        kernel = JITFunction(
            getattr(module, f'{name}_kernel').fn,
            do_not_specialize=module.SIZES,
        )
        monkeypatch.setattr(
            launch, f'launch_{name}', launcher.Launcher(kernel)
        )
    return compiled


def new_pass(
    name,
    dtype=torch.float32,
    layout=NORMAL,
    shape=(2, 64, 5, 6),
    norm=True,
    statistics=True,
    tail=True,
):
    """Return what runs a pass, each time on the same tensors."""
    x = torch.zeros(shape, dtype=dtype).to(memory_format=layout)
    w, vector = torch.zeros(1, 16, 1, 1), torch.zeros(shape[1])
    fixed = fixed_norm(vector, vector) if norm else None
    if norm and not statistics:
        fixed = fixed._replace(mean=None, variance=None)
    of_norm = (vector, vector) if norm else (None, None)
    end = x if tail else None
    inputs = Inputs(x, w, w, fixed, end, 16, 1e-5, True)
    rest = torch.zeros(shape[:2]), torch.zeros(2, 16, 2)
    if name == 'forward':
        return lambda: launch.forward(inputs, Outputs(x, *rest))
    gradients = Gradients(x, w, w, *of_norm, end)
    return lambda: launch.backward(inputs, Outputs(end, *rest), x, gradients)


def as_compiled(arguments):
    """Return what a compiled kernel reads from its arguments."""
    return [
        argument.data_ptr()
        if isinstance(argument, torch.Tensor)
        else argument or 0
        for argument in arguments
    ]


CASES = [
    dict(),
    dict(norm=False),
    dict(statistics=False),
    dict(tail=False),
    dict(dtype=torch.float16, layout=LAST),
    dict(dtype=torch.bfloat16),
    dict(shape=(2, 2048, 1, 1)),
]


@pytest.mark.parametrize('name', ['forward', 'backward'])
@pytest.mark.parametrize('case', CASES, ids=str)
def test_a_direct_launch_passes_on_what_triton_does(
    through_triton, monkeypatch, name, case
):
    work = torch.zeros(1 << 16)
    monkeypatch.setattr(torch.Tensor, 'new_empty', lambda *_: work)
    run = new_pass(name, **case)
    run()
    (compiled,) = through_triton
    by_triton = compiled.runs[:]
    run()
    directly = compiled.runs[len(by_triton) :]
    assert len(by_triton) == len(directly) == len(compiled.runs) // 2 >= 1
    for theirs, ours in zip(by_triton, directly):
        assert theirs[6] == 'metadata of a launch'
        assert ours[:6] == theirs[:6]
        assert ours[6:HEAD] == (None, None, None)
        assert list(ours[HEAD:]) == as_compiled(theirs[HEAD:])
    assert len(through_triton) == 1


@pytest.mark.parametrize('name', ['forward', 'backward'])
def test_whatever_triton_compiles_anew_is_of_another_kind(
    through_triton, name
):
    for count, case in enumerate(CASES, 1):
        for _ in range(2):
            new_pass(name, **case)()
        assert len(through_triton) == count
    # Sizes of maps are not compiled for.
    new_pass(name, shape=(2, 64, 15, 10))()
    assert len(through_triton) == len(CASES)


def test_only_the_first_launch_of_a_kind_is_left_to_triton(start, kernel):
    for _ in range(3):
        start(phases=((0,), (1,)))
    # It makes a new one at each of its two launches.
    assert kernel.runs() == [0, 4]
    first, second = kernel.compiled[1].runs[:2]
    assert first[:HEAD] == (6, 1, 1, STREAM, 5, (4, 1, 0), None, None, None)
    assert first[HEAD + 1 :] == (0, 0, 30, 1e-5, 4)
    assert second[HEAD + 1 :] == (0, 1, 30, 1e-5, 4)


def test_another_gpu_type_constant_or_absent_tensor_is_another_kind(
    start, kernel, monkeypatch
):
    for case in (
        dict(),
        dict(x=torch.zeros(8, dtype=torch.float16)),
        dict(y=torch.zeros(8)),
        dict(c=8),
    ):
        start(**case)
        start(**case)
    monkeypatch.setattr(torch.Tensor, 'get_device', lambda tensor: 1)
    start()
    start()
    assert kernel.runs() == [1] * 5


def test_odd_addresses_and_long_integers_are_left_to_triton(start, kernel):
    for case in dict(x=torch.zeros(9)[1:]), dict(size=2**31):
        start(**case)
        start(**case)
    assert kernel.runs() == [0] * 4
    start(size=2**31 - 1)
    start(size=2**31 - 1)
    assert kernel.runs() == [0] * 4 + [1]


def test_hooks_get_to_see_launches(start, kernel, monkeypatch):
    start()
    hooks = launcher.knobs.runtime if launcher.knobs else triton.compiler
    if not launcher.knobs:
        hooks = hooks.CompiledKernel
    for name in 'launch_enter_hook', 'launch_exit_hook':
        with monkeypatch.context() as patch:
            patch.setattr(hooks, name, print)
            start()
    kernel.pre_run_hooks.append(print)
    start()
    assert kernel.runs() == [0] * 4
    kernel.pre_run_hooks.clear()
    start()
    assert kernel.runs() == [1, 0, 0, 0]


@pytest.mark.skipif(
    not hasattr(getattr(launcher.knobs, 'runtime', None), 'debug')
    or not hasattr(launcher.knobs.runtime.launch_enter_hook, 'calls'),
    reason='this Triton has no chains of hooks',
)
def test_chains_of_hooks_and_debugging_are_seen(start, kernel, monkeypatch):
    start()
    runtime = launcher.knobs.runtime
    runtime.launch_exit_hook.add(print)
    try:
        start()
    finally:
        runtime.launch_exit_hook.remove(print)
    with monkeypatch.context() as patch:
        patch.setattr(runtime, 'debug', True)
        start()
    assert kernel.runs() == [0] * 3
    start()
    assert kernel.runs() == [1, 0, 0]


def test_a_refused_launch_leaves_all_to_triton(start, kernel, monkeypatch):
    tries = []

    def refuse(self, *arguments):
        tries.append(arguments)
        raise TypeError('function takes exactly 13 arguments (15 given)')

    monkeypatch.setattr(Compiled, 'run', refuse)
    for _ in range(3):
        start()
    start(c=8)
    assert len(tries) == 1
    assert len(kernel.compiled) == 4


def test_errors_of_a_launch_are_raised(start, kernel, monkeypatch):
    def fail(self, *arguments):
        raise RuntimeError('Triton Error [CUDA]: out of memory')

    monkeypatch.setattr(Compiled, 'run', fail)
    start()
    for _ in range(2):
        with pytest.raises(RuntimeError, match='out of memory'):
            start()
    assert len(kernel.compiled) == 1


def test_other_versions_and_other_arguments_are_left_to_triton(monkeypatch):
    arguments = (6,), (torch.zeros(8), None), ((0,),), (30, 1e-5), dict(c=4)
    # Triton 3.2 and earlier take no constants.
    for names, is_known, runs in (
        (NAMES, True, [2]),
        (NAMES[:-1], True, [2]),
        (NAMES, False, [0, 0, 0]),
        ((*NAMES, 'z'), True, [0, 0, 0]),
    ):
        kernel = Kernel(names)
        monkeypatch.setattr(launcher, '_is_known', is_known)
        launch_it = launcher.Launcher(kernel)
        for _ in range(3):
            launch_it(*arguments)
        assert kernel.runs() == runs
        for run in kernel.compiled[0].runs:
            assert run[HEAD + 1 :] == (0, 0, 30, 1e-5, 4)[: len(names) - 1]


def test_a_kernel_that_another_thread_compiled_is_waited_for(kernel):
    compiled = Compiled(kernel.source)
    with ThreadPoolExecutor(1) as executor:
        future = executor.submit(lambda: compiled)
        launch_it = launcher.Launcher({(6,): lambda *_, **__: future})
        for _ in range(3):
            launch_it(
                (6,), (torch.zeros(8), None), ((0,),), (3, 1.0), dict(c=4)
            )
    assert len(compiled.runs) == 2
