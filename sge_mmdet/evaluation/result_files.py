"""Files with detections: COCO's JSON and MMDetection's pickles."""
import io
import math
import pickle
from itertools import chain
from pathlib import Path
from typing import Any, Callable, List, Optional, Tuple, Union

import numpy as np
import torch

from ..utils import load_json, no_garbage_collection, read_json_text
from .columns import (
    Detections,
    Truth,
    check_categories,
    corners_to_sizes,
    detections_from_coco,
    make_detections,
)

try:
    import msgspec
except ImportError:
    msgspec = None

PICKLES = ('.pkl', '.pickle')

if msgspec:

    class _Detection(msgspec.Struct, gc=False):
        image_id: int
        category_id: int
        bbox: Tuple[float, float, float, float]
        score: float


def read_detections(path: Union[str, Path], truth: Truth,
                    metric: str = 'bbox') -> Detections:
    """Read a result file.

    Args:
        path (str or Path): COCO's result format in JSON, as MMDetection's
            ``outfile_prefix`` writes it, or the pickle of ``tools/test.py
            --out``, of which nothing is run.
        truth (Truth): What they are of. The labels of a pickle are positions
            among its categories.
        metric (str): "bbox" or "segm". Default: "bbox".

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, not of the format, or not of this
            ground truth.
    """
    path, masks = Path(path), metric == 'segm'
    if path.suffix in PICKLES:
        results = _load_pickle(path)
        return _from_pickle(results, truth, str(path), masks,
                            path.stat().st_size)
    found = None if masks else _fast_from_json(path, truth)
    if found is None:
        found = detections_from_coco(load_json(path), truth, str(path), masks)
    return found


@no_garbage_collection()
def _fast_from_json(path: Path, truth: Truth) -> Optional[Detections]:
    """Read well-formed boxes in a quarter of the time.

    Returns:
        Detections or None: None where there is anything unusual, which is for
        the slower way to name.
    """
    if msgspec is None:
        return None
    text = read_json_text(path)
    try:
        rows = msgspec.json.decode(text, type=List[_Detection])
    except (msgspec.MsgspecError, RecursionError):
        return None
    image, category, score, box = (
        [getattr(row, name) for row in rows]
        for name in ('image_id', 'category_id', 'score', 'bbox'))
    box = np.fromiter(chain.from_iterable(box), float, 4 * len(box))
    check_categories(truth, category, str(path))
    return make_detections(truth, image, category, box.reshape(-1, 4), score,
                           name=str(path))


class _Unpickler(pickle._Unpickler):
    """Builds the containers, numbers and tensors of DumpDetResults alone.

    It is the one in Python: that in C takes as much memory as ten bytes of a
    file may ask it to. What these files have no need of is refused:
    bytearrays, which do so here as well, and states of objects, by which a
    tensor could be made larger than its numbers.
    """

    def refuse(self) -> None:
        """Stop at an opcode."""
        raise pickle.UnpicklingError(
            'it holds a bytearray or the state of an object')

    dispatch = {**pickle._Unpickler.dispatch, pickle.BYTEARRAY8[0]: refuse,
                pickle.BUILD[0]: refuse}

    def find_class(self, module: str, name: str) -> Callable:
        """Return what a name in the file may stand for."""
        allowed = {
            ('torch._utils', '_rebuild_tensor_v2'):
                _rebuild_tensor,
            ('torch.storage', '_load_from_bytes'): _load_storage,
            ('collections', 'OrderedDict'): dict,
            ('_codecs', 'encode'): _encode_latin1,
        }
        if (module, name) not in allowed:
            raise pickle.UnpicklingError(f'it contains {module}.{name}')
        return allowed[module, name]


def _rebuild_tensor(storage: Any, offset: int, size: Tuple[int, ...],
                    *rest: Any) -> torch.Tensor:
    """Return a tensor that is no larger than what the file holds of it."""
    # storage.untyped() warns that its class will go.
    numbers = (storage._untyped_storage.nbytes()
               // torch.empty((), dtype=storage.dtype).element_size())
    if math.prod(size) > numbers:
        raise pickle.UnpicklingError(
            f'it has a tensor of {tuple(size)} made of {numbers} numbers')
    return torch._utils._rebuild_tensor_v2(storage, offset, size, *rest)


def _encode_latin1(text: str, encoding: str) -> bytes:
    """Return bytes, which old pickle protocols hold as text."""
    if encoding != 'latin1':
        raise pickle.UnpicklingError(f'it holds bytes in {encoding!r}')
    return text.encode('latin1')


def _load_storage(data: bytes) -> torch.storage.TypedStorage:
    """Return numbers that take no more memory than the file has of them."""
    # PyTorch writes them in its old format, which is never compressed.
    if data[:2] == b'PK':
        raise pickle.UnpicklingError('it holds a zip file')
    storage = torch.load(io.BytesIO(data), weights_only=True)
    if not isinstance(storage, torch.storage.TypedStorage) or (
            storage._untyped_storage.nbytes() > len(data)):
        raise pickle.UnpicklingError(
            f'it holds a {type(storage).__name__} where numbers belong')
    return storage


def _load_pickle(path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f'There is no file {path}')
    try:
        return _Unpickler(io.BytesIO(path.read_bytes())).load()
    except Exception as error:
        # A damaged pickle can end in any error.
        raise ValueError(
            f'{path} is not a result file of tools/test.py --out, or is '
            f'truncated; nothing of it was run: {error}') from error


def _from_pickle(results: Any, truth: Truth, name: str, masks: bool,
                 size: int) -> Detections:
    try:
        found = [result['pred_instances'] for result in results]
        images = [result['img_id'] for result in results]
        if len({*images}) < len(images):
            raise ValueError('an image is there twice')
        # One list or tensor can stand for many.
        if sum(instances[key].numel() for instances in found
               for key in ('bboxes', 'scores', 'labels')) > size:
            raise ValueError('the same detections are there many times')
        if any(instances['labels'].is_floating_point()
               for instances in found):
            raise ValueError('labels are whole numbers')
        box = corners_to_sizes([instances['bboxes'].numpy()
                                for instances in found])
        score = [x for instances in found for x in
                 instances['scores'].tolist()]
        label = [x for instances in found for x in
                 instances['labels'].tolist()]
        segmentation = [mask for instances in found
                        for mask in instances['masks']] if masks else None
        known = len(truth.label_ids)
        if label and not 0 <= min(label) <= max(label) < known:
            raise ValueError(f'labels from {min(label)} to {max(label)}, the '
                             f'ground truth {known} categories')
        category = truth.label_ids[np.array(label, int)]
        image = np.repeat(np.array(images).reshape(len(found)),
                          [len(x['scores']) for x in found])
    except Exception as error:
        # What a tensor answers to a wrong use is not one kind of error.
        raise ValueError(f'{name} is not a result file of tools/test.py '
                         '--out, or not of this ground truth: '
                         f'{type(error).__name__}: {error}') from error
    return make_detections(truth, image, category, box, score, segmentation,
                           name)
