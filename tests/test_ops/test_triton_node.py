"""The operator in C++: what it takes, what it leaves to Python, gradients.

On a CPU, PyTorch computes what kernels would.
"""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.helpers.operator_cases import (
    HAS_TRITON,
    LAST,
    NORMAL,
    fixed_norm,
    leaves,
)

if not HAS_TRITON:
    pytest.skip('Triton 3 is not installed', allow_module_level=True)

from sge_mmdet.ops import autograd, use_backend
from sge_mmdet.ops.functional import enhance
from sge_mmdet.ops.passes import FixedNorm, Inputs
from sge_mmdet.ops.triton import launcher, node
from tests.helpers.node_on_cpu import node_on_cpu, teach

GROUPS, SHAPE = 16, (2, 64, 5, 6)
TYPES = torch.float32, torch.float16, torch.bfloat16


@pytest.fixture
def running():
    """Yield the module and a driver; it is built if it is not there."""
    with node_on_cpu() as pair:
        yield pair


def new_inputs(
    dtype=torch.float32,
    layout=NORMAL,
    shape=SHAPE,
    identity=True,
    norm='statistics',
    parameters=torch.float32,
    normalize=True,
):
    """Return Inputs of leaves that want gradients, and the gradient of y."""
    x, end, weight, bias, scale, shift, grad = leaves(shape, GROUPS, dtype)
    x, end, grad = (
        tensor.to(memory_format=layout) for tensor in (x, end, grad)
    )
    weight, bias, scale, shift = (
        tensor.to(parameters) for tensor in (weight, bias, scale, shift)
    )
    given = {
        'statistics': fixed_norm(scale, shift),
        'scale and shift': FixedNorm(scale, shift),
        'scale': FixedNorm(scale),
        None: None,
    }[norm]
    inputs = Inputs(
        x,
        weight,
        bias,
        given,
        end if identity else None,
        GROUPS,
        1e-5,
        normalize,
    )
    for leaf in differentiable(inputs):
        leaf.requires_grad_()
    return inputs, grad


def differentiable(inputs):
    norm = inputs.norm[:2] if inputs.norm else ()
    return [
        tensor
        for tensor in (*inputs[:3], *norm, inputs.identity)
        if tensor is not None
    ]


def known(running, **options):
    """Return Inputs that the node knows, with the gradient of y."""
    inputs, grad = new_inputs(**options)
    for is_backward in False, True:
        teach(running[1], inputs, is_backward)
    return inputs, grad


def by_python(inputs, grad):
    with use_backend('torch'):
        y = enhance(inputs)
        return y, torch.autograd.grad(y, differentiable(inputs), grad)


def is_node(y):
    return type(y.grad_fn).__name__ == 'CppFunction'


@pytest.mark.parametrize('dtype', TYPES)
@pytest.mark.parametrize('layout', [NORMAL, LAST])
@pytest.mark.parametrize(
    'options',
    [
        dict(),
        dict(identity=False, norm=None),
        dict(norm=None),
        dict(norm='scale', identity=False),
        dict(norm='scale and shift'),
        dict(normalize=False),
        dict(parameters=torch.float16),
        dict(shape=(3, 48, 7, 5)),
        dict(shape=(1, 16, 1, 1)),
    ],
    ids=str,
)
def test_it_returns_what_python_returns(running, dtype, layout, options):
    inputs, grad = known(running, dtype=dtype, layout=layout, **options)
    y = enhance(inputs)
    assert is_node(y)
    launched = len(running[1].launched)
    gradients = torch.autograd.grad(y, differentiable(inputs), grad)
    assert len(running[1].launched) == launched + 2
    want, want_gradients = by_python(inputs, grad)
    assert torch.equal(y, want)
    assert y.stride() == want.stride()
    for one, other in zip(gradients, want_gradients):
        assert torch.equal(one, other)
        assert one.dtype == other.dtype
        assert one.stride() == other.stride()


@pytest.mark.parametrize(
    'mode', [torch.no_grad, torch.inference_mode, torch.enable_grad]
)
def test_without_gradients_there_is_no_graph(running, mode):
    inputs, _ = known(running)
    plain = inputs._replace(
        **{
            name: getattr(inputs, name).detach()
            for name in ('x', 'weight', 'bias', 'identity')
        },
        norm=inputs.norm._replace(
            scale=inputs.norm.scale.detach(), shift=inputs.norm.shift.detach()
        ),
    )
    launched = len(running[1].launched)
    with mode():
        y = enhance(plain)
        assert y.grad_fn is None
        assert len(running[1].launched) > launched
        with use_backend('torch'):
            assert torch.equal(y, enhance(plain))


