"""Synthetic data sets and detectors, to measure the evaluation itself."""

from typing import List, NamedTuple, Tuple

import numpy as np

from .coco_format import annotation_entries, category_entries, image_entries
from .structures import Detections, GroundTruth

# Size of every image, in pixels.
HEIGHT, WIDTH = 480, 640
# Largest side of a box, in pixels.
LARGEST = 470
# Seed of what makes an object or an image hard, which is a property of the
# data set.
HARDNESS_SEED = 12345


class Skill(NamedTuple):
    """Quality of a synthetic detector.

    Attributes:
        shift: Standard deviation of its boxes' errors, relative to their
            size.
        recall: Share of the objects that it detects.
        false: Mean number of false boxes per image.
        repeats: Mean number of boxes for each object that it detects.
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
        objects (int): Number of objects, of which one in a hundred is a
            crowd.
        classes (int): Number of classes.
        seed (int): Seed of the data set. Default: 0.
    """
    random = np.random.default_rng(seed)
    # Some images have many objects, some none.
    busy = random.gamma(1, size=images)
    box = _random_boxes(random, objects)
    return GroundTruth(
        np.arange(1, images + 1),
        np.tile([HEIGHT, WIDTH], (images, 1)),
        np.arange(1, classes + 1),
        [f'class {k}' for k in range(1, classes + 1)],
        np.arange(1, classes + 1),
        np.sort(random.choice(images, objects, p=busy / busy.sum())),
        random.choice(classes, objects, p=_popularity(classes)),
        box,
        0.7 * box[:, 2:].prod(1),
        random.random(objects) < 0.01,
        None,
        [f'{i}.jpg' for i in range(1, images + 1)],
    )


def synthetic_detections(
    ground_truth: GroundTruth, skill: Skill, seed: int = 0
) -> Detections:
    """Return the detections of a synthetic detector.

    The same objects and images are hard for all detectors, so that their
    results are correlated, as those of real detectors are.

    Args:
        ground_truth (GroundTruth): As :func:`synthetic_ground_truth` returns
            it.
        skill (Skill): Skill of the detector.
        seed (int): Seed of the detector. Default: 0.
    """
    hardness = np.random.default_rng(HARDNESS_SEED)
    random = np.random.default_rng(seed)
    number, images = len(ground_truth.image), len(ground_truth.image_ids)
    hard_object = hardness.random(number)
    hard_image = hardness.gamma(2, 0.5, images)
    is_detected = hard_object + random.normal(0, 0.1, number) < skill.recall
    # Position of the object of each true detection.
    of = np.repeat(
        np.arange(number), is_detected * random.poisson(skill.repeats, number)
    )
    error = (
        random.normal(0, skill.shift, (len(of), 4))
        * np.sqrt(hard_image[ground_truth.image[of]])[:, None]
    )
    score = random.beta(4, 2, len(of)) * np.exp(-2 * abs(error).sum(1))
    false_per_image = random.poisson(skill.false * hard_image)
    false = false_per_image.sum()
    box = np.concatenate(
        [_shifted(ground_truth.box[of], error), _random_boxes(random, false)]
    )
    classes = len(ground_truth.category_ids)
    false_class = random.choice(classes, false, p=_popularity(classes))
    false_score = 0.7 * random.beta(1, 4, false)
    return Detections(
        np.concatenate(
            [
                ground_truth.image[of],
                np.repeat(np.arange(images), false_per_image),
            ]
        ),
        np.concatenate([ground_truth.category[of], false_class]),
        box,
        np.concatenate([score, false_score]),
        box[:, 2] * box[:, 3],
    )


def to_coco(
    ground_truth: GroundTruth, detections: Detections
) -> Tuple[dict, List[dict]]:
    """Return ground truth and detections in COCO's formats.

    Args:
        ground_truth (GroundTruth): The ground truth.
        detections (Detections): Detections on its images.

    Returns:
        tuple[dict, list[dict]]: Contents of an annotation file and of a
        result file.
    """
    images = image_entries(ground_truth)
    for entry, name in zip(images, ground_truth.file_names):
        entry['file_name'] = name
    data = dict(
        images=images,
        categories=category_entries(ground_truth),
        annotations=annotation_entries(ground_truth, ground_truth),
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


def _random_boxes(random: np.random.Generator, number: int) -> np.ndarray:
    """Return boxes of COCO's sizes at random places, of shape (number, 4)."""
    size = np.exp(random.normal(3.8, 1.1, (number, 2))).clip(4, LARGEST)
    corner = random.random((number, 2)) * ([WIDTH, HEIGHT] - size)
    return np.concatenate([corner, size], 1)


def _shifted(box: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Return boxes with errors of their places and sizes.

    Args:
        box (np.ndarray): Boxes (x, y, width, height), of shape (n, 4).
        error (np.ndarray): Errors relative to the size, of shape (n, 4).
    """
    corner, size = box[:, :2], box[:, 2:]
    return np.concatenate(
        [corner + error[:, :2] * size, size * np.exp(error[:, 2:])], 1
    )


def _popularity(classes: int) -> np.ndarray:
    """Return the share of each class, of shape (classes,), descending."""
    weight = 1 / np.arange(1, classes + 1) ** 0.8
    return weight / weight.sum()
