import pytest
import torch
from mmdet.registry import MODELS

from sge_mmdet import SGEFPN

CHANNELS = [16, 32, 64]
OPTIONS = dict(in_channels=CHANNELS, out_channels=32, num_outs=3)


def features(size=16):
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(2, channels, size >> i, size >> i, generator=generator)
        for i, channels in enumerate(CHANNELS)
    ]


@pytest.mark.parametrize(
    'kind, options',
    [
        ('FPN', dict()),
        ('FPN', dict(num_outs=5, start_level=1, add_extra_convs='on_input')),
        ('PAFPN', dict()),
        ('HRFPN', dict()),
        ('ChannelMapper', dict()),
        ('ChannelMapper', dict(num_outs=5)),
    ],
    ids=str,
)
def test_each_level_of_the_neck_is_enhanced_by_its_own_layer(kind, options):
    options = {**OPTIONS, **options}
    plain = MODELS.build(dict(type=kind, **options))
    ours = MODELS.build(dict(type=f'SGE{kind}', sge=dict(groups=8), **options))
    missing, unexpected = ours.load_state_dict(
        plain.state_dict(), strict=False
    )
    assert not unexpected
    assert missing == [
        f'sge.{i}.{name}'
        for i in range(options['num_outs'])
        for name in ('weight', 'bias')
    ]
    for i, layer in enumerate(ours.sge):
        torch.nn.init.constant_(layer.weight, 0.3 * i)
    levels = ours(features())
    assert isinstance(levels, tuple) and len(levels) == options['num_outs']
    for layer, got, want in zip(ours.sge, levels, plain(features())):
        torch.testing.assert_close(got, layer(want))
    sum(level.sum() for level in levels).backward()
    assert all(layer.weight.grad is not None for layer in ours.sge)


def test_init_weights_leaves_sge_at_its_start():
    neck = SGEFPN(sge=dict(groups=8, bias_init=2.0), **OPTIONS)
    neck.init_weights()
    for layer in neck.sge:
        assert (layer.weight == 0).all() and (layer.bias == 2).all()


def test_groups_that_do_not_fit_are_refused_when_it_is_built():
    with pytest.raises(ValueError, match='groups=64 for 32 channels'):
        SGEFPN(**OPTIONS)
