"""What pickles of results and checkpoints hold, and hostile things in them.

Everything here is a tree of the nodes of ``opcodes.py``; nothing in it is run.
"""

import io
from random import Random
from typing import Any, Callable, Dict, List, Optional, Tuple

import torch
from torch import Tensor

from .good_files import HEIGHT, WIDTH, by_image, make_example, make_weights
from .hostile_nodes import hostile_node
from .opcodes import Call, Name, Node, State, Stored

# How tensors of the same numbers lie in their storage.
LAYOUTS: Tuple[Callable[[Tensor], Tensor], ...] = (
    lambda tensor: tensor,
    lambda tensor: torch.cat([tensor, tensor])[len(tensor) :],
    lambda tensor: tensor.t().contiguous().t() if tensor.ndim < 3 else tensor,
    lambda tensor: torch.stack([tensor, tensor], -1)[..., 1],
)


class Tensors:
    """Writes tensors as PyTorch does, and keeps the numbers of them.

    Args:
        random (Random): Chooses the layout of each.
        form (str): "pickle" for numbers in the pickle itself, "zip" or
            "legacy" for numbers beside it.

    Attributes:
        kept: Numbers of the tensors beside a pickle, by key.
    """

    def __init__(self, random: Random, form: str) -> None:
        self.random = random
        self.form = form
        self.kept: Dict[str, Tensor] = {}

    def node(self, tensor: Tensor) -> Node:
        """Return what stands for a tensor."""
        if tensor.ndim:
            tensor = self.random.choice(LAYOUTS)(tensor)
        return Call(
            Name('torch._utils', '_rebuild_tensor_v2'),
            (
                self._storage(tensor),
                tensor.storage_offset(),
                tuple(tensor.shape),
                tensor.stride(),
                False,
                Call(Name('collections', 'OrderedDict'), ()),
            ),
        )

    def _storage(self, tensor: Tensor) -> Node:
        storage = tensor._typed_storage()
        if self.form == 'pickle':
            data = io.BytesIO()
            torch.save(storage, data, _use_new_zipfile_serialization=False)
            return Call(
                Name('torch.storage', '_load_from_bytes'), (data.getvalue(),)
            )
        key, count = str(len(self.kept)), storage._size()
        self.kept[key] = torch.as_strided(tensor, (count,), (1,), 0)
        if self.random.random() < 0.004:
            count = self.random.choice((0, count + 1, 2**33, -1))
        name = storage._pickle_storage_type()
        return Stored(
            (
                'storage',
                Name('torch', name),
                key,
                'cpu',
                count,
                *(() if self.form == 'zip' else (None,)),
            )
        )


def result_tree(random: Random, tensors: Tensors) -> List[Dict[str, Node]]:
    """Return what ``tools/test.py --out`` writes of the images of a data set.

    Args:
        random (Random): Chooses the detections and their types.
        tensors (Tensors): For a form of "pickle".
    """
    whole = random.choice((torch.int64, torch.int32, torch.uint8))
    real = random.choice(
        (torch.float32, torch.float64, torch.float16, torch.bfloat16)
    )
    return [
        dict(
            img_id=image,
            ori_shape=(HEIGHT, WIDTH),
            pred_instances=dict(
                bboxes=tensors.node(
                    torch.tensor(found['bboxes'], dtype=real).reshape(-1, 4)
                ),
                scores=tensors.node(torch.tensor(found['scores'], dtype=real)),
                labels=tensors.node(
                    torch.tensor(found['labels'], dtype=whole)
                ),
                masks=found['masks'],
            ),
        )
        for image, found in by_image(make_example(random))
    ]


def checkpoint_tree(random: Random, tensors: Tensors) -> Dict[str, Node]:
    """Return what MMEngine writes.

    Args:
        random (Random): Chooses what there is besides the weights.
        tensors (Tensors): For a form of "zip" or "legacy".
    """
    weights = {
        key: tensors.node(value) for key, value in make_weights().items()
    }
    whole: Dict[str, Node] = dict(
        meta=dict(
            epoch=1,
            iter=20,
            CLASSES=('cat', 'dog'),
            seed=None,
            config=random.choice(('a = 1\n', "a = dict(b=['c'])\n")),
            dataset_meta=dict(classes=('cat', 'dog')),
        ),
        state_dict=weights,
    )
    if random.random() < 0.5:
        whole['optimizer'] = dict(
            state={0: dict(momentum_buffer=tensors.node(torch.ones(2)))},
            param_groups=[dict(lr=0.01, params=[0, 1])],
        )
    if random.random() < 0.5:
        whole['message_hub'] = dict(
            log_scalars={'train/loss': _history(random)},
            runtime_info=dict(iter=20),
            resumed_keys={},
        )
    return whole


def _history(random: Random) -> Node:
    """Return one of MMEngine's log buffers."""
    cls = Name('mmengine.logging.history_buffer', 'HistoryBuffer')
    methods = {
        name: Call(Name('builtins', 'getattr'), (cls, name))
        for name in ('min', 'max', 'current', 'mean')
    }
    return State(
        Call(cls, (), 'newobj'),
        dict(
            max_length=1000000,
            _log_history=_array(random),
            _count_history=_array(random),
            statistics_methods=methods,
        ),
    )


def _array(random: Random) -> Node:
    core = random.choice(('numpy._core', 'numpy.core'))
    dtype = State(
        Call(Name('numpy', 'dtype'), ('f8', False, True)),
        (3, '<', None, None, None, -1, -1, 0),
    )
    return State(
        Call(
            Name(f'{core}.multiarray', '_reconstruct'),
            (Name('numpy', 'ndarray'), (0,), b'b'),
        ),
        (1, (2,), dtype, False, bytes(16)),
    )


class Spoiler:
    """Puts hostile things in the place of parts of a tree.

    Args:
        random (Random): Chooses what and where.
        chance (float): Of each part.
        marker (str): A path that anything that runs would create.
    """

    def __init__(self, random: Random, chance: float, marker: str) -> None:
        self.random = random
        self.chance = chance
        self.marker = marker
        self.seen: List[Node] = []

    def spoil(self, node: Node, holder: Optional[Any] = None) -> Node:
        """Return a tree with hostile things in it.

        Args:
            node (Any): The tree.
            holder (Any, optional): A list or dict that it is in. Default:
                None.
        """
        self.seen.append(node)
        if self.random.random() < self.chance:
            if holder is not None and self.random.random() < 0.1:
                return holder
            return hostile_node(self.random, self.marker, self.seen)
        if type(node) is list:
            new: Any = []
            new += [self.spoil(part, new) for part in node]
            return new
        if type(node) is dict:
            new = {}
            new.update(
                {key: self.spoil(part, new) for key, part in node.items()}
            )
            return new
        if type(node) is tuple:
            return tuple(self.spoil(part, holder) for part in node)
        if type(node) in (Call, State, Name, Stored):
            return type(node)(
                *(
                    part if node_name == 'how' else self.spoil(part, holder)
                    for node_name, part in node._asdict().items()
                )
            )
        return node
