"""Detections of an ONNX file on a config's test data."""
import json
from pathlib import Path
from typing import Union

import numpy as np
from mmdet.registry import DATASETS
from mmdet.utils import register_all_modules
from mmengine.config import Config

from ..runner import check_datasets
from .check import open_session, run_session


def detect_with_onnx(file: Union[str, Path], config: Union[str, Path],
                     out_file: Union[str, Path]) -> int:
    """Write what an ONNX file finds in a config's test images.

    Args:
        file (str or Path): A whole detector, exported with its pixels.
        config (str or Path): Config with the test data and its pipeline.
        out_file (str or Path): Detections in COCO's result format.

    Returns:
        int: Number of detections.

    Raises:
        FileNotFoundError: If the file or the data is not there.
        ImportError: If onnxruntime is not installed.
        ValueError: If the file is not a whole detector that takes pixels.
    """
    if not Path(file).is_file():
        raise FileNotFoundError(f'There is no file {file}')
    register_all_modules()
    cfg = Config.fromfile(config)
    check_datasets(cfg, ['test'])
    data = DATASETS.build(cfg.test_dataloader.dataset)
    session = open_session(file)
    outputs = [output.name for output in session.get_outputs()]
    if (session.get_inputs()[0].type != 'tensor(uint8)'
            or outputs[:3] != ['boxes', 'scores', 'labels']):
        raise ValueError(f'{file} is not a whole detector on pixels; export '
                         'it with --part detector --pixels')
    rows = []
    for i in range(len(data)):
        item = data[i]
        sample = item['data_samples']
        found = run_session(session, item['inputs'][None])
        boxes = found['boxes'] / np.tile(sample.scale_factor, 2)
        boxes[:, 2:] -= boxes[:, :2]
        rows += [dict(image_id=sample.img_id, bbox=box.tolist(),
                      score=float(score), category_id=data.cat_ids[label])
                 for box, score, label in zip(boxes, found['scores'],
                                              found['labels'])]
    Path(out_file).write_text(json.dumps(rows))
    return len(rows)
