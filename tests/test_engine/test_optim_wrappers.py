"""Training in bfloat16 beside float32."""

import pytest
import torch
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn

from sge_mmdet.engine import load_local_checkpoint
from tests.helpers.scripts import run_script
from tests.helpers.tiny_run import write_tiny_run

SHORT = """
train_dataloader.update(num_workers=0, persistent_workers=False)
train_cfg = dict(max_iters=6, val_begin=7)
"""


def train(folder, options):
    """Train the demo for some steps, and return the losses."""
    folder.mkdir()
    code, output = run_script(
        'train.py',
        write_tiny_run(folder, SHORT + options),
        '--work-dir',
        folder,
    )
    assert code == 0, output
    checkpoint = load_local_checkpoint(folder / 'iter_6.pth')
    assert all(
        torch.isfinite(value).all() and value.dtype == torch.float32
        for name, value in checkpoint['state_dict'].items()
        if value.is_floating_point()
    )
    logs = checkpoint['message_hub']['log_scalars']
    return torch.tensor(logs['train/loss'].data[0])


def test_demo_in_bfloat16_starts_as_in_float32(tmp_path):
    single = train(tmp_path / 'single', '')
    half = train(
        tmp_path / 'half', "optim_wrapper = dict(type='BFloat16OptimWrapper')"
    )
    assert single[-1] < 0.9 * single[0]
    assert not torch.equal(single, half)
    torch.testing.assert_close(half, single, rtol=0.03, atol=0)


class Detector(nn.Module):
    """A detector whose backbone is one layer."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def extract_feat(self, x):
        out = self.layer(x)
        self.inner = out.dtype
        return out, out


@pytest.fixture
def detector():
    return Detector()


@pytest.fixture
def wrapper(detector):
    return OPTIM_WRAPPERS.build(
        dict(
            type='BFloat16OptimWrapper',
            optimizer=torch.optim.SGD(detector.parameters(), 1.0),
        )
    )


def test_heads_see_float32_and_the_parameters_stay_so(detector, wrapper):
    before = detector.layer.weight.detach().clone()
    with wrapper.optim_context(detector):
        features = detector.extract_feat(torch.rand(1, 2))
        assert (features[0] @ torch.rand(2, 2)).dtype == torch.float32
    assert detector.inner == torch.bfloat16
    assert {feature.dtype for feature in features} == {torch.float32}
    wrapper.update_params(features[0].sum())
    assert detector.layer.weight.dtype == torch.float32
    assert not torch.equal(detector.layer.weight, before)


def test_outside_of_training_nothing_is_rounded(detector, wrapper):
    with pytest.raises(KeyError), wrapper.optim_context(detector):
        raise KeyError
    detector.extract_feat(torch.rand(1, 2))
    assert detector.inner == torch.float32
    assert 'extract_feat' not in vars(detector)
