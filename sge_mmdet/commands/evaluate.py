"""The command ``sge-mmdet evaluate``, once its arguments are parsed."""

import argparse
from dataclasses import replace
from pathlib import Path

from ..engine import DetectionFiles, detect
from ..evaluation import (
    Detections,
    GroundTruth,
    class_table,
    read_detections,
)
from ..evaluation.report import (
    EVALUATION_FILES,
    PAGE,
    report_evaluation,
)
from ..utils import Writer
from ..utils.terminal import step_bar
from .common import reported_errors
from .size_options import (
    choose_protocol,
    read_sized_ground_truth,
)


@reported_errors()
def run(options: argparse.Namespace) -> None:
    """Print the tables; write the report to ``--out-dir``."""
    writer = Writer(
        options.overwrite, [options.ground_truth, options.results], renews=True
    )
    if options.out_dir:
        writer.check(*(options.out_dir / name for name in EVALUATION_FILES))
    protocol = choose_protocol(options)
    files = _find_files(options, writer)
    with step_bar(['ground truth', 'results', 'evaluation']) as step:
        ground_truth, _ = step(
            read_sized_ground_truth,
            files.ground_truth,
            options,
            files.classes,
        )
        detections = step(
            read_detections, files.results, ground_truth, options.metric
        )
        evaluated = protocol.prepare(ground_truth, detections, options.metric)
        result = step(
            protocol.evaluate, *evaluated, options.metric, options.engine
        )
    print(result)
    if options.classwise:
        print(f'\n{class_table(result).text()}')
    print(f'\n{_describe(*evaluated, protocol.counted, options.area)}')
    if options.out_dir:
        writer = replace(writer, inputs=[*writer.inputs, files.ground_truth])
        report_evaluation(
            *evaluated,
            result,
            options.metric,
            options.score,
            options.engine,
            Path(options.results).name,
        ).write(options.out_dir, files.images, writer)
        print(
            f'written to {options.out_dir}; look at {options.out_dir / PAGE}'
        )


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
    default = Path('work_dirs', Path(options.ground_truth).stem)
    return detect(
        options.ground_truth,
        options.results,
        options.out_dir or default,
        options.metric,
        writer,
    )
