"""Options that the commands about object sizes share."""

import argparse
from pathlib import Path
from typing import List, Optional, Sequence, Tuple, Union

from ..evaluation import GroundTruth, read_ground_truth
from ..evaluation.bins import SizeBin, parse_size_bins


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


def read_sized_ground_truth(
    path: Union[str, Path],
    args: argparse.Namespace,
    classes: Optional[Sequence[str]] = None,
) -> Tuple[GroundTruth, List[SizeBin]]:
    """Read ground truth with the options of :func:`add_size_options`.

    Args:
        path (str or Path): Annotation file in COCO's format.
        args (argparse.Namespace): Parsed options.
        classes (Sequence[str], optional): Names of the classes to evaluate.
            Default: None, all classes of the file.

    Returns:
        tuple[GroundTruth, list[SizeBin]]: Ground truth and size bins.

    Raises:
        OSError or ValueError: In the same cases as :func:`read_ground_truth`
            and :func:`parse_size_bins`.
    """
    bins = parse_size_bins(args.size_bins)
    ground_truth = read_ground_truth(path, classes)
    return (
        ground_truth.with_box_areas() if args.area == 'box' else ground_truth,
        bins,
    )
