import sys

import pytest
import torch

from sge_mmdet.deployment import check
from sge_mmdet_cli.export_onnx import main
from tests.helpers.small_detectors import small_config, small_detector

pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')


def run(*arguments):
    """Return the exit status, or what the command ends with."""
    try:
        main([*map(str, arguments)])
    except SystemExit as end:
        return end.code
    return 0


@pytest.fixture
def config(tmp_path):
    small_config('retinanet').dump(tmp_path / 'config.py')
    return tmp_path / 'config.py'


def test_command_exports_checks_and_keeps_existing_files(
    config, tmp_path, capsys
):
    torch.save(
        dict(state_dict=small_detector('retinanet').state_dict()),
        tmp_path / 'weights.pth',
    )
    arguments = (
        config,
        tmp_path / 'weights.pth',
        '--part',
        'backbone',
        '--size',
        '64',
        '64',
        '--quantize',
        'dynamic',
        '--out',
        tmp_path / 'out' / 'model.onnx',
    )
    assert run(*arguments) == 0
    shown = capsys.readouterr().out
    assert '1x3x128x32  feature_0' in shown and '3x3x64x128' in shown
    assert 'cosine' in shown
    assert (tmp_path / 'out' / 'model.int8.onnx').is_file()
    assert 'is there already' in run(*arguments)


def test_command_fails_where_the_file_differs(
    config, tmp_path, monkeypatch, capsys
):
    exact = check.run_session
    monkeypatch.setattr(
        check,
        'run_session',
        lambda *args: {
            name: array * 1.001 for name, array in exact(*args).items()
        },
    )
    assert (
        run(
            config,
            '--part',
            'backbone',
            '--size',
            '64',
            '64',
            '--out',
            tmp_path / 'model.onnx',
        )
        == 1
    )
    assert 'more than 0.0001' in capsys.readouterr().err
    assert [file.name for file in tmp_path.glob('*.onnx')] == [
        'model.failed.onnx'
    ]


def test_command_keeps_what_is_there_where_it_fails(config, tmp_path):
    (tmp_path / 'model.onnx').write_text('good')
    (tmp_path / 'images').mkdir()
    (tmp_path / 'images' / '0.jpg').write_text('none')
    command = (
        config,
        '--part',
        'backbone',
        '--size',
        '64',
        '64',
        '--out',
        tmp_path / 'model.onnx',
        '--overwrite',
        '--images',
    )
    assert 'There is no image in' in run(*command, tmp_path)
    assert '0.jpg cannot be read as an image' in run(
        *command, tmp_path / 'images'
    )
    assert (tmp_path / 'model.onnx').read_text() == 'good'


@pytest.mark.parametrize(
    'arguments, words',
    [
        (['no.pth', '--out', 'model.onnx'], 'There is no checkpoint no.pth'),
        (['--out', 'model.onnx', '--quantize', 'static'], 'with --images'),
    ],
)
def test_command_says_what_is_missing(config, arguments, words):
    assert words in run(config, *arguments)


@pytest.mark.parametrize('package', ['onnx', 'onnxruntime'])
def test_command_names_the_extra_of_a_missing_package(
    config, monkeypatch, package
):
    monkeypatch.setitem(sys.modules, package, None)
    assert f'{package} is not installed; in the folder of sge_mmdet' in run(
        config, '--out', 'model.onnx'
    )
