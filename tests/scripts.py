"""The scripts below ``tools``, imported as modules."""
import importlib.util
from pathlib import Path

TOOLS = Path(__file__).parents[1] / 'tools'


def load_script(name):
    """Return the module of a script, given its path below ``tools``."""
    path = TOOLS / name
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
