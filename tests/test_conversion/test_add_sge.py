import pytest
import torch
from mmdet.models.backbones import ResNet
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.logging import MMLogger

from sge_mmdet import SGEFPN, SGEResNet, SpatialGroupEnhance, add_sge
from sge_mmdet.conversion.add_sge import sge_changes


@pytest.fixture(autouse=True, scope='module')
def registered():
    register_all_modules()


@pytest.fixture
def log(caplog):
    """What MMEngine's logger, which does not propagate, was told."""
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


def config(neck=None, **backbone):
    backbone = {'type': 'ResNet', 'depth': 50, **backbone}
    model = dict(type='FasterRCNN', backbone=backbone)
    if neck:
        model['neck'] = neck
    return Config(dict(model=model))


def groups_of_stages(cfg):
    """Build a backbone and return the groups of SGE in each of its stages."""
    backbone = MODELS.build(cfg)
    return [
        sorted(
            {
                part.groups
                for part in getattr(backbone, name).modules()
                if isinstance(part, SpatialGroupEnhance)
            }
        )
        for name in backbone.res_layers
    ]


@pytest.mark.parametrize(
    'backbone, kind',
    [
        (dict(), 'SGEResNet'),
        (dict(depth=18), 'SGEResNet'),
        (dict(type='mmdet.ResNet'), 'SGEResNet'),
        (dict(type=ResNet), 'SGEResNet'),
        (dict(type='ResNeXt', groups=32, base_width=4), 'SGEResNeXt'),
        (dict(type='Res2Net', scales=4, base_width=26), 'Res2Net'),
        (dict(type='ResNeSt'), 'ResNeSt'),
        (dict(type='ResNetV1d'), 'ResNetV1d'),
    ],
    ids=str,
)
def test_every_kind_of_resnet_gets_sge_in_every_stage(backbone, kind):
    new = add_sge(config(**backbone)).model.backbone
    assert new.type == kind
    assert groups_of_stages(new) == [[64]] * 4


def test_given_config_is_not_changed():
    cfg = config(
        type='ResNeSt',
        plugins=[
            dict(
                cfg=dict(type='ContextBlock', ratio=0.25),
                position='after_conv3',
            )
        ],
    )
    before = cfg.pretty_text
    new = add_sge(cfg)
    new.model.backbone.plugins[0]['cfg']['ratio'] = 1
    assert cfg.pretty_text == before
    assert new.custom_imports == dict(imports=['sge_mmdet'])


def test_imports_and_plugins_that_are_there_are_kept():
    plugin = dict(
        cfg=dict(type='ContextBlock', ratio=0.25), position='after_conv3'
    )
    cfg = config(type='ResNeSt', plugins=[plugin])
    cfg.custom_imports = dict(imports='numpy', allow_failed_imports=False)
    new = add_sge(cfg)
    assert new.custom_imports == dict(
        imports=['numpy', 'sge_mmdet'], allow_failed_imports=False
    )
    assert new.model.backbone.plugins[0] == plugin
    assert new.model.backbone.plugins[1]['cfg'] == dict(type='SGE', groups=64)


def test_stages_that_64_does_not_divide_get_the_largest_divisor(log):
    cfg = config(type='RegNet', arch='regnetx_3.2gf')
    del cfg.model.backbone['depth']
    new = add_sge(cfg).model.backbone
    # Channels of the stages: 96, 192, 432, 1008.
    assert groups_of_stages(new) == [[48], [64], [54], [63]]
    assert 'stage 4: 63 groups for 1008 channels' in log.text


def test_narrow_resnet_gets_fewer_groups_by_stage():
    new = add_sge(config(depth=18, base_channels=24)).model.backbone
    assert groups_of_stages(new) == [[24], [48], [48], [64]]


@pytest.mark.parametrize('kind', ['ResNet', 'ResNeSt'])
def test_groups_and_stages_reach_the_backbone(kind):
    new = add_sge(
        config(type=kind), groups=32, stages=(False, True, False, True)
    ).model.backbone
    assert groups_of_stages(new) == [[], [32], [], [32]]


@pytest.mark.parametrize('kind', ['ResNet', 'ResNeXt'])
@pytest.mark.parametrize('position', ['after_conv1', 'after_conv2'])
def test_other_positions_are_filled_by_a_plugin(kind, position):
    options = dict(groups=32, base_width=4) if kind == 'ResNeXt' else {}
    new = add_sge(config(type=kind, **options), position=position)
    assert new.model.backbone.type == kind
    block = MODELS.build(new.model.backbone).layer2[0]
    assert getattr(block, f'{position}_plugin_names') == ['sge']


def test_backbone_without_the_last_stage_ignores_its_flag():
    cfg = config(
        num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(2,)
    )
    assert groups_of_stages(add_sge(cfg).model.backbone) == [[64]] * 3


