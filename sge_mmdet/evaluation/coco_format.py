"""Ground truth and detections as entries of COCO's JSON."""

from typing import List, Union

from .structures import Detections, GroundTruth


def image_entries(ground_truth: GroundTruth) -> List[dict]:
    """Return the entries of "images".

    Args:
        ground_truth (GroundTruth): The ground truth.
    """
    return [
        dict(id=int(key), height=int(height), width=int(width))
        for key, (height, width) in zip(
            ground_truth.image_ids.tolist(), ground_truth.image_sizes.tolist()
        )
    ]


def category_entries(ground_truth: GroundTruth) -> List[dict]:
    """Return the entries of "categories".

    Args:
        ground_truth (GroundTruth): The ground truth.
    """
    return [
        dict(id=int(key), name=name)
        for key, name in zip(
            ground_truth.category_ids, ground_truth.category_names
        )
    ]


def annotation_entries(
    ground_truth: GroundTruth,
    structure: Union[GroundTruth, Detections],
    masks: bool = False,
) -> List[dict]:
    """Return the entries of "annotations" for objects or detections.

    Args:
        ground_truth (GroundTruth): The ground truth.
        structure (GroundTruth or Detections): The same ground truth, or
            detections on its images.
        masks (bool): Whether to add masks. Default: False.
    """
    entries = [
        dict(id=i, image_id=image, category_id=category, bbox=box, area=area)
        for i, (image, category, box, area) in enumerate(
            zip(
                ground_truth.image_ids[structure.image].tolist(),
                ground_truth.category_ids[structure.category].tolist(),
                structure.box.tolist(),
                structure.area.tolist(),
            ),
            start=1,
        )
    ]
    if masks:
        for entry, mask in zip(entries, structure.segmentation or ()):
            entry['segmentation'] = mask
    if isinstance(structure, GroundTruth):
        for entry, is_crowd in zip(entries, structure.crowd.tolist()):
            entry['iscrowd'] = int(is_crowd)
    else:
        for entry, score in zip(entries, structure.score.tolist()):
            entry['iscrowd'] = 0
            entry['score'] = score
    return entries
