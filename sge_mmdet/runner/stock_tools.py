"""MMDetection's own ``tools/train.py`` and ``tools/test.py``, with SGE."""
import argparse
import runpy
import sys
from pathlib import Path

from mmengine.config import DictAction

from ..utils import load_config, stock_path
from .preflight import check_config

CONFIG_SUFFIXES = ('.py', '.json', '.yml', '.yaml')
SPLITS = {'train.py': ('train', 'val'), 'test.py': ('test', )}


def run_stock_tool(name: str) -> None:
    """Run a tool of MMDetection with the arguments of this process.

    SGE is registered even if the config does not import it, so that
    ``--cfg-options model.backbone.type=SGEResNet`` is enough; and the data
    sets and plugins are checked first.

    Args:
        name (str): "train.py" or "test.py".
    """
    # The tool's other options are its own: the config is the first argument
    # that is a config file, wherever it stands.
    config = next((argument for argument in sys.argv[1:]
                   if Path(argument).suffix in CONFIG_SUFFIXES
                   and Path(argument).is_file()), None)
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    options = parser.parse_known_args()[0].cfg_options
    try:
        tool = stock_path('tools', name)
        if config:
            check_config(load_config(config, options), SPLITS[name])
    except (OSError, ValueError) as error:
        sys.exit(f'error: {error}')
    sys.argv[0] = str(tool)
    runpy.run_path(str(tool), run_name='__main__')
