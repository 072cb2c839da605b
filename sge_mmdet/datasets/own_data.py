"""Reading and checking of a user's data: COCO files, VOC or YOLO folders."""

import os
import warnings
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Set, Tuple

from ..evaluation import GroundTruth, read_ground_truth
from ..evaluation.annotation_files import check_lists
from ..evaluation.box_layout import FEWEST_SHARE, reach_beyond
from ..utils import load_json, printable, printable_list
from ..utils.text import printable_value
from .splits import Split, divide, folder_of
from .voc import is_voc, read_voc
from .yolo import is_yolo, read_yolo

NO_VALIDATION = (
    'expected data for validation too; give it with --val, or set aside a '
    'tenth of the images with --val-fraction 0.1'
)


@dataclass(frozen=True)
class OwnData:
    """Checked data for training and validation.

    Attributes:
        train: Training data.
        val: Validation data.
        ground_truth: Ground truth of the validation.
        classes: Names of the classes, in the order of the labels.
        has_masks: Whether every object of the training has a mask.
    """

    train: Split
    val: Split
    ground_truth: GroundTruth
    classes: Tuple[str, ...]
    has_masks: bool

    @property
    def splits(self) -> Dict[str, Split]:
        """dict[str, Split]: Both splits by name, "train" and "val"."""
        return dict(train=self.train, val=self.val)


def read_own_data(
    train: Path,
    val: Optional[Path] = None,
    images: Optional[Path] = None,
    val_images: Optional[Path] = None,
    val_fraction: Optional[float] = None,
    seed: int = 0,
) -> OwnData:
    """Read and check data for training and validation.

    Args:
        train (Path): Annotation file in COCO's format, or a folder in VOC's or
            YOLO's layout, which may hold both splits.
        val (Path, optional): The same for the validation. Default: None.
        images (Path, optional): Folder of the images; COCO files need it.
            Default: None.
        val_images (Path, optional): Folder of the validation's images.
            Default: None, ``images``.
        val_fraction (float, optional): Share of the training's images for the
            validation, if there is no ``val``. Default: None.
        seed (int): Random seed of this choice. Default: 0.

    Returns:
        OwnData: The data.

    Raises:
        FileNotFoundError: If a file, folder or image does not exist.
        ValueError: If the data cannot be trained on; the message names the
            entry and how to correct it.
    """
    parts = _read(train, images)
    if val is not None:
        if val_fraction is not None:
            raise ValueError(
                'expected either --val or --val-fraction, got both; leave one'
            )
        first = _only_part(parts, 'train')
        second = _only_part(_read(val, val_images or images), 'val')
    elif len(parts) == 2 and val_fraction is None:
        first, second = parts['train'], parts['val']
    elif val_fraction is None:
        raise ValueError(f'{train}: {NO_VALIDATION}')
    else:
        whole = _with_areas(_only_part(parts, 'train'))
        _check_split(whole)
        first, second = divide(whole, val_fraction, seed)
    first, second = _with_areas(first), _with_areas(second)
    _check_split(first)
    ground_truth = _check_split(second)
    classes = _check_classes(first, second)
    _check_disjoint(first, second)
    return OwnData(
        first,
        second,
        ground_truth,
        classes,
        all(
            entry.get('segmentation') or entry.get('iscrowd')
            for entry in first.content['annotations']
        ),
    )


def _read(source: Path, images: Optional[Path]) -> Dict[str, Split]:
    """Return the splits of a source by name; "all" is the only one."""
    if images is not None:
        folder_of(images, '--images')
    if source.is_dir():
        if is_voc(source):
            return read_voc(source, images)
        if is_yolo(source):
            return read_yolo(source, images)
        raise ValueError(
            f'{source}: expected a folder with Annotations/*.xml (VOC) or '
            'with images, labels and data.yaml (YOLO), or a JSON file in '
            "COCO's format"
        )
    content = load_json(source)
    check_lists(content, str(source))
    if images is None:
        raise ValueError(
            f'{source}: expected the folder of its images too; name it with '
            '--images'
        )
    return {'all': Split(content, images, str(source), source)}


def _only_part(parts: Dict[str, Split], name: str) -> Split:
    """Return the named split, or the only one."""
    return parts['all'] if 'all' in parts else parts[name]


def _with_areas(split: Split) -> Split:
    """Return a split whose objects have areas, which CocoDataset needs."""
    entries = split.content['annotations']
    if not all(
        isinstance(entry, dict)
        and isinstance(entry.get('bbox'), list)
        and len(entry['bbox']) == 4
        for entry in entries
    ):
        # The reader of ground truth names what is wrong.
        return split
    if all('area' in entry for entry in entries):
        return split
    new = [
        {'area': entry['bbox'][2] * entry['bbox'][3], **entry}
        for entry in entries
    ]
    return replace(
        split, content=dict(split.content, annotations=new), file=None
    )


