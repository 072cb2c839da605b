"""Compares the outputs of an ONNX file with those of MMDetection."""

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import (
    Any,
    Dict,
    Iterator,
    List,
    Optional,
    Sequence,
    Tuple,
    Union,
)

import mmcv
import numpy as np
import torch
from mmdet.structures import DetDataSample
from torch import Tensor

from ..utils.tables import Table
from .graph import DeployedPart
from .packages import require_package

TOLERANCE = 1e-4
IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp')


@dataclass(frozen=True)
class OutputCheck:
    """Result of the check of one output at one size of input.

    Attributes:
        shape: Shape of the input, (N, 3, H, W).
        output: Name of the output.
        values: Number of compared values, or of boxes.
        difference: Largest difference, relative to the largest value. For
            boxes it is relative to the longer side of the image, for scores
            it is absolute.
    """

    shape: Sequence[int]
    output: str
    values: int
    difference: float


def check_onnx(
    file: Union[str, Path],
    deployed: DeployedPart,
    shapes: Sequence[Tuple[int, int, int]],
    images: Optional[Union[str, Path]] = None,
) -> List[OutputCheck]:
    """Run an ONNX file and MMDetection, and compare their outputs.

    Args:
        file (str or Path): ONNX file.
        deployed (DeployedPart): Module that :func:`export_onnx` returned.
        shapes (Sequence[tuple[int, int, int]]): Number of images, height and
            width of each batch, in pixels.
        images (str or Path, optional): Folder of images. Default: None, smooth
            noise.

    Returns:
        list[OutputCheck]: One check for each shape and output.

    Raises:
        ImportError: If onnxruntime is not installed.
        FileNotFoundError: If the folder has no image.
    """
    session = open_session(file)
    checks = []
    for shape in shapes:
        batch = make_batch(deployed, shape, images)
        expected = expected_outputs(deployed, batch)
        found = run_session(session, batch)
        difference = (
            _detection_differences
            if deployed.part == 'detector'
            else _map_differences
        )(found, expected, shape[1:])
        checks += [
            OutputCheck(tuple(batch.shape), name, count, value)
            for name, count, value in difference
        ]
    return checks