def test_autocast_changes_nothing(running):
    inputs, grad = known(running, dtype=torch.bfloat16)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        y = enhance(inputs)
    assert is_node(y)
    assert torch.equal(y, by_python(inputs, grad)[0])


def test_parameters_of_modules_are_taken(running):
    inputs, _ = known(running)
    weight, bias = map(
        torch.nn.Parameter, (inputs.weight.detach(), inputs.bias.detach())
    )
    assert is_node(enhance(inputs._replace(weight=weight, bias=bias)))


@pytest.mark.parametrize(
    'as_gradient',
    [
        lambda grad: grad.to(memory_format=LAST),
        lambda grad: grad[..., :1].expand_as(grad),
        lambda grad: torch.cat([grad, grad], -1)[..., ::2],
        lambda grad: torch.cat([grad.flatten(), grad[0, 0, 0]])[
            1 : grad.numel() + 1
        ].view_as(grad),
        lambda grad: torch._neg_view(grad),
    ],
    ids=['another layout', 'expanded', 'gaps', 'not aligned', 'negated'],
)
def test_a_gradient_comes_as_any_view(running, as_gradient):
    inputs, grad = known(running)
    grad = as_gradient(grad)
    used = differentiable(inputs)
    with use_backend('triton'):
        y = enhance(inputs)
    assert is_node(y)
    # A gradient that the kernels do not take goes through PyTorch's operator.
    with use_backend('torch'):
        found = torch.autograd.grad(y, used, grad)
        want = torch.autograd.grad(enhance(inputs), used, grad)
    for one, other in zip(found, want):
        torch.testing.assert_close(one, other)


def test_inputs_that_want_no_gradient_get_none(running):
    inputs, grad = known(running)
    inputs.x.requires_grad_(False)
    inputs.norm.shift.requires_grad_(False)
    y = enhance(inputs)
    y.backward(grad)
    assert inputs.x.grad is None
    assert inputs.norm.shift.grad is None
    for leaf in differentiable(inputs):
        leaf.requires_grad_()
    want = by_python(inputs, grad)[1]
    assert torch.equal(inputs.weight.grad, want[1])


def test_no_gradient_of_y_gives_none(running):
    inputs, _ = known(running)
    other = inputs.x.sum()
    y = enhance(inputs)
    used = y.detach().requires_grad_()
    (used.sum() + other).backward()
    assert inputs.x.grad is not None
    assert inputs.weight.grad is None


def test_second_derivatives_are_those_of_python(running):
    inputs, grad = known(running)
    grad.requires_grad_()
    used = differentiable(inputs)

    def penalty(y):
        first = torch.autograd.grad(y, used, grad, create_graph=True)
        total = sum(gradient.square().sum() for gradient in first)
        # The gradient of the identity hangs on that of y alone.
        return torch.autograd.grad(total, [grad, *used[:-1]])

    with use_backend('torch'):
        want = penalty(enhance(inputs))
    y = enhance(inputs)
    assert is_node(y)
    with use_backend('torch'):
        found = penalty(y)
    for one, other in zip(found, want):
        torch.testing.assert_close(one, other)


def test_a_graph_that_is_kept_is_run_again(running):
    inputs, grad = known(running)
    y = enhance(inputs)
    used = differentiable(inputs)
    first = torch.autograd.grad(y, used, grad, retain_graph=True)
    for one, other in zip(first, torch.autograd.grad(y, used, grad)):
        assert torch.equal(one, other)
    with pytest.raises(RuntimeError, match='second time'):
        torch.autograd.grad(y, used, grad)


def test_an_input_that_changed_stops_the_backward_pass(running):
    inputs, grad = known(running)
    y = enhance(inputs)
    with torch.no_grad():
        inputs.x.add_(1)
    with pytest.raises(RuntimeError, match='modified by an inplace'):
        y.backward(grad)


