"""How the Triton backend launches its kernels, and what it launches beside."""

from collections import Counter
from itertools import product
from types import SimpleNamespace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from sge_mmdet.ops import (
    SpatialGroupEnhance,
    dispatch,
    spatial_group_enhance,
    spatial_group_enhance_residual,
    use_backend,
    warm_up,
)
from tests.helpers.operator_cases import (
    HAS_TRITON,
    LAST,
    NORMAL,
    assert_agrees,
    fixed_norm,
    leaves,
    run,
)

pytestmark = pytest.mark.skipif(
    not HAS_TRITON, reason='Triton 3 is not installed'
)
STAGES = ((2, 256, 8, 16), (2, 512, 8, 8), (2, 1024, 5, 4), (2, 2048, 5, 3))


class Stub:
    """Stands for a kernel; notes with which constants it is launched."""

    def __init__(self):
        self.launches = []

    def __getitem__(self, grid):
        return lambda *args, **constants: self.launches.append(constants)


@pytest.fixture
def stubs(monkeypatch):
    from sge_mmdet.ops import triton
    from sge_mmdet.ops.triton import launch
    from sge_mmdet.ops.triton.launcher import Launcher

    stubs = Stub(), Stub()
    # They take tensors on the CPU, also where there is a GPU.
    monkeypatch.setattr(triton, 'IS_INTERPRETED', True)
    monkeypatch.setattr(launch, 'launch_forward', Launcher(stubs[0]))
    monkeypatch.setattr(launch, 'launch_backward', Launcher(stubs[1]))
    return stubs


class Counting(TorchDispatchMode):
    """Counts PyTorch's operators that are no views."""

    def __init__(self):
        super().__init__()
        self.found = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.namespace != 'sge_mmdet' and not func.is_view:
            self.found[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize('shape', STAGES)
@pytest.mark.parametrize('layout', [NORMAL, LAST])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float16])
def test_a_pass_is_few_launches_and_nothing_beside(
    stubs, shape, layout, dtype
):
    from sge_mmdet.ops import triton
    from sge_mmdet.ops.passes import Gradients, Inputs, Outputs

    x = torch.zeros(shape, dtype=dtype).to(memory_format=layout)
    w, ones = torch.ones(1, 64, 1, 1), torch.ones(shape[1])
    inputs = Inputs(x, w, w, fixed_norm(ones, ones), x, 64, 1e-5, True)
    outputs = Outputs(
        x,
        x.new_zeros(shape[:2], dtype=torch.float32),
        x.new_zeros((shape[0], 64, 2), dtype=torch.float32),
    )
    with Counting() as counting:
        triton.forward(inputs, outputs)
        # The workspace.
        assert counting.found == {'new_empty': 1}
        triton.backward(inputs, outputs, x, Gradients(x, w, w, ones, ones, x))
    assert counting.found == {'new_empty': 2}
    # One part a group needs no other launch.
    assert len(stubs[0].launches) in (1, 3)
    assert len(stubs[1].launches) == 2


def test_both_passes_of_a_tail_only_allocate_beside_their_launches(stubs):
    *tensors, grad = leaves((2, 64, 5, 6), 16, torch.float32)
    x, identity, weight, bias, scale, shift = (
        tensor.requires_grad_() for tensor in tensors
    )
    norm = fixed_norm(scale, shift)
    with use_backend('triton'), Counting() as counting:
        y = spatial_group_enhance_residual(
            x, identity, weight, bias, 16, norm=norm
        )
        torch.autograd.grad(y, (x, identity, weight, bias, scale, shift), grad)
    assert set(counting.found) <= {'empty_like', 'new_empty', 'detach'}


