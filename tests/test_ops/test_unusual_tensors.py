"""Tensors that are more, or less, than their memory give the same results."""

import pytest
import torch
from torch.utils._pytree import tree_map

from sge_mmdet.ops import FixedNorm, spatial_group_enhance_residual
from tests.helpers.operator_cases import leaves, registered

NAMES = 'x', 'identity', 'weight', 'bias', 'scale', 'shift'


class Wrapper(torch.Tensor):
    """Holds another tensor, and has no memory of its own."""

    @staticmethod
    def __new__(cls, inner):
        return torch.Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            strides=inner.stride(),
            dtype=inner.dtype,
            device=inner.device,
            requires_grad=inner.requires_grad,
        )

    def __init__(self, inner):
        self.inner = inner

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        def unwrap(value):
            return value.inner if isinstance(value, cls) else value

        results = func(
            *tree_map(unwrap, args), **tree_map(unwrap, kwargs or {})
        )
        return tree_map(
            lambda value: (
                cls(value) if isinstance(value, torch.Tensor) else value
            ),
            results,
        )


def unwrapped(tensor):
    return tensor.inner if isinstance(tensor, Wrapper) else tensor


@pytest.fixture
def case():
    *tensors, grad = leaves((2, 6, 4, 5), 3, torch.float64)
    return dict(zip(NAMES, tensors)), grad


def run(x, identity, weight, bias, scale, shift):
    return spatial_group_enhance_residual(
        x, identity, weight, bias, 3, norm=FixedNorm(scale, shift)
    )


def gradients(tensors, grad, **options):
    tensors = {
        name: tensor.detach().requires_grad_()
        for name, tensor in tensors.items()
    }
    return torch.autograd.grad(
        run(**tensors), list(tensors.values()), grad, **options
    )


@registered
@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize(
    'disguise',
    [Wrapper, lambda tensor: torch._neg_view(-tensor)],
    ids=['wrapper', 'negative view'],
)
def test_each_argument_may_be_an_unusual_tensor(case, name, disguise):
    tensors, grad = case
    want = [run(**tensors), *gradients(tensors, grad)]
    unusual = {**tensors, name: disguise(tensors[name].clone())}
    got = [run(**unusual), *gradients(unusual, grad)]
    for a, b in zip(got, want):
        torch.testing.assert_close(unwrapped(a).resolve_neg(), b)


@registered
def test_gradients_come_in_batches(case):
    tensors, grad = case
    grads = torch.stack([grad, -grad, 2 * grad])
    batched = gradients(tensors, grads, is_grads_batched=True)
    for number, one in enumerate(grads):
        for a, b in zip(batched, gradients(tensors, one)):
            torch.testing.assert_close(a[number], b)


@registered
@pytest.mark.parametrize(
    'disguise',
    [
        lambda grad: torch._efficientzerotensor(grad.shape, dtype=grad.dtype),
        lambda grad: torch.zeros(()).double().expand(grad.shape),
        lambda grad: torch._neg_view(-torch.zeros_like(grad)),
    ],
    ids=['without memory', 'expanded', 'negative view'],
)
def test_a_gradient_of_zeros_gives_zeros(case, disguise):
    tensors, grad = case
    for gradient in gradients(tensors, disguise(grad)):
        assert not gradient.any()


@registered
def test_hooks_of_saved_tensors_may_return_gaps(case):
    tensors, grad = case
    want = gradients(tensors, grad)
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: tensor,
        lambda tensor: torch.stack([tensor, 0 * tensor], -1)[..., 0],
    ):
        got = gradients(tensors, grad)
    for a, b in zip(got, want):
        torch.testing.assert_close(a, b)