def test_hooks_see_what_is_saved(running):
    inputs, grad = known(running)
    packed = []

    def pack(tensor):
        packed.append(tensor.shape)
        return tensor.clone()

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda one: one):
        y = enhance(inputs)
    assert packed.count(inputs.x.shape) == 2
    gradients = torch.autograd.grad(y, differentiable(inputs), grad)
    for one, other in zip(gradients, by_python(inputs, grad)[1]):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    'unpack',
    [
        lambda one: one.to(memory_format=LAST) if one.dim() == 4 else one,
        lambda one: one.repeat_interleave(2, -1)[..., ::2],
    ],
    ids=['another layout', 'gaps'],
)
def test_hooks_may_give_back_another_view(running, unpack):
    inputs, grad = known(running)
    with torch.autograd.graph.saved_tensors_hooks(lambda one: one, unpack):
        y = enhance(inputs)
    assert is_node(y)
    gradients = torch.autograd.grad(y, differentiable(inputs), grad)
    for one, other in zip(gradients, by_python(inputs, grad)[1]):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize('second', ['node', 'Python'])
def test_checkpoints_run_it_twice(running, second):
    from torch.utils.checkpoint import checkpoint

    inputs, grad = known(running)
    y = checkpoint(
        lambda x: enhance(inputs._replace(x=x)), inputs.x, use_reentrant=False
    )
    assert is_node(y)
    if second == 'Python':
        # As where the node has learned nothing yet of other blocks.
        running[0].launch_by(running[1].address)
    gradients = torch.autograd.grad(y, differentiable(inputs), grad)
    for one, other in zip(gradients, by_python(inputs, grad)[1]):
        torch.testing.assert_close(one, other)


class Subclass(torch.Tensor):
    pass


@pytest.mark.parametrize(
    'change',
    [
        lambda one: one._replace(x=one.x[..., :5]),
        lambda one: one._replace(x=one.x[:1], identity=one.identity[:1]),
        lambda one: one._replace(x=one.x.to(memory_format=LAST)),
        lambda one: one._replace(identity=one.identity.double()),
        lambda one: one._replace(identity=None),
        lambda one: one._replace(x=one.x.double()),
        lambda one: one._replace(x=one.x.as_subclass(Subclass)),
        lambda one: one._replace(x=torch._neg_view(one.x)),
        lambda one: one._replace(x=one.x[0]),
        lambda one: one._replace(x='map'),
        lambda one: one._replace(x=None),
        lambda one: one._replace(weight=one.weight[0]),
        lambda one: one._replace(weight=one.weight.double()),
        lambda one: one._replace(groups=8),
        lambda one: one._replace(groups=0),
        lambda one: one._replace(groups=2**80),
        lambda one: one._replace(eps=1e-3),
        lambda one: one._replace(eps=0.0),
        lambda one: one._replace(eps=None),
        lambda one: one._replace(normalize=False),
        lambda one: one._replace(norm=None),
        lambda one: one._replace(norm=one.norm._replace(mean=None)),
        lambda one: one._replace(norm=one.norm._replace(scale=None)),
        lambda one: one._replace(
            norm=one.norm._replace(mean=one.norm.mean.requires_grad_())
        ),
        lambda one: one._replace(
            x=one.x.detach(),
            norm=one.norm._replace(
                variance=one.norm.variance.requires_grad_()
            ),
        ),
    ],
)
def test_it_declines_what_it_does_not_know(running, change):
    inputs, _ = known(running, shape=(2, 64, 5, 7))
    module, driver = running
    assert module.enhance(inputs) is not None
    launched = len(driver.launched)
    assert module.enhance(change(inputs)) is None
    assert len(driver.launched) == launched


