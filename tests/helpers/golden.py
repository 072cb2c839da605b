"""The authors' figures, and the weights that they were computed with."""

import json
import zlib
from pathlib import Path

import numpy as np
import torch

DATA = Path(__file__).parents[1] / 'data'


def golden_keys(depth):
    """Return the authors' state dict keys with their shapes."""
    return json.loads((DATA / f'sge_resnet{depth}_keys.json').read_text())


def golden_weights(depth):
    """Return the weights behind the golden stage outputs."""
    return {
        key: torch.from_numpy(_weight(key, shape))
        for key, shape in golden_keys(depth).items()
    }


def golden_stages(depth):
    """Return the input and the four stages' outputs."""
    golden = np.load(DATA / f'sge_resnet{depth}_golden.npz')
    random = np.random.RandomState(int(golden['input_seed']))
    x = random.standard_normal(tuple(golden['input_shape']))
    stages = [torch.from_numpy(golden[f'stage{i}']) for i in range(1, 5)]
    return torch.from_numpy(x.astype(np.float32)), stages


def _weight(key, shape):
    a = np.random.RandomState(zlib.crc32(key.encode())).standard_normal(shape)
    if key.endswith('num_batches_tracked'):
        return np.array(0)
    if len(shape) == 4 and '.sge.' not in key:
        a = a * np.sqrt(2 / (shape[0] * shape[2] * shape[3]))
    elif '.sge.weight' in key:
        a = 0.5 * a
    elif '.sge.bias' in key:
        a = 1 + 0.2 * a
    elif key.endswith('running_var'):
        a = 0.5 + abs(a)
    elif key.endswith('running_mean'):
        a = 0.1 * a
    elif '.bn3.weight' in key:
        a = 0.2 + 0.05 * a
    elif len(shape) == 1 and key.endswith('weight'):
        a = 1 + 0.1 * a
    elif key.endswith('bias'):
        a = 0.05 * a
    else:
        a = 0.02 * a
    return np.asarray(a, dtype=np.float32)
