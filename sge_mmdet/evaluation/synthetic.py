"""Synthetic data sets and detectors, to measure the evaluation itself."""

from typing import Dict, List, NamedTuple, Tuple

import numpy as np

from .structures import Detections, GroundTruth

HEIGHT, WIDTH = 480, 640
LARGEST = 470


class Skill(NamedTuple):
    """How a synthetic detector works.

    Attributes:
        shift: Standard deviation of its boxes' errors, relative to their
            size.
        recall: Share of objects that it finds at all.
        false: Wrong boxes an image.
        repeats: Boxes for each object that it finds, on average.
    """

    shift: float = 0.1
    recall: float = 0.8
    false: float = 4.0
    repeats: float = 1.3


def synthetic_ground_truth(
    images: int, objects: int, classes: int, seed: int = 0
) -> GroundTruth:
    """Return ground truth with sizes and classes as uneven as COCO's.

    Args:
        images (int): Number of images of 640 x 480 pixels.
        objects (int): Number of objects, one of a hundred a crowd.
        classes (int): Number of classes.
        seed (int): Default: 0.
    """
    random = np.random.default_rng(seed)
    # Some images have many objects, some none.
    busy = random.gamma(1, size=images)
    size = np.exp(random.normal(3.8, 1.1, (objects, 2))).clip(4, LARGEST)
    corner = random.random((objects, 2)) * ([WIDTH, HEIGHT] - size)
    return GroundTruth(
        np.arange(1, images + 1),
        np.tile([HEIGHT, WIDTH], (images, 1)),
        np.arange(1, classes + 1),
        [f'class {k}' for k in range(1, classes + 1)],
        np.arange(1, classes + 1),
        np.sort(random.choice(images, objects, p=busy / busy.sum())),
        random.choice(classes, objects, p=_popularity(classes)),
        np.concatenate([corner, size], 1),
        0.7 * size.prod(1),
        random.random(objects) < 0.01,
        None,
        [f'{i}.jpg' for i in range(1, images + 1)],
    )


def synthetic_detections(
    ground_truth: GroundTruth, skill: Skill, seed: int = 0
) -> Detections:
    """Return what a synthetic detector finds.

    What is hard about an object or an image is a matter of the data set, the
    same for all detectors: that is what makes their results pair up.

    Args:
        ground_truth (GroundTruth): From :func:`synthetic_ground_truth`.
        skill (Skill): Of the detector.
        seed (int): Of its own accidents. Default: 0.
    """
    hardness = np.random.default_rng(12345)
    random = np.random.default_rng(seed)
    number, images = len(ground_truth.image), len(ground_truth.image_ids)
    hard_object = hardness.random(number)
    hard_image = hardness.gamma(2, 0.5, images)
    detections = hard_object + random.normal(0, 0.1, number) < skill.recall
    of = np.repeat(
        np.arange(number), detections * random.poisson(skill.repeats, number)
    )
    error = (
        random.normal(0, skill.shift, (len(of), 4))
        * np.sqrt(hard_image[ground_truth.image[of]])[:, None]
    )
    corner, size = ground_truth.box[of, :2], ground_truth.box[of, 2:]
    box = np.concatenate(
        [corner + error[:, :2] * size, size * np.exp(error[:, 2:])], 1
    )
    score = random.beta(4, 2, len(of)) * np.exp(-2 * abs(error).sum(1))
    wrong = random.poisson(skill.false * hard_image)
    count = wrong.sum()
    size = np.exp(random.normal(3.8, 1.1, (count, 2))).clip(4, LARGEST)
    corner = random.random((count, 2)) * ([WIDTH, HEIGHT] - size)
    classes = len(ground_truth.category_ids)
    box = np.concatenate([box, np.concatenate([corner, size], 1)])
    return Detections(
        np.concatenate(
            [ground_truth.image[of], np.repeat(np.arange(images), wrong)]
        ),
        np.concatenate(
            [
                ground_truth.category[of],
                random.choice(classes, count, p=_popularity(classes)),
            ]
        ),
        box,
        np.concatenate([score, 0.7 * random.beta(1, 4, count)]),
        box[:, 2] * box[:, 3],
    )


def to_coco(
    ground_truth: GroundTruth, detections: Detections
) -> Tuple[dict, List[dict]]:
    """Return ground truth and detections in COCO's formats."""
    annotations = [
        dict(
            id=i,
            image_id=image,
            category_id=category,
            bbox=box,
            area=area,
            iscrowd=int(crowd),
        )
        for i, (image, category, box, area, crowd) in enumerate(
            zip(
                ground_truth.image_ids[ground_truth.image].tolist(),
                ground_truth.category_ids[ground_truth.category].tolist(),
                ground_truth.box.tolist(),
                ground_truth.area.tolist(),
                ground_truth.crowd.tolist(),
            ),
            start=1,
        )
    ]
    data: Dict[str, list] = dict(
        images=[
            dict(id=int(key), height=HEIGHT, width=WIDTH, file_name=name)
            for key, name in zip(
                ground_truth.image_ids, ground_truth.file_names
            )
        ],
        categories=[
            dict(id=int(key), name=name)
            for key, name in zip(
                ground_truth.category_ids, ground_truth.category_names
            )
        ],
        annotations=annotations,
    )
    return data, [
        dict(image_id=image, category_id=category, bbox=box, score=score)
        for image, category, box, score in zip(
            ground_truth.image_ids[detections.image].tolist(),
            ground_truth.category_ids[detections.category].tolist(),
            detections.box.round(2).tolist(),
            detections.score.tolist(),
        )
    ]


def _popularity(classes: int) -> np.ndarray:
    weight = 1 / np.arange(1, classes + 1) ** 0.8
    return weight / weight.sum()
