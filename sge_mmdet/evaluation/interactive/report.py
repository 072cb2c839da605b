"""The page as an object that can be written and shown."""

import html
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Optional, Sequence, Union

from ...utils import RENEWING, Writer
from ..bins import SizeBin, with_all_sizes
from ..comparison_result import Comparison
from ..evaluation_result import EvaluationResult
from ..matching import Matches
from ..structures import Detections, GroundTruth
from .content import comparison_content, evaluation_content
from .gallery import CROP_FOLDER, Gallery
from .page import render_page
from .parts import Content, Detector


@dataclass(frozen=True)
class Report:
    """A report as one HTML page.

    In a notebook it shows itself.

    Attributes:
        html: The page.
        files: Content of the files beside it, by their relative names.
    """

    html: str
    files: Dict[str, bytes] = field(default_factory=dict)

    def write(self, path: Union[str, Path], writer: Writer = RENEWING) -> None:
        """Write the page, and the pictures that it links to.

        Args:
            path (str or Path): File to write, such as "report.html".
            writer (Writer): Writer of the files. Default: one that replaces
                only files that this package wrote.

        Raises:
            OSError: If a file cannot be written.
        """
        path = Path(path)
        for name, content in self.files.items():
            writer.write(path.parent / name, content)
        writer.write(path, self.html)

    def _repr_html_(self) -> str:
        """Return the page in a frame, for notebooks."""
        return (
            f'<iframe srcdoc="{html.escape(self.html)}" '
            'style="width: 100%; height: 85vh; border: 0"></iframe>'
        )


def evaluated_report(
    ground_truth: GroundTruth,
    detections: Detections,
    result: EvaluationResult,
    curve: EvaluationResult,
    name: str = 'the detector',
    metric: str = 'bbox',
    score: float = 0.3,
    gallery: Gallery = Gallery(),
    matches: Optional[Matches] = None,
    score_note: str = '',
) -> Report:
    """Return the report of an evaluation.

    Args:
        ground_truth (GroundTruth): Ground truth.
        detections (Detections): Detections.
        result (EvaluationResult): Their evaluation by object size.
        curve (EvaluationResult): Their evaluation in finer bins.
        name (str): Name of the detector. Default: "the detector".
        metric (str): Metric, "bbox" or "segm". Default: "bbox".
        score (float): Score threshold that the page begins with. Default:
            0.3.
        gallery (Gallery): How pieces of images are chosen. Default: none.
        matches (Matches, optional): As in :func:`find_outcomes`. Default:
            None.
        score_note (str): What the score is, such as "the score with the
            highest F1". Default: "", not said.

    Raises:
        ImportError: If plotly is not installed.
    """
    detector = Detector(
        name, ground_truth, detections, metric, result.counted, matches
    )
    content = evaluation_content(
        ground_truth, detector, result, curve, score, gallery
    )
    content.values['scoreNote'] = score_note
    return _render(content)


def compared_report(
    ground_truth: GroundTruth,
    results: Sequence[Detections],
    comparison: Comparison,
    bins: Sequence[SizeBin],
    metric: str = 'bbox',
    max_dets: int = 100,
    score: float = 0.3,
    gallery: Gallery = Gallery(),
) -> Report:
    """Return the report of a comparison.

    Args:
        ground_truth (GroundTruth): Ground truth, to which the rules of the
            protocol have been applied.
        results (Sequence[Detections]): Detections of the two detectors, in
            the same form; of several seeds, those of one.
        comparison (Comparison): Their comparison.
        bins (Sequence[SizeBin]): Bins of object sizes. One that is called
            "all" is left out, since the page counts objects of every size.
        metric (str): Metric, "bbox" or "segm". Default: "bbox".
        max_dets (int): Largest number of detections per image and class.
            Default: 100.
        score (float): Score threshold that the page begins with. Default:
            0.3.
        gallery (Gallery): How pieces of images are chosen. Default: none.

    Raises:
        ImportError: If plotly is not installed.
    """
    detectors = [
        Detector(name, ground_truth, detections, metric, max_dets)
        for name, detections in zip(comparison.names, results)
    ]
    content = comparison_content(
        ground_truth,
        detectors,
        comparison,
        with_all_sizes(bins)[1:],
        score,
        gallery,
    )
    if max(comparison.seeds) > 1:
        content.values['notes'].insert(
            0,
            'Intervals are of all seeds. What is counted and shown here is of '
            'the first seed of each detector.',
        )
    return _render(content)


def _render(content: Content) -> Report:
    files = {
        f'{CROP_FOLDER}/{name}': picture
        for name, picture in content.files.items()
    }
    return Report(
        render_page(content.title, content.values, content.columns), files
    )
