"""All checks before a training."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Optional

from mmengine.config import Config
from mmengine.registry import DefaultScope

from ...utils import get_model, printable, register_all_modules
from .annotations import AnnotationFile
from .classes import check_counts, check_file_classes, dataset_classes
from .files import annotation_path, check_config, leaf_datasets
from .findings import Findings
from .model import (
    build_without_memory,
    check_options,
    check_roi_heads,
    check_weights,
)
from .monitors import check_monitors
from .resources import check_amp, check_disk, check_rate, check_work_dir

# Variables in which launchers give the number of processes.
WORLD_SIZES = dict(
    pytorch='WORLD_SIZE',
    slurm='SLURM_NTASKS',
    mpi='OMPI_COMM_WORLD_SIZE',
)


@dataclass(frozen=True)
class TrainingRun:
    """How a config is trained.

    Attributes:
        work_dir: Work directory.
        launcher: "none", "pytorch", "slurm" or "mpi". Default: "none".
        amp: Whether ``--amp`` is given. Default: False.
        auto_scale_lr: Whether ``--auto-scale-lr`` is given. Default: False.
    """

    work_dir: Path
    launcher: str = 'none'
    amp: bool = False
    auto_scale_lr: bool = False

    @property
    def processes(self) -> int:
        """int: Number of processes."""
        name = WORLD_SIZES.get(self.launcher)
        text = os.environ.get(name, '1') if name else '1'
        return int(text) if text.isdigit() else 1


def check_training(cfg: Config, run: TrainingRun) -> Findings:
    """Check a config, its data and the machine before a training.

    Args:
        cfg (Config): Config of the training.
        run (TrainingRun): How it is trained.

    Returns:
        Findings: Errors, with which it cannot run, and warnings.

    Raises:
        FileNotFoundError: If data does not exist.
        ValueError: If the config has no model, or is not one that
            :func:`check_config` accepts.
    """
    findings = Findings()
    files: Dict[Path, AnnotationFile] = {}
    model_cfg = get_model(cfg)
    check_config(cfg, ('train', 'val'), files)
    register_all_modules(init_default_scope=False)
    with DefaultScope.overwrite_default_scope(
        cfg.get('default_scope') or 'mmdet'
    ):
        check_data(findings, cfg, ('train', 'val'), files)
    check_monitors(findings, cfg, files.get(_validation_file(cfg)))
    check_amp(findings, cfg, run.amp)
    check_rate(findings, cfg, run.processes, run.auto_scale_lr)
    check_options(findings, model_cfg)
    folder = check_work_dir(findings, run.work_dir)
    model = None if findings.errors else build_without_memory(findings, cfg)
    if model is not None:
        check_roi_heads(findings, model)
    if not findings.errors:
        check_weights(findings, cfg, model)
        if model is not None and folder is not None:
            check_disk(findings, cfg, model, folder)
    return findings


def check_data(
    findings: Findings,
    cfg: Config,
    splits: 'tuple[str, ...]',
    files: Dict[Path, AnnotationFile],
) -> None:
    """Check classes and images of a config's data.

    Args:
        findings (Findings): Where findings are added.
        cfg (Config): Config.
        splits (tuple[str, ...]): Data loaders: "train", "val", "test".
        files (dict[Path, AnnotationFile]): Annotation files that were read.
    """
    trained = None
    for split in splits:
        for where, dataset in leaf_datasets(cfg, split):
            classes = dataset_classes(dataset)
            if split == 'train':
                trained = trained or classes
            path = annotation_path(dataset)
            file = files.get(path) if path else None
            if file is None or classes is None:
                continue
            check_file_classes(findings, where, classes, file)
            _check_images(findings, where, dataset, file)
            if file.lacks_areas():
                findings.error(
                    f'{file.path}: expected an "area" of each annotation, '
                    'which CocoDataset needs; tools/new_config.py writes a '
                    'file with the areas of the boxes'
                )
    if trained:
        check_counts(findings, cfg.model, trained)


def _check_images(
    findings: Findings,
    where: str,
    dataset: Dict[str, Any],
    file: AnnotationFile,
) -> None:
    """Look for some of the images of a data set."""
    prefix = (dataset.get('data_prefix') or {}).get('img', '')
    if not isinstance(prefix, str) or '://' in prefix:
        return
    folder = Path(dataset.get('data_root') or '', prefix)
    for name in file.image_names():
        if not (folder / name).is_file():
            findings.error(
                f'{file.path}: there is no image {printable(name)} in '
                f'{folder}; set {where}.data_prefix.img to the folder that '
                'the "file_name" of each image is relative to'
            )
            return


def _validation_file(cfg: Config) -> Path:
    """Return the annotation file of the validation."""
    evaluator = cfg.get('val_evaluator')
    first = evaluator[0] if isinstance(evaluator, list) else evaluator
    file = first.get('ann_file') if isinstance(first, dict) else None
    for _, dataset in leaf_datasets(cfg, 'val'):
        file = file or annotation_path(dataset)
    return Path(file or '')


def find_work_dir(cfg: Config, config: str, option: Optional[str]) -> Path:
    """Return the work directory that MMDetection's tool takes.

    Args:
        cfg (Config): The config.
        config (str): Its file.
        option (str, optional): Value of ``--work-dir``.
    """
    return Path(
        option or cfg.get('work_dir') or Path('work_dirs', Path(config).stem)
    )
