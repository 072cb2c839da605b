"""Writing of short config files that inherit a config and add SGE."""

import os.path as osp
import re
from pathlib import Path
from typing import Any, Union

from mmengine.config import Config
from yapf.yapflib.yapf_api import FormatCode

from ..utils import Writer, find_config, load_config, upstream_path
from ..utils.configs import inherited_files
from .add_sge import sge_changes
from .parts import NotApplicableError
from .source_code import to_source


def write_sge_config(
    base: Union[str, Path],
    path: Union[str, Path],
    overwrite: bool = False,
    **options: Any,
) -> Config:
    """Write a short config that inherits another one and adds SGE.

    Args:
        base (str or Path): Config to inherit: a file, or a config of
            MMDetection, as "mmdet::retinanet/retinanet_r50_fpn_1x_coco.py".
        path (str or Path): File to write.
        overwrite (bool): Whether to replace an existing file. Default: False.
        **options: Options of :func:`add_sge`.

    Returns:
        Config: The new config, loaded from its file.

    Raises:
        FileExistsError: If the file exists and ``overwrite`` is false, or if
            it is one of the inherited configs.
        FileNotFoundError: If ``base`` does not exist.
        OSError: If the file cannot be written.
        ValueError: In the same cases as :func:`add_sge`, or if the config
            cannot be loaded or has MMEngine's pure Python style, which
            ``_base_`` cannot inherit.
    """
    path, source = Path(path), find_config(base)
    if path.suffix != '.py':
        raise ValueError(
            f'Expected a Python file as config to write, got {path}; name it '
            f'{path.with_suffix(".py")}'
        )
    check_inheritable(source)
    cfg = load_config(source)
    writer = Writer(overwrite, inherited_files(source))
    writer.check(path)
    try:
        changes = sge_changes(cfg, **options)
    except NotApplicableError as error:
        raise NotApplicableError(f'{source}: {error}') from error
    except ValueError as error:
        raise ValueError(f'{source}: {error}') from error
    text = derived_text(source, path.parent, changes)
    with writer.replacing(path) as file:
        file.write(text.encode())
        file.flush()
        load_config(file.name)
    return load_config(path)


def check_inheritable(source: Path) -> None:
    """Raise unless a config is Python that ``_base_`` can inherit.

    Args:
        source (Path): Config to inherit.

    Raises:
        ValueError: If it cannot be parsed or has MMEngine's pure Python style.
    """
    try:
        is_lazy = Config._is_lazy_import(str(source))
    except (SyntaxError, ValueError) as error:
        raise ValueError(
            f'{source}: expected a config in Python, which cannot be parsed: '
            f'{error}'
        ) from error
    if is_lazy:
        raise ValueError(
            f'{source} is in the pure Python style of MMEngine, which a '
            '_base_ cannot inherit; call sge_mmdet.add_sge on its Config'
        )


def derived_text(source: Path, folder: Path, changes: dict) -> str:
    """Return the text of a config in ``folder`` that inherits another one.

    Args:
        source (Path): Config to inherit.
        folder (Path): Folder of the new config.
        changes (dict): Values of the new config by key.

    Raises:
        ValueError: If a value cannot be written as text.
    """
    lines = [
        f'_base_ = {_inherited_name(source, folder)!r}\n',
        *(f'{key} = {to_source(value)}' for key, value in changes.items()),
    ]
    try:
        return FormatCode(
            '\n'.join(lines), style_config=dict(based_on_style='pep8')
        )[0]
    except Exception as error:
        # yapf raises various errors.
        raise ValueError(
            f'{source} contains a value that cannot be written as text, such '
            f'as a function; write it as a name or a number: {error}'
        ) from error


def _inherited_name(source: Path, folder: Path) -> str:
    """Return the name by which a config in ``folder`` inherits another."""
    upstream = upstream_path('configs')
    if upstream in source.parents:
        below = source.relative_to(upstream).as_posix()
        # MMEngine accepts only letters, digits and "_" in folders: no gn+ws.
        return f'mmdet::{below}' if re.match(r'\w+/', below) else str(source)
    return Path(osp.relpath(source, folder.resolve())).as_posix()
