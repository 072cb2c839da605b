"""Start of a command, once its arguments are parsed."""

import argparse
import ast
import importlib
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict, List, Optional, Sequence

from .options import ConfigValues, Parser

# Those of sge_mmdet.utils.detector_files.
DETECTORS = ('.py', '.pth', '.pt')
# Whether the console command runs, with whose end its process ends.
is_console = False


def run_command(
    command: str, options: argparse.Namespace, files_alone: bool = False
) -> None:
    """Import the module of a command and run it.

    The import loads PyTorch and MMDetection, which takes seconds; help and
    errors of the arguments are shown before.

    Args:
        command (str): Name of the command, such as "draw-run".
        options (argparse.Namespace): Parsed arguments.
        files_alone (bool): Whether it needs neither of them, and the process
            ends with it, so that nothing else will. Default: False.
    """
    # Where the package is imported already, it has registered everything.
    if files_alone and 'sge_mmdet' not in sys.modules:
        importlib.import_module('sge_mmdet_cli.files_alone')
    name = command.replace('-', '_')
    try:
        importlib.import_module(f'sge_mmdet.commands.{name}').run(options)
    except ModuleNotFoundError as error:
        sys.exit(
            f'error: sge-mmdet {command} needs {_describe_missing(error)}'
        )


def ends_process(args: Optional[Sequence[str]]) -> bool:
    """Return whether this process ends with the command.

    It does not where Python or a notebook goes on after it.

    Args:
        args (Sequence[str], optional): Arguments of its ``main``. None means
            that it runs as a script.
    """
    goes_on = sys.flags.interactive or hasattr(sys, 'ps1')
    return (args is None or is_console) and not goes_on


def names_config(words: Optional[Sequence[str]]) -> bool:
    """Return whether words name a config or a checkpoint.

    Args:
        words (Sequence[str], optional): Words of ``--classes``, or ground
            truth.
    """
    one = words[0] if words and len(words) == 1 else ''
    return Path(one).suffix in DETECTORS


def _describe_missing(error: ModuleNotFoundError) -> str:
    """Return what is missing and how to install it."""
    try:
        compatibility = importlib.import_module('sge_mmdet.compatibility')
        missing = compatibility.missing_packages()
    except ModuleNotFoundError:
        missing = []
    if missing:
        return compatibility.describe_missing(missing)
    return (
        f'the package {error.name}, which is not installed; '
        f'"pip install {error.name}" installs it'
    )


def run_upstream_command(command: str, args: Optional[Sequence[str]]) -> None:
    """Run a tool of MMDetection, or show its help or an error of its usage.

    Args:
        command (str): "train" or "test".
        args (Sequence[str], optional): Arguments of the tool. None means that
            the command runs as a script; the usage then has its name.
    """
    program = sys.argv[0] if args is None else f'sge-mmdet {command}'
    arguments = list(sys.argv[1:] if args is None else args)
    # Before the imports, which take seconds.
    for tool in _find_upstream_tools(command)[:1]:
        _parse_as_upstream(tool, program, arguments)
    run_command(
        command, argparse.Namespace(arguments=arguments, program=program)
    )


def _find_upstream_tools(name: str) -> List[Path]:
    """Return where MMDetection has a tool, without importing MMDetection."""
    spec = find_spec('mmdet')
    if spec is None or spec.origin is None:
        return []
    package = Path(spec.origin).resolve().parent
    paths = [
        root / 'tools' / f'{name}.py'
        for root in (package / '.mim', package.parent)
    ]
    return [path for path in paths if path.is_file()]


class _UpstreamParser(Parser):
    """Parser of a tool of MMDetection, with the option of this package."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.add_argument(
            '--no-preflight',
            action='store_true',
            help='leave out the checks of config, data and machine before '
            'the run',
        )


def _parse_as_upstream(
    tool: Path, program: str, arguments: Sequence[str]
) -> None:
    """Call the function ``parse_args`` of a tool, without its imports."""
    tree = ast.parse(tool.read_bytes())
    tree.body = [
        node
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name == 'parse_args'
    ]
    names: Dict[str, Any] = dict(
        argparse=SimpleNamespace(
            **{**vars(argparse), 'ArgumentParser': _UpstreamParser}
        ),
        # The tool itself is yet to set LOCAL_RANK, if it runs at all.
        os=SimpleNamespace(**{**vars(os), 'environ': dict(os.environ)}),
        DictAction=ConfigValues,
    )
    exec(compile(tree, str(tool), 'exec'), names)
    before, sys.argv = sys.argv, [program, *arguments]
    try:
        if 'parse_args' in names:
            names['parse_args']()
    except NameError:
        # The tool will parse them, once it has imported what it names.
        pass
    finally:
        sys.argv = before