def _check_split(split: Split) -> GroundTruth:
    """Raise if a split cannot be trained on; return its ground truth."""
    content, name = split.content, split.name
    ground_truth = read_ground_truth(content, 'all', name=name)
    for key, what in (('images', 'image'), ('annotations', 'object')):
        if not content[key]:
            raise ValueError(
                f'{name}: expected at least one {what}, got an empty list '
                f'"{key}"; add some or name another file'
            )
    if ground_truth.image_sizes.min() < 1:
        first = int(ground_truth.image_sizes.min(1).argmin())
        raise ValueError(
            f'{name}: image {content["images"][first]["id"]} has no "width" '
            'and "height", which MMDetection needs; add them in pixels'
        )
    _check_boxes(ground_truth)
    _check_images(split)
    return ground_truth


def _check_boxes(truth: GroundTruth) -> None:
    """Warn of boxes that reach beyond their image; raise if many do."""
    is_beyond = reach_beyond(truth.box, truth.image_sizes[truth.image])
    count, total = int(is_beyond.sum()), len(truth.box)
    if not count:
        return
    first = is_beyond.argmax()
    height, width = truth.image_sizes[truth.image[first]]
    name = truth.file_names[truth.image[first]]
    text = (
        f'{truth.name}: {count} of {total} boxes reach beyond their image; '
        f'the first is {[round(x, 1) for x in truth.box[first].tolist()]} in '
        f'{printable(name)} of {width} x {height} pixels. "bbox" must be x, '
        'y, width, height in pixels'
    )
    if count > FEWEST_SHARE * total:
        raise ValueError(f'{text}; convert the boxes')
    warnings.warn(text, stacklevel=4)


def _check_images(split: Split) -> None:
    """Raise if an image has no name or does not exist."""
    names = [image.get('file_name') for image in split.content['images']]
    wrong = [name for name in names if not isinstance(name, str) or not name]
    if wrong:
        raise ValueError(
            f'{split.name}: expected a text as "file_name" of each image, got '
            f'{printable_value(wrong[0])}; add the names'
        )
    missing = [name for name in names if not (split.images / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f'{split.name}: {len(missing)} of {len(names)} images are not in '
            f'{split.images}; the first is {printable(missing[0])}. Name the '
            'folder that the "file_name" of each image is relative to with '
            '--images (--val-images for the validation)'
        )


def _check_disjoint(train: Split, val: Split) -> None:
    """Warn of images that both splits have."""
    known, names = _image_paths(train), _image_paths(val)
    count = sum(name in known for name in names)
    if count:
        warnings.warn(
            f'{val.name}: {count} of {len(names)} images of the validation '
            f'are images of the training too ({train.name}), so that its '
            'figures say little about new images; give other images with '
            '--val, or use --val-fraction 0.1 without --val',
            stacklevel=3,
        )


def _image_paths(split: Split) -> Set[str]:
    """Return the paths of the images of a split."""
    folder = os.path.realpath(split.images)
    return {
        os.path.normpath(os.path.join(folder, image['file_name']))
        for image in split.content['images']
    }


def _check_classes(train: Split, val: Split) -> Tuple[str, ...]:
    """Return the names of the classes; raise unless both splits have them.

    CocoDataset numbers classes in the order of each file.
    """
    names, others = (_class_names(split) for split in (train, val))
    if sorted(names) != sorted(others):
        raise ValueError(
            f'{val.name}: expected the categories of {train.name}, '
            f'{printable_list(names, 8)}, got {printable_list(others, 8)}; '
            'write the same list "categories" to both files'
        )
    if names != others:
        raise ValueError(
            f'{val.name}: expected the categories in the order of '
            f'{train.name}, {printable_list(names, 8)}, got '
            f'{printable_list(others, 8)}. MMDetection numbers classes in the '
            'order of each file; write the same list "categories" to both'
        )
    used = {entry['category_id'] for entry in train.content['annotations']}
    unused = [
        entry['name']
        for entry in train.content['categories']
        if entry['id'] not in used
    ]
    if unused:
        warnings.warn(
            f'{train.name}: no object of the class '
            f'{printable_list(unused, 8)}, which cannot be learned',
            stacklevel=3,
        )
    return tuple(names)


def _class_names(split: Split) -> List[Any]:
    """Return the names of the categories in the order of the file."""
    names: Sequence[Any] = [
        entry.get('name') for entry in split.content['categories']
    ]
    if not names:
        raise ValueError(
            f'{split.name}: expected at least one category, got an empty list '
            '"categories"; add the names of the classes'
        )
    for name in names:
        if (
            not isinstance(name, str)
            or not name.isprintable()
            or name != name.strip()
            or not name
        ):
            raise ValueError(
                f'{split.name}: expected names of classes as texts of '
                'printable characters without blanks at the ends, got '
                f'{printable_value(name)}; rename the class in "categories"'
            )
    repeated = [name for name, times in Counter(names).items() if times > 1]
    if repeated:
        raise ValueError(
            f'{split.name}: expected each name of a class once, got '
            f'{printable_list(repeated)} several times; give each category a '
            'name of its own, or merge them'
        )
    return list(names)
