"""The scripts below ``tools``, imported as modules or run in this process."""

import contextlib
import importlib.util
import io
import runpy
import sys
from pathlib import Path
from unittest import mock

TOOLS = Path(__file__).parents[2] / 'tools'


def load_script(name):
    """Return the module of a script, given its path below ``tools``."""
    path = TOOLS / name
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_script(name, *args):
    """Run a script as a command, and return its exit status and output.

    It is what a shell would see, without the seconds of a new process.
    """
    output, code = io.StringIO(), 0
    # As Python does, which finds the modules beside a script.
    folder = str((TOOLS / name).parent)
    with mock.patch('sys.argv', [name, *map(str, args)]), mock.patch(
        'sys.path', [folder, *sys.path]
    ), contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            runpy.run_path(str(TOOLS / name), run_name='__main__')
        except SystemExit as stop:
            code = stop.code or 0
            if isinstance(code, str):
                print(code, file=sys.stderr)
                code = 1
    return code, output.getvalue()
