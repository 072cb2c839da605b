"""Inference of a checkpoint on the test data of a config."""

import os.path as osp
import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import List, Optional, Tuple, Union

from mmengine.config import Config
from mmengine.runner import CheckpointLoader, Runner
from torch import nn

from ..evaluation import read_ground_truth
from ..evaluation.result_files import DetectionFiles
from ..utils import (
    RENEWING,
    Writer,
    folder_beside,
    load_config,
    printable_list,
)
from .class_names import checkpoint_classes, config_classes
from .preflight import check_config


def detect(
    config: Union[str, Path],
    checkpoint: str,
    out_dir: Union[str, Path],
    metric: str = 'bbox',
    writer: Writer = RENEWING,
) -> DetectionFiles:
    """Run a checkpoint on a config's test data and write its detections.

    Args:
        config (str or Path): Config of the detector.
        checkpoint (str): File or URL of the detector's weights.
        out_dir (str or Path): Folder for the results.
        metric (str): Kind of results, "bbox" or "segm". Default: "bbox".
        writer (Writer): Writer of the results. Default: one that replaces only
            files that this package wrote.

    Returns:
        DetectionFiles: Paths of the results, their ground truth and images.

    Raises:
        FileNotFoundError: If the checkpoint or the data does not exist.
        OSError: If the results cannot be written.
        RuntimeError: If the checkpoint cannot be loaded.
        ValueError: If the config cannot be loaded, its classes are not in the
            ground truth, or the checkpoint has no weight of its detector.
    """
    cfg = load_config(config)
    if '://' not in checkpoint and not osp.isfile(checkpoint):
        raise FileNotFoundError(
            f'There is no checkpoint {checkpoint}; name a file or a URL'
        )
    check_config(cfg, ['test'])
    files = DetectionFiles(
        *find_test_data(cfg),
        Path(out_dir, f'detections.{metric}.json'),
        config_classes(cfg),
    )
    # Before the detector runs, which can take hours.
    read_ground_truth(files.ground_truth, files.classes)
    writer = replace(writer, inputs=[*writer.inputs, files.ground_truth])
    writer.check(files.results)
    # MMEngine writes a config and logs next to the results and would replace
    # existing ones.
    with folder_beside(files.results) as folder:
        _test(cfg, checkpoint, files, folder, metric)
        for path in folder.glob('detections.*.json'):
            writer.publish(path, files.results.with_name(path.name))
    # MMDetection's log names the folder above, which is gone.
    print(f'detections are in {files.results}')
    return files


def _test(
    cfg: Config,
    checkpoint: str,
    files: DetectionFiles,
    folder: Path,
    metric: str,
) -> None:
    metrics: List[str] = ['bbox'] if metric == 'bbox' else ['bbox', metric]
    cfg.test_evaluator = dict(
        type='CocoMetric',
        ann_file=str(files.ground_truth),
        metric=metrics,
        format_only=True,
        outfile_prefix=str(folder / 'detections'),
    )
    cfg.load_from = checkpoint
    cfg.work_dir = str(folder)
    # MMEngine would reuse a visualizer of the same name, whose folder is gone.
    cfg.visualizer = dict(
        cfg.get('visualizer') or dict(type='Visualizer'), name=folder.name
    )
    cfg.experiment_name = folder.name
    runner = Runner.from_cfg(cfg)
    _check_checkpoint(checkpoint, runner.model, files.classes)
    runner.test()


def _check_checkpoint(
    checkpoint: str, model: nn.Module, classes: Optional[Tuple[str, ...]]
) -> None:
    """Raise if no weight of a checkpoint fits; MMEngine would only warn.

    Warn if it was trained on other classes than ``classes``.
    """
    content = CheckpointLoader.load_checkpoint(checkpoint, map_location='cpu')
    trained = checkpoint_classes(content)
    if trained and classes and {*trained} != {*classes}:
        warnings.warn(
            f'{checkpoint} was trained on {len(trained)} classes, '
            f'{printable_list(trained)}, and the config tests {len(classes)}, '
            f'{printable_list(classes)}. If its labels do not mean these, '
            'name the config that it was trained with',
            stacklevel=2,
        )
    held = {
        re.sub(r'^module\.', '', str(key))
        for key in content.get('state_dict', content)
    }
    if held.isdisjoint(model.state_dict()):
        raise ValueError(
            f'{checkpoint} has no weight of the {type(model).__name__} of the '
            f'config; it has {printable_list(sorted(held)) or "nothing"}. '
            'Name the config that it was trained with'
        )


def find_test_data(cfg: Config) -> Tuple[Path, Path]:
    """Return the paths of ground truth and images of a config's test data.

    Args:
        cfg (Config): Config of a detector.

    Returns:
        tuple[Path, Path]: Annotation file and folder of the images.

    Raises:
        ValueError: If the test data is not in COCO's format.
    """
    try:
        dataset = cfg.test_dataloader.dataset
        root = dataset.get('data_root') or ''
        return (
            Path(root, dataset.ann_file),
            Path(root, dataset.data_prefix.img),
        )
    except (AttributeError, TypeError) as error:
        raise ValueError(
            f'{cfg.filename}: test_dataloader.dataset needs ann_file and '
            f'data_prefix.img, as CocoDataset has them: {error}'
        ) from error
