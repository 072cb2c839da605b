"""MMDetection's models on a machine with mmcv-lite."""

import os
import subprocess
import sys

from tests.helpers.scripts import TOOLS

# As mmcv-lite is: mmcv without its module of compiled operators.
WITHOUT_OPERATORS = """
import sys
from importlib.machinery import PathFinder


class Lite(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name == 'mmcv._ext':
            return None
        return super().find_spec(name, path, target)


sys.meta_path[sys.meta_path.index(PathFinder)] = Lite
"""
BUILD = """
import bare

assert not bare.has_operators()
import sge_mmdet
from mmdet.registry import MODELS

print(type(MODELS.build(dict(type='SGEResNet', depth=18))).__name__)
from mmcv.ops import nms
import torch

try:
    nms(torch.tensor([[0.0, 0, 1, 1]]), torch.ones(1), 0.5)
except RuntimeError as error:
    print(error)
"""


def test_models_are_built_beside_mmcv_lite():
    path = [str(TOOLS / 'benchmark'), str(TOOLS.parent)]
    done = subprocess.run(
        [sys.executable, '-c', WITHOUT_OPERATORS + BUILD],
        capture_output=True,
        text=True,
        env={**os.environ, 'PYTHONPATH': os.pathsep.join(path)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        'SGEResNet',
        'mmcv was installed without its operator nms: pip install mmcv==2.1.0',
    ]