@pytest.mark.parametrize(
    'dtype, count', [(torch.float32, 3), (torch.float16, 3)]
)
def test_warm_up_compiles_every_alignment_of_rows(stubs, capsys, dtype, count):
    model = torch.nn.Sequential(
        SpatialGroupEnhance(256),
        SpatialGroupEnhance(1024),
        SpatialGroupEnhance(256),
    )
    with use_backend('triton'):
        made = warm_up(model, [dtype], [NORMAL, LAST], tails=['norm'])
    assert made == 2 * (5 + 1)
    for stub in stubs:
        kernels = {tuple(constants.items()) for constants in stub.launches}
        assert len(kernels) == 2 * (count + 1)
    assert '12 of 12' in capsys.readouterr().err
    assert model[0].weight.grad is None


def test_warm_up_names_the_tails_that_it_knows():
    with pytest.raises(ValueError, match='alone, residual, norm'):
        warm_up(SpatialGroupEnhance(8, 2), tails=['plain'])


def test_a_map_too_wide_for_a_tile_is_refused_by_name(stubs):
    x, w = torch.zeros(1, 512, 2, 2), torch.ones(1, 1, 1, 1)
    with use_backend('triton'), pytest.raises(
        RuntimeError, match='up to 256 channels'
    ):
        spatial_group_enhance(x, w, w, 1)


@pytest.mark.filterwarnings('ignore:SGE runs in plain PyTorch')
@pytest.mark.parametrize(
    'error, tries',
    [
        (torch.cuda.OutOfMemoryError('no memory'), 2),
        (RuntimeError('Triton Error [CUDA]: out of memory'), 2),
        (RuntimeError('no C compiler'), 1),
    ],
)
def test_a_full_memory_is_no_reason_to_give_triton_up(
    monkeypatch, error, tries
):
    calls = []

    def fail(device):
        calls.append(device)
        raise error

    monkeypatch.setattr(dispatch, '_try_triton', fail)
    monkeypatch.setattr(dispatch, '_tried', {})
    monkeypatch.setattr(
        torch.cuda, 'is_current_stream_capturing', lambda: False
    )
    assert not dispatch._triton_works(0)
    assert not dispatch._triton_works(0)
    assert len(calls) == tries


def test_triton_is_not_tried_while_a_stream_is_captured(monkeypatch):
    monkeypatch.setattr(dispatch, '_tried', {})
    monkeypatch.setattr(
        torch.cuda, 'is_current_stream_capturing', lambda: True
    )
    assert not dispatch._triton_works(0)
    assert not dispatch._tried


SWEEP = list(
    product(
        (1, 2, 16),
        (8, 48, 96, 256, 2048),
        (1, 2, 8, 32, 64),
        ((1, 1), (7, 7), (25, 42), (100, 168), (801, 1333)),
    )
)


def test_no_map_takes_more_than_three_launches_forward_and_two_backward():
    from sge_mmdet.ops.triton.plan import MOST, backward_plan, forward_plan

    swept = 0
    for (images, channels, groups, size), item, last, normalize in product(
        SWEEP, (2, 4), (False, True), (True, False)
    ):
        if channels % groups or channels // groups > MOST:
            continue
        case = (images, channels, *size), groups, item, last, normalize
        phases = ((0, 0), (1, 1), (2, 2)) if normalize else ((0, 0), (2, 2))
        made = forward_plan(*case)
        assert made.launches == (((0, 2),) if made.sizes[1] == 1 else phases)
        for has_norm in (False, True):
            made = backward_plan(*case, has_norm)
            assert made.launches == ((0, 0), (1, 1)), case
        swept += 1
    assert swept > 1000


def spread_across(c, along):
    """Return a map whose similarity varies by ``along`` of the rest."""
    x = leaves((1, c, 12, 12), 1)[0]
    m = torch.linspace(1, 2, c, dtype=torch.float64).view(1, c, 1, 1)
    m /= m.norm()
    rest = x - m * (m * x).sum(1, keepdim=True)
    rest -= rest.mean((2, 3), keepdim=True)
    wave = torch.linspace(-1, 1, 144, dtype=torch.float64).view(1, 1, 12, 12)
    return (5 * m + rest + along * m * wave).float()