def test_detectors_inside_other_models_get_sge_and_teachers_do_not():
    inner = dict(type='FasterRCNN', backbone=dict(type='ResNet', depth=50))
    cfg = Config(
        dict(
            model=dict(
                type='SoftTeacher',
                detector=inner,
                teacher_backbone=dict(type='ResNet', depth=101),
                teacher=dict(backbone=dict(type='ResNet', depth=101)),
                neck=dict(
                    type='RFP',
                    rfp_backbone=dict(type='DetectoRS_ResNet', depth=50),
                ),
            )
        )
    )
    model = add_sge(cfg).model
    assert model.detector.backbone.type == 'SGEResNet'
    assert model.neck.rfp_backbone.plugins
    assert model.teacher_backbone.type == 'ResNet'
    assert model.teacher.backbone.type == 'ResNet'


def test_backbones_that_cannot_have_sge_are_left_and_said(log):
    cfg = config()
    cfg.model.reid = dict(backbone=dict(type='NoSuchNet'))
    cfg.model.other = dict(backbone=dict(type='CSPNeXt', arch='P9'))
    model = add_sge(cfg).model
    assert model.backbone.type == 'SGEResNet'
    assert model.reid.backbone == dict(type='NoSuchNet')
    assert "model.reid.backbone: expected the type of a backbone, got 'No" in (
        log.text
    )
    # An unrelated part that cannot be built does not veto the detector.
    assert "model.other.backbone: 'CSPNeXt' cannot be built: Key" in log.text


FPN = dict(type='FPN', in_channels=[256, 512], out_channels=96, num_outs=3)


@pytest.mark.parametrize(
    'where, backbone, neck',
    [
        ('backbone', 'SGEResNet', 'FPN'),
        ('neck', 'ResNet', 'SGEFPN'),
        ('both', 'SGEResNet', 'SGEFPN'),
    ],
)
def test_where_says_which_parts_get_sge(where, backbone, neck):
    model = add_sge(config(neck=FPN), where=where).model
    assert (model.backbone.type, model.neck.type) == (backbone, neck)
    if neck == 'SGEFPN':
        built = MODELS.build(model.neck)
        assert isinstance(built, SGEFPN) and built.sge[0].groups == 48


def test_neck_of_any_backbone_and_in_a_list_gets_sge():
    necks = [
        dict(type='FPN', in_channels=[96, 192], out_channels=64, num_outs=2),
        dict(type='DyHead', in_channels=64, out_channels=64),
    ]
    new = add_sge(config(type='SwinTransformer', neck=necks), where='neck')
    assert [neck['type'] for neck in new.model.neck] == ['SGEFPN', 'DyHead']
    assert new.model.neck[0]['num_outs'] == 2
    assert new.model.backbone.type == 'SwinTransformer'


@pytest.mark.parametrize(
    'cfg, options, words',
    [
        (
            config(),
            dict(position='after_conv4'),
            'position: expected one of after_conv1, after_conv2, '
            'after_conv3, got '
            "'after_conv4'",
        ),
        (
            config(),
            dict(where='head'),
            "where: expected one of .*, got 'head'",
        ),
        (config(), dict(groups=0), 'positive integer, got 0'),
        (
            config(),
            dict(stages=(True, False)),
            'each of the 4 stages, got 2: 1 0; .* write 1 1 1 1',
        ),
        (config(), dict(stages=(False,) * 4), 'selects no stage'),
        (config(depth=18), dict(position='after_conv1'), 'two convolutions'),
        (
            Config(dict(model=dict(backbone=dict(type='CSPNeXt')))),
            dict(position='after_conv2'),
            "position: only for the ResNets of MMDetection, got 'CSPNeXt'",
        ),
        (
            Config(dict(model=dict(backbone=dict(type='CSPNeXt')))),
            dict(stages=(True, True)),
            'stages: only for the ResNets of MMDetection',
        ),
        (
            config(),
            dict(where='outputs', stages=(True, False, True, True)),
            'stages: only for where=backbone or both, got outputs; leave',
        ),
        (config(type='NoSuchNet'), {}, "the type of a backbone, .*'NoSuchNe"),
        (
            config(type='SGECSPNext'),
            {},
            "no type 'SGECSPNext'; the nearest is 'SGECSPNeXt'",
        ),
        (
            config(depth=49),
            {},
            "model.backbone: 'ResNet' cannot be built: Key",
        ),
        (config(plugins=3), {}, "'ResNet' cannot be built: TypeError"),
        (
            Config(dict(model=dict(backbone=[dict(type='ResNet')]))),
            {},
            'the type of a backbone',
        ),
        (config(type='SGEResNet'), {}, "'SGEResNet' already has SGE"),
        (
            config(
                plugins=[dict(cfg=dict(type='SGE'), position='after_conv2')]
            ),
            {},
            'already has SGE',
        ),
        (
            config(neck=dict(type='BFP')),
            dict(where='neck'),
            "model.neck: 'BFP' cannot be built: TypeError",
        ),
        (
            config(neck=dict(FPN, type='SGEFPN')),
            dict(where='neck'),
            'SGEFPN already has SGE',
        ),
        (config(), dict(where='neck'), 'no part named neck'),
        (Config(dict(train_cfg=None)), {}, 'has no model'),
    ],
)
def test_what_cannot_be_done_is_said(cfg, options, words):
    with pytest.raises(ValueError, match=words):
        add_sge(cfg, **options)


