"""Result files: COCO's JSON and MMDetection's pickles."""

from pathlib import Path
from typing import NamedTuple, Optional, Tuple, Union

from .checked_detections import warn_of_few_images
from .result_json import detections_from_json
from .result_pickle import detections_from_pickle
from .structures import Detections, GroundTruth

PICKLES = ('.pkl', '.pickle')


class DetectionFiles(NamedTuple):
    """Files of a detector's test.

    Attributes:
        ground_truth (Path): Ground truth in COCO's format.
        images (Path): Folder of the images.
        results (Path): Detections in COCO's result format.
        classes (tuple[str, ...], optional): Names of the tested classes.
            Default: None, all categories of the ground truth.
    """

    ground_truth: Path
    images: Path
    results: Path
    classes: Optional[Tuple[str, ...]] = None


def read_detections(
    path: Union[str, Path], ground_truth: GroundTruth, metric: str = 'bbox'
) -> Detections:
    """Read a result file.

    Args:
        path (str or Path): File in COCO's result format, as MMDetection's
            ``outfile_prefix`` writes it, or a pickle of ``tools/test.py
            --out``. Nothing in a pickle is executed.
        ground_truth (GroundTruth): Ground truth of the same images. Labels in
            a pickle are positions in its ``label_ids``. Detections of the
            file's other categories are left out.
        metric (str): Metric, "bbox" or "segm". Default: "bbox".

    Returns:
        Detections: The detections. There is a warning if a pickle lacks
        images of the ground truth, or JSON has none in most of them.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is damaged, of another format, or does not belong to
            the ground truth; or if it is a pickle with fewer labels than the
            ground truth has categories, and the detector's classes were not
            given to :func:`read_ground_truth`.
    """
    path = Path(path)
    if path.suffix in PICKLES:
        return detections_from_pickle(path, ground_truth, metric == 'segm')
    detections = detections_from_json(path, ground_truth, metric == 'segm')
    warn_of_few_images(ground_truth, detections, str(path))
    return detections
