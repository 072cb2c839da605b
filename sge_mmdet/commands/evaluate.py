"""The command ``sge-mmdet evaluate``, once its arguments are parsed."""

import argparse
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Tuple

from ..evaluation import (
    Detections,
    EvaluationResult,
    GroundTruth,
    class_table,
    diagnose_detections,
)
from ..evaluation.pictures import drawing
from ..evaluation.protocols import Protocol
from ..evaluation.report import report_evaluation
from ..evaluation.report_files import PAGE, names_of_files
from ..evaluation.result_files import DetectionFiles
from ..utils import Writer
from ..utils.detector_files import CHECKPOINTS
from ..utils.terminal import step_bar
from .common import reported_errors
from .size_options import (
    check_report_options,
    check_score,
    choose_protocol,
    read_results,
    read_sized_ground_truth,
    tile_files,
)

# As COCO, whose annotations all have one.
AREAS = 'annotations, or of their boxes where they have none'


@reported_errors()
def run(options: argparse.Namespace) -> None:
    """Print the tables; write the report to ``--out-dir``."""
    writer = Writer(
        options.overwrite,
        [options.ground_truth, options.results, *tile_files(options)],
        renews=True,
    )
    check_report_options(options)
    if options.out_dir:
        names = names_of_files(options.diagnose)
        writer.check(*(options.out_dir / name for name in names))
    protocol = choose_protocol(options)
    files = _find_files(options, writer)
    # Before the evaluation, so that the process that draws is ready after it.
    with drawing() if options.out_dir else nullcontext() as draws:
        evaluated = _evaluate(files, options, protocol)
        ground_truth, detections, result = evaluated
        print(result)
        if options.classwise:
            print(f'\n{class_table(result).text()}')
        if options.diagnose:
            print(f'\n{result.diagnostics}')
        text = _describe(ground_truth, detections, protocol, options.area)
        print(f'\n{text}')
        if draws:
            report = report_evaluation(
                *evaluated,
                options.metric,
                options.score,
                options.engine,
                Path(options.results).name,
                draws,
            )
            inputs = [*writer.inputs, files.ground_truth]
            report.write(
                options.out_dir,
                files.images,
                replace(writer, inputs=inputs),
                options.report_size,
            )
            page = options.out_dir / PAGE
            print(f'written to {options.out_dir}; look at {page}')


def _evaluate(
    files: DetectionFiles, options: argparse.Namespace, protocol: Protocol
) -> Tuple[GroundTruth, Detections, EvaluationResult]:
    """Read and evaluate the files, with diagnostics if asked for."""
    metric = options.metric
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
        check_score(options.score, [detections])
        evaluated = protocol.prepare(ground_truth, detections, metric)
        result = step(protocol.evaluate, *evaluated, metric, options.engine)
        if options.diagnose:
            diagnostics = step(
                diagnose_detections, *evaluated, bins, metric, protocol.counted
            )
            result = replace(result, diagnostics=diagnostics)
    return (*evaluated, result)


def _describe(
    ground_truth: GroundTruth,
    detections: Detections,
    protocol: Protocol,
    area: str,
) -> str:
    """Return what was evaluated and how, in a sentence."""
    return (
        f'{len(detections.image)} detections in '
        f'{len(set(detections.image.tolist()))} of '
        f'{len(ground_truth.image_ids)} images, at most {protocol.counted} '
        f'{protocol.counted_of} counted; areas of '
        f'{"boxes" if area == "box" else AREAS}; '
        'an object on the limit of two sizes is in both'
    )


def _find_files(options: argparse.Namespace, writer: Writer) -> DetectionFiles:
    """Return the files of the arguments, or run the detector to get them."""
    if options.ground_truth.endswith(CHECKPOINTS):
        raise ValueError(
            'expected a config and then a checkpoint, got '
            f'{options.ground_truth} and then {options.results}; swap them'
        )
    if not options.ground_truth.endswith('.py'):
        return DetectionFiles(
            Path(options.ground_truth), options.images, Path(options.results)
        )
    if options.merge_tiles:
        raise ValueError(
            '--merge-tiles needs ground truth of the source images: give it '
            'and a result file in place of a config and a checkpoint'
        )
    from ..engine import detect

    default = Path('work_dirs', Path(options.ground_truth).stem)
    return detect(
        options.ground_truth,
        options.results,
        options.out_dir or default,
        options.metric,
        writer,
    )
