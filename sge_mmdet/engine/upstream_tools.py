"""MMDetection's own ``tools/train.py`` and ``tools/test.py``, with SGE."""

import argparse
import os
import re
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import List, Optional, Sequence

from mmengine.config import Config, DictAction

from ..utils import find_config, load_config, upstream_path
from ..utils.configs import NO_CONFIG
from ..utils.text import printable
from ..utils.upstream_warnings import hide_upstream_warnings
from .checkpoints.refusal import CheckpointError
from .config_imports import import_options
from .hooks.exact_resume import find_whole_checkpoint
from .launch import use_cpus
from .preflight import TrainingRun, check_config, check_training
from .preflight.training import find_work_dir

CONFIG_SUFFIXES = ('.py', '.json', '.yml', '.yaml')
# Option that leaves out the checks before a run.
NO_PREFLIGHT = '--no-preflight'
# Variables in which launchers give the number of a process.
RANKS = ('RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK')
SPLITS = {'train.py': ('train', 'val'), 'test.py': ('test',)}


def run_upstream_tool(
    name: str,
    args: Optional[Sequence[str]] = None,
    program: Optional[str] = None,
) -> None:
    """Run a tool of MMDetection.

    These things are added to it:

    - SGE is registered even if the config does not import it, so that
      ``--cfg-options model.backbone.type=SGEResNet`` is enough. The config in
      the work directory and in the checkpoints has the import.
    - Data sets and plugins are checked before the run, and before a training
      all that :func:`check_training` checks. ``--no-preflight`` leaves these
      checks out.
    - Several processes can run without GPUs.
    - A config may be named ``sge_mmdet::...`` or ``mmdet::...``.
    - ``--resume`` skips checkpoints that are incomplete.
    - Other packages' warnings about their own code are not shown.

    Args:
        name (str): "train.py" or "test.py".
        args (Sequence[str], optional): Arguments of the tool. Default: None,
            those of this process.
        program (str, optional): Name of the command in its usage. Default:
            None, that of this process.
    """
    hide_upstream_warnings()
    args = list(sys.argv[1:] if args is None else args)
    try:
        tool = upstream_path('tools', name)
        given = [arg for arg in args if not _is_no_preflight(arg)]
        checks = len(given) == len(args)
        args = [_config_path(arg) for arg in given]
        config = _find_config_file(args)
        if config:
            args += _prepare(name, config, args, checks)
    except (OSError, ValueError) as error:
        sys.exit(f'error: {error}')
    sys.argv = [program or sys.argv[0], *args]
    _run(tool)


def _is_no_preflight(argument: str) -> bool:
    """Return whether an argument is that option, or an abbreviation of it.

    No option of MMDetection begins with its first letter.
    """
    return len(argument) > len('--') and NO_PREFLIGHT.startswith(argument)


def _config_path(argument: str) -> str:
    """Return the path of a config that is named as "package::..."."""
    is_name = re.match(r'(sge_)?mmdet::.*\.py$', argument)
    return str(find_config(argument)) if is_name else argument


def _find_config_file(args: Sequence[str]) -> Optional[str]:
    """Return the config among the arguments of a tool, if there is one.

    The other options of the tool are not known here, so the config is the
    first argument that names an existing config file.

    Raises:
        FileNotFoundError: If an argument names a config that does not exist.
    """
    for argument in args:
        path = Path(argument)
        if path.suffix in CONFIG_SUFFIXES and path.is_file():
            return argument
    for argument in args:
        if argument.endswith('.py') and '=' not in argument:
            raise FileNotFoundError(NO_CONFIG.format(argument))
    return None


