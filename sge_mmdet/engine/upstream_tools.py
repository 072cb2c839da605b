"""MMDetection's own ``tools/train.py`` and ``tools/test.py``, with SGE."""

import argparse
import runpy
import sys
import traceback
from pathlib import Path
from typing import Optional

from mmengine.config import DictAction

from ..utils import load_config, upstream_path
from ..utils.text import printable
from .checkpoints.refusal import CheckpointError
from .hooks.exact_resume import find_whole_checkpoint
from .launch import use_cpus
from .preflight import check_config

CONFIG_SUFFIXES = ('.py', '.json', '.yml', '.yaml')
SPLITS = {'train.py': ('train', 'val'), 'test.py': ('test',)}


def run_upstream_tool(name: str) -> None:
    """Run a tool of MMDetection with the arguments of this process.

    SGE is registered even if the config does not import it, so that
    ``--cfg-options model.backbone.type=SGEResNet`` is enough. Data sets and
    plugins are checked first. Distributed runs need no GPUs. ``--resume``
    skips incomplete checkpoints.

    Args:
        name (str): File name of the tool, "train.py" or "test.py".
    """
    # The tool parses its other options itself. The config is the first
    # argument that is a config file, at any position.
    config = next(
        (
            argument
            for argument in sys.argv[1:]
            if Path(argument).suffix in CONFIG_SUFFIXES
            and Path(argument).is_file()
        ),
        None,
    )
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    parser.add_argument('--launcher', default='none')
    parser.add_argument('--resume', nargs='?', const='auto')
    parser.add_argument('--work-dir')
    args, _ = parser.parse_known_args()
    added = []
    try:
        tool = upstream_path('tools', name)
        missing = next(
            (
                argument
                for argument in sys.argv[1:]
                if argument.endswith('.py') and '=' not in argument
            ),
            None,
        )
        if missing and not config:
            raise FileNotFoundError(f'There is no config {missing}')
        if config:
            cfg = load_config(config, args.cfg_options)
            check_config(cfg, SPLITS[name])
            added = use_cpus(cfg, args.launcher)
            resumes_last = args.resume == 'auto' or (
                cfg.get('resume')
                and not cfg.get('load_from')
                and not args.resume
            )
            if name == 'train.py' and resumes_last:
                find_whole_checkpoint(
                    args.work_dir
                    or cfg.get('work_dir')
                    or Path('work_dirs', Path(config).stem)
                )
    except (OSError, ValueError) as error:
        sys.exit(f'error: {error}')
    sys.argv[0] = str(tool)
    if added:
        sys.argv += ['--cfg-options', *added]
    _run(tool)


def _run(tool: Path) -> None:
    """Run a tool; report errors of checkpoints in one line."""
    try:
        runpy.run_path(str(tool), run_name='__main__')
    except CheckpointError as error:
        sys.exit(f'error: {error}')
    except (OSError, RuntimeError) as error:
        place = _unwritten_checkpoint(error)
        if place is None:
            raise
        cause = getattr(error, 'strerror', None) or str(error)
        sys.exit(
            f'error: Cannot write the checkpoint {place}: '
            f'{printable(cause)}; make room, or name another --work-dir '
            'and the last whole checkpoint with --resume'
        )


def _unwritten_checkpoint(error: Exception) -> Optional[str]:
    """Return which checkpoint MMEngine was writing when an error occurred.

    The error of a full disk does not name the incomplete file.
    """
    names = [
        frame.f_locals['filename']
        for frame, _ in traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_name == 'save_checkpoint'
        and 'filename' in frame.f_locals
    ]
    is_of_disk = isinstance(error, OSError) or 'file write' in str(error)
    return names[-1] if names and is_of_disk else None
