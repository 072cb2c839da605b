"""Ground truth and limits by the options about object sizes."""

import argparse
import math
from pathlib import Path
from typing import List, Optional, Sequence, Tuple, Union

from ..evaluation import (
    Detections,
    GroundTruth,
    read_detections,
    read_ground_truth,
)
from ..evaluation.bins import SizeBin, parse_size_bins
from ..evaluation.image_groups import with_groups
from ..evaluation.protocols import Protocol, find_protocol
from ..evaluation.settings import check_max_dets
from ..evaluation.tiles import Merging, merge_tiles, read_tiles
from ..utils import load_json, printable
from ..utils.detector_files import is_of_detector


def check_report_options(args: argparse.Namespace) -> None:
    """Raise if options of a report have no report, or no effect on it.

    Args:
        args (argparse.Namespace): Parsed options.

    Raises:
        ValueError: If there are images but no ``--out-dir``.
        FileNotFoundError: If there is no such folder of images.
    """
    if args.images and not args.out_dir:
        raise ValueError(
            '--images is of use with --out-dir alone, the folder to write '
            'pictures to'
        )
    if args.images and not args.images.is_dir():
        raise FileNotFoundError(f'There is no folder {args.images} (--images)')


def check_score(score: Optional[float], results: Sequence[Detections]) -> None:
    """Raise if no detection has a score as high as that of ``--score``.

    Args:
        score (float, optional): Value of the option. None is fine, and so is
            a score up to 1.
        results (Sequence[Detections]): Detections of all results.

    Raises:
        ValueError: If the score is above 1 and above all of theirs.
    """
    scores = [float(one.score.max()) for one in results if len(one.score)]
    # Without detections no score would have an effect.
    highest = max(scores, default=math.inf)
    if score is not None and score > max(highest, 1):
        raise ValueError(
            f'--score {score:g}: the highest score of a detection is '
            f'{highest:.3g}; give a lower one, such as 0.3'
        )


def choose_protocol(args: argparse.Namespace) -> Protocol:
    """Return the protocol with the sizes and detections of the options.

    Args:
        args (argparse.Namespace): Parsed options.

    Raises:
        ValueError: If the sizes or the number of detections are wrong.
    """
    words = args.size_bins
    return find_protocol(getattr(args, 'protocol', None), words).with_options(
        parse_size_bins(words) if words else None,
        None if args.max_dets is None else check_max_dets(args.max_dets),
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
    merging = Merging()
    if args.tile_merging:
        method, overlap, threshold = args.tile_merging
        merging = Merging(method, overlap, _as_threshold(threshold))
    tiles = read_tiles(
        args.merge_tiles[0], ground_truth, *args.merge_tiles[1:]
    )
    detections = read_detections(path, tiles.ground_truth, args.metric)
    return merge_tiles(tiles, detections, merging)


def _as_threshold(word: str) -> float:
    try:
        return float(word)
    except ValueError as error:
        raise ValueError(
            'expected the threshold of --tile-merging to be a number, got '
            f'{printable(word)!r}'
        ) from error


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
    """Read ground truth with the options about object sizes.

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
    bins = list(choose_protocol(args).bins)
    words = getattr(args, 'classes', None)
    group_by = getattr(args, 'group_by', None)
    # Groups need the content too, so that the file is read once for both.
    source = load_json(path) if group_by else path
    in_label_order = False
    if words == ['all']:
        classes = 'all'
    elif words:
        named = None
        if len(words) == 1 and is_of_detector(words[0]):
            from ..engine import read_classes

            named = read_classes(words[0])
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