def test_groups_that_are_chosen_are_not_warned_of(recwarn):
    cfg = Config(dict(model=dict(backbone=dict(CSPNEXT))))
    add_sge(cfg, preserve=True)
    assert not recwarn.list
    with pytest.warns(UserWarning, match='a group is a single channel'):
        add_sge(cfg, groups=16)


def test_new_model_computes_with_sge():
    torch.manual_seed(0)
    plain, new = config(depth=18), add_sge(config(depth=18))
    backbones = [MODELS.build(cfg.model.backbone) for cfg in (plain, new)]
    for backbone in backbones:
        backbone.eval()
    assert isinstance(backbones[1], SGEResNet)
    backbones[1].load_state_dict(backbones[0].state_dict(), strict=False)
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        before, after = (backbone(image)[-1] for backbone in backbones)
    assert before.shape == after.shape and not torch.allclose(before, after)


CSPNEXT = dict(type='CSPNeXt', widen_factor=0.25, deepen_factor=0.34)
SSD = dict(
    type='SSDVGG',
    depth=16,
    ceil_mode=True,
    out_indices=(3, 4),
    out_feature_indices=(22, 34),
)
SWIN = dict(type='SwinTransformer', embed_dims=48, depths=(1, 1, 1, 1))


@pytest.mark.parametrize(
    'backbone, where, change',
    [
        (CSPNEXT, 'backbone', dict(type='SGECSPNeXt')),
        (
            CSPNEXT,
            'outputs',
            dict(type='SGECSPNeXt', sge=dict(after='outputs')),
        ),
        (SWIN, 'backbone', dict(type='SGESwinTransformer')),
        (SWIN, 'outputs', dict(type='SGESwinTransformer')),
        (
            dict(type='ResNet', depth=18),
            'outputs',
            dict(type='SGEResNet', sge=dict(after='outputs')),
        ),
    ],
    ids=str,
)
def test_backbones_of_other_families_get_sge_by_a_short_config(
    backbone, where, change
):
    cfg = Config(dict(model=dict(backbone=dict(backbone))))
    changes = sge_changes(cfg, where=where)['model']['backbone']
    assert changes == change
    built = MODELS.build(
        add_sge(cfg, where=where, preserve=True).model.backbone
    )
    plain = MODELS.build(backbone)
    built.eval(), plain.eval()
    missing, unexpected = built.load_state_dict(plain.state_dict(), False)
    assert not unexpected
    assert missing and all('sge.' in key for key in missing)
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        for before, after in zip(plain(image), built(image)):
            torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-5)


def test_heads_get_sge_where_they_have_towers(log):
    cfg = config(neck=FPN)
    cfg.model.rpn_head = dict(type='RPNHead', in_channels=96, feat_channels=96)
    cfg.model.roi_head = dict(
        type='CascadeRoIHead',
        bbox_head=[
            dict(type='Shared4Conv1FCBBoxHead', in_channels=96, num_classes=3)
        ]
        * 2,
        mask_head=dict(type='MaskIoUHead', num_convs=1, num_fcs=1),
    )
    model = add_sge(cfg, where='heads').model
    assert model.rpn_head.type == 'SGERPNHead'
    assert [head.type for head in model.roi_head.bbox_head] == [
        'SGEShared4Conv1FCBBoxHead'
    ] * 2
    assert model.backbone.type == 'ResNet'
    assert 'sge' in MODELS.build(model.rpn_head).rpn_conv._modules
    convs = MODELS.build(model.roi_head.bbox_head[0]).shared_convs
    assert ['sge' in conv._modules for conv in convs] == [False] * 3 + [True]


def test_refusal_recommends_no_place_that_is_refused_too():
    head = dict(type='Shared2FCBBoxHead', num_classes=3)
    cfg = Config(
        dict(
            model=dict(
                backbone=SSD,
                neck=dict(type='GlobalAveragePooling'),
                bbox_head=head,
            )
        )
    )
    with pytest.raises(ValueError, match=r"where='backbone' or 'outputs'$"):
        add_sge(cfg, where='heads')
    del cfg.model['backbone']
    with pytest.raises(ValueError) as raised:
        add_sge(cfg, where='neck')
    assert 'where=' not in str(raised.value)