def test_it_declines_where_something_looks_on(running):
    inputs, grad = known(running)
    module, _ = running

    class Looking(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            return func(*args, **(kwargs or {}))

    with Looking():
        assert module.enhance(inputs) is None
    with torch.device('cpu'):
        assert module.enhance(inputs) is None
    assert (
        torch.func.vmap(
            lambda x: torch.zeros(2) * (module.enhance(inputs) is None)
        )(inputs.x).shape[0]
        == 2
    )
    with torch.autograd.forward_ad.dual_level():
        assert not is_node(enhance(inputs))
    y = enhance(inputs)
    with Looking(), use_backend('torch'):
        found = torch.autograd.grad(y, differentiable(inputs), grad)
    for one, other in zip(found, by_python(inputs, grad)[1]):
        torch.testing.assert_close(one, other)


def test_hooks_of_triton_see_every_launch(running, monkeypatch):
    inputs, _ = known(running)
    assert is_node(enhance(inputs))
    monkeypatch.setattr(node, 'is_watched', lambda: True)
    with use_backend('triton'):
        assert node.dispatch.take_shortcut(inputs) is None
    assert launcher.is_watched() is False


@pytest.mark.parametrize('backend', ['torch', 'reference', 'native'])
def test_another_backend_that_is_asked_for_runs(running, backend):
    inputs, _ = known(running)
    with use_backend(backend):
        assert node.dispatch.take_shortcut(inputs) is None


def test_a_launch_that_fails_is_an_error(running):
    inputs, _ = known(running)
    kernels = running[1].kernels
    before = dict(kernels)
    kernels.clear()
    try:
        with pytest.raises(RuntimeError, match='did not launch a kernel'):
            enhance(inputs)
    finally:
        kernels.update(before)


def test_calls_that_are_wrong_get_the_usual_message(running):
    inputs, _ = known(running)
    with pytest.raises(ValueError, match='divides the channels'):
        enhance(inputs._replace(groups=7))


@pytest.mark.parametrize(
    'unusual',
    [
        dict(num_ctas=2),
        dict(launch_cooperative_grid=True),
        dict(global_scratch_size=64),
    ],
)
def test_kernels_that_are_launched_otherwise_are_not_learned(running, unusual):
    module, driver = running
    inputs, _ = new_inputs(shape=(2, 64, 3, 17 + len(repr(unusual))))
    with torch.no_grad():
        teach(driver, inputs, False, **unusual)
        assert module.enhance(inputs) is None
        teach(driver, inputs, False)
        assert module.enhance(inputs) is not None


def test_a_graph_that_outlives_the_stand_in_runs_in_python():
    with node_on_cpu() as running:
        inputs, grad = known(running)
        y = enhance(inputs)
    assert is_node(y)
    gradients = torch.autograd.grad(y, differentiable(inputs), grad)
    for one, other in zip(gradients, by_python(inputs, grad)[1]):
        torch.testing.assert_close(one, other)


def test_a_parameter_of_another_type_in_the_backward_pass(running):
    inputs, grad = known(running)
    y = enhance(inputs)
    for tensor in inputs.weight, inputs.norm.scale:
        tensor.data = tensor.data.half()
    # Their own gradients have no place to go.
    gradients = torch.autograd.grad(y, [inputs.x, inputs.identity], grad)
    of_x, *_, of_identity = by_python(inputs, grad)[1]
    for one, other in zip(gradients, (of_x, of_identity)):
        # Rounded parameters are others.
        torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-2)


def test_statistics_of_another_type_are_refused(running):
    inputs, grad = known(running)

    def unpack(tensor):
        return tensor.double() if tensor.shape == SHAPE[:2] else tensor

    with torch.autograd.graph.saved_tensors_hooks(lambda one: one, unpack):
        y = enhance(inputs)
    with pytest.raises(TypeError, match='a mean of type'):
        torch.autograd.grad(y, differentiable(inputs), grad)


@pytest.mark.skipif(
    not torch.cuda.is_available(), reason='it launches on a GPU'
)
@pytest.mark.parametrize('dtype', TYPES)
@pytest.mark.parametrize('layout', [NORMAL, LAST])
@pytest.mark.parametrize('channels', [64, 128, 512])
def test_on_a_gpu_it_launches_what_python_has_launched(
    dtype, layout, channels, monkeypatch
):
    inputs, grad = new_inputs(dtype, layout, (2, channels, 33, 20))
    inputs = Inputs(
        *(
            one.detach().cuda().requires_grad_()
            if isinstance(one, torch.Tensor)
            else one
            for one in inputs._replace(norm=None)
        )
    )
    inputs = inputs._replace(
        norm=FixedNorm(*torch.rand(4, channels, device='cuda') + 0.5)
    )
    grad = grad.cuda()

    def run():
        y = enhance(inputs)
        return y, torch.autograd.grad(y, differentiable(inputs)[:3], grad)

    by_launcher = run()
    assert not is_node(by_launcher[0])
    monkeypatch.setattr(autograd, 'run_backward', None)
    by_node = run()
    assert is_node(by_node[0])
    assert torch.equal(by_launcher[0], by_node[0])
    for one, other in zip(by_launcher[1], by_node[1]):
        assert torch.equal(one, other)
    again = torch.empty_like(by_node[0])
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        again.copy_(run()[0])
    torch.cuda.synchronize()
    assert torch.equal(again, by_node[0])
