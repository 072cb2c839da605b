"""Stand-ins for PyTorch in pickles, which check the sizes of tensors.

PyTorch's own functions trust sizes: they enlarge a storage or read beyond its
end. These stand-ins check the same calls and build only plain tensors and
parameters.
"""

from collections import OrderedDict
from typing import Any, Callable, Optional, Tuple

import torch
from torch import Tensor, nn

from .refusal import Refused

# PyTorch's limit of dimensions.
MOST_DIMENSIONS = 64


def _check_view(numbers: int, offset: Any, size: Any, stride: Any) -> None:
    """Raise unless a tensor lies within a storage of ``numbers`` elements."""
    for values in size, stride:
        if not isinstance(values, tuple) or len(values) > MOST_DIMENSIONS:
            raise Refused(
                'it has a tensor whose size is not a tuple of integers'
            )
    whole = (offset, *size, *stride)
    if any(
        type(value) is not int or not 0 <= value < 2**62 for value in whole
    ) or len(size) != len(stride):
        raise Refused('it has a tensor whose size is not a tuple of integers')
    last = offset + sum((n - 1) * step for n, step in zip(size, stride))
    if last >= numbers if all(size) else max(offset, *size) > numbers:
        raise Refused('it has a tensor larger than the numbers it is made of')


def rebuild_tensor(
    storage: Any, offset: int, size: Tuple[int, ...], stride: Tuple[int, ...]
) -> Tensor:
    """Stand in for PyTorch's function of the same name."""
    return rebuild_tensor_v2(storage, offset, size, stride, False)


def rebuild_tensor_v2(
    storage: Any,
    offset: int,
    size: Tuple[int, ...],
    stride: Tuple[int, ...],
    requires_grad: Any,
    hooks: Any = None,
    metadata: Any = None,
) -> Tensor:
    """Return a tensor without hooks, which PyTorch no longer writes."""
    _check_storage(storage)
    return rebuild_tensor_v3(
        storage,
        offset,
        size,
        stride,
        requires_grad,
        hooks,
        storage.dtype,
        metadata,
    )


def rebuild_tensor_v3(
    storage: Any,
    offset: int,
    size: Tuple[int, ...],
    stride: Tuple[int, ...],
    requires_grad: Any,
    hooks: Any,
    dtype: torch.dtype,
    metadata: Any = None,
) -> Tensor:
    """Return a tensor of a type without its own storage class."""
    _check_storage(storage)
    if not isinstance(dtype, torch.dtype) or metadata:
        raise Refused('it has a tensor of a kind that is not read')
    held = storage._untyped_storage
    _check_view(
        held.nbytes() // torch._utils._element_size(dtype),
        offset,
        size,
        stride,
    )
    tensor = torch.empty((0,), dtype=dtype, device=held.device)
    tensor.set_(held, offset, size, stride)
    tensor.requires_grad = requires_grad is True
    return tensor


def _check_storage(storage: Any) -> None:
    if not isinstance(storage, torch.storage.TypedStorage):
        raise Refused('it has a tensor without numbers')


def rebuild_parameter(
    data: Any, requires_grad: Any, hooks: Any = None, state: Any = None
) -> nn.Parameter:
    """Return a parameter without additional attributes."""
    if not isinstance(data, Tensor):
        raise Refused('it has a parameter without numbers')
    return nn.Parameter(data.detach(), requires_grad is True)


def rebuild_from_type(
    function: Callable, cls: Any, args: Any, state: Any
) -> Tensor:
    """Return a tensor without additional attributes."""
    if (
        not any(function is known for known in TENSORS.values())
        or (not (cls is Tensor or cls is nn.Parameter))
        or (type(args) is not tuple)
    ):
        raise Refused('it has a tensor of a kind that is not read')
    return function(*args)


def new_size(numbers: Any = ()) -> torch.Size:
    """Stand in for ``torch.Size``."""
    if not isinstance(numbers, tuple) or any(
        type(number) is not int for number in numbers
    ):
        raise Refused('it has a size that is not a tuple of integers')
    return torch.Size(numbers)


def new_device(kind: Any, index: Optional[Any] = None) -> torch.device:
    """Stand in for ``torch.device``."""
    if not isinstance(kind, str) or len(kind) > 100:
        raise Refused('it has a device without a name')
    return torch.device(kind) if index is None else torch.device(kind, index)


def new_ordered_dict(pairs: Any = ()) -> OrderedDict:
    """Stand in for ``OrderedDict``; pickles fill it later."""
    if len(pairs):
        raise Refused('it has a dictionary of the format of Python 2')
    return OrderedDict()


TENSORS = {
    'torch._utils._rebuild_tensor': rebuild_tensor,
    'torch._utils._rebuild_tensor_v2': rebuild_tensor_v2,
    'torch._utils._rebuild_tensor_v3': rebuild_tensor_v3,
    'torch._utils._rebuild_parameter': rebuild_parameter,
    'torch._utils._rebuild_parameter_with_state': rebuild_parameter,
}
FUNCTIONS = {
    **TENSORS,
    'torch._tensor._rebuild_from_type_v2': rebuild_from_type,
    'torch.Size': new_size,
    'torch.device': new_device,
    'collections.OrderedDict': new_ordered_dict,
}
