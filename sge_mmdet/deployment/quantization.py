"""Quantisation of ONNX files to 8 bits with onnxruntime.

Convolutions and matrix products, which take nearly all of the time, are
quantised. The statistics and gate of SGE and the post-processing of boxes stay
in float32.
"""

import tempfile
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Optional, Tuple, Union

import numpy as np
import torch
from mmdet.structures.bbox import bbox_overlaps
from torch import Tensor

from ..utils import Writer
from ..utils.tables import Table
from .check import open_session, run_session
from .packages import require_package

MODES = ('dynamic', 'static')
Outputs = Dict[str, np.ndarray]
OPERATORS = ['Conv', 'Gemm', 'MatMul']


def quantize_onnx(
    file: Union[str, Path],
    out_file: Union[str, Path],
    mode: str,
    calibration: Iterable[Tensor] = (),
    overwrite: bool = False,
) -> None:
    """Write an ONNX file with 8-bit weights and activations.

    Args:
        file (str or Path): ONNX file in float32.
        out_file (str or Path): Quantised file to write.
        mode (str): Source of the ranges of activations: "dynamic" measures
            them in each run, "static" on calibration images.
        calibration (Iterable[Tensor]): Input batches for "static". Default:
            ().
        overwrite (bool): Whether to replace an existing file. Default:
            False.

    Raises:
        FileExistsError: If the file exists and ``overwrite`` is false, or if
            it is the file in float32.
        ImportError: If onnx or onnxruntime is not installed.
        OSError: If the file cannot be written.
        ValueError: If the mode is unknown, or "static" has no batches.
    """
    if mode not in MODES:
        raise ValueError(f'mode: expected {" or ".join(MODES)}, got {mode!r}')
    writer = Writer(overwrite, [file])
    writer.check(out_file)
    require_package('onnx')
    library = require_package('onnxruntime.quantization')
    batches = list(calibration)
    if mode == 'static' and not batches:
        raise ValueError(
            'Static quantisation needs images to measure ranges on; name a '
            'folder of them with --images'
        )
    with tempfile.TemporaryDirectory() as folder, writer.replacing(
        out_file
    ) as draft:
        folded = Path(folder, 'folded.onnx')
        # Folds norms into convolutions, so that both share one range.
        library.shape_inference.quant_pre_process(
            str(file), str(folded), skip_symbolic_shape=True
        )
        _quantize_folded(library, folded, draft.name, mode, batches)


def _quantize_folded(
    library: Any, folded: Path, target: str, mode: str, batches: List[Tensor]
) -> None:
    """Quantise a file whose norms are folded into its convolutions."""
    if mode == 'dynamic':
        library.quantize_dynamic(
            folded,
            target,
            op_types_to_quantize=OPERATORS,
            # onnxruntime's ConvInteger does not support signed weights.
            weight_type=library.QuantType.QUInt8,
        )
        return
    library.quantize_static(
        folded,
        target,
        _Batches(batches),
        op_types_to_quantize=OPERATORS,
        per_channel=True,
        # Products of 8-bit values overflow on CPUs without VNNI.
        reduce_range=True,
    )


def agreement_table(
    file: Union[str, Path],
    quantized: Union[str, Path],
    batches: Iterable[Tensor],
    score: float = 0.3,
) -> Table:
    """Compare the outputs of two files for the same images.

    Args:
        file (str or Path): ONNX file in float32.
        quantized (str or Path): Quantised ONNX file.
        batches (Iterable[Tensor]): Input batches.
        score (float): Lowest score of the detections that are compared.
            Default: 0.3.

    Returns:
        Table: For feature maps, the cosine similarity and the relative error
        of each output. For detections, their number, the number that the
        quantised file found again (same label and an IoU of at least 0.5),
        and the mean absolute difference of the scores.
    """
    a, b = open_session(file), open_session(quantized)
    pairs = (
        (run_session(a, batch), run_session(b, batch)) for batch in batches
    )
    is_map = 'boxes' not in [output.name for output in a.get_outputs()]
    return _compare_maps(pairs) if is_map else _compare_boxes(pairs, score)


def disagreements(agreement: Table) -> List[str]:
    """Describe differences that are too large for quantisation.

    Args:
        agreement (Table): Result of :func:`agreement_table`.

    Returns:
        list[str]: Descriptions of outputs with a cosine below 0.9, or of fewer
        than half of the detections being found again.
    """
    rows: Any = agreement.rows
    if agreement.header[0] == 'output':
        return [
            f'{name} differs too much in 8 bits: expected a cosine of at '
            f'least 0.9, got {cosine:.3f}'
            for name, cosine, _ in rows
            if not cosine >= 0.9
        ]
    return [
        'Expected the file in 8 bits to find at least half of the '
        f'detections again, got {again} of {number}'
        for number, again, _ in rows
        if again < number / 2
    ]


def _compare_maps(pairs: Iterable[Tuple[Outputs, Outputs]]) -> Table:
    sums: Dict[str, np.ndarray] = {}
    for plain, quantized in pairs:
        for name, array in plain.items():
            x, y = array.astype(np.float64), quantized[name]
            terms = (x * x).sum(), (x * y).sum(), (y * y).sum()
            sums[name] = np.add(sums.get(name, 0.0), terms)
    return Table(
        ('output', 'cosine', 'relative error'),
        [
            (
                name,
                float(xy / np.sqrt(xx * yy)),
                float(np.sqrt(max(xx - 2 * xy + yy, 0.0) / xx)),
            )
            for name, (xx, xy, yy) in sums.items()
        ],
    )


def _compare_boxes(
    pairs: Iterable[Tuple[Outputs, Outputs]], score: float
) -> Table:
    number, changes = 0, []
    for plain, quantized in pairs:
        keep = plain['scores'] >= score
        number += int(keep.sum())
        overlap = bbox_overlaps(
            *(
                torch.from_numpy(boxes)
                for boxes in (plain['boxes'][keep], quantized['boxes'])
            )
        ).numpy()
        for name in ('labels', 'images'):
            overlap[plain[name][keep][:, None] != quantized[name]] = 0
        rows, columns = np.nonzero(overlap >= 0.5)
        # The overlapping box with the highest score comes last and is kept.
        order = np.argsort(quantized['scores'][columns], kind='stable')
        best = dict(zip(rows[order], quantized['scores'][columns[order]]))
        changes += [
            abs(plain['scores'][keep][row] - found)
            for row, found in best.items()
        ]
    return Table(
        ('detections', 'found again', 'change of score'),
        [(number, len(changes), float(np.mean(changes)) if changes else None)],
    )


class _Batches:
    """Data reader of onnxruntime for calibration images."""

    def __init__(self, batches: List[Tensor]) -> None:
        self.batches: Iterator[Tensor] = iter(batches)

    def get_next(self) -> Optional[dict]:
        """Return the next batch, or None after the last."""
        batch = next(self.batches, None)
        return None if batch is None else {'image': batch.numpy()}