def _prepare(
    name: str, config: str, args: Sequence[str], checks: bool
) -> List[str]:
    """Check a config and its checkpoint; return arguments to add."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    parser.add_argument('--launcher', default='none')
    parser.add_argument('--resume', nargs='?', const='auto')
    parser.add_argument('--work-dir')
    parser.add_argument('--amp', action='store_true')
    parser.add_argument('--auto-scale-lr', action='store_true')
    options, _ = parser.parse_known_args(args)
    cfg = load_config(config, options.cfg_options)
    work_dir = find_work_dir(cfg, config, options.work_dir)
    if checks and name == 'train.py':
        run = TrainingRun(
            work_dir, options.launcher, options.amp, options.auto_scale_lr
        )
        _preflight(cfg, run)
    elif checks:
        check_config(cfg, SPLITS[name])
    added = use_cpus(cfg, options.launcher) + import_options(cfg)
    resumes_last = options.resume == 'auto' or (
        cfg.get('resume') and not cfg.get('load_from') and not options.resume
    )
    if name == 'train.py' and resumes_last:
        find_whole_checkpoint(work_dir)
        if _is_first(options.launcher):
            _tell_end(cfg, work_dir)
    return ['--cfg-options', *added] if added else []


def _is_first(launcher: str) -> bool:
    """Return whether this is the first of all processes of a run."""
    return launcher == 'none' or all(
        os.environ.get(key, '0') == '0' for key in RANKS
    )


def _tell_end(cfg: Config, work_dir: Path) -> None:
    """Say so if a run that is to be resumed has come to its end."""
    pointer = work_dir / 'last_checkpoint'
    last = pointer.read_text().strip() if pointer.is_file() else ''
    for unit in 'epoch', 'iter':
        length = (cfg.get('train_cfg') or {}).get(f'max_{unit}s')
        reached = re.search(rf'\b{unit}_(\d+)\.pth$', last)
        # MMEngine answers a length that is no number.
        if not isinstance(length, int) or not reached:
            continue
        if int(reached[1]) >= length:
            print(
                f'note: {last} is the end of this training of {length} '
                f'{unit}s, so nothing is left to train; to go on, raise '
                f'train_cfg.max_{unit}s',
                file=sys.stderr,
            )


def _preflight(cfg: Config, run: TrainingRun) -> None:
    """Check a training in the first of its processes; print what is found.

    Raises:
        ValueError: If the training cannot run.
    """
    if not _is_first(run.launcher):
        return
    try:
        findings = check_training(cfg, run)
    except (OSError, ValueError):
        raise
    except Exception as error:
        # A config can hold anything, and MMDetection may accept it.
        print(
            'warning: the checks before the training are left out, because '
            f'they failed: {type(error).__name__}: {printable(str(error))}',
            file=sys.stderr,
        )
        return
    for message in findings.warnings:
        print(f'warning: {message}', file=sys.stderr)
    if findings.errors:
        lines = '\nerror: '.join(findings.errors)
        raise ValueError(f'{cfg.filename}: {lines}')


def _run(tool: Path) -> None:
    """Run a tool; report errors of checkpoints in one line."""
    try:
        _run_as_main(tool)
    except CheckpointError as error:
        sys.exit(f'error: {error}')
    except (OSError, RuntimeError) as error:
        place = _unwritten_checkpoint(error)
        if place is None:
            raise
        cause = getattr(error, 'strerror', None) or str(error)
        sys.exit(
            f'error: Cannot write the checkpoint {place}: '
            f'{printable(cause)}; free some space and resume, or name another '
            '--work-dir and the last whole checkpoint with --resume'
        )


def _run_as_main(tool: Path) -> None:
    """Run a script as the main module, as ``runpy.run_path`` does."""
    before = sys.modules['__main__']
    module = ModuleType('__main__')
    module.__file__ = str(tool)
    sys.modules['__main__'] = module
    try:
        exec(compile(tool.read_bytes(), str(tool), 'exec'), vars(module))
    finally:
        sys.modules['__main__'] = before


def _unwritten_checkpoint(error: Exception) -> Optional[str]:
    """Return the path of the checkpoint that could not be written, if any.

    The error of a full disk does not name the incomplete file.
    """
    names = [
        frame.f_locals['filename']
        for frame, _ in traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_name == 'save_checkpoint'
        and 'filename' in frame.f_locals
    ]
    is_disk_error = isinstance(error, OSError) or 'file write' in str(error)
    return names[-1] if names and is_disk_error else None
