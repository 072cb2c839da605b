import copy

import pytest
import torch
from mmdet.models.backbones.resnet import ResNet
from mmdet.registry import MODELS
from mmengine.model import revert_sync_batchnorm
from mmengine.runner import load_checkpoint
from torch import nn

from sge_mmdet import SGEResNet, SpatialGroupEnhance
from tests.helpers import golden


def image(size=64, seed=0):
    return torch.randn(
        2, 3, size, size, generator=torch.Generator().manual_seed(seed)
    )


def randomize(model, seed=0):
    """Give every parameter a value that leaves its trace in the output."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.data += 0.1 * noise
    return model


def sge_layers(model):
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, SpatialGroupEnhance)
    }


@pytest.mark.parametrize('depth', [18, 50])
def test_authors_weights_load_and_give_the_authors_features(depth):
    backbone = SGEResNet(depth).eval()
    result = backbone.load_state_dict(
        golden.golden_weights(depth), strict=False
    )
    assert result.missing_keys == []
    assert result.unexpected_keys == ['fc.weight', 'fc.bias']
    x, stages = golden.golden_stages(depth)
    with torch.no_grad():
        for got, want in zip(backbone(x), stages):
            assert (got - want).abs().max() <= 1e-4 * want.abs().max()


@pytest.mark.parametrize('depth', [18, 50])
def test_authors_checkpoint_file_initialises_the_backbone(depth, tmp_path):
    weights = golden.golden_weights(depth)
    state = {f'module.{key}': value for key, value in weights.items()}
    torch.save(
        dict(state_dict=state, epoch=100, arch='sge_resnet'),
        tmp_path / 'authors.pth',
    )
    backbone = SGEResNet(
        depth,
        init_cfg=dict(
            type='Pretrained', checkpoint=str(tmp_path / 'authors.pth')
        ),
    )
    backbone.init_weights()
    for key, value in backbone.state_dict().items():
        assert torch.equal(value, weights[key]), key


@pytest.mark.parametrize(
    'depth, layers', [(18, 8), (34, 16), (50, 16), (101, 33), (152, 50)]
)
def test_every_block_of_every_depth_has_sge(depth, layers):
    assert len(sge_layers(SGEResNet(depth))) == layers


@pytest.mark.parametrize('depth', [18, 50])
def test_without_sge_stages_it_is_the_plain_resnet(depth):
    plain = randomize(ResNet(depth))
    plain.eval()
    ours = SGEResNet(depth, sge_stages=(False,) * 4).eval()
    ours.load_state_dict(plain.state_dict())
    for got, want in zip(ours(image()), plain(image())):
        assert torch.equal(got, want)


@pytest.mark.parametrize('depth', [18, 50])
def test_sge_stands_between_the_last_norm_and_the_addition(depth):
    """Fresh SGE with a gate of one half halves the residual branch."""
    ours = randomize(SGEResNet(depth)).double().eval()
    plain = ResNet(depth).double()
    plain.eval()
    plain.load_state_dict(ours.state_dict(), strict=False)
    for layer in sge_layers(ours).values():
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    last_norm = f'bn{3 if depth == 50 else 2}'
    for name, module in plain.named_modules():
        if name.startswith('layer') and name.endswith(last_norm):
            module.weight.data /= 2
            module.bias.data /= 2
    for got, want in zip(ours(image().double()), plain(image().double())):
        torch.testing.assert_close(got, want)


def test_stages_groups_and_options_reach_the_layers():
    backbone = SGEResNet(
        50,
        sge=dict(
            groups=32,
            eps=1e-3,
            normalize=False,
            weight_init=0.1,
            bias_init=0.0,
        ),
        sge_stages=(False, True, False, True),
    )
    layers = sge_layers(backbone)
    assert {name.split('.')[0] for name in layers} == {'layer2', 'layer4'}
    for layer in layers.values():
        assert (layer.groups, layer.eps, layer.normalize) == (32, 1e-3, False)
        assert (layer.weight == 0.1).all() and (layer.bias == 0).all()


@pytest.mark.parametrize(
    'options',
    [
        dict(deep_stem=True, avg_down=True),
        dict(style='caffe', norm_cfg=dict(type='BN', requires_grad=False)),
        dict(norm_cfg=dict(type='GN', num_groups=32)),
        dict(dilations=(1, 1, 2, 4), strides=(1, 2, 1, 1)),
        dict(
            num_stages=3,
            strides=(1, 2, 2),
            dilations=(1, 1, 1),
            out_indices=(2,),
            frozen_stages=1,
        ),
        dict(
            dcn=dict(type='DCNv2', deform_groups=1, fallback_on_stride=False),
            stage_with_dcn=(False, True, True, True),
        ),
        dict(with_cp=True),
        dict(base_channels=32, stem_channels=16),
    ],
    ids=lambda options: ','.join(options),
)
def test_every_option_of_resnet_builds_trains_and_predicts(options):
    backbone = randomize(SGEResNet(50, **options)).train()
    sum(feature.mean() for feature in backbone(image())).backward()
    trained = [p for p in backbone.parameters() if p.requires_grad]
    assert all(p.grad is not None for p in trained)
    assert any(
        p.grad.any()
        for name, p in backbone.named_parameters()
        if '.sge.' in name and p.requires_grad
    )
    plain = ResNet(50, **options)
    plain.eval()
    assert [feature.shape for feature in backbone.eval()(image())] == [
        feature.shape for feature in plain(image())
    ]


def test_other_plugins_come_before_sge():
    context = dict(type='ContextBlock', ratio=1 / 16)
    backbone = SGEResNet(
        50,
        plugins=[
            dict(
                cfg=context,
                stages=(False, True, True, True),
                position='after_conv3',
            )
        ],
    )
    blocks = backbone.layer1[0], backbone.layer2[0]
    names = [block.after_conv3_plugin_names for block in blocks]
    assert names == [['sge'], ['context_block', 'sge']]
    backbone(image())


@pytest.mark.parametrize('depth', [18, 50])
def test_frozen_stages_freeze_their_sge(depth):
    backbone = SGEResNet(depth, frozen_stages=2).train()
    frozen = {
        name.split('.')[0]
        for name, p in backbone.named_parameters()
        if '.sge.' in name and not p.requires_grad
    }
    assert frozen == {'layer1', 'layer2'}


@pytest.mark.parametrize('depth', [18, 50])
def test_checkpointing_gives_the_same_features_and_gradients(depth):
    plain = randomize(SGEResNet(depth)).double().train()
    cheap = SGEResNet(depth, with_cp=True).double().train()
    cheap.load_state_dict(plain.state_dict())
    for model in (plain, cheap):
        sum((f**2).mean() for f in model(image().double())).backward()
    for (name, p), q in zip(plain.named_parameters(), cheap.parameters()):
        difference = (p.grad - q.grad).abs().max()
        assert difference <= 1e-10 * p.grad.abs().max(), name


@pytest.mark.parametrize('depth, last', [(18, 'bn2'), (50, 'bn3')])
@pytest.mark.parametrize('zero', [True, False])
def test_zero_init_residual_zeroes_the_norm_and_not_sge(depth, last, zero):
    backbone = SGEResNet(depth, zero_init_residual=zero)
    backbone.init_weights()
    block = backbone.layer2[1]
    assert (getattr(block, last).weight == (0 if zero else 1)).all()
    assert (block.sge.weight == 0).all() and (block.sge.bias == 1).all()


@pytest.mark.parametrize('depth', [18, 50])
@pytest.mark.parametrize(
    'convert',
    [
        copy.deepcopy,
        nn.SyncBatchNorm.convert_sync_batchnorm,
        lambda model: revert_sync_batchnorm(
            nn.SyncBatchNorm.convert_sync_batchnorm(model)
        ),
    ],
    ids=['deepcopy', 'SyncBN', 'SyncBN and back'],
)
def test_copies_and_norm_conversions_keep_sge(depth, convert):
    model = randomize(SGEResNet(depth)).eval()
    before = [feature.detach() for feature in model(image())]
    converted = convert(copy.deepcopy(model)).eval()
    assert converted.state_dict().keys() == model.state_dict().keys()
    for layer in sge_layers(model).values():
        nn.init.zeros_(layer.bias)
    for got, want in zip(converted(image()), before):
        torch.testing.assert_close(got, want)


@pytest.mark.parametrize(
    'options, words',
    [
        (dict(depth=77), 'depth of 18, 34, 50, 101, 152, got depth=77'),
        (
            dict(depth=50, sge=dict(groups=48)),
            'groups=48 for 256 channels; nearest that work: 32 and 64',
        ),
        (
            dict(depth=18, sge=dict(groups=128)),
            'groups=128 for 64 channels; nearest that work: 64',
        ),
        (dict(depth=50, sge=dict(group=64)), 'got group$'),
        (dict(depth=50, sge_stages=(True, True)), 'each of the 4 stages'),
        (
            dict(
                depth=50,
                plugins=[dict(cfg=dict(type='SGE'), position='after_conv4')],
            ),
            'position of after_conv1, after_conv2, after_conv3, got '
            "position='after_conv4'",
        ),
        (
            dict(
                depth=18,
                plugins=[
                    dict(
                        cfg=dict(type='ContextBlock', ratio=0.1),
                        position='after_conv2',
                    )
                ],
            ),
            'plugins needs the Bottleneck.*depth=18',
        ),
        (
            dict(
                depth=34,
                dcn=dict(type='DCN'),
                stage_with_dcn=(False, True, True, True),
            ),
            'dcn needs the Bottleneck.*depth=34',
        ),
    ],
)
def test_bad_options_are_refused_when_the_backbone_is_built(options, words):
    with pytest.raises(ValueError, match=words):
        MODELS.build(dict(type='SGEResNet', **options))


@pytest.mark.parametrize(
    'held, depth',
    [(18, 50), (50, 18), (34, 50), (50, 34), (101, 50), (18, 34)],
)
def test_checkpoint_of_another_depth_is_refused_and_nothing_is_loaded(
    held, depth, tmp_path
):
    torch.save(
        dict(
            state_dict={
                f'backbone.{key}': value
                for key, value in SGEResNet(held).state_dict().items()
            }
        ),
        tmp_path / 'model.pth',
    )
    model = nn.Module()
    model.backbone = SGEResNet(depth)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(
        ValueError,
        match=f'checkpoint of depth={depth} for this SGEResNet, '
        f'got a ResNet-{held}; nothing was loaded',
    ):
        load_checkpoint(model, str(tmp_path / 'model.pth'))
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])


def test_backbone_is_taken_from_the_checkpoint_of_a_whole_model(tmp_path):
    state = SGEResNet(18).state_dict()
    torch.save(
        dict(
            state_dict={
                **{f'backbone.{key}': value for key, value in state.items()},
                'neck.conv1.weight': torch.ones(1),
            }
        ),
        tmp_path / 'model.pth',
    )
    backbone = SGEResNet(
        18,
        init_cfg=dict(
            type='Pretrained', checkpoint=str(tmp_path / 'model.pth')
        ),
    )
    backbone.init_weights()
    for key, value in backbone.state_dict().items():
        assert torch.equal(value, state[key]), key


@pytest.mark.parametrize('prefix', ['encoder.', 'backbone.encoder.'])
def test_checkpoint_that_nothing_would_be_loaded_of_is_refused(
    prefix, tmp_path
):
    torch.save(
        {
            f'{prefix}{key}': value
            for key, value in SGEResNet(18).state_dict().items()
        },
        tmp_path / 'model.pth',
    )
    backbone = SGEResNet(
        18,
        init_cfg=dict(
            type='Pretrained', checkpoint=str(tmp_path / 'model.pth')
        ),
    )
    with pytest.raises(
        ValueError,
        match=(
            rf'weights of an SGEResNet, .*got the keys {prefix}conv1\.weight'
            r'.*nothing was loaded.*init_cfg\.prefix'
        ),
    ):
        backbone.init_weights()
    backbone.init_cfg['prefix'] = prefix.rstrip('.')
    backbone.init_weights()


def test_fewer_stages_load_from_a_whole_checkpoint():
    whole = SGEResNet(50)
    part = SGEResNet(
        50,
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(2,),
    )
    result = part.load_state_dict(whole.state_dict(), strict=False)
    assert result.missing_keys == []


def test_one_stage_of_the_same_depth_loads():
    stage = {
        key: value + 1
        for key, value in SGEResNet(50).state_dict().items()
        if key.startswith('layer3')
    }
    backbone = SGEResNet(50)
    backbone.load_state_dict(stage, strict=False)
    assert torch.equal(
        backbone.layer3[2].conv1.weight, stage['layer3.2.conv1.weight']
    )