def sizes_to_check(
    deployed: DeployedPart, size: Sequence[int]
) -> List[Tuple[int, int, int]]:
    """Return shapes of batches that differ from the traced one.

    If the input is not pixels, sizes are padded as in MMDetection, because
    networks such as HRNet accept no others.

    Args:
        deployed (DeployedPart): Exported part.
        size (Sequence[int]): Height and width of the traced image, in pixels.

    Returns:
        list[tuple[int, int, int]]: Number of images, height and width of each
        batch.
    """
    steps = deployed.model.data_preprocessor
    divisor = 1 if deployed.pixels else steps.pad_size_divisor
    height, width = size
    sides = (
        (height + 64, max(width - 32, 32)),
        (max(height - 19, 32), width + 45),
    )
    return [
        (
            number,
            -(-height // divisor) * divisor,
            -(-width // divisor) * divisor,
        )
        for number, (height, width) in zip((1, 3), sides)
    ]


def check_table(checks: Sequence[OutputCheck]) -> Table:
    """Return the checks as a table."""
    return Table(
        ('input', 'output', 'values', 'difference'),
        [
            (
                'x'.join(map(str, check.shape)),
                check.output,
                check.values,
                f'{check.difference:.1e}',
            )
            for check in checks
        ],
    )


def open_session(file: Union[str, Path]) -> Any:
    """Return a session of onnxruntime for a file, on the CPU.

    Raises:
        ImportError: If onnxruntime is not installed.
        ValueError: If onnxruntime cannot load the file.
    """
    runtime = require_package('onnxruntime')
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    with _as_value_error(file):
        return runtime.InferenceSession(
            str(file), options, providers=['CPUExecutionProvider']
        )


def run_session(session: Any, batch: Tensor) -> Dict[str, np.ndarray]:
    """Return the outputs of a session by their names.

    Raises:
        ValueError: If the file does not accept the batch.
    """
    names = [output.name for output in session.get_outputs()]
    with _as_value_error(
        f'The ONNX file, given {batch.dtype} of shape {tuple(batch.shape)}'
    ):
        return dict(zip(names, session.run(names, {'image': batch.numpy()})))


@contextmanager
def _as_value_error(subject: object) -> Iterator[None]:
    """Convert onnxruntime's errors, which share no type, to ValueError."""
    try:
        yield
    except Exception as error:
        raise ValueError(f'{subject}: onnxruntime says: {error}') from error


def expected_outputs(
    deployed: DeployedPart, batch: Tensor
) -> Dict[str, np.ndarray]:
    """Return the outputs of MMDetection for a batch.

    Masks come from ``deployed``, because MMDetection pastes its own masks into
    the images.

    Args:
        deployed (DeployedPart): Detector or part of it.
        batch (Tensor): Input of ``deployed``, of shape (N, 3, H, W).
    """
    model, size = deployed.model, tuple(batch.shape[2:])
    samples = [
        DetDataSample(
            metainfo=dict(
                img_shape=size,
                ori_shape=size,
                pad_shape=size,
                scale_factor=(1, 1),
                batch_input_shape=size,
            )
        )
        for _ in batch
    ]
    with torch.no_grad():
        image = batch
        if deployed.pixels:
            image = model.data_preprocessor(
                dict(inputs=list(batch), data_samples=samples)
            )['inputs']
        if deployed.part == 'backbone':
            outputs = model.backbone(image)
        elif deployed.part == 'heads':
            outputs = [
                level
                for output in model(image, mode='tensor')
                for level in output
            ]
        else:
            return _predictions(deployed, batch, image, samples)
    return {
        name: output.numpy()
        for name, output in zip(deployed.output_names(outputs), outputs)
    }


def make_batch(
    deployed: DeployedPart,
    shape: Tuple[int, int, int],
    images: Optional[Union[str, Path]] = None,
    first: int = 0,
) -> Tensor:
    """Return a batch of images as input of a deployed part.

    Args:
        deployed (DeployedPart): Part that the batch is for.
        shape (tuple[int, int, int]): Number of images, height and width.
        images (str or Path, optional): Folder of image files, which are
            resized. Default: None, smooth noise.
        first (int): Index of the first file, or seed of the noise. Default:
            0.

    Raises:
        FileNotFoundError: If the folder has no image.
        ValueError: If an image cannot be read.
    """
    number, height, width = shape
    if images is None:
        generator = torch.Generator().manual_seed(first)
        noise = (
            torch.rand(
                number, 3, height // 8 + 1, width // 8 + 1, generator=generator
            )
            * 255
        )
        pixels = torch.nn.functional.interpolate(
            noise, (height, width), mode='bilinear'
        ).byte()
    else:
        pixels = torch.stack(
            [
                _read_image(file, height, width)
                for file in _image_files(images, first, number)
            ]
        )
    if deployed.pixels:
        return pixels.contiguous()
    return deployed.normalize(pixels)


def _image_files(
    folder: Union[str, Path], first: int, number: int
) -> List[str]:
    files = sorted(
        str(path)
        for path in Path(folder).glob('*')
        if path.suffix.lower() in IMAGE_SUFFIXES
    )
    if not files:
        raise FileNotFoundError(
            f'There is no image in {folder}; name a folder of images '
            f'({", ".join(IMAGE_SUFFIXES)})'
        )
    return [files[i % len(files)] for i in range(first, first + number)]


def _read_image(file: str, height: int, width: int) -> Tensor:
    image = mmcv.imread(file)
    if image is None:
        raise ValueError(
            f'{file} cannot be read as an image; replace or remove it'
        )
    return torch.from_numpy(mmcv.imresize(image, (width, height))).permute(
        2, 0, 1
    )


def _predictions(
    deployed: DeployedPart,
    batch: Tensor,
    image: Tensor,
    samples: List[DetDataSample],
) -> Dict[str, np.ndarray]:
    found = [
        sample.pred_instances
        for sample in deployed.model.predict(image, samples, rescale=False)
    ]
    columns = [
        torch.cat([getattr(rows, name) for rows in found])
        for name in ('bboxes', 'scores', 'labels')
    ]
    columns.append(
        torch.cat(
            [torch.full((len(rows),), i) for i, rows in enumerate(found)]
        )
    )
    columns += deployed(batch)[len(columns) :]
    return {
        name: column.numpy()
        for name, column in zip(deployed.output_names(columns), columns)
    }


def _map_differences(
    found: Dict[str, np.ndarray],
    expected: Dict[str, np.ndarray],
    size: Sequence[int],
) -> List[Tuple[str, int, float]]:
    """Return name, number of values and difference of each output."""
    tiny = np.finfo(np.float32).tiny  # It avoids a division by zero.
    return [
        (
            name,
            found[name].size,
            float(
                np.abs(found[name] - array).max()
                / max(np.abs(array).max(), tiny)
            ),
        )
        for name, array in expected.items()
    ]


def _detection_differences(
    found: Dict[str, np.ndarray],
    expected: Dict[str, np.ndarray],
    size: Sequence[int],
) -> List[Tuple[str, int, float]]:
    """Compare detections with their nearest of the same label and image.

    The order of rows may differ if scores are equal up to rounding. The
    difference is infinite if a detection has no counterpart, or the numbers
    of detections differ, or the detections are not sorted.
    """
    a, b = (
        np.column_stack([rows['boxes'] / max(size), rows['scores']])
        for rows in (found, expected)
    )
    apart = np.abs(a[:, None] - b).max(-1)
    for name in ('labels', 'images'):
        apart[found[name][:, None] != expected[name]] = np.inf
    nearest = [apart.min(axis, initial=np.inf) for axis in (0, 1)]
    difference = float(np.concatenate(nearest).max(initial=0))
    if len(a) != len(b) or not _are_sorted(found):
        difference = np.inf
    rows = [('boxes, scores, labels', len(a), difference)]
    if 'masks' in expected:
        difference = np.inf if len(a) and not len(b) else 0.0
        if len(a) and len(b):
            masks = expected['masks'][apart.argmin(1)]
            difference = float(np.abs(found['masks'] - masks).max())
        rows.append(('masks', len(a), difference))
    return rows


def _are_sorted(found: Dict[str, np.ndarray]) -> bool:
    """Return whether rows are sorted by image, then by falling score."""
    step = np.diff(found['images'])
    rise = np.diff(found['scores'])[step == 0]
    return bool((step >= 0).all() and (rise <= TOLERANCE).all())
