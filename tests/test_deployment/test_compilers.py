"""The backbone in what PyTorch has to compile, export and trace it."""

import inspect
import pickle

import pytest
import torch

from sge_mmdet import SGEResNet, SpatialGroupEnhance, spatial_group_enhance
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


@pytest.fixture
def model():
    """A module of a user with the layer."""
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 64, 1), SpatialGroupEnhance(64, 8), torch.nn.ReLU()
    )


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_fx_takes_the_layer_as_one_node(model, dtype):
    model = model.to(dtype)
    graph = torch.fx.symbolic_trace(model)
    graph.graph.lint()
    copied = pickle.loads(pickle.dumps(graph))
    for shape in (2, 16, 16), (3, 7, 9):
        x = image(*shape).to(dtype)
        torch.testing.assert_close(graph(x), model(x), rtol=0, atol=0)
        torch.testing.assert_close(copied(x), model(x), rtol=0, atol=0)
    gradients = [
        torch.autograd.grad(traced(x).square().mean(), model[1].weight)
        for traced in (graph, model)
    ]
    torch.testing.assert_close(*gradients, rtol=0, atol=0)


def test_fx_takes_a_layer_alone():
    layer = SpatialGroupEnhance(64)
    graph = torch.fx.symbolic_trace(layer)
    calls = [n for n in graph.graph.nodes if n.op == 'call_function']
    assert [call.target for call in calls] == [spatial_group_enhance]


def test_fx_takes_a_function_that_names_the_operator(monkeypatch):
    weight, bias = torch.zeros(1, 8, 1, 1), torch.ones(1, 8, 1, 1)
    names = dict(torch=torch, weight=weight, bias=bias)
    exec(
        'from sge_mmdet import spatial_group_enhance\n'
        "torch.fx.wrap('spatial_group_enhance')\n"
        'def run(x): return spatial_group_enhance(x, weight, bias, 8)\n',
        names,
    )
    x = torch.rand(1, 64, 4, 4)
    torch.testing.assert_close(
        torch.fx.symbolic_trace(names['run'])(x), names['run'](x)
    )


def test_fx_without_that_is_refused_with_how_to_mend_it():
    weight, bias = torch.zeros(1, 8, 1, 1), torch.ones(1, 8, 1, 1)
    with pytest.raises(TypeError, match=r'torch\.fx\.wrap'):
        torch.fx.symbolic_trace(
            lambda x: spatial_group_enhance(x, weight, bias, 8)
        )


def test_fx_does_not_take_the_backbone(backbone):
    with pytest.raises(torch.fx.proxy.TraceError, match='control flow'):
        torch.fx.symbolic_trace(backbone)


def test_script_is_refused_with_what_works_instead(model, backbone):
    for module in model, model[1], backbone:
        with pytest.raises(
            NotImplementedError, match=r'use torch\.jit\.trace'
        ):
            torch.jit.script(module)


@pytest.mark.filterwarnings('ignore::torch.jit.TracerWarning')
def test_traced_layer_takes_other_sizes(model):
    trace = torch.jit.trace(model, image(2, 16, 16))
    for shape in (1, 7, 9), (3, 1, 1):
        torch.testing.assert_close(trace(image(*shape)), model(image(*shape)))


@pytest.mark.filterwarnings('ignore')
def test_onnx_file_of_the_layer_holds_onnx_operators(model, tmp_path):
    onnx = pytest.importorskip('onnx')
    runtime = pytest.importorskip('onnxruntime')
    free = {0: 'n', 2: 'h', 3: 'w'}
    known = inspect.signature(torch.onnx.export).parameters
    # Older versions of PyTorch have no other exporter.
    tracing = dict(dynamo=False) if 'dynamo' in known else {}
    torch.onnx.export(
        model,
        (image(2, 16, 16),),
        str(tmp_path / 'layer.onnx'),
        opset_version=17,
        input_names=['x'],
        output_names=['y'],
        dynamic_axes=dict(x=free, y=free),
        **tracing,
    )
    file = onnx.load(tmp_path / 'layer.onnx')
    assert {node.domain for node in file.graph.node} == {''}
    session = runtime.InferenceSession(file.SerializeToString())
    for shape in (3, 7, 9), (1, 1, 1):
        (y,) = session.run(None, dict(x=image(*shape).numpy()))
        torch.testing.assert_close(
            torch.from_numpy(y), model(image(*shape)).detach()
        )


@registered
def test_compiling_takes_the_layer_whole(model):
    compiled = torch.compile(model, fullgraph=True, backend='aot_eager')
    x = image(2, 16, 16)
    torch.testing.assert_close(compiled(x), model(x))


@exportable
def test_exported_layer_holds_the_operator_and_takes_other_sizes(model):
    free = torch.export.Dim.DYNAMIC
    program = torch.export.export(
        model,
        (image(2, 16, 16),),
        dynamic_shapes=({0: free, 2: free, 3: free},),
    )
    assert 'sge_mmdet.enhance' in program.graph_module.code
    for shape in (3, 7, 9), (1, 1, 1):
        torch.testing.assert_close(
            program.module()(image(*shape)), model(image(*shape))
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
