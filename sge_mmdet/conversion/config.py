"""Short config files that inherit another config and add SGE."""

import os.path as osp
import re
from pathlib import Path
from typing import Any, List, Union

from mmengine.config import Config
from yapf.yapflib.yapf_api import FormatCode

from ..utils import Writer, find_config, load_config, upstream_path
from .add_sge import NotApplicableError, sge_changes


def write_sge_config(
    base: Union[str, Path],
    path: Union[str, Path],
    overwrite: bool = False,
    **options: Any,
) -> Config:
    """Write a short config that inherits another one and adds SGE.

    Args:
        base (str or Path): The config to inherit: a file, or one of
            MMDetection's as "mmdet::retinanet/retinanet_r50_fpn_1x_coco.py".
        path (str or Path): The file to write.
        overwrite (bool): Whether to replace a file. Default: False.
        **options: Of :func:`add_sge`.

    Returns:
        Config: What was written, loaded.

    Raises:
        FileExistsError: If the file exists and is not to be replaced, or is
            the config to inherit or one that it inherits.
        FileNotFoundError: If there is no such config.
        OSError: If the file cannot be written.
        ValueError: As :func:`add_sge`, or if the config cannot be loaded, or
            is of MMEngine's pure Python style, which ``_base_`` cannot
            inherit.
    """
    path, source = Path(path), find_config(base)
    if path.suffix != '.py':
        raise ValueError(
            f'A config that inherits is a Python file; name it '
            f'{path.with_suffix(".py")} instead of {path}'
        )
    try:
        is_lazy = Config._is_lazy_import(str(source))
    except (SyntaxError, ValueError) as error:
        raise ValueError(f'{source} is not Python: {error}') from error
    if is_lazy:
        raise ValueError(
            f'{source} is in the pure Python style of MMEngine, which a '
            '_base_ cannot inherit; call sge_mmdet.add_sge on its Config'
        )
    cfg = load_config(source)
    writer = Writer(overwrite, _inherited_files(source))
    writer.check(path)
    try:
        changes = sge_changes(cfg, **options)
    except NotApplicableError as error:
        raise NotApplicableError(f'{source}: {error}') from error
    except ValueError as error:
        raise ValueError(f'{source}: {error}') from error
    lines = [
        f'_base_ = {_inherited_name(source, path.parent)!r}\n',
        *(f'{key} = {_to_source(value)}' for key, value in changes.items()),
    ]
    style = dict(based_on_style='pep8')
    try:
        text = FormatCode('\n'.join(lines), style_config=style)[0]
    except Exception as error:
        # Of whatever the formatter says of source that is no Python.
        raise ValueError(
            f'{source} holds a value that no file can hold, such '
            f'as a function: {error}'
        ) from error
    with writer.replacing(path) as file:
        file.write(text.encode())
        file.flush()
        load_config(file.name)
    return load_config(path)


def _inherited_files(source: Path) -> List[Path]:
    """Return a config and all that it inherits."""
    files = [source]
    for name in Config._get_base_files(str(source)):
        base, _ = Config._get_cfg_path(name, str(source))
        files += _inherited_files(Path(base))
    return files


def _inherited_name(source: Path, folder: Path) -> str:
    """Name a config as one in ``folder`` inherits it."""
    upstream = upstream_path('configs')
    if upstream in source.parents:
        below = source.relative_to(upstream).as_posix()
        # MMEngine takes folders of letters, digits and "_" alone: not gn+ws.
        return f'mmdet::{below}' if re.match(r'\w+/', below) else str(source)
    return Path(osp.relpath(source, folder.resolve())).as_posix()


def _to_source(value: Any) -> str:
    """Write a value as configs do, with dict(...)."""
    if isinstance(value, dict):
        items = (f'{key}={_to_source(item)}' for key, item in value.items())
        return f'dict({", ".join(items)})'
    if isinstance(value, list):
        return f'[{", ".join(map(_to_source, value))}]'
    return repr(value)
