"""ONNX files in 8 bits, by onnxruntime.

Convolutions and matrix products are quantised, which hold nearly all of the
time; SGE's statistics and its gate stay in float32, and so does the choice of
boxes.
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
    """Write an ONNX file with weights and activations of 8 bits.

    Args:
        file (str or Path): The file in float32.
        out_file (str or Path): Where the quantised one goes.
        mode (str): "dynamic", where ranges of activations are measured at
            each run; "static", where they are those of calibration images.
        calibration (Iterable[Tensor]): Batches as the file takes them; for
            "static" alone. Default: none.
        overwrite (bool): Whether to replace an existing file. Default:
            False.

    Raises:
        FileExistsError: If the file is there and not to be replaced, or is
            the one in float32.
        ImportError: If onnx or onnxruntime is not installed.
        OSError: If the file cannot be written.
        ValueError: If there is no such mode, or "static" has no batches.
    """
    if mode not in MODES:
        raise ValueError(f'Quantisation is {" or ".join(MODES)}, got {mode!r}')
    writer = Writer(overwrite, [file])
    writer.check(out_file)
    require_package('onnx')
    library = require_package('onnxruntime.quantization')
    batches = list(calibration)
    if mode == 'static' and not batches:
        raise ValueError(
            'Static quantisation needs images to measure ranges on'
        )
    with tempfile.TemporaryDirectory() as folder, writer.replacing(
        out_file
    ) as draft:
        folded = Path(folder, 'folded.onnx')
        # Folds norms into convolutions, which then have one range together.
        library.shape_inference.quant_pre_process(
            str(file), str(folded), skip_symbolic_shape=True
        )
        if mode == 'dynamic':
            library.quantize_dynamic(
                folded,
                draft.name,
                op_types_to_quantize=OPERATORS,
                # onnxruntime's ConvInteger takes no signed weights.
                weight_type=library.QuantType.QUInt8,
            )
        else:
            library.quantize_static(
                folded,
                draft.name,
                _Batches(batches),
                op_types_to_quantize=OPERATORS,
                per_channel=True,
                # In 8 bits products of both overflow on CPUs without VNNI.
                reduce_range=True,
            )


def agreement_table(
    file: Union[str, Path],
    quantized: Union[str, Path],
    batches: Iterable[Tensor],
    score: float = 0.3,
) -> Table:
    """Compare what two files make of the same images.

    Args:
        file (str or Path): The file in float32.
        quantized (str or Path): The quantised one.
        batches (Iterable[Tensor]): Inputs.
        score (float): Which detections are looked at: those of at least this
            score. Default: 0.3.

    Returns:
        Table: Of maps, the cosine of the angle between the two outputs and
        the norm of the error over the norm. Of detections, how many there
        are, how many have one of the same label that overlaps them by half
        in the quantised file, and how much scores differ on average.
    """
    a, b = open_session(file), open_session(quantized)
    pairs = (
        (run_session(a, batch), run_session(b, batch)) for batch in batches
    )
    is_map = 'boxes' not in [output.name for output in a.get_outputs()]
    return _compare_maps(pairs) if is_map else _compare_boxes(pairs, score)


def disagreements(agreement: Table) -> List[str]:
    """Say where 8 bits have broken a file, rather than changed it a little.

    Args:
        agreement (Table): Of :func:`agreement_table`.

    Returns:
        list[str]: A map with a cosine below 0.9, or that less than half of
        the detections were found again.
    """
    rows: Any = agreement.rows
    if agreement.header[0] == 'output':
        return [
            f'{name} in 8 bits is another: cosine {cosine:.3f}, expected '
            'at least 0.9'
            for name, cosine, _ in rows
            if not cosine >= 0.9
        ]
    return [
        f'8 bits found {again} of {number} detections again, expected at '
        'least half'
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
        # The best-scored of those that overlap comes last, and stays.
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
    """What onnxruntime reads calibration images from."""

    def __init__(self, batches: List[Tensor]) -> None:
        self.batches: Iterator[Tensor] = iter(batches)

    def get_next(self) -> Optional[dict]:
        """Return the next batch, or None after the last."""
        batch = next(self.batches, None)
        return None if batch is None else {'image': batch.numpy()}
