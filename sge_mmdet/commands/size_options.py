"""Options that the commands about object sizes share."""

import argparse
from pathlib import Path
from typing import List, Optional, Sequence, Tuple, Union

from ..engine import read_classes
from ..evaluation import (
    Detections,
    GroundTruth,
    read_detections,
    read_ground_truth,
)
from ..evaluation.bins import SizeBin, find_protocol, parse_size_bins
from ..evaluation.image_groups import with_groups
from ..evaluation.settings import check_max_dets
from ..evaluation.tiles import Merging, merge_tiles, read_tiles
from ..utils import load_json, printable


def add_size_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of sizes, metric and detections to a parser."""
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
        '--max-dets',
        type=int,
        help='largest number of detections that count in an image, for each '
        'class; default: 100 as in COCO, or 1500 with --size-bins aitod',
    )
    parser.add_argument(
        '--area',
        default='annotation',
        choices=('annotation', 'box'),
        help='area that gives the size of an object: the annotated area, as '
        'in COCO, or the area of its box; default: annotation',
    )


def find_max_dets(args: argparse.Namespace) -> int:
    """Return the largest number of detections per image and class.

    Args:
        args (argparse.Namespace): Parsed options.

    Raises:
        ValueError: If it is not 1 or more.
    """
    if args.max_dets is None:
        return find_protocol(args.size_bins).max_dets
    return check_max_dets(args.max_dets)


def add_class_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--classes`` to a parser."""
    parser.add_argument(
        '--classes',
        nargs='+',
        metavar='NAME|CONFIG|CHECKPOINT',
        help='classes of the detector: their names in the order of its '
        'labels, or a config or checkpoint that names them, or all for all '
        'categories of the ground truth; categories that are not among them '
        'are not evaluated; default: all categories, or the classes of CONFIG',
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


def add_tile_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--merge-tiles`` and ``--tile-merging`` to a parser."""
    parser.add_argument(
        '--merge-tiles',
        nargs='+',
        metavar='FILE [PATTERN]',
        help='the results are of tiles, which are merged into the images of '
        'the ground truth: JSON file whose "images" are the tiles; their '
        'places come from "source", "x" and "y" of each entry, or from the '
        'file names: NAME_X_Y, the names of SAHI or those of DOTA, or a '
        'regular expression with groups (?P<name>...), (?P<x>...) and '
        '(?P<y>...)',
    )
    parser.add_argument(
        '--tile-merging',
        nargs=3,
        metavar=('nmm|nms', 'ios|iou', 'THRESHOLD'),
        default=Merging(),
        help='how detections of a class are merged: greedy non-maximum '
        'merging or suppression, from an intersection over the smaller box '
        'or over the union on; default: nmm ios 0.5, as SAHI does',
    )


def read_results(
    path: Union[str, Path],
    ground_truth: GroundTruth,
    args: argparse.Namespace,
) -> Detections:
    """Read results, merged from tiles if the options say so.

    Args:
        path (str or Path): Result file.
        ground_truth (GroundTruth): The ground truth.
        args (argparse.Namespace): Parsed options.

    Raises:
        OSError, RuntimeError or ValueError: In the same cases as
            :func:`read_detections`, :func:`read_tiles` and
            :func:`merge_tiles`.
    """
    if not args.merge_tiles:
        return read_detections(path, ground_truth, args.metric)
    if len(args.merge_tiles) > 2:
        raise ValueError(
            'expected --merge-tiles to be followed by a JSON file and at most '
            f'one pattern, got {len(args.merge_tiles)} words'
        )
    method, overlap, threshold = args.tile_merging
    try:
        merging = Merging(method, overlap, float(threshold))
    except ValueError as error:
        raise ValueError(
            'expected the threshold of --tile-merging to be a number, got '
            f'{printable(threshold)!r}'
        ) from error
    tiles = read_tiles(
        args.merge_tiles[0], ground_truth, *args.merge_tiles[1:]
    )
    detections = read_detections(path, tiles.ground_truth, args.metric)
    return merge_tiles(tiles, detections, merging)


def tile_files(args: argparse.Namespace) -> List[str]:
    """Return the file that ``--merge-tiles`` names, which is an input.

    Args:
        args (argparse.Namespace): Parsed options.
    """
    return (args.merge_tiles or [])[:1]


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
    classes: Optional[Union[str, Sequence[str]]] = None,
) -> Tuple[GroundTruth, List[SizeBin]]:
    """Read ground truth with the options of this module.

    Args:
        path (str or Path): Annotation file in COCO's format.
        args (argparse.Namespace): Parsed options.
        classes (Sequence[str], optional): Names of the classes to evaluate
            unless ``--classes`` names them. Default: None, all classes of the
            file.

    Returns:
        tuple[GroundTruth, list[SizeBin]]: Ground truth and size bins.

    Raises:
        OSError, RuntimeError or ValueError: In the same cases as
            :func:`read_ground_truth`, :func:`read_classes`,
            :func:`parse_size_bins` and :func:`with_groups`.
    """
    bins = parse_size_bins(args.size_bins)
    words = getattr(args, 'classes', None)
    group_by = getattr(args, 'group_by', None)
    # Groups need the content too, so that the file is read once for both.
    source = load_json(path) if group_by else path
    in_label_order = False
    if words == ['all']:
        classes = 'all'
    elif words:
        named = read_classes(words[0]) if len(words) == 1 else None
        # The labels of CocoDataset follow the file, whatever the order in
        # the config.
        classes, in_label_order = named or words, not named
    ground_truth = read_ground_truth(
        source, classes, in_label_order, name=str(path)
    )
    if group_by:
        ground_truth = with_groups(ground_truth, group_by, source)
    return (
        ground_truth.with_box_areas() if args.area == 'box' else ground_truth,
        bins,
    )
