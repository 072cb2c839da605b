"""What the page of an evaluation or of a comparison shows."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Union

import numpy as np

from ...utils import printable
from ...utils.tables import Table
from ..bins import SizeBin
from ..comparison_result import Comparison
from ..evaluation_result import EvaluationResult
from ..ranks import ranks_within_runs
from ..structures import Detections, GroundTruth
from .crops import Crops, cut_out, data_url
from .outcomes import (
    DETECTION_KINDS,
    EVERY_SIZE,
    OBJECT_KINDS,
    Outcomes,
    find_outcomes,
)

# Detections with a lower score are counted, but neither drawn nor cut out.
LOWEST_DRAWN = 0.05
# Seed of the choice of crops.
SEED = 0
CROP_FOLDER = 'report_crops'
# Kinds of detections that are shown as pieces of images.
_FALSE = [
    DETECTION_KINDS.index(kind)
    for kind in ('duplicate', 'localisation', 'class', 'background')
]


@dataclass(frozen=True)
class Gallery:
    """How pieces of images are chosen and kept.

    Attributes:
        images: Folder of the images; None for a page without them.
        most: Largest number of pieces.
        most_bytes: Largest size of the pieces in the page, in bytes; further
            ones become files in a folder beside it.
        beside: Folder of the page, which links to whole images begin at.
    """

    images: Optional[Union[str, Path]] = None
    most: int = 1000
    most_bytes: int = 25_000_000
    beside: Union[str, Path] = '.'


@dataclass
class Content:
    """Content of a page.

    Attributes:
        title: Title of the page.
        values: What is written as JSON.
        columns: Columns of numbers.
        files: Content of files in ``CROP_FOLDER``, by name.
    """

    title: str
    values: Dict[str, Any]
    columns: Dict[str, np.ndarray]
    files: Dict[str, bytes] = field(default_factory=dict)


class Detector:
    """A detector with what became of its detections.

    Attributes:
        name: Name of the detector.
        detections: Its detections.
        outcomes: What became of objects and detections.
    """

    def __init__(
        self,
        name: str,
        ground_truth: GroundTruth,
        detections: Detections,
        metric: str,
        max_dets: int,
    ) -> None:
        self.name = name
        self.detections = detections
        self.outcomes: Outcomes = find_outcomes(
            ground_truth, detections, metric, max_dets
        )


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
    _add_gallery(
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
    _add_gallery(
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
            for bin in [EVERY_SIZE, *bins]
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


def _add_gallery(
    content: Content,
    ground_truth: GroundTruth,
    detectors: Sequence[Detector],
    candidates: np.ndarray,
    is_object: np.ndarray,
    kinds: np.ndarray,
    gallery: Gallery,
) -> None:
    """Add pieces of images around objects and false detections.

    Args:
        content (Content): Content of the page.
        ground_truth (GroundTruth): Ground truth.
        detectors (Sequence[Detector]): One detector or two.
        candidates (np.ndarray): Positions in the outcomes' objects or
            detections, of shape (k,).
        is_object (np.ndarray): Whether each one is an object, of shape (k,).
        kinds (np.ndarray): Kinds that are chosen from evenly, of shape (k,).
        gallery (Gallery): How pieces are chosen.
    """
    if gallery.images is None:
        content.values['notes'].append(
            'There are no pictures, because no folder of images was given '
            '(--images).'
        )
        return
    outcomes, detections = detectors[0].outcomes, detectors[0].detections
    image = np.empty(len(candidates), int)
    box = np.empty((len(candidates), 4))
    area = np.empty(len(candidates))
    for chosen, source, positions in (
        (is_object, ground_truth, outcomes.object[candidates[is_object]]),
        (~is_object, detections, outcomes.detection[candidates[~is_object]]),
    ):
        image[chosen] = source.image[positions]
        box[chosen] = source.box[positions]
        area[chosen] = source.area[positions]
    taken = _choose_evenly(kinds, area, content.values['bins'], gallery.most)
    lowest = content.values['lowestDrawn']
    content.values['notes'].append(
        f'Detections with a score below {lowest:g} are counted, but not drawn.'
    )
    if len(taken) < len(candidates):
        content.values['notes'].append(
            f'{len(taken)} of {len(candidates)} objects and false detections '
            'have a picture; they were chosen evenly from kinds and sizes, at '
            'random.'
        )
    crops = cut_out(
        gallery.images,
        ground_truth.file_names,
        ground_truth.image_sizes,
        image[taken],
        box[taken],
    )
    _add_items(content, candidates[taken], is_object[taken], crops, gallery)
    _add_pictures(content, ground_truth, detectors, crops, gallery)


def _choose_evenly(
    kinds: np.ndarray, area: np.ndarray, bins: List[dict], most: int
) -> np.ndarray:
    """Return positions chosen in turns from each kind and size."""
    sizes = np.zeros(len(kinds), int)
    # The first bin contains all sizes.
    for i, bin in enumerate(bins[1:], 1):
        high = np.inf if bin['high'] is None else bin['high'] ** 2
        sizes[(area >= bin['low'] ** 2) & (area <= high)] = i
    stratum = kinds * len(bins) + sizes
    shuffled = np.random.default_rng(SEED).permutation(len(kinds))
    order = shuffled[np.argsort(stratum[shuffled], kind='stable')]
    rank = ranks_within_runs(stratum[order])
    return order[np.lexsort((stratum[order], rank))][:most]


def _add_items(
    content: Content,
    candidates: np.ndarray,
    is_object: np.ndarray,
    crops: Crops,
    gallery: Gallery,
) -> None:
    """Add the pieces that could be read, as data or as files."""
    size = 0
    items = content.values['items']
    for i, picture in enumerate(crops.pictures):
        if picture is None:
            continue
        size += len(picture) * 4 // 3
        if size <= gallery.most_bytes:
            source = data_url(picture)
        else:
            name = f'{len(items):05d}.jpg'
            content.files[name] = picture
            source = f'{CROP_FOLDER}/{name}'
        items.append(
            dict(
                object=bool(is_object[i]),
                index=int(candidates[i]),
                window=[round(float(x), 1) for x in crops.windows[i]],
                source=source,
            )
        )
    if content.files:
        content.values['notes'].append(
            f'{len(content.files)} pictures lie in the folder {CROP_FOLDER} '
            'beside this file; send it with the file.'
        )
    if crops.unread:
        names = list(crops.unread)
        more = f' and {len(names) - 10} more' if len(names) > 10 else ''
        content.values['notes'].append(
            f'{len(names)} images could not be read, so nothing of them is '
            f'shown: {", ".join(names[:10])}{more}. The first: '
            f'{crops.unread[names[0]]}'
        )
    if crops.resized:
        content.values['notes'].append(
            f'{len(crops.resized)} images have another size than the '
            f'annotations say, such as {crops.resized[0]}; they are shown in '
            'the size of the annotations.'
        )


def _add_pictures(
    content: Content,
    ground_truth: GroundTruth,
    detectors: Sequence[Detector],
    crops: Crops,
    gallery: Gallery,
) -> None:
    """Add the images with crops: their names, sizes, links and boxes."""
    folder = Path(str(gallery.images)).resolve()
    images = np.array(sorted(crops.sizes), int)
    for image in images.tolist():
        name = ground_truth.file_names[image]
        content.values['pictures'][image] = dict(
            name=printable(name),
            size=crops.sizes[image],
            link=_link(folder / name, gallery.beside),
            isAsStored=image in crops.unturned,
        )
    outcomes = detectors[0].outcomes
    _add_boxes(
        content.columns, 'object', images, ground_truth, outcomes.object
    )
    for i, detector in enumerate(detectors):
        detections = detector.detections
        chosen = np.flatnonzero(
            detections.score[detector.outcomes.detection]
            >= content.values['lowestDrawn']
        )
        _add_boxes(
            content.columns,
            f'detection_{i}',
            images,
            detections,
            detector.outcomes.detection[chosen],
            chosen,
        )


def _add_boxes(
    columns: Dict[str, np.ndarray],
    name: str,
    images: np.ndarray,
    source: Union[GroundTruth, Detections],
    positions: np.ndarray,
    numbers: Optional[np.ndarray] = None,
) -> None:
    """Add the boxes that lie in some images, and whose they are."""
    inside = np.flatnonzero(np.isin(source.image[positions], images))
    numbers = inside if numbers is None else numbers[inside]
    columns[f'boxed_{name}'] = numbers.astype(np.int32)
    columns[f'boxes_{name}'] = (
        source.box[positions[inside]].astype(np.float32).ravel()
    )


def _link(path: Path, beside: Union[str, Path]) -> str:
    """Return a relative address of a file, seen from a folder."""
    from urllib.parse import quote

    try:
        relative = os.path.relpath(path, Path(beside).resolve())
    except ValueError:  # Another drive of Windows.
        return path.as_uri()
    # Names on a disk need not be UTF-8.
    return quote(os.fsencode(relative.replace(os.sep, '/')))
