"""Ways by which checkpoints get into a process, each given a hostile one.

``python -m tests.helpers.checkpoint_routes CONFIG FOLDER ROUTE ...`` takes
FOLDER/ROUTE.pth through each route and prints, as JSON, what each route ended
with.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
from mmdet.apis import DetInferencer, init_detector
from mmdet.registry import MODELS
from mmengine._strategy import SingleDeviceStrategy
from mmengine.config import config as sources

from sge_mmdet.deployment import load_detector
from tests.helpers.quick_runs import hasten_runs
from tests.helpers.scripts import run_script


def script(name, *args):
    code, shown = run_script(name, *args)
    assert code == 0, shown.strip().splitlines()[-1]


def train(config, path, *args):
    script('train.py', config, '--work-dir', path.with_suffix(''), *args)


def resume(config, path):
    train(config, path, '--resume', path)


def resume_work_dir(config, path):
    folder = path.with_suffix('')
    folder.mkdir()
    shutil.copy(path, folder / 'iter_1.pth')
    (folder / 'last_checkpoint').write_text(str(folder / 'iter_1.pth'))
    train(config, path, '--resume')


def resume_flexible(config, path):
    train(
        config,
        path,
        '--resume',
        path,
        '--cfg-options',
        'runner_type=FlexibleRunner',
    )


def load_from(config, path):
    train(config, path, '--cfg-options', f'load_from={path}')


def test(config, path):
    script('test.py', config, path, '--work-dir', path.with_suffix(''))


def pretrained(config, path):
    cfg = sources.Config.fromfile(config).model
    cfg.backbone.init_cfg = dict(type='Pretrained', checkpoint=str(path))
    MODELS.build(cfg).init_weights()


def detector(config, path):
    init_detector(config, str(path), device='cpu')


def inferencer_of_config(config, path):
    DetInferencer(str(config), str(path), device='cpu')


def inferencer(config, path):
    DetInferencer(None, str(path), device='cpu')


def inferencer_run(config, path):
    DetInferencer(None, str(path), device='cpu')(
        np.zeros((64, 64, 3), np.uint8), out_dir=''
    )


inferencer_hub = inferencer_data = inferencer_import = inferencer
inferencer_warp = inferencer


def convert(config, path):
    script('convert_checkpoint.py', path, '-o', path.with_suffix('.new'))


def evaluate(config, path):
    script('evaluate.py', config, path, '--out-dir', path.with_suffix(''))


def visualize(config, path):
    image = next(Path(config).parent.glob('digits/val/*'))
    script(
        'visualize_sge.py',
        config,
        path,
        image,
        '--out-dir',
        path.with_suffix(''),
    )


def onnx(config, path):
    load_detector(config, str(path))


def main():
    config, folder, *routes = sys.argv[1:]
    hasten_runs()
    # How the text of a config looks takes half of the time.
    sources.FormatCode = lambda text, **style: (text, True)
    # The hostile checkpoints hold no state for an optimizer of this model.
    SingleDeviceStrategy.load_optim_state_dict = lambda *args, **kwargs: None
    said = {}
    for route in routes:
        try:
            globals()[route](config, Path(folder, f'{route}.pth'))
            said[route] = 'works'
        except (Exception, SystemExit) as error:
            said[route] = f'{type(error).__name__}: {error}'
    print('\n' + json.dumps(said))


if __name__ == '__main__':
    main()
