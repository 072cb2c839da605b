"""Small random data sets with everything that COCO's evaluation minds."""

import numpy as np
from pycocotools import mask as mask_utils

HEIGHT, WIDTH = 40, 60


def random_coco(seed, masks=False, ties=False, images=None):
    """Return ground truth and results in COCO's formats.

    They have crowds, images without objects, classes without detections, and
    ids that are neither consecutive nor start at 1.

    Args:
        seed (int): Of everything.
        masks (bool): Whether each has a mask.
        ties (bool): Whether scores and boxes are often equal.
        images (int, optional): Their number. Default: None, 1 to 5.
    """
    random = np.random.default_rng(seed)
    images = images or int(random.integers(1, 6))
    categories = int(random.integers(1, 4))
    objects = int(random.integers(0, 8 * images))
    detections = int(random.integers(0, 20 * images))
    object_box = _boxes(random, objects, ties)
    box = _boxes(random, detections, ties)
    image = random.integers(0, images, objects)
    category = random.integers(0, categories, objects)
    detection_image = random.integers(0, images, detections)
    detection_category = random.integers(0, categories, detections)
    if objects and detections:
        near = random.random(detections) < 0.7
        of = random.integers(0, objects, detections)
        noise = random.normal(0, random.choice([0.3, 1, 2]), (detections, 4))
        box[near] = abs(object_box[of] + noise)[near]
        if ties:
            box = box.round()
        detection_image[near], detection_category[near] = (
            image[of][near],
            category[of][near],
        )
    score = random.random(detections).round(1 if ties else 9)
    ground_truth = dict(
        images=[
            dict(
                id=3 * i + 2, height=HEIGHT, width=WIDTH, file_name=f'{i}.png'
            )
            for i in range(images)
        ],
        categories=[
            dict(id=2 * k + 5, name=f'class {k}') for k in range(categories)
        ],
        annotations=[
            dict(
                id=i + 1,
                image_id=int(3 * image[i] + 2),
                category_id=int(2 * category[i] + 5),
                bbox=object_box[i].tolist(),
                area=float(0.8 * object_box[i, 2] * object_box[i, 3]),
                iscrowd=int(random.random() < 0.1),
            )
            for i in range(objects)
        ],
    )
    results = [
        dict(
            image_id=int(3 * detection_image[i] + 2),
            category_id=int(2 * detection_category[i] + 5),
            bbox=box[i].tolist(),
            score=float(score[i]),
        )
        for i in range(detections)
    ]
    if masks:
        for entry in ground_truth['annotations'] + results:
            entry['segmentation'] = _mask(entry['bbox'])
    return ground_truth, results


def repeated(ground_truth, results, counts):
    """Return a data set in which image i stands ``counts[i]`` times."""
    images, annotations, new_results = [], [], []
    for image, count in zip(ground_truth['images'], counts):
        for _ in range(count):
            new_id = len(images) + 1
            images.append(dict(image, id=new_id))
            for old, new in (
                (ground_truth['annotations'], annotations),
                (results, new_results),
            ):
                new += [
                    dict(entry, image_id=new_id)
                    for entry in old
                    if entry['image_id'] == image['id']
                ]
    annotations = [
        dict(entry, id=i + 1) for i, entry in enumerate(annotations)
    ]
    return dict(
        ground_truth, images=images, annotations=annotations
    ), new_results


def _boxes(random, number, ties):
    corner = random.uniform(0, 15, (number, 2))
    size = random.uniform(1, 22, (number, 2))
    boxes = np.concatenate([corner, size], 1)
    return boxes.round() if ties else boxes


def _mask(box):
    x, y, width, height = (int(value) for value in box)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8, order='F')
    mask[y : y + height + 1, x : x + width + 1] = 1
    mask[y : y + height // 2, x : x + width // 3] = 0
    encoded = mask_utils.encode(mask)
    return dict(size=encoded['size'], counts=encoded['counts'].decode())
