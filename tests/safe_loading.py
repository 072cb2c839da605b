"""Whether checkpoints from elsewhere can be loaded safely here."""
import pytest

from sge_mmdet.runner.checkpoint import weights_only_is_default

safely = pytest.mark.skipif(
    not weights_only_is_default(),
    reason='before torch 2.6 MMEngine lets checkpoints run code')
