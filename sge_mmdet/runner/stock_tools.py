"""MMDetection's own ``tools/train.py`` and ``tools/test.py``, with SGE."""
import argparse
import runpy
import sys
from pathlib import Path

import mmdet
from mmengine.config import Config, DictAction

from .preflight import check_datasets, check_model

CONFIG_SUFFIXES = ('.py', '.json', '.yml', '.yaml')
SPLITS = {'train.py': ('train', 'val'), 'test.py': ('test', )}


def find_stock_tool(name: str) -> Path:
    """Return the path of a tool of the installed MMDetection.

    Args:
        name (str): Path below ``tools/``, such as "train.py".

    Raises:
        FileNotFoundError: If this MMDetection came without its tools.
    """
    package = Path(mmdet.__file__).resolve().parent
    # In a wheel, and in a clone that was installed in editable mode.
    for tools in (package / '.mim' / 'tools', package.parent / 'tools'):
        if (tools / name).is_file():
            return tools / name
    raise FileNotFoundError(f'The MMDetection in {package} has no '
                            f'tools/{name}; reinstall it: pip install mmdet')


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
        tool = find_stock_tool(name)
        if config:
            cfg = Config.fromfile(config)
            cfg.merge_from_dict(options or {})
            check_model(cfg.get('model'))
            check_datasets(cfg, SPLITS[name])
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f'error: {error}')
    sys.argv[0] = str(tool)
    runpy.run_path(str(tool), run_name='__main__')
