"""Files and folders of a config's data, and the plugins of its model."""

import os.path as osp
from pathlib import Path
from typing import Any, Dict, Iterator, Optional, Sequence, Tuple

from mmengine.config import Config

from ...models.generated import check_type
from ...models.layers import check_plugins
from ...utils import check_json_file, get_model
from .annotations import AnnotationFile

# Root of the demo's configs, below the working directory.
DEMO_DATA = 'data/digits'

Files = Dict[Path, AnnotationFile]


def check_config(
    cfg: Config, splits: Sequence[str], files: Optional[Files] = None
) -> None:
    """Raise if a config cannot be run; the message names the config.

    Args:
        cfg (Config): Config of a run.
        splits (Sequence[str]): Data loaders to check: "train", "val", "test".
        files (dict[Path, AnnotationFile], optional): Where annotation files
            that are read are kept. Default: None.

    Raises:
        FileNotFoundError: If a folder or an annotation file does not exist.
        ValueError: If the config has no model, and in the same cases as
            :func:`check_model` and :func:`check_datasets`.
    """
    model = get_model(cfg)
    try:
        check_model(model)
        check_datasets(cfg, splits, files)
    except (OSError, ValueError) as error:
        kind = (
            FileNotFoundError
            if isinstance(error, FileNotFoundError)
            else ValueError
        )
        raise kind(f'{cfg.filename}: {error}') from error


def check_model(model: Any) -> None:
    """Raise if a type with SGE or a plugin's position is unknown.

    MMDetection's own backbones raise an error without a message.

    Args:
        model (dict): Config of a model or of a part of it.

    Raises:
        ValueError: If a type ``SGE<Name>`` does not exist; the message names
            the nearest. If a plugin has an unknown position.
    """
    if isinstance(model, dict):
        check_type(model.get('type'))
        if isinstance(model.get('plugins'), (list, tuple)):
            check_plugins(model['plugins'])
        model = list(model.values())
    if isinstance(model, (list, tuple)):
        for part in model:
            check_model(part)


def check_datasets(
    cfg: Config, splits: Sequence[str], files: Optional[Files] = None
) -> None:
    """Raise if files of a config's data sets are missing or damaged.

    MMEngine raises only after building the model, and its error for a damaged
    annotation file does not name the file. Only data on a local disk is
    checked.

    Args:
        cfg (Config): Config of a run.
        splits (Sequence[str]): Data loaders to check: "train", "val", "test".
        files (dict[Path, AnnotationFile], optional): Where annotation files
            that are read are kept. Default: None.

    Raises:
        FileNotFoundError: If a folder or an annotation file does not exist.
        ValueError: If an annotation file is not valid JSON, or a value is not
            a path.
    """
    for split in splits:
        for where, dataset in leaf_datasets(cfg, split):
            _check_dataset(where, dataset, files)


def leaf_datasets(cfg: Config, split: str) -> Iterator[Tuple[str, dict]]:
    """Yield place and config of the data sets of a data loader.

    Args:
        cfg (Config): Config.
        split (str): Data loader: "train", "val" or "test".
    """
    loader = cfg.get(f'{split}_dataloader')
    if isinstance(loader, dict):
        yield from _leaf_datasets(
            loader.get('dataset'), f'{split}_dataloader.dataset'
        )


def annotation_path(dataset: dict) -> Optional[Path]:
    """Return the annotation file of a data set, if it is a local file.

    Args:
        dataset (dict): Config of a data set.
    """
    root, file = dataset.get('data_root') or '', dataset.get('ann_file')
    if dataset.get('backend_args') or not file or '://' in f'{root}{file}':
        return None
    return Path(root, file)


def _leaf_datasets(dataset: object, where: str) -> Iterator[Tuple[str, dict]]:
    """Yield the data sets inside wrappers such as RepeatDataset."""
    if not isinstance(dataset, dict):
        return
    if 'ann_file' in dataset or 'data_root' in dataset:
        yield where, dataset
    yield from _leaf_datasets(dataset.get('dataset'), f'{where}.dataset')
    parts = dataset.get('datasets')
    for i, part in enumerate(parts if isinstance(parts, list) else ()):
        yield from _leaf_datasets(part, f'{where}.datasets[{i}]')


def _check_dataset(where: str, dataset: dict, files: Optional[Files]) -> None:
    for key in 'data_root', 'ann_file':
        if not isinstance(dataset.get(key) or '', str):
            raise ValueError(
                f'{where}.{key}: expected a path, got {dataset[key]!r}'
            )
    root = dataset.get('data_root') or ''
    if dataset.get('backend_args') or '://' in root:
        return
    advice = (
        f'{where} needs it; download or generate the data, or set '
        f'{where}.data_root (now {root!r})'
    )
    if osp.normpath(root) == DEMO_DATA:
        advice += (
            '. tools/make_digits.py makes the data of the demo; run it and '
            'this command in the same folder'
        )
    prefixes = dataset.get('data_prefix') or {}
    if isinstance(prefixes, str):  # The form of MMPretrain's configs.
        prefixes = dict(img=prefixes)
    if not isinstance(prefixes, dict):
        raise ValueError(
            f'{where}.data_prefix: expected a dict of paths, got {prefixes!r}'
        )
    folders = [
        root,
        *(
            osp.join(root, prefix)
            for prefix in prefixes.values()
            if isinstance(prefix, str) and '://' not in prefix
        ),
    ]
    for folder in filter(None, folders):
        if not osp.isdir(folder):
            raise FileNotFoundError(f'There is no folder {folder}: {advice}')
    ann_file = dataset.get('ann_file')
    if not ann_file or '://' in ann_file:
        return
    ann_file = osp.join(root, ann_file)
    if not osp.exists(ann_file):
        raise FileNotFoundError(f'There is no file {ann_file}: {advice}')
    if not ann_file.endswith('.json'):
        return
    if files is None:
        check_json_file(ann_file)
    elif Path(ann_file) not in files:
        files[Path(ann_file)] = AnnotationFile(Path(ann_file))
