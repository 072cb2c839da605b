"""The command ``sge-mmdet export-onnx``, once its arguments are parsed."""

import argparse

from ..deployment import TOLERANCE, check_table, disagreements
from ..deployment.checked_export import (
    ExportOptions,
    export_checked_onnx,
    quantize_export,
    quantized_file,
)
from ..utils.terminal import print_note
from .common import (
    exit_at_failures,
    reported_errors,
)


@reported_errors()
def run(options: argparse.Namespace) -> None:
    """Export, check and, with ``--quantize``, quantise."""
    arguments = vars(options)
    config, checkpoint, out = (
        arguments.pop(name) for name in ('config', 'checkpoint', 'out')
    )
    arguments['size'] = tuple(arguments['size'])
    export_options = ExportOptions(**arguments)
    export = export_checked_onnx(config, checkpoint, out, export_options)
    print(check_table(export.checks).text(), flush=True)
    if not export.agrees:
        exit_at_failures(
            [
                'the file differs from MMDetection by more than '
                f'{TOLERANCE}; it is kept as {export.file}'
            ]
        )
    print(export.file)
    if not export.is_compared:
        print_note(
            'some images had no detections, so that nothing was compared '
            'there; name images like those of the training with --images'
        )
    if export_options.quantize:
        agreement = quantize_export(export, export_options)
        print(f'{agreement.text()}\n{quantized_file(out)}')
        exit_at_failures(disagreements(agreement))
