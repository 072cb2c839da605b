"""What the page of an evaluation or of a comparison shows."""

from typing import Dict, List, Optional, Sequence

import numpy as np

from ...utils import printable
from ...utils.tables import Table
from ..bins import ALL_SIZES, SizeBin
from ..comparison_result import Comparison
from ..evaluation_result import EvaluationResult
from ..structures import GroundTruth
from .gallery import Gallery, add_gallery
from .outcomes import DETECTION_KINDS, OBJECT_KINDS
from .parts import Content, Detector

# Detections with a lower score are counted, but neither drawn nor cut out.
LOWEST_DRAWN = 0.05
# Kinds of detections that are shown as pieces of images.
_FALSE = [
    DETECTION_KINDS.index(kind)
    for kind in ('duplicate', 'localisation', 'class', 'background')
]


def evaluation_content(
    ground_truth: GroundTruth,
    detector: Detector,
    result: EvaluationResult,
    curve: EvaluationResult,
    score: float,
    gallery: Gallery,
) -> Content:
    """Return the content of the page of an evaluation.

    Args:
        ground_truth (GroundTruth): Ground truth.
        detector (Detector): The detector.
        result (EvaluationResult): Result of its evaluation.
        curve (EvaluationResult): The same in finer bins of sizes.
        score (float): Score threshold that the page begins with.
        gallery (Gallery): How pieces of images are chosen.
    """
    content = _common(
        f'Evaluation of {detector.name}',
        ground_truth,
        [detector],
        result.bins[1:],
        score,
    )
    content.values['tables'] = dict(
        sizes=_table(result.table()), classes=_table(result.table(True))
    )
    # One row per class, so that a click on it finds its class.
    rows = content.values['tables']['classes']['rows']
    for row, name in zip(rows, content.values['classes']):
        row[0] = name
    content.values['curve'] = [
        dict(label=_limits(bin), objects=curve.count(bin.name))
        for bin in curve.bins[1:]
    ]
    content.columns.update(_curve_columns(curve))
    candidates = np.concatenate(
        [
            np.arange(len(detector.outcomes.object)),
            _false_of(detector, content.values['lowestDrawn']),
        ]
    )
    is_object = np.arange(len(candidates)) < len(detector.outcomes.object)
    kinds = np.concatenate(
        [
            detector.outcomes.object_kinds(score),
            len(OBJECT_KINDS) + detector.outcomes.kind[candidates[~is_object]],
        ]
    )
    add_gallery(
        content,
        ground_truth,
        [detector],
        candidates,
        is_object,
        kinds,
        gallery,
    )
    return content


def comparison_content(
    ground_truth: GroundTruth,
    detectors: Sequence[Detector],
    comparison: Comparison,
    bins: Sequence[SizeBin],
    score: float,
    gallery: Gallery,
) -> Content:
    """Return the content of the page of a comparison.

    Args:
        ground_truth (GroundTruth): Ground truth.
        detectors (Sequence[Detector]): The two detectors.
        comparison (Comparison): Their comparison.
        bins (Sequence[SizeBin]): Bins of object sizes, without that of all
            sizes.
        score (float): Score threshold that the page begins with.
        gallery (Gallery): How pieces of images are chosen.
    """
    first, second = detectors
    content = _common(
        f'{first.name} and {second.name}', ground_truth, detectors, bins, score
    )
    content.values['verdict'] = comparison.verdict()
    content.values['tables'] = dict(
        sizes=_table(comparison.table()),
        classes=_table(comparison.table(classes=True)),
    )
    content.values['differences'] = [
        dict(
            name=printable(row.name),
            difference=row.difference,
            low=row.low,
            high=row.high,
        )
        for row in comparison.sizes
    ]
    if ground_truth.groups is not None:
        content.columns['group'] = ground_truth.groups.astype(np.int32)
    hit = [
        detector.outcomes.hit_score >= np.float32(score)
        for detector in detectors
    ]
    kinds = hit[0] * 2 + hit[1]
    objects = np.arange(len(kinds))
    add_gallery(
        content,
        ground_truth,
        detectors,
        objects,
        np.ones(len(objects), bool),
        kinds,
        gallery,
    )
    return content


