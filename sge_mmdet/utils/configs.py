"""Loading and checking of configs."""

import copy
from pathlib import Path
from typing import Any, Dict, Optional, Union

from mmdet.registry import MODELS
from mmengine.config import Config
from torch import nn


def load_config(
    path: Union[str, Path], options: Optional[Dict[str, Any]] = None
) -> Config:
    """Load a config, with errors that name it.

    A config is a program in Python, and it is run: load none that you would
    not run.

    Args:
        path (str or Path): The file.
        options (dict, optional): Put into it, as ``--cfg-options``. Default:
            None.

    Raises:
        FileNotFoundError: If it is not there, or one that it inherits.
        ValueError: If it cannot be loaded, for any reason, or does not take
            the options.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'There is no config {path}')
    try:
        cfg = Config.fromfile(path)
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


def build_model(cfg: Config) -> nn.Module:
    """Build a config's model.

    Args:
        cfg (Config): Config of a detector.

    Raises:
        ValueError: If it has none, or one that cannot be built.
    """
    model = get_model(cfg)
    try:
        # Constructors change what they are given.
        return MODELS.build(copy.deepcopy(model))
    except Exception as error:
        # A constructor answers bad options with any type of error.
        raise ValueError(
            f'The model of {cfg.filename or "the config"} cannot '
            f'be built: {type(error).__name__}: {error}'
        ) from error
