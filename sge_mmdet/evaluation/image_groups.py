"""Groups of images that belong together: videos, scenes, or source images.

Frames of a video and tiles of an image are alike. Resampling them one by one
takes them for independent images, and the intervals become too narrow. Groups
are therefore resampled as wholes.
"""

import posixpath
import re
import warnings
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, List, Mapping, Sequence, Union

import numpy as np

from ..utils import load_json, printable, printable_list
from ..utils.text import printable_value
from .structures import GroundTruth

# The last number in the name of a file, such as the frame of a video, or the
# last two, such as the place of a tile. Text without digits may follow.
LAST_NUMBERS = (
    re.compile(r'\d+(?=\D*$)'),
    re.compile(r'\d+\D+\d+(?=\D*$)'),
)
# Fewest images of a source, on average, for a warning.
FEWEST_OF_A_SOURCE = 2


def with_groups(
    ground_truth: GroundTruth,
    group_by: str,
    annotations: Union[str, Path, dict],
) -> GroundTruth:
    """Return the ground truth with groups of images.

    Args:
        ground_truth (GroundTruth): The ground truth.
        group_by (str): A key of the entries of "images", such as "video_id";
            a regular expression on the file names with a group in
            parentheses, such as ``"(.*)_[0-9]+[.]jpg"``; or a JSON file that
            maps each file name or image id to a group.
        annotations (str, Path or dict): Annotation file that the ground truth
            was read from, or its content.

    Returns:
        GroundTruth: A copy with ``groups``.

    Raises:
        FileNotFoundError: If the JSON file does not exist.
        ValueError: If an image has no group, or all images have the same one.
    """
    if group_by.endswith('.json'):
        names = _from_mapping(ground_truth, load_json(group_by), group_by)
    elif '(' in group_by:
        names = _from_pattern(ground_truth.file_names, group_by)
    else:
        names = _from_key(ground_truth, annotations, group_by)
    groups = np.unique(names, return_inverse=True)[1].reshape(-1)
    if len(names) and not groups.any():
        raise ValueError(
            f'--group-by {printable(group_by)} puts all {len(names)} images '
            f'into one group, {printable(names[0])}; at least two groups are '
            'needed to resample them'
        )
    return replace(ground_truth, groups=groups)


def warn_of_sources(ground_truth: GroundTruth) -> None:
    """Warn if images look like frames or tiles and have no groups.

    Args:
        ground_truth (GroundTruth): The ground truth.
    """
    if ground_truth.groups is not None:
        return
    names = ground_truth.file_names
    for pattern in LAST_NUMBERS:
        distinct = sorted({_source(name, pattern) for name in names})
        if 1 < len(distinct) <= len(names) / FEWEST_OF_A_SOURCE:
            warnings.warn(
                f'{ground_truth.name}: the file names look like frames or '
                f'tiles of {len(distinct)} sources, such as '
                f'{printable(distinct[0])}; if they are, give --group-by, '
                'because intervals that take them for independent images are '
                'too narrow',
                stacklevel=2,
            )
            return


def _source(file_name: str, pattern: 're.Pattern[str]') -> str:
    """Return a file's path without the last number or numbers in its name."""
    folder, name = posixpath.split(file_name.replace('\\', '/'))
    stem, _ = posixpath.splitext(name)
    return posixpath.join(_normal(folder), pattern.sub('*', stem))


@lru_cache(maxsize=1000)
def _normal(folder: str) -> str:
    """Return a folder without "." and "..", which several paths can name."""
    return posixpath.normpath(folder)


def _from_mapping(
    ground_truth: GroundTruth, groups: Any, name: str
) -> List[str]:
    """Return the group of each image in a JSON file's content."""
    if not isinstance(groups, Mapping):
        raise ValueError(
            f'{printable(name)}: expected an object that maps each file name '
            f'or image id to a group, got {printable_value(groups)}'
        )
    ids = ground_truth.text_ids.image_texts(ground_truth.image_ids.tolist())
    found = [
        groups.get(file, groups.get(str(id)))
        for file, id in zip(ground_truth.file_names, ids)
    ]
    _check_complete(found, ground_truth.file_names, ids, printable(name))
    return [str(group) for group in found]


def _from_pattern(file_names: Sequence[str], pattern: str) -> List[str]:
    """Return what a regular expression captures in each file name."""
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(
            f'--group-by {printable(pattern)} is not a valid regular '
            f'expression: {error}'
        ) from error
    if not compiled.groups:
        raise ValueError(
            f'--group-by {printable(pattern)} has no group in parentheses; '
            'put the part that names the source into parentheses, such as '
            "'(.*)_[0-9]+[.]jpg'"
        )
    found = [compiled.search(name) for name in file_names]
    lacking = [name for name, one in zip(file_names, found) if not one]
    if lacking:
        raise ValueError(
            f'--group-by {printable(pattern)} does not match '
            f'{len(lacking)} of {len(file_names)} file names, such as '
            f'{printable(lacking[0])!r}'
        )
    return [repr(one.groups()) for one in found if one]


def _from_key(
    ground_truth: GroundTruth,
    annotations: Union[str, Path, dict],
    key: str,
) -> List[str]:
    """Return the value of a key in each entry of "images"."""
    data = (
        annotations
        if isinstance(annotations, dict)
        else load_json(annotations)
    )
    entries = data['images']
    found = [entry.get(key) for entry in entries]
    keys = sorted({*entries[0]} if entries else ())
    _check_complete(
        found,
        ground_truth.file_names,
        ground_truth.text_ids.image_texts(ground_truth.image_ids.tolist()),
        f'--group-by {printable(key)}, among the keys of "images" '
        f'({printable_list(keys, 8)}),',
    )
    return [repr(group) for group in found]


def _check_complete(
    found: Sequence[Any],
    file_names: Sequence[str],
    ids: Sequence[Any],
    what: str,
) -> None:
    """Raise if an image has no group.

    Args:
        found (Sequence): Group of each image, or None.
        file_names (Sequence[str]): File names of the images.
        ids (Sequence): Ids of the images.
        what (str): Where the groups come from, for the message.
    """
    lacking = [i for i, group in enumerate(found) if group is None]
    if lacking:
        first = lacking[0]
        raise ValueError(
            f'{what} has no group for {len(lacking)} of {len(found)} images, '
            f'such as {printable(file_names[first])!r} '
            f'(id {printable(ids[first])}); name a key that all images have, '
            'a regular expression with parentheses, or a JSON file that ends '
            'in .json'
        )
