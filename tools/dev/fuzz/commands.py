"""What reads a file: the tools, as a user runs them, and what they call."""

import importlib.util
import sys
from pathlib import Path
from random import Random
from typing import Any, Callable, Dict, List, NamedTuple, Optional
from unittest import mock

from mmengine.runner import CheckpointLoader

from sge_mmdet.engine import run_upstream_tool
from sge_mmdet.evaluation.engines import ENGINES, default_engine
from sge_mmdet.study import plan_study

from .good_files import ROOT
from .oracle import BINS, Case, check_figures, check_weights


class Command(NamedTuple):
    """A command that reads a file.

    Attributes:
        run: Reads it; exits with an error that names it, or works.
        check: What is to be right where it works. Default: None.
    """

    run: Callable[[], Any]
    check: Optional[Callable[[], None]] = None


def commands(
    random: Random, kind: str, path: Path, folder: Path
) -> List[Command]:
    """Return what reads an edited file, as a user would have it read.

    Args:
        random (Random): Chooses the options.
        kind (str): Of the file.
        path (Path): The edited file.
        folder (Path): Of the data set, and where tools may write.
    """
    if kind.endswith('.py'):
        return _with_config(path, folder)
    if kind.endswith('.pth'):
        return _with_checkpoint(path, folder)
    return _evaluations(random, kind, path, folder)


def _with_config(path: Path, folder: Path) -> List[Command]:
    """Return what reads a config."""
    new = folder / 'out' / 'new.py'
    plan_folder = folder / 'study' / path.stem
    return [
        Command(
            lambda: tool(
                'add_sge.py', path, '-o', new, '--overwrite', '--groups', 32
            )
        ),
        Command(
            lambda: named(plan_study, [path], [0], plan_folder, options={})
        ),
        Command(lambda: preflight(path)),
    ]


def _with_checkpoint(path: Path, folder: Path) -> List[Command]:
    """Return what reads a checkpoint."""
    new = folder / 'out' / 'new.pth'
    return [
        Command(
            lambda: named(CheckpointLoader.load_checkpoint, str(path), 'cpu'),
            lambda: check_weights(path),
        ),
        Command(
            lambda: tool(
                'convert_checkpoint.py', path, '-o', new, '--overwrite'
            )
        ),
    ]


def _evaluations(
    random: Random, kind: str, path: Path, folder: Path
) -> List[Command]:
    """Return what evaluates ground truth or a result file."""
    case = _random_case(random, kind, path, folder / 'data')
    files = case.ground_truth, case.results
    options = ['--metric', case.metric, '--size-bins', *case.bins]
    evaluate = [*files, *options, '--engine', case.engine, '--classwise']
    if random.random() < 0.01:
        evaluate += ['--out-dir', folder / 'out']
    compare = [files[1], files[1], '--ground-truth', files[0], *options]
    return [
        Command(
            lambda: tool('evaluate.py', *evaluate), lambda: check_figures(case)
        ),
        Command(lambda: tool('compare.py', *compare, '--resamples', 5)),
    ]


def _random_case(random: Random, kind: str, path: Path, data: Path) -> Case:
    """Return an evaluation of an edited file with another, good one."""
    with_masks = 'masks' in kind or (
        'boxes' not in kind and random.random() < 0.5
    )
    ground_truth, results = data / 'truth.json', path
    if kind == 'truth.json':
        ground_truth = path
        results = data / ('masks.json' if with_masks else 'boxes.json')
    return Case(
        ground_truth,
        results,
        'segm' if with_masks else 'bbox',
        random.choice(list(BINS)),
        random.choice(ENGINES[ENGINES.index(default_engine()) :]),
    )


_MAINS: Dict[str, Callable[[], None]] = {}


def tool(name: str, *args: object) -> None:
    """Run a tool with arguments, in this process.

    Args:
        name (str): Of the script.
        *args: Of its command line.
    """
    if name not in _MAINS:
        spec = importlib.util.spec_from_file_location(
            name[:-3], ROOT / 'tools' / name
        )
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        _MAINS[name] = module.main
    with mock.patch('sys.argv', [name, *map(str, args)]):
        _MAINS[name]()


def named(call: Callable, *args: Any, **kwargs: Any) -> None:
    """Call what a tool calls, and exit on the errors that the tool names.

    Args:
        call (Callable): Such as ``plan_study``, as tools/run_study.py does.
        *args: Of it.
        **kwargs: Of it.
    """
    try:
        call(*args, **kwargs)
    except (OSError, RuntimeError, ValueError) as error:
        sys.exit(f'error: {error}')


def preflight(path: Path) -> None:
    """Do what tools/test.py does before MMDetection's own tool begins.

    Args:
        path (Path): A config.
    """
    with mock.patch(
        'sys.argv', ['test.py', str(path), 'none.pth']
    ), mock.patch('sge_mmdet.engine.upstream_tools._run_as_main'):
        run_upstream_tool('test.py')
