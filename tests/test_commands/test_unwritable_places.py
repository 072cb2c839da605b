"""What every tool says where it cannot write, before it begins to work."""

import json
import logging
import resource
from pathlib import Path

import pytest
import torch

from tests.helpers.scripts import run_script

CONFIG = (
    Path(__file__).parents[2]
    / 'configs'
    / 'demo'
    / 'faster-rcnn_r18-sge_fpn_400i_digits.py'
)
STOCK = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'


@pytest.mark.parametrize(
    'command',
    [
        ['add_sge.py', STOCK, '-o', 'file/new.py'],
        ['benchmark/network.py', '--out', 'file/new.csv'],
        ['benchmark/ops.py', '--out', 'file/new.csv'],
        ['compare.py', 'a', 'b', '--ground-truth', 'c', '--out-dir', 'file'],
        ['convert_checkpoint.py', 'a', '-o', 'file/new.pth'],
        ['detect_onnx.py', CONFIG, 'file', '--out', 'file/new.json'],
        ['draw_run.py', CONFIG, 'file'],
        ['evaluate.py', 'a', 'b', '--out-dir', 'file'],
        ['evaluate.py', CONFIG, 'b', '--out-dir', 'file'],
        ['export_onnx.py', CONFIG, '--out', 'file/new.onnx'],
        ['make_digits.py', '--out', 'file/new', '--train-images', 1],
        ['run_study.py', CONFIG, '--work-dir', 'file'],
    ],
    ids=lambda command: command[0],
)
def test_place_that_cannot_be_written_is_named_in_a_line(
    tmp_path, command, monkeypatch
):
    if 'onnx' in command[0]:
        pytest.importorskip('onnxruntime')
    monkeypatch.chdir(tmp_path)
    Path('file').write_text('mine')
    code, shown = run_script(*command)
    last = shown.strip().splitlines()[-1]
    assert code == 1 and 'Traceback' not in shown
    assert last.startswith('error: cannot write ') and 'file/' in last
    assert last.endswith(': Not a directory')
    assert Path('file').read_text() == 'mine'


def test_full_disk_ends_a_tool_in_a_line_and_leaves_nothing(
    tmp_path, monkeypatch
):
    torch.save({'layer1.0.sge.weight': torch.ones(10**5)}, tmp_path / 'a.pth')
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Logs of other tests in this process cannot be written either.
    monkeypatch.setattr(logging, 'raiseExceptions', False)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        code, shown = run_script(
            'convert_checkpoint.py',
            tmp_path / 'a.pth',
            '-o',
            tmp_path / 'b.pth',
        )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert code == 1 and 'Traceback' not in shown
    assert shown.splitlines()[-1] == (
        f'error: cannot write {tmp_path}/b.pth: File too large'
    )
    assert [path.name for path in tmp_path.iterdir()] == ['a.pth']


def test_benchmark_renews_its_files_and_keeps_those_of_others(tmp_path):
    command = [
        'benchmark/ops.py',
        '--device',
        'cpu',
        '--shape',
        '1x64x4x4',
        '--rounds',
        1,
        '--no-compile',
        '--out',
        tmp_path / 'ops.csv',
    ]
    for _ in range(2):
        assert run_script(*command)[0] == 0
    written = (tmp_path / 'ops.csv').read_text()
    (tmp_path / 'ops.png').write_text('mine')
    code, shown = run_script(*command)
    assert code == 1 and 'ops.png is there already, not written by' in shown
    assert (tmp_path / 'ops.csv').read_text() == written
    assert json.loads((tmp_path / '.sge_mmdet.json').read_text())