@pytest.mark.parametrize('c', [4, 8])
@pytest.mark.parametrize('along', [1.0, 1e-2])
def test_a_similarity_that_varies_little_keeps_its_digits(c, along):
    case = leaves((1, c, 12, 12), 1, torch.float32)
    case[0] = spread_across(c, along)
    assert_agrees(case, 1, 'triton', False, 2e-5 if along == 1 else 5e-4)


@pytest.mark.parametrize('c', [4, 16])
def test_large_means_keep_the_digits_of_what_differs(c):
    case = leaves((1, c, 9, 9), 1, torch.float32)
    case[0] = 1000 + case[0] / 10
    got, want = (
        run(case, 1, backend, False, dtype=dtype)
        for backend, dtype in (('triton', None), ('reference', torch.float64))
    )
    torch.testing.assert_close(got[0], want[0], rtol=2e-5, atol=0)


@pytest.mark.parametrize('c', [4, 16])
@pytest.mark.parametrize('residual', [False, True])
def test_large_means_keep_the_digits_of_gradients(c, residual):
    case = leaves((2, 2 * c, 9, 9), 2, torch.float32)
    case[0] = 1000 + case[0] / 10
    got, want = (
        run(case, 2, backend, residual, dtype=dtype)
        for backend, dtype in (('triton', None), ('reference', torch.float64))
    )
    # The saved mean is rounded to 3e-5; deviations from it are about 0.1.
    for a, b in zip(got, want):
        torch.testing.assert_close(
            a, b, rtol=1e-3, atol=1e-3 * float(b.abs().max())
        )


@pytest.mark.parametrize('c', [16, 64, 256])
@pytest.mark.parametrize('groups', [1, 2, 8])
def test_few_groups_give_what_float64_gives(groups, c):
    case = leaves((1, groups * c, 5, 7), groups, torch.float32)
    assert_agrees(case, groups, 'triton', groups == 2, 2e-5)


@pytest.mark.parametrize('c', [6, 8])
def test_one_image_in_channels_last_halves_gives_what_float64_gives(c):
    case = leaves((1, 4 * c, 9, 31), 4, torch.float16)
    assert_agrees(case, 4, 'triton', True, 2e-3, layout=LAST)


@pytest.mark.parametrize('shape', [(1, 8, 9, 31), (1, 64, 9, 31)])
@pytest.mark.parametrize('tile', [128, 256, 4096])
def test_every_cut_gives_what_float64_gives(monkeypatch, shape, tile):
    from sge_mmdet.ops.triton import plan

    monkeypatch.setattr(plan, 'TILE', tile)
    for cached in plan.forward_plan, plan.backward_plan:
        cached.cache_clear()
    case = leaves(shape, 1, torch.float32)
    assert_agrees(case, 1, 'triton', True, 2e-5)
    made = plan.forward_plan(shape, 1, 4, False, True)
    assert len(made.launches) == (3 if made.sizes[1] > 1 else 1)
    for cached in plan.forward_plan, plan.backward_plan:
        cached.cache_clear()


@pytest.mark.parametrize('capability, held', [((8, 6), 16), ((9, 0), 20)])
def test_a_forward_pass_is_one_wave_of_programs(monkeypatch, capability, held):
    from sge_mmdet.ops.triton.launch import _capacity
    from sge_mmdet.ops.triton.plan import forward_plan

    major, minor = capability
    gpu = SimpleNamespace(major=major, minor=minor, multi_processor_count=46)
    monkeypatch.setattr(torch.cuda, 'get_device_properties', lambda _: gpu)
    _capacity.cache_clear()
    made = forward_plan((2, 256, 200, 336), 64, 2, False, True, *_capacity(0))
    _capacity.cache_clear()
    assert 46 * held * 0.8 < made.grid[0] <= 46 * held
    # Each has its share of the registers.
    assert made.constants['maxnreg'] == 2048 // held // 8 * 8
