"""A small data set with a good file of each kind, to be edited."""

import io
import json
import pickle
from pathlib import Path
from random import Random
from typing import Any, Dict, List, NamedTuple, Tuple

import torch
from mmengine.config import Config

ROOT = Path(__file__).resolve().parents[3]
HEIGHT, WIDTH = 120, 160
NAMES = ('cat', 'dog')
# Of objects, so that each of COCO's and AI-TOD's sizes has some.
SIDES = (5, 12, 20, 40, 100, 100)
IMAGES = 4


class Example(NamedTuple):
    """Ground truth and results in COCO's formats, with boxes and masks.

    Attributes:
        ground_truth: The ground truth.
        results: A list of detections.
    """

    ground_truth: Dict[str, List[dict]]
    results: List[dict]


def make_example(random: Random) -> Example:
    """Return a data set that has crowds, ties, misses and false detections.

    Args:
        random (Random): Chooses what is in it.
    """
    images = [
        dict(id=3 * i + 2, height=HEIGHT, width=WIDTH, file_name=f'{i}.png')
        for i in range(IMAGES)
    ]
    categories = [
        dict(id=2 * k + 5, name=name) for k, name in enumerate(NAMES)
    ]
    annotations, results = [], []
    for image in images:
        for _ in range(random.randrange(3, 7)):
            own = dict(
                image_id=image['id'],
                category_id=random.choice(categories)['id'],
            )
            box = _box(random, [0.0, 0.0])
            annotations.append(
                dict(
                    own,
                    id=len(annotations) + 1,
                    bbox=box,
                    area=box[2] * box[3],
                    iscrowd=int(random.random() < 0.1),
                    segmentation=random.choice((_outline, _mask))(box),
                )
            )
            if random.random() < 0.9:
                near = [box[0] + random.randrange(3), *box[1:]]
                results.append(_detection(random, own, near))
            if random.random() < 0.4:
                other = _box(random, box[:2])
                results.append(_detection(random, own, other))
    return Example(
        dict(images=images, categories=categories, annotations=annotations),
        results,
    )


def _box(random: Random, corner: List[float]) -> List[float]:
    width, height = (float(random.choice(SIDES)) for _ in range(2))
    x, y = (
        float(random.randrange(int(most - side)))
        for most, side in ((WIDTH - 3, width), (HEIGHT, height))
    )
    # Near a corner that is given, if it fits there.
    fits = (
        corner[0]
        and corner[0] + width < WIDTH - 3
        and (corner[1] + height < HEIGHT)
    )
    return [*corner, width, height] if fits else [x, y, width, height]


def _detection(random: Random, own: dict, box: List[float]) -> dict:
    # Of few values, so that some are equal.
    return dict(
        own,
        bbox=box,
        score=random.randrange(1, 10) / 10,
        segmentation=_mask(box),
    )


def _outline(box: List[float]) -> List[List[float]]:
    x, y, width, height = box
    return [[x, y, x + width, y, x + width, y + height, x, y + height]]


def _mask(box: List[float]) -> dict:
    from pycocotools import mask

    (encoded,) = mask.frPyObjects(_outline(box), HEIGHT, WIDTH)
    return dict(size=encoded['size'], counts=encoded['counts'].decode())


def by_image(example: Example) -> List[Tuple[int, Dict[str, Any]]]:
    """Return ids of images with their detections, as MMDetection has them.

    Args:
        example (Example): The data set.

    Returns:
        list[tuple[int, dict]]: Lists of corners, scores, labels and masks.
    """
    labels = {
        category['id']: k
        for k, category in enumerate(example.ground_truth['categories'])
    }
    found = []
    for image in example.ground_truth['images']:
        own = [
            result
            for result in example.results
            if result['image_id'] == image['id']
        ]
        corners = [
            [x, y, x + width, y + height]
            for x, y, width, height in (result['bbox'] for result in own)
        ]
        found.append(
            (
                image['id'],
                dict(
                    bboxes=corners,
                    scores=[result['score'] for result in own],
                    labels=[labels[result['category_id']] for result in own],
                    masks=[
                        dict(
                            result['segmentation'],
                            counts=result['segmentation']['counts'].encode(),
                        )
                        for result in own
                    ],
                ),
            )
        )
    return found


def make_weights() -> Dict[str, torch.Tensor]:
    """Return weights as the paper's authors have them.

    Their heads are turned around, which the conversion undoes.
    """
    return {
        'layer1.0.conv1.weight': torch.ones(2, 2, 1, 1),
        'layer1.0.sge.weight': torch.ones(1, 2, 1, 1),
        'bbox_head.fc_cls.weight': torch.ones(3, 4),
        'bbox_head.fc_reg.weight': torch.arange(48.0).view(12, 4),
        'bbox_head.bn.num_batches_tracked': torch.tensor(1),
        'mask_head.conv_logits.weight': torch.ones(3, 4, 1, 1),
    }


def make_files(folder: Path) -> Dict[str, bytes]:
    """Write a small data set and return a good file of each kind.

    Args:
        folder (Path): Where to.
    """
    data = folder / 'data'
    (data / 'images').mkdir(parents=True)
    example = make_example(Random(3))
    tensors = [
        dict(
            img_id=image,
            ori_shape=(HEIGHT, WIDTH),
            pred_instances=dict(
                bboxes=torch.tensor(found['bboxes']),
                scores=torch.tensor(found['scores']),
                labels=torch.tensor(found['labels']),
                masks=found['masks'],
            ),
        )
        for image, found in by_image(example)
    ]
    boxes = [
        {key: value for key, value in result.items() if key != 'segmentation'}
        for result in example.results
    ]
    weights = io.BytesIO()
    torch.save(
        dict(meta=dict(CLASSES=NAMES), state_dict=make_weights()), weights
    )
    files = {
        'truth.json': json.dumps(example.ground_truth).encode(),
        'boxes.json': json.dumps(boxes).encode(),
        'masks.json': json.dumps(example.results).encode(),
        'boxes.pkl': pickle.dumps(tensors),
        'masks.pkl': pickle.dumps(tensors),
        'config.py': _config(data).encode(),
        'weights.pth': weights.getvalue(),
    }
    for name, content in files.items():
        (data / name).write_bytes(content)
    return files


def _config(data: Path) -> str:
    """Return the demo's config with all that it inherits, of other data."""
    cfg = Config.fromfile(
        ROOT / 'configs/demo/faster-rcnn_r50-w16_fpn_400i_digits.py'
    )
    for loader in (
        cfg.train_dataloader,
        cfg.val_dataloader,
        cfg.test_dataloader,
    ):
        loader.dataset.update(
            data_root=str(data),
            ann_file='truth.json',
            data_prefix=dict(img='images'),
            metainfo=dict(classes=NAMES),
        )
    for evaluator in cfg.val_evaluator, cfg.test_evaluator:
        evaluator.ann_file = str(data / 'truth.json')
    return cfg.pretty_text
