"""Inference of an ONNX detector on the test data of a config."""

import json
from pathlib import Path
from typing import Any, List, Union

import numpy as np
from mmdet.registry import DATASETS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from tqdm import tqdm

from ..engine import check_datasets
from ..utils import Writer, load_config
from .check import open_session, run_session
from .export import CLASSES


def detect_with_onnx(
    file: Union[str, Path],
    config: Union[str, Path],
    out_file: Union[str, Path],
    overwrite: bool = False,
) -> int:
    """Run an ONNX detector on a config's test images; write its detections.

    Args:
        file (str or Path): ONNX file of a whole detector that takes pixels.
        config (str or Path): Config with the test data and its pipeline.
        out_file (str or Path): File to write, in COCO's result format; its
            folder is created.
        overwrite (bool): Whether to replace an existing file. Default:
            False.

    Returns:
        int: Number of detections.

    Raises:
        FileExistsError: If the file exists and ``overwrite`` is false, or if
            it is one of the inputs.
        FileNotFoundError: If the ONNX file, the config or the data does not
            exist.
        ImportError: If onnxruntime is not installed.
        OSError: If the file cannot be written.
        ValueError: If the ONNX file is not a whole detector that takes pixels
            and has the classes of the data, or if the data is not in COCO's
            format or not suitable.
    """
    file = Path(file)
    if not file.is_file():
        raise FileNotFoundError(
            f'There is no file {file}; "sge-mmdet export-onnx" writes one'
        )
    writer = Writer(overwrite, [file, config])
    writer.check(out_file)
    data = _load_test_data(load_config(config), config)
    session = open_session(file)
    _check_detector(session, file, data)
    detections = []
    for i in tqdm(range(len(data)), desc='images', unit='image'):
        detections += _detections_of(session, data, i)
    writer.write(out_file, json.dumps(detections))
    return len(detections)


def _load_test_data(cfg: Config, config: Union[str, Path]) -> BaseDataset:
    loader = cfg.get('test_dataloader')
    if not loader:
        raise ValueError(
            f'{config} has no test data: expected a test_dataloader, got '
            f'{loader!r}'
        )
    register_all_modules()
    check_datasets(cfg, ['test'])
    data = DATASETS.build(loader['dataset'])
    if not hasattr(data, 'cat_ids'):
        raise ValueError(
            f'{config}: expected a CocoDataset as test data, got a '
            f'{type(data).__name__}, which has no COCO categories (cat_ids)'
        )
    return data


def _check_detector(session: Any, file: Path, data: BaseDataset) -> None:
    """Raise unless the detector takes pixels and has the data's classes."""
    outputs = [output.name for output in session.get_outputs()]
    if session.get_inputs()[0].type != 'tensor(uint8)' or outputs[:3] != [
        'boxes',
        'scores',
        'labels',
    ]:
        raise ValueError(
            f'{file}: expected a whole detector that takes pixels, got the '
            f'outputs {", ".join(outputs)} for '
            f'{session.get_inputs()[0].type}; export it with --part detector '
            '--pixels'
        )
    stored = session.get_modelmeta().custom_metadata_map.get(CLASSES)
    own = json.loads(stored) if stored else None
    classes = list(data.metainfo['classes'])
    if own and own != classes:
        raise ValueError(
            f'{file} detects the classes {own}, the test data has {classes}; '
            'name the config that the detector was exported from'
        )


def _detections_of(session: Any, data: BaseDataset, index: int) -> List[dict]:
    """Return the detections in an image, in its original pixels."""
    item = data[index]
    sample = item['data_samples']
    found = run_session(session, item['inputs'][None])
    if found['labels'].max(initial=0) >= len(data.cat_ids):
        raise ValueError(
            f'The ONNX file detects class {found["labels"].max()} (counted '
            f'from 0), the test data has {len(data.cat_ids)} classes; name '
            'the config that the detector was exported from'
        )
    # Only pipelines that resize set a scale factor.
    boxes = found['boxes'] / np.tile(sample.get('scale_factor', (1, 1)), 2)
    boxes[:, 2:] -= boxes[:, :2]
    return [
        dict(
            image_id=sample.img_id,
            bbox=box.tolist(),
            score=float(score),
            category_id=data.cat_ids[label],
        )
        for box, score, label in zip(boxes, found['scores'], found['labels'])
    ]
