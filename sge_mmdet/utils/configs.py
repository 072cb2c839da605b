"""Configs found, loaded and built, with errors that name them."""

import copy
import difflib
from pathlib import Path
from typing import Any, Dict, Optional, Union

from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import nn

from .upstream import own_path, upstream_path

# Packages whose configs are named as "package::folder/file.py".
PACKAGES = {'mmdet': upstream_path, 'sge_mmdet': own_path}


def find_config(name: Union[str, Path]) -> Path:
    """Return the path of a config, also of one that a package ships.

    Args:
        name (str or Path): A file, or "mmdet::" or "sge_mmdet::" and a path
            below the ``configs`` of the installed package.

    Raises:
        FileNotFoundError: If there is no such config, with the nearest one.
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
        raise FileNotFoundError(f'There is no config {name}')
    return path.resolve()


def _nearest(package: str, below: str) -> str:
    """Return the end of an error, with the config of the nearest name."""
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

    A config is a program in Python, and it is run: load none that you would
    not run.

    Args:
        path (str or Path): The file, or a name as :func:`find_config` takes.
        options (dict, optional): Put into it, as ``--cfg-options``. Default:
            None.

    Raises:
        FileNotFoundError: If it is not there, or one that it inherits.
        ValueError: If it cannot be loaded, for any reason, or does not take
            the options.
    """
    file = find_config(path) if '::' in str(path) else Path(path)
    if not file.is_file():
        raise FileNotFoundError(f'There is no config {path}')
    try:
        cfg = Config.fromfile(file)
        cfg.merge_from_dict(options or {})
        return cfg
    except FileNotFoundError as error:
        raise FileNotFoundError(f'{path}: {error}') from error
    except Exception as error:
        # As a program it can end in any error.
        raise ValueError(
            f'{path} is no config that can be loaded: '
            f'{type(error).__name__}: {error}'
        ) from error


def get_model(cfg: Config) -> dict:
    """Return a config's model.

    Args:
        cfg (Config): Config of a detector.

    Raises:
        ValueError: If it has none.
    """
    model = cfg.get('model')
    if not isinstance(model, dict):
        raise ValueError(
            f'{cfg.filename or "The config"} has no model; give '
            'the config of a detector, not one of its _base_ '
            'parts'
        )
    return model


def build_part(cfg: dict, scope: str = 'mmdet') -> nn.Module:
    """Build a part of a model as a runner does.

    Args:
        cfg (dict): Config of the part. It is not changed.
        scope (str): Default scope, in which mmcv looks for plugins. Default:
            "mmdet".
    """
    with DefaultScope.overwrite_default_scope(scope):
        # Constructors change what they are given.
        return MODELS.build(copy.deepcopy(cfg))


def build_model(cfg: Config) -> nn.Module:
    """Build a config's model.

    Args:
        cfg (Config): Config of a detector.

    Raises:
        ValueError: If it has none, or one that cannot be built.
    """
    model = get_model(cfg)
    try:
        return build_part(model, cfg.get('default_scope') or 'mmdet')
    except Exception as error:
        # A constructor answers bad options with any type of error.
        raise ValueError(
            f'The model of {cfg.filename or "the config"} cannot '
            f'be built: {type(error).__name__}: {error}'
        ) from error
