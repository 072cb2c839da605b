"""Evaluate detections by object size.

Give ground truth and a result file, or a config and a checkpoint. A result
file is JSON in COCO's result format or the pickle of tools/test.py --out. With
a config and a checkpoint, the detector is first run on the config's test data.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Optional, Sequence, Tuple

from ..engine import DetectionFiles, detect
from ..evaluation import (
    Detections,
    EvaluationResult,
    GroundTruth,
    class_table,
    diagnose_detections,
    evaluate,
    size_table,
)
from ..evaluation.bins import find_protocol
from ..evaluation.report import names_of_files, report_evaluation
from ..utils import Writer
from ..utils.terminal import step_bar
from .common import add_overwrite_option, create_parser, reported_errors
from .size_options import (
    add_class_option,
    add_size_options,
    add_tile_options,
    find_max_dets,
    read_results,
    read_sized_ground_truth,
    tile_files,
)


def parse_args(args: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Return the options."""
    parser = create_parser('evaluate', __doc__, args)
    parser.add_argument(
        'ground_truth',
        metavar='GROUND_TRUTH|CONFIG',
        help='ground truth in COCO format, or config of a detector',
    )
    parser.add_argument(
        'results',
        metavar='RESULTS|CHECKPOINT',
        help='result file, or checkpoint of the detector',
    )
    add_size_options(parser)
    add_class_option(parser)
    add_tile_options(parser)
    parser.add_argument(
        '--engine',
        choices=('hotcoco', 'pycocotools'),
        help='library that computes AP; default: hotcoco if it is installed, '
        'else pycocotools',
    )
    parser.add_argument(
        '--classwise',
        action='store_true',
        help='also print a table of the classes',
    )
    _add_report_options(parser)
    add_overwrite_option(parser, renews=True)
    return parser.parse_args(args)


def _add_report_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of diagnostics and of the report."""
    parser.add_argument(
        '--diagnose',
        action='store_true',
        help='also print, and write to --out-dir, by object size: the score '
        'with the highest F1 and recalls at numbers of false positives per '
        'image, what each kind of error costs in AP50, how right the scores '
        'are, and which classes are confused',
    )
    parser.add_argument(
        '--images',
        type=Path,
        help='folder of the images; with --out-dir, missed objects are drawn '
        'on them',
    )
    parser.add_argument(
        '--score',
        type=float,
        help='lowest score of the detections in the breakdown of errors; '
        'default: the score with the highest F1',
    )
    parser.add_argument(
        '--out-dir',
        type=Path,
        help='folder to write tables and pictures to; default: none',
    )


@reported_errors()
def main(args: Optional[Sequence[str]] = None) -> None:
    """Print the tables; write the report to ``--out-dir``."""
    options = parse_args(args)
    writer = Writer(
        options.overwrite,
        [options.ground_truth, options.results, *tile_files(options)],
        renews=True,
    )
    if options.out_dir:
        names = names_of_files(options.diagnose)
        writer.check(*(options.out_dir / name for name in names))
    max_dets = find_max_dets(options)
    files = _find_files(options, writer)
    ground_truth, detections, result = _evaluate(files, options, max_dets)
    print(size_table(result).text())
    if options.classwise:
        print(f'\n{class_table(result).text()}')
    if options.diagnose:
        print(f'\n{result.diagnostics}')
    print(f'\n{_describe(ground_truth, detections, max_dets, options.area)}')
    if options.out_dir:
        writer = replace(writer, inputs=[*writer.inputs, files.ground_truth])
        report_evaluation(
            ground_truth,
            detections,
            result,
            options.metric,
            options.score,
            options.engine,
        ).write(options.out_dir, files.images, writer)
        print(f'written to {options.out_dir}')


def _evaluate(
    files: DetectionFiles, options: argparse.Namespace, max_dets: int
) -> Tuple[GroundTruth, Detections, EvaluationResult]:
    """Read and evaluate the files, with diagnostics if asked for."""
    steps = ['ground truth', 'results', 'evaluation']
    if options.diagnose:
        steps.append('diagnostics')
    with step_bar(steps) as step:
        ground_truth, bins = step(
            read_sized_ground_truth,
            files.ground_truth,
            options,
            files.classes,
        )
        detections = step(read_results, files.results, ground_truth, options)
        evaluated = ground_truth, detections
        result = step(
            evaluate,
            *evaluated,
            bins,
            options.metric,
            max_dets=(max_dets,),
            engine=options.engine,
            extra_thresholds=find_protocol(options.size_bins).extra_thresholds,
        )
        if options.diagnose:
            diagnostics = step(
                diagnose_detections, *evaluated, bins, options.metric, max_dets
            )
            result = replace(result, diagnostics=diagnostics)
    return ground_truth, detections, result


def _describe(
    ground_truth: GroundTruth, detections: Detections, max_dets: int, area: str
) -> str:
    """Return what was evaluated and how, in a sentence."""
    return (
        f'{len(detections.image)} detections in '
        f'{len(set(detections.image.tolist()))} of '
        f'{len(ground_truth.image_ids)} images, at most {max_dets} an image '
        'and class counted; areas of '
        f'{"boxes" if area == "box" else "annotations, as COCO"}; '
        'an object on the limit of two sizes is in both'
    )


def _find_files(options: argparse.Namespace, writer: Writer) -> DetectionFiles:
    """Return the files of the arguments, or run the detector to get them."""
    if not options.ground_truth.endswith('.py'):
        return DetectionFiles(
            Path(options.ground_truth), options.images, Path(options.results)
        )
    if options.merge_tiles:
        raise ValueError(
            '--merge-tiles needs ground truth of the source images: give it '
            'and a result file in place of a config and a checkpoint'
        )
    default = Path('work_dirs', Path(options.ground_truth).stem)
    return detect(
        options.ground_truth,
        options.results,
        options.out_dir or default,
        options.metric,
        writer,
    )
