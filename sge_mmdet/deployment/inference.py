"""Detections of an ONNX file on a config's test data."""

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
    """Run an ONNX file on a config's test images and write its detections.

    Args:
        file (str or Path): ONNX file of a whole detector on pixels.
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
        ValueError: If the ONNX file is not a whole detector on pixels with
            the classes of the data, or the data is not in COCO's format or
            not suitable.
    """
    file = Path(file)
    if not file.is_file():
        raise FileNotFoundError(f'There is no file {file}')
    writer = Writer(overwrite, [file, config])
    writer.check(out_file)
    data = _load_test_data(load_config(config), config)
    session = open_session(file)
    _check_detector(session, file, data)
    rows = []
    for i in tqdm(range(len(data)), desc='images', unit='image'):
        rows += _detections_of(session, data, i)
    writer.write(out_file, json.dumps(rows))
    return len(rows)


def _load_test_data(cfg: Config, config: Union[str, Path]) -> BaseDataset:
    loader = cfg.get('test_dataloader')
    if not loader:
        raise ValueError(
            f'{config} has no test data: test_dataloader is {loader!r}'
        )
    register_all_modules()
    check_datasets(cfg, ['test'])
    data = DATASETS.build(loader['dataset'])
    if not hasattr(data, 'cat_ids'):
        raise ValueError(
            f'The test data of {config} is a {type(data).__name__}, which has '
            'no COCO categories (cat_ids); name a CocoDataset'
        )
    return data


def _check_detector(session: Any, file: Path, data: BaseDataset) -> None:
    """Raise unless a file detects the classes of the data in pixels."""
    outputs = [output.name for output in session.get_outputs()]
    if session.get_inputs()[0].type != 'tensor(uint8)' or outputs[:3] != [
        'boxes',
        'scores',
        'labels',
    ]:
        raise ValueError(
            f'{file} is not a whole detector on pixels; export '
            'it with --part detector --pixels'
        )
    stored = session.get_modelmeta().custom_metadata_map.get(CLASSES)
    found = json.loads(stored) if stored else None
    classes = list(data.metainfo['classes'])
    if found and found != classes:
        raise ValueError(
            f'{file} finds the classes {found}, the test data has {classes}'
        )


def _detections_of(session: Any, data: BaseDataset, index: int) -> List[dict]:
    """Return the detections in an image, in its original pixels."""
    item = data[index]
    sample = item['data_samples']
    found = run_session(session, item['inputs'][None])
    if found['labels'].max(initial=0) >= len(data.cat_ids):
        raise ValueError(
            f'The ONNX file finds class {found["labels"].max()}, counted from '
            f'0, the test data has {len(data.cat_ids)} classes'
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
