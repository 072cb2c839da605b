"""Names of a detector's classes, from its config or its checkpoint."""

import copy
from pathlib import Path
from typing import Any, Optional, Tuple, Union

from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.registry import DefaultScope

from ..utils import load_config, register_all_modules
from ..utils.detector_files import CHECKPOINTS, CONFIG
from .checkpoints import load_local_checkpoint


def read_classes(source: Union[str, Path]) -> Optional[Tuple[str, ...]]:
    """Return the classes that a config or a checkpoint names.

    Args:
        source (str or Path): Config (".py") or checkpoint (".pth", ".pt").

    Returns:
        tuple[str, ...] or None: Names of the classes; None if the source is
        neither of them.

    Raises:
        FileNotFoundError: If the file does not exist.
        RuntimeError: If the checkpoint cannot be loaded.
        ValueError: If the config cannot be loaded, or the source does not
            name classes.
    """
    suffix = Path(source).suffix
    if suffix == CONFIG:
        classes = config_classes(load_config(source))
    elif suffix in CHECKPOINTS:
        classes = checkpoint_classes(load_local_checkpoint(str(source)))
    else:
        return None
    if not classes:
        raise ValueError(
            f'{source} does not name the classes of its detector; name them '
            'one by one, in the order of its labels'
        )
    return classes


def config_classes(cfg: Config) -> Optional[Tuple[str, ...]]:
    """Return the classes of a config's test data; None if it has none.

    Args:
        cfg (Config): Config of a detector.

    Raises:
        ValueError: If the data set of its test cannot be built.
    """
    register_all_modules(init_default_scope=False)
    try:
        dataset = dict(
            copy.deepcopy(cfg.test_dataloader.dataset.to_dict()),
            lazy_init=True,
        )
        scope = cfg.get('default_scope', 'mmdet')
        with DefaultScope.overwrite_default_scope(scope):
            classes = DATASETS.build(dataset).metainfo.get('classes')
    except Exception as error:
        # Data sets are classes of any package and can raise any error.
        raise ValueError(
            f'{cfg.filename}: test_dataloader.dataset: {error}'
        ) from error
    return _names(classes)


def checkpoint_classes(checkpoint: Any) -> Optional[Tuple[str, ...]]:
    """Return the classes in a checkpoint's metadata; None if it has none.

    Args:
        checkpoint (dict): Content of a checkpoint of MMEngine.
    """
    meta = checkpoint.get('meta') if isinstance(checkpoint, dict) else None
    data = meta.get('dataset_meta') if isinstance(meta, dict) else None
    for holder in data, meta:
        for key in 'classes', 'CLASSES':
            if isinstance(holder, dict) and holder.get(key):
                return _names(holder[key])
    return None


def _names(classes: Any) -> Optional[Tuple[str, ...]]:
    """Return names as a tuple; one name alone is one class."""
    if not classes:
        return None
    return (classes,) if isinstance(classes, str) else tuple(classes)
