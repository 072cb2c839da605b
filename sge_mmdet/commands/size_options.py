"""Options that the commands about object sizes share."""

import argparse
from pathlib import Path
from typing import List, Optional, Sequence, Tuple, Union

from ..evaluation import GroundTruth, read_ground_truth
from ..evaluation.bins import SizeBin, parse_size_bins
from ..evaluation.image_groups import with_groups


def add_size_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--metric``, ``--size-bins`` and ``--area`` to a parser."""
    parser.add_argument(
        '--metric',
        default='bbox',
        choices=('bbox', 'segm'),
        help='evaluate boxes or masks; default: bbox',
    )
    parser.add_argument(
        '--size-bins',
        nargs='+',
        default=['coco'],
        help='bins of object sizes: coco, aitod, or limits of sqrt(area) in '
        'pixels such as 0 8 16 32 inf; default: coco',
    )
    parser.add_argument(
        '--area',
        default='annotation',
        choices=('annotation', 'box'),
        help='area that gives the size of an object: the annotated area, as '
        'in COCO, or the area of its box; default: annotation',
    )


def add_group_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--group-by`` to a parser."""
    parser.add_argument(
        '--group-by',
        metavar='KEY, PATTERN or FILE',
        help='groups of images that are resampled as wholes, such as videos, '
        'scenes or source images: a key of the entries of "images"; a regular '
        "expression on file names such as '(.*)_[0-9]+[.]jpg', whose part in "
        'parentheses is the group; or a JSON file that maps file names or '
        'image ids to groups; default: each image stands for itself',
    )


def group_files(args: argparse.Namespace) -> List[str]:
    """Return the file that ``--group-by`` names, which is an input.

    Args:
        args (argparse.Namespace): Parsed options.
    """
    is_file = bool(args.group_by) and args.group_by.endswith('.json')
    return [args.group_by] if is_file else []


def read_sized_ground_truth(
    path: Union[str, Path],
    args: argparse.Namespace,
    classes: Optional[Sequence[str]] = None,
) -> Tuple[GroundTruth, List[SizeBin]]:
    """Read ground truth with the options of this module.

    Args:
        path (str or Path): Annotation file in COCO's format.
        args (argparse.Namespace): Parsed options.
        classes (Sequence[str], optional): Names of the classes to evaluate.
            Default: None, all classes of the file.

    Returns:
        tuple[GroundTruth, list[SizeBin]]: Ground truth and size bins.

    Raises:
        OSError or ValueError: In the same cases as :func:`read_ground_truth`,
            :func:`parse_size_bins` and :func:`with_groups`.
    """
    bins = parse_size_bins(args.size_bins)
    ground_truth = read_ground_truth(path, classes)
    if getattr(args, 'group_by', None):
        ground_truth = with_groups(ground_truth, args.group_by, path)
    return (
        ground_truth.with_box_areas() if args.area == 'box' else ground_truth,
        bins,
    )