def _common(
    title: str,
    ground_truth: GroundTruth,
    detectors: Sequence[Detector],
    bins: Sequence[SizeBin],
    score: float,
) -> Content:
    """Return what pages of both kinds hold."""
    objects = detectors[0].outcomes.object
    columns: Dict[str, np.ndarray] = dict(
        object_area=ground_truth.area[objects].astype(np.float32),
        object_class=ground_truth.category[objects].astype(np.int32),
        object_image=ground_truth.image[objects].astype(np.int32),
    )
    for i, detector in enumerate(detectors):
        outcomes, detections = detector.outcomes, detector.detections
        index = outcomes.detection
        columns.update(
            {
                f'hit_score_{i}': outcomes.hit_score,
                f'near_score_{i}': outcomes.near_score,
                f'class_score_{i}': outcomes.class_score,
                f'class_of_{i}': outcomes.class_of,
                f'score_{i}': detections.score[index].astype(np.float32),
                f'area_{i}': detections.area[index].astype(np.float32),
                f'class_{i}': detections.category[index].astype(np.int32),
                f'image_{i}': detections.image[index].astype(np.int32),
                f'kind_{i}': outcomes.kind,
                f'partner_{i}': outcomes.partner,
            }
        )
    values = dict(
        detectors=_distinct([detector.name for detector in detectors]),
        classes=_distinct(ground_truth.category_names),
        images=len(ground_truth.image_ids),
        data=printable(ground_truth.name),
        objectKinds=OBJECT_KINDS,
        detectionKinds=DETECTION_KINDS,
        bins=[
            dict(name=bin.name, low=bin.low, high=_finite(bin.high))
            for bin in [ALL_SIZES, *bins]
        ],
        score=score,
        # A lower threshold at the beginning is meant to be looked at.
        lowestDrawn=min(LOWEST_DRAWN, score),
        items=[],
        pictures={},
        notes=[],
    )
    return Content(title, values, columns)


def _distinct(names: Sequence[str]) -> List[str]:
    """Return names that can be shown and told from each other.

    Args:
        names (Sequence[str]): Names, which may be empty or occur repeatedly.
    """
    shown = [printable(name) or '(no name)' for name in names]
    taken = set(shown)
    occurred: Dict[str, int] = {}
    distinct = []
    for name in shown:
        number = occurred.get(name, 0) + 1
        label = name
        while number > 1 and label in taken:
            label = f'{name} ({number})'
            number += label in taken
        taken.add(label)
        occurred[name] = number
        distinct.append(label)
    return distinct


def _table(table: Table) -> dict:
    return dict(
        header=list(table.header),
        rows=[
            [
                printable(cell) if isinstance(cell, str) else cell
                for cell in row
            ]
            for row in table.rows
        ],
    )


def _limits(bin: SizeBin) -> str:
    high = _finite(bin.high)
    return f'{bin.low:g}+' if high is None else f'{bin.low:g}-{bin.high:g}'


def _finite(value: float) -> Optional[float]:
    return float(value) if np.isfinite(value) else None


def _curve_columns(curve: EvaluationResult) -> Dict[str, np.ndarray]:
    """Return AP, AP50 and AR by class and size, -1 without objects."""
    precision = curve.precision[:, :, 1:, -1]
    recall = curve.recall[:, :, 1:, -1]
    half = int(np.argmin(np.abs(np.array(curve.thresholds) - 0.5)))
    return {
        'curve_AP': precision.mean(0).astype(np.float32).ravel(),
        'curve_AP50': precision[half].astype(np.float32).ravel(),
        'curve_AR': recall.mean(0).astype(np.float32).ravel(),
    }


def _false_of(detector: Detector, lowest: float) -> np.ndarray:
    """Return which detections are false, from a lowest score on."""
    outcomes = detector.outcomes
    scores = detector.detections.score[outcomes.detection]
    return np.flatnonzero(np.isin(outcomes.kind, _FALSE) & (scores >= lowest))
