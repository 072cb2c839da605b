"""Finding, loading and building of configs, with errors that name them."""

import copy
import difflib
import re
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Union

from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import nn

from .upstream import own_path, upstream_path

# Packages whose configs are named as "package::folder/file.py".
PACKAGES = {'mmdet': upstream_path, 'sge_mmdet': own_path}
NO_CONFIG = (
    'There is no config {}; name a file, or a config of a package such as '
    'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'
)


def find_config(name: Union[str, Path]) -> Path:
    """Return the path of a config file or of a config in a package.

    Args:
        name (str or Path): File, or "mmdet::" or "sge_mmdet::" followed by a
            path in the folder ``configs`` of the installed package.

    Raises:
        FileNotFoundError: If the config does not exist; the message names the
            nearest one.
    """
    package, _, below = str(name).rpartition('::')
    path = Path(name)
    if package in PACKAGES:
        try:
            path = PACKAGES[package]('configs', below)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f'{error}{_nearest(package, below)}'
            ) from error
    if not path.is_file():
        raise FileNotFoundError(NO_CONFIG.format(name))
    return path.resolve()


def _nearest(package: str, below: str) -> str:
    """Return the end of an error message that names the nearest config."""
    folder = PACKAGES[package]('configs')
    names = [
        path.relative_to(folder).as_posix() for path in folder.rglob('*.py')
    ]
    near = difflib.get_close_matches(below, names, 1)
    return f'; the nearest is {package}::{near[0]}' if near else ''


def load_config(
    path: Union[str, Path], options: Optional[Dict[str, Any]] = None
) -> Config:
    """Load a config, with errors that name it.

    A config is a Python program, and loading runs it: load only configs that
    you trust.

    Args:
        path (str or Path): File, or a name for :func:`find_config`.
        options (dict, optional): Values to set in the config, as with
            ``--cfg-options``. Default: None.

    Raises:
        FileNotFoundError: If the config or one that it inherits does not
            exist.
        ValueError: If the config cannot be loaded or does not accept the
            options.
    """
    file = find_config(path) if '::' in str(path) else Path(path)
    if not file.is_file():
        raise FileNotFoundError(NO_CONFIG.format(path))
    try:
        cfg = Config.fromfile(file)
        cfg.merge_from_dict(options or {})
        return cfg
    except FileNotFoundError as error:
        raise FileNotFoundError(f'{path}: {error}') from error
    except Exception as error:
        # A config is a program and can raise any error.
        raise ValueError(
            f'{path} cannot be loaded as a config: '
            f'{type(error).__name__}: {error}'
        ) from error


def inherited_files(source: Path) -> List[Path]:
    """Return the paths of a config and of all configs that it inherits.

    Args:
        source (Path): The config.
    """
    files = [source]
    for name in Config._get_base_files(str(source)):
        base, _ = Config._get_cfg_path(name, str(source))
        files += inherited_files(Path(base))
    return files


def base_batch_size(cfg: Config, files: Sequence[Path]) -> Optional[int]:
    """Return the number of images a step that a learning rate is for.

    Some configs of MMDetection, such as those of RTMDet, inherit an
    ``auto_scale_lr`` that is not theirs; their names have the true number,
    such as 8xb32 (8 GPUs of 32 images).

    Args:
        cfg (Config): The config.
        files (Sequence[Path]): The files of :func:`inherited_files`.

    Returns:
        int or None: The number; None if nothing says it.
    """
    loader = cfg.get('train_dataloader') or {}
    for file in files:
        found = re.search(r'(?:^|[_-])(\d+)xb(\d+)(?=[_-]|$)', file.stem)
        if found and int(found[2]) == loader.get('batch_size'):
            return int(found[1]) * int(found[2])
        if 'auto_scale_lr' in file.read_text(encoding='utf-8'):
            break
    return (cfg.get('auto_scale_lr') or {}).get('base_batch_size')


def get_model(cfg: Config) -> dict:
    """Return a config's model.

    Args:
        cfg (Config): Config of a detector.

    Raises:
        ValueError: If the config has no model.
    """
    model = cfg.get('model')
    if not isinstance(model, dict):
        raise ValueError(
            f'{cfg.filename or "The config"} has no model; give the config '
            'of a detector, not one of its _base_ files'
        )
    return model


def build_part(cfg: dict, scope: str = 'mmdet') -> nn.Module:
    """Build a part of a model as a runner does.

    Args:
        cfg (dict): Config of the part; it is not changed.
        scope (str): Default scope, in which mmcv looks up plugins. Default:
            "mmdet".
    """
    with DefaultScope.overwrite_default_scope(scope):
        # Constructors change their arguments.
        return MODELS.build(copy.deepcopy(cfg))


def build_model(cfg: Config) -> nn.Module:
    """Build a config's model.

    Args:
        cfg (Config): Config of a detector.

    Raises:
        ValueError: If the config has no model or the model cannot be built.
    """
    model = get_model(cfg)
    try:
        return build_part(model, cfg.get('default_scope') or 'mmdet')
    except Exception as error:
        # Constructors raise any type of error for bad options.
        raise ValueError(
            f'The model of {cfg.filename or "the config"} cannot '
            f'be built: {type(error).__name__}: {error}'
        ) from error
