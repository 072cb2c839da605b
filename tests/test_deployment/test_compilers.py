"""The backbone in what PyTorch has to compile, export and trace it."""

import pytest
import torch

from sge_mmdet import SGEResNet
from tests.helpers.operator_cases import exportable, registered
from tests.helpers.small_detectors import with_weights


@pytest.fixture(scope='module')
def backbone():
    return with_weights(
        SGEResNet(18, base_channels=8, stem_channels=8, sge=dict(groups=8))
    )


def image(*shape):
    return torch.randn(
        shape[0], 3, *shape[1:], generator=torch.Generator().manual_seed(0)
    )


@registered
@pytest.mark.parametrize('training', [False, True])
def test_compiling_takes_the_backbone_whole_with_its_gradients(
    backbone, training
):
    # As detectors train: the norms keep their statistics.
    backbone.norm_eval = True
    backbone.train(training)
    results = []
    for call in (
        backbone,
        torch.compile(backbone, fullgraph=True, backend='aot_eager'),
    ):
        backbone.zero_grad()
        with torch.set_grad_enabled(training):
            features = call(image(2, 64, 64))
        if training:
            sum(feature.square().mean() for feature in features).backward()
        results.append(
            [feature.detach() for feature in features]
            + [
                parameter.grad.clone()
                for parameter in backbone.parameters()
                if parameter.grad is not None
            ]
        )
    backbone.eval()
    assert len(results[0]) == len(results[1])
    assert len(results[0]) > 40 or not training
    for got, want in zip(*results):
        torch.testing.assert_close(got, want, rtol=1e-3, atol=1e-6)


@exportable
def test_exported_backbone_takes_other_sizes(backbone):
    free = torch.export.Dim.DYNAMIC
    program = torch.export.export(
        backbone,
        (image(2, 64, 96),),
        dynamic_shapes=({0: free, 2: free, 3: free},),
    )
    for shape in (3, 71, 93), (2, 128, 64):
        with torch.no_grad():
            torch.testing.assert_close(
                program.module()(image(*shape)), backbone(image(*shape))
            )


@pytest.mark.filterwarnings('ignore::torch.jit.TracerWarning')
def test_traced_backbone_takes_other_sizes_and_single_positions(backbone):
    with torch.no_grad():
        trace = torch.jit.trace(backbone, image(2, 64, 96))
        for shape in (1, 71, 93), (3, 32, 32):
            torch.testing.assert_close(
                trace(image(*shape)), backbone(image(*shape))
            )


def test_pytorchs_dynamic_quantisation_leaves_sge_as_it_is(backbone):
    with torch.no_grad():
        quantized = torch.ao.quantization.quantize_dynamic(
            backbone, {torch.nn.Linear}, dtype=torch.qint8
        )
        torch.testing.assert_close(
            quantized(image(1, 64, 64)), backbone(image(1, 64, 64))
        )


@exportable
def test_pytorchs_other_onnx_exporter_gets_pytorchs_operators(
    backbone, monkeypatch
):
    """It is built on torch.export, and knows no translation of SGE's."""
    monkeypatch.setattr(torch.onnx, 'is_in_onnx_export', lambda: True)
    free = torch.export.Dim.DYNAMIC
    program = torch.export.export(
        backbone,
        (image(2, 64, 96),),
        dynamic_shapes=({0: free, 2: free, 3: free},),
    )
    assert 'sge_mmdet' not in program.graph_module.code
    with torch.no_grad():
        torch.testing.assert_close(
            program.module()(image(3, 71, 93)), backbone(image(3, 71, 93))
        )
