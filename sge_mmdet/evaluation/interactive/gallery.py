"""The gallery of a page: which pieces of images it shows, and their boxes."""

import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Union
from urllib.parse import quote

import numpy as np

from ...utils import printable
from ..ranks import ranks_within_runs
from ..structures import Detections, GroundTruth
from .crops import Crops, cut_out, data_url
from .parts import Content, Detector

# Seed of the choice of crops.
SEED = 0
CROP_FOLDER = 'report_crops'


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


def add_gallery(
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
            # Pages in one folder may share a picture, but never its name.
            name = f'{sha256(picture).hexdigest()[:16]}.jpg'
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
    try:
        relative = os.path.relpath(path, Path(beside).resolve())
    except ValueError:  # Another drive of Windows.
        return path.as_uri()
    # Names on a disk need not be UTF-8.
    return quote(os.fsencode(relative.replace(os.sep, '/')))
