"""What edited files hold, read in another way than the package reads them.

JSON is read by Python's own module, pickles by Python's own unpickler, of
which nothing but tensors and dicts is called, and both become COCO's formats.
Only files that the package has accepted are read here: the unpickler has no
limits.
"""

import io
import json
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict, List

import torch
from torch import Tensor


class Ignored:
    """Stands for all that is no tensor: takes anything, and does nothing."""

    def __new__(cls, *args: Any, **kwargs: Any) -> 'Ignored':
        """Take any arguments."""
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        """Take any state."""


class TensorUnpickler(pickle.Unpickler):
    """Python's unpickler, for tensors and containers alone."""

    def find_class(self, module: str, name: str) -> Any:
        """Return a function that builds tensors, or :class:`Ignored`."""
        if (module, name) == ('torch.storage', '_load_from_bytes'):
            return lambda data: load_tensors(data)
        if (module, name) == ('_codecs', 'encode'):
            return lambda text, encoding: text.encode('latin1')
        if (module, name) == ('torch._utils', '_rebuild_tensor_v2'):
            # Gradients and hooks say nothing of the numbers.
            return lambda *args: torch._utils._rebuild_tensor(*args[:4])
        if (
            module.startswith('torch')
            and (
                name in BUILDERS
                or name.endswith('Storage')
                or name in ('Size', 'Tensor', 'Parameter')
            )
        ) or (module, name) == ('collections', 'OrderedDict'):
            return super().find_class(module, name)
        return Ignored


BUILDERS = '_rebuild_tensor', '_rebuild_tensor_v3', '_rebuild_parameter'


def load_tensors(data: bytes) -> Any:
    """Return what ``torch.save`` wrote, of which nothing is run.

    Args:
        data (bytes): The file.
    """
    module = SimpleNamespace(
        __name__=__name__,
        Unpickler=TensorUnpickler,
        load=lambda file, **options: TensorUnpickler(file, **options).load(),
    )
    return torch.load(
        io.BytesIO(data),
        map_location='cpu',
        pickle_module=module,
        weights_only=False,
    )


def weights_of(data: bytes) -> Dict[str, Tensor]:
    """Return the weights in a checkpoint.

    Args:
        data (bytes): The file.
    """
    content = load_tensors(data)
    weights = content.get('state_dict', content)
    return {
        key: value
        for key, value in weights.items()
        if isinstance(value, Tensor)
    }


def coco_ground_truth(data: bytes) -> Dict[str, List[dict]]:
    """Return ground truth as COCO's own evaluation takes it.

    Args:
        data (bytes): The file, which may lack areas.
    """
    content = json.loads(data)
    annotations = []
    # With new ids: pycocotools takes an object of the id 0 for none.
    for number, entry in enumerate(content['annotations'], start=1):
        box = [float(value) for value in entry['bbox']]
        area = entry.get('area')
        annotations.append(
            dict(
                id=number,
                image_id=entry['image_id'],
                category_id=entry['category_id'],
                bbox=box,
                area=box[2] * box[3] if area is None else float(area),
                iscrowd=int(entry.get('iscrowd', 0)),
                segmentation=entry.get('segmentation'),
            )
        )
    return dict(
        images=[
            dict(
                id=image['id'],
                height=int(image.get('height', 0)),
                width=int(image.get('width', 0)),
            )
            for image in content['images']
        ],
        categories=[
            dict(id=category['id'], name=str(category['name']))
            for category in content['categories']
        ],
        annotations=annotations,
    )


def coco_results(
    path: Path, ground_truth: Dict[str, List[dict]], masks: bool
) -> List[dict]:
    """Return detections as COCO's own evaluation takes them.

    Args:
        path (Path): A result file, in JSON or a pickle.
        ground_truth (dict): From :func:`coco_ground_truth`.
        masks (bool): Whether masks are evaluated, whose areas count then.
    """
    data = path.read_bytes()
    rows = (
        json.loads(data)
        if path.suffix == '.json'
        else _pickled_rows(data, ground_truth, masks)
    )
    key = 'segmentation' if masks else 'bbox'
    return [
        dict(
            image_id=row['image_id'],
            category_id=row['category_id'],
            score=float(row['score']),
            **{
                key: row[key]
                if masks
                else [float(value) for value in row[key]]
            },
        )
        for row in rows
    ]


def _pickled_rows(
    data: bytes, ground_truth: Dict[str, List[dict]], masks: bool
) -> List[dict]:
    ids = [category['id'] for category in ground_truth['categories']]
    rows = []
    for result in TensorUnpickler(io.BytesIO(data)).load():
        found = result['pred_instances']
        boxes = found['bboxes'].tolist()
        labels = found['labels'].tolist()
        shapes = found['masks'] if masks else [None] * len(boxes)
        for (x, y, right, bottom), score, label, mask in _together(
            boxes, found['scores'].tolist(), labels, shapes
        ):
            rows.append(
                dict(
                    image_id=result['img_id'],
                    category_id=ids[label],
                    bbox=[x, y, right - x, bottom - y],
                    score=score,
                    segmentation=mask,
                )
            )
    return rows


def _together(*columns: list) -> Any:
    if len({len(column) for column in columns}) > 1:
        raise ValueError('columns of different lengths')
    return zip(*columns)
