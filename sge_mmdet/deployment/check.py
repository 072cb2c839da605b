"""Whether an ONNX file does what MMDetection does."""
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import mmcv
import numpy as np
import torch
from mmdet.structures import DetDataSample
from torch import Tensor

from ..utils.tables import Table
from .graph import DeployedPart
from .packages import need

TOLERANCE = 1e-4
IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp')


@dataclass(frozen=True)
class OutputCheck:
    """One output of a file at one size of input.

    Attributes:
        shape: Shape of the input, (N, 3, H, W).
        output: Name of the output.
        values: How many values it has; of boxes, how many boxes.
        difference: Largest difference over the largest value; of boxes and
            scores of detections, over the longer side of the image and 1.
    """

    shape: Sequence[int]
    output: str
    values: int
    difference: float


def check_onnx(file: Union[str, Path], deployed: DeployedPart,
               shapes: Sequence[Tuple[int, int, int]],
               images: Optional[Union[str, Path]] = None
               ) -> List[OutputCheck]:
    """Run an ONNX file beside MMDetection.

    Args:
        file (str or Path): The file.
        deployed (DeployedPart): What :func:`export_onnx` returned.
        shapes (Sequence[tuple[int, int, int]]): Numbers of images, heights
            and widths to try.
        images (str or Path, optional): Folder of images to take. Default:
            None, smooth noise.

    Returns:
        list[OutputCheck]: One for each output and shape.

    Raises:
        ImportError: If onnxruntime is not installed.
        FileNotFoundError: If there are no such images.
    """
    session = open_session(file)
    checks = []
    for shape in shapes:
        batch = make_batch(deployed, shape, images)
        expected = expected_outputs(deployed, batch)
        found = run_session(session, batch)
        difference = (_detection_differences if deployed.part == 'detector'
                      else _map_differences)(found, expected, shape[1:])
        checks += [OutputCheck(tuple(batch.shape), name, count, value)
                   for name, count, value in difference]
    return checks


def check_table(checks: Sequence[OutputCheck]) -> Table:
    """Return the checks as a table."""
    return Table(('input', 'output', 'values', 'difference'),
                 [('x'.join(map(str, check.shape)), check.output,
                   check.values, f'{check.difference:.1e}')
                  for check in checks])


def open_session(file: Union[str, Path]) -> Any:
    """Return onnxruntime's session of a file, on the CPU."""
    runtime = need('onnxruntime')
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    return runtime.InferenceSession(str(file), options,
                                    providers=['CPUExecutionProvider'])


def run_session(session: Any, batch: Tensor) -> Dict[str, np.ndarray]:
    """Return the outputs of a session by their names."""
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {'image': batch.numpy()})))


def expected_outputs(deployed: DeployedPart,
                     batch: Tensor) -> Dict[str, np.ndarray]:
    """Return what MMDetection itself makes of a batch.

    Masks are the exception: they are those of ``deployed``, since
    MMDetection pastes its own into the images.

    Args:
        deployed (DeployedPart): The detector or a part of it.
        batch (Tensor): Images, as ``deployed`` takes them.
    """
    model, size = deployed.model, tuple(batch.shape[2:])
    samples = [DetDataSample(metainfo=dict(
        img_shape=size, ori_shape=size, pad_shape=size, scale_factor=(1, 1),
        batch_input_shape=size)) for _ in batch]
    with torch.no_grad():
        image = batch
        if deployed.pixels:
            image = model.data_preprocessor(
                dict(inputs=list(batch), data_samples=samples))['inputs']
        if deployed.part == 'backbone':
            outputs = model.backbone(image)
        elif deployed.part == 'heads':
            outputs = [level for output in model(image, mode='tensor')
                       for level in output]
        else:
            return _predictions(deployed, batch, image, samples)
    return {name: output.numpy() for name, output
            in zip(deployed.output_names(outputs), outputs)}


def make_batch(deployed: DeployedPart, shape: Tuple[int, int, int],
               images: Optional[Union[str, Path]] = None,
               first: int = 0) -> Tensor:
    """Return images as a deployed part takes them.

    Args:
        deployed (DeployedPart): What takes them.
        shape (tuple[int, int, int]): Number of images, height and width.
        images (str or Path, optional): Folder of image files, which are
            resized. Default: None, smooth noise.
        first (int): Which of the files, or of the draws, comes first.
            Default: 0.

    Raises:
        FileNotFoundError: If the folder has no image.
    """
    number, height, width = shape
    if images is None:
        generator = torch.Generator().manual_seed(first)
        noise = torch.rand(number, 3, height // 8 + 1, width // 8 + 1,
                           generator=generator) * 255
        pixels = torch.nn.functional.interpolate(
            noise, (height, width), mode='bilinear').byte()
    else:
        pixels = torch.stack([
            torch.from_numpy(mmcv.imresize(mmcv.imread(file),
                                           (width, height))).permute(2, 0, 1)
            for file in _files(images, first, number)])
    if deployed.pixels:
        return pixels.contiguous()
    return deployed.normalize(pixels)


def _files(folder: Union[str, Path], first: int, number: int) -> List[str]:
    files = sorted(str(path) for path in Path(folder).glob('*')
                   if path.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise FileNotFoundError(f'There is no image in {folder}')
    return [files[i % len(files)] for i in range(first, first + number)]


def _predictions(deployed: DeployedPart, batch: Tensor, image: Tensor,
                 samples: List[DetDataSample]) -> Dict[str, np.ndarray]:
    found = [sample.pred_instances for sample in deployed.model.predict(
        image, samples, rescale=False)]
    columns = [torch.cat([getattr(rows, name) for rows in found])
               for name in ('bboxes', 'scores', 'labels')]
    columns.append(torch.cat([torch.full((len(rows), ), i)
                              for i, rows in enumerate(found)]))
    columns += deployed(batch)[len(columns):]
    return {name: column.numpy() for name, column
            in zip(deployed.output_names(columns), columns)}


def _map_differences(found: Dict[str, np.ndarray],
                     expected: Dict[str, np.ndarray],
                     size: Sequence[int]) -> List[Tuple[str, int, float]]:
    """Return name, number of values and difference of every output."""
    return [(name, found[name].size, float(
        np.abs(found[name] - array).max() / np.abs(array).max()))
        for name, array in expected.items()]


def _detection_differences(found: Dict[str, np.ndarray],
                           expected: Dict[str, np.ndarray],
                           size: Sequence[int]
                           ) -> List[Tuple[str, int, float]]:
    """Compare each detection with its nearest of the same label and image.

    Rows may change places where scores are equal up to their rounding. One
    that has no counterpart at all is infinitely far away.
    """
    a, b = (np.column_stack([rows['boxes'] / max(size), rows['scores']])
            for rows in (found, expected))
    apart = np.abs(a[:, None] - b).max(-1)
    for name in ('labels', 'images'):
        apart[found[name][:, None] != expected[name]] = np.inf
    nearest = [apart.min(axis, initial=np.inf) for axis in (0, 1)]
    rows = [('boxes, scores, labels', len(a),
             float(np.concatenate(nearest).max(initial=0)))]
    if 'masks' in expected:
        masks = expected['masks'][apart.argmin(1)] if len(b) else []
        rows.append(('masks', len(a), float(
            np.abs(found['masks'] - masks).max(initial=0))))
    return rows
