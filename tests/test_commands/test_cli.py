"""The console command: its list, its dispatch and its errors."""

import ast
import json
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from PIL import Image

import sge_mmdet_cli
from sge_mmdet import commands
from sge_mmdet.commands import common
from sge_mmdet.compatibility import SUPPORTED, describe_missing
from sge_mmdet.conversion.add_sge import PLACES
from sge_mmdet.datasets import DigitsOptions
from sge_mmdet.deployment import MODES, PARTS
from sge_mmdet.deployment.checked_export import ExportOptions
from sge_mmdet.evaluation import protocols
from sge_mmdet.models.layers import PLUGIN_POSITIONS
from sge_mmdet.utils.detector_files import CHECKPOINTS, CONFIG
from sge_mmdet_cli import (
    export_onnx,
    make_digits,
    model_stats,
    options,
    running,
)
from tests.helpers.random_coco import random_coco
from tests.helpers.scripts import TOOLS, run_script

ROOT = Path(__file__).parents[2]
SCRIPTS = {'visualize': 'visualize_sge.py'}
HELPERS = {
    '__init__',
    'common',
    'files_alone',
    'options',
    'running',
    'size_options',
}


def module_file(command):
    name = f'{command.replace("-", "_")}.py'
    return Path(sge_mmdet_cli.__file__).with_name(name)


def script(command):
    return SCRIPTS.get(command, module_file(command).name)


def run_command(*args):
    """Run the console command, and return its exit status and message."""
    try:
        sge_mmdet_cli.main([*map(str, args)])
    except SystemExit as end:
        return end.code
    return 0


@pytest.mark.parametrize('command', sge_mmdet_cli.COMMANDS)
def test_help_of_a_command_names_the_command(command, capsys):
    assert run_command(command, '--help') == 0
    assert capsys.readouterr().out.startswith(f'usage: sge-mmdet {command} ')


@pytest.mark.parametrize('command', ['train', 'test'])
def test_help_of_an_upstream_tool_shows_the_option_of_this_package(
    command, capsys
):
    run_command(command, '--help')
    assert '--no-preflight' in capsys.readouterr().out


@pytest.mark.parametrize('command', sge_mmdet_cli.COMMANDS)
def test_help_of_a_script_names_the_script(command):
    name = script(command)
    code, shown = run_script(name, '--help')
    assert code == 0
    assert shown.startswith(f'usage: {name} ')


@pytest.mark.parametrize('command', sge_mmdet_cli.COMMANDS)
def test_script_is_a_wrapper_that_can_be_executed(command):
    path = TOOLS / script(command)
    assert os.access(path, os.X_OK)
    tree = ast.parse(path.read_text())
    # Docstring, import, and the call below the guard.
    assert len(tree.body) == 3
    module = module_file(command).stem
    assert tree.body[1].module == f'sge_mmdet_cli.{module}'


@pytest.mark.parametrize('package', [sge_mmdet_cli, commands])
def test_every_module_and_script_is_in_the_list(package):
    modules = {
        path.stem for path in Path(package.__file__).parent.glob('*.py')
    }
    listed = {module_file(name).stem for name in sge_mmdet_cli.COMMANDS}
    assert modules - HELPERS == listed
    assert {path.name for path in TOOLS.glob('*.py')} == {
        script(name) for name in sge_mmdet_cli.COMMANDS
    }


@pytest.mark.parametrize('command, line', sge_mmdet_cli.COMMANDS.items())
def test_line_in_the_list_is_that_of_the_module(command, line):
    tree = ast.parse(module_file(command).read_text())
    assert ast.get_docstring(tree).splitlines()[0] == f'{line}.'


def test_help_lists_all_commands_without_any_other_package():
    """Without site-packages there is neither MMDetection nor PyTorch."""
    shown = subprocess.run(
        [
            sys.executable,
            '-S',
            '-c',
            'import sge_mmdet_cli; sge_mmdet_cli.main(["--help"])',
        ],
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name, line in sge_mmdet_cli.COMMANDS.items():
        assert [name, *line.split()] in [
            words.split() for words in shown.splitlines()
        ]


@pytest.mark.parametrize('command', sge_mmdet_cli.COMMANDS)
def test_help_imports_neither_mmdetection_nor_pytorch(command):
    """Their import takes seconds, for a text that needs only argparse."""
    code = f"""
import atexit, sys
heavy = ('torch', 'mmengine', 'mmcv', 'mmdet', 'numpy', 'sge_mmdet')
atexit.register(lambda: print([name for name in heavy if name in sys.modules]))
import sge_mmdet_cli
sge_mmdet_cli.main(['{command}', '--help'])
"""
    shown = subprocess.run(
        [sys.executable, '-c', code],
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert shown.startswith(f'usage: sge-mmdet {command} ')
    assert shown.splitlines()[-1] == '[]'


READS_FILES = """
import atexit, sys
heavy = ('torch', 'mmengine', 'mmcv', 'mmdet')
atexit.register(lambda: print([name for name in heavy if name in sys.modules]))
import sge_mmdet_cli
sge_mmdet_cli.main()
"""


@pytest.mark.parametrize(
    'arguments, heavy',
    [
        ('evaluate truth.json results.json', []),
        ('evaluate truth.json results.json --out-dir out --diagnose', []),
        ('evaluate truth.json results.pkl --classes all', []),
        (
            'compare results.json results.json --ground-truth truth.json '
            '--classes CLASSES',
            [],
        ),
        ('compare results.json results.json --ground-truth truth.json', []),
        (
            'make-digits --out digits --train-images 1 --val-images 1 '
            '--image-size 64 --max-digit 20',
            [],
        ),
        (
            'compare results.json results.json --ground-truth truth.json '
            '--classes config.py',
            ['torch', 'mmengine', 'mmcv', 'mmdet'],
        ),
    ],
)
def test_commands_on_files_import_neither_mmdetection_nor_pytorch(
    tmp_path, arguments, heavy
):
    truth, results = random_coco(3, images=12)
    (tmp_path / 'results.json').write_text(json.dumps(results))
    names = tuple(f'c{i}' for i, _ in enumerate(truth['categories']))
    for name, category in zip(names, truth['categories']):
        category['name'] = name
    (tmp_path / 'truth.json').write_text(json.dumps(truth))
    (tmp_path / 'config.py').write_text(
        f'metainfo = dict(classes={names!r})\n'
        'test_dataloader = dict(dataset=dict(\n'
        "    type='CocoDataset', metainfo=metainfo))\n"
    )
    predictions = [
        dict(
            img_id=image['id'],
            ori_shape=(image['height'], image['width']),
            pred_instances=dict(
                bboxes=torch.tensor([[1.0, 1.0, 9.0, 9.0]]),
                scores=torch.tensor([0.5]),
                labels=torch.tensor([0]),
            ),
        )
        for image in truth['images']
    ]
    (tmp_path / 'results.pkl').write_bytes(pickle.dumps(predictions))
    words = arguments.replace('CLASSES', ' '.join(names)).split()
    done = subprocess.run(
        [sys.executable, '-c', READS_FILES, *words],
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f'{heavy}'


def test_commands_that_new_config_prints_begin_as_it_did(tmp_path):
    """In the console command, too, which passes no arguments on."""
    truth, _ = random_coco(3)
    (tmp_path / 'truth.json').write_text(json.dumps(truth))
    words = [
        *('new-config', 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'),
        *('--train', 'truth.json', '--val', 'truth.json', '--images', '.'),
        *('-o', 'new.py', '--gpus', '4'),
    ]
    for image in truth['images']:
        size = image['width'], image['height']
        Image.new('RGB', size).save(tmp_path / image['file_name'], 'PNG')
    done = subprocess.run(
        [
            sys.executable,
            '-c',
            'import sge_mmdet_cli; sge_mmdet_cli.main()',
            *words,
        ],
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert 'torchrun --nproc_per_node=4 -m sge_mmdet train' in done.stdout
    assert 'sge-mmdet evaluate new.py' in done.stdout


@pytest.mark.parametrize(
    'args, is_console, is_interactive, ends',
    [
        (None, False, False, True),
        (['a', 'b'], True, False, True),
        # Called from Python, and from a shell that goes on.
        (['a', 'b'], False, False, False),
        (None, False, True, False),
    ],
)
def test_process_ends_with_a_script_or_the_console_command(
    monkeypatch, args, is_console, is_interactive, ends
):
    monkeypatch.setattr(running, 'is_console', is_console)
    if is_interactive:
        monkeypatch.setattr(sys, 'ps1', '>>> ', raising=False)
    assert running.ends_process(args) is ends


def test_choices_and_defaults_are_those_of_the_package():
    assert running.DETECTORS == (CONFIG, *CHECKPOINTS)
    options = export_onnx.parse_args(['config.py', '--out', 'out.onnx'])
    given = ExportOptions(
        options.part,
        options.pixels,
        tuple(options.size),
        options.images,
        options.quantize,
        options.overwrite,
    )
    assert given == ExportOptions()
    for name, values in ('--part', PARTS), ('--quantize', MODES):
        for value in values:
            export_onnx.parse_args(
                ['config.py', '--out', 'out.onnx', name, value]
            )
        with pytest.raises(SystemExit):
            export_onnx.parse_args(
                ['config.py', '--out', 'out.onnx', name, 'other']
            )
    digits = vars(make_digits.parse_args([]))
    del digits['out']
    assert DigitsOptions(**digits) == DigitsOptions()
    assert [*digits] == [*vars(DigitsOptions())]


@pytest.mark.parametrize('command', ['model-stats', 'run-study'])
def test_value_of_a_config_without_a_key_is_a_wrong_usage(command, capsys):
    assert run_command(command, 'config.py', '--cfg-options', 'depth') == 2
    assert "expected KEY=VALUE, got 'depth'" in capsys.readouterr().err


@pytest.mark.parametrize('command', ['model-stats', 'train'])
def test_open_brackets_in_a_value_are_a_wrong_usage(command, capsys):
    assert run_command(command, 'a.py', '--cfg-options', 'a=[(1,2') == 2
    assert '--cfg-options: Imbalanced brackets' in capsys.readouterr().err


@pytest.mark.parametrize('command', ['model-stats', 'train'])
def test_values_of_a_config_leave_a_missing_mmengine_to_the_command(
    command, monkeypatch
):
    ran = []
    monkeypatch.setitem(sys.modules, 'mmengine.config', None)
    monkeypatch.setattr(running, 'run_command', lambda *_: ran.append(1))
    monkeypatch.setattr(model_stats, 'run_command', lambda *_: ran.append(1))
    assert run_command(command, 'a.py', '--cfg-options', 'a=1') == 0
    assert ran


@pytest.mark.parametrize('options', [['a.py'], ['a.py', '--local_rank', '2']])
def test_parsing_for_an_upstream_tool_leaves_the_process_as_it_is(
    options, monkeypatch
):
    monkeypatch.delenv('LOCAL_RANK', raising=False)
    monkeypatch.setattr(running, 'run_command', lambda *_: None)
    before = dict(os.environ), [*sys.argv]
    assert run_command('train', *options) == 0
    assert (dict(os.environ), sys.argv) == before


def test_values_of_a_config_are_parsed_as_mmengine_does():
    options = model_stats.parse_args(
        ['SGEResNet', '--cfg-options', 'depth=50', 'stages=1,0', 'a.b=[(1,2)]']
    )
    assert options.cfg_options == {
        'depth': 50,
        'stages': [1, 0],
        'a.b': [(1, 2)],
    }
    assert model_stats.parse_args(['SGEResNet']).cfg_options == {}


def test_missing_package_is_named_with_how_to_install_it():
    done = subprocess.run(
        [
            sys.executable,
            '-S',
            '-c',
            'import sge_mmdet_cli; sge_mmdet_cli.main(["evaluate", "a", "b"])',
        ],
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert 'Traceback' not in done.stderr
    missing = describe_missing([*SUPPORTED])
    assert done.stderr == f'error: sge-mmdet evaluate needs {missing}\n'
    assert 'openmim' in missing


@pytest.mark.parametrize(
    'words, package',
    [
        ('evaluate truth.json results.json --out-dir out', 'matplotlib'),
        ('evaluate truth.json results.json --classes config.py', 'mmdet'),
    ],
)
def test_package_that_is_missing_later_is_named_too(tmp_path, words, package):
    truth, results = random_coco(3)
    (tmp_path / 'truth.json').write_text(json.dumps(truth))
    (tmp_path / 'results.json').write_text(json.dumps(results))
    (tmp_path / 'config.py').touch()
    code = f"""
import sys
class Missing:
    def find_spec(name, *args):
        if name == '{package}':
            raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)
sys.meta_path.insert(0, Missing)
import sge_mmdet_cli
sge_mmdet_cli.main()
"""
    done = subprocess.run(
        [sys.executable, '-c', code, *words.split()],
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stdout == '', 'nothing was evaluated before'
    assert done.stderr.startswith('error: sge-mmdet evaluate needs ')
    assert package in done.stderr and 'install' in done.stderr


def test_other_package_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'sge_mmdet.commands.make_digits', None)
    assert run_command('make-digits').startswith(
        'error: sge-mmdet make-digits needs the package '
    )


@pytest.mark.parametrize(
    'typed, nearest',
    [
        ('evalute', 'evaluate'),
        ('add_sge', 'add-sge'),
        ('visualize_sge', 'visualize'),
        ('export', 'export-onnx'),
        ('stats', 'model-stats'),
    ],
)
def test_mistyped_command_is_answered_with_the_nearest(typed, nearest, capsys):
    assert run_command(typed) == 2
    shown = capsys.readouterr().err
    assert f"no command '{typed}'; the nearest is {nearest}, " in shown


def test_command_unlike_any_other_is_answered_with_the_list(capsys):
    assert run_command('qqqq') == 2
    shown = capsys.readouterr().err
    assert 'nearest' not in shown and '"sge-mmdet --help" lists all' in shown


def test_package_runs_as_a_module(tmp_path):
    shown = subprocess.run(
        [
            sys.executable,
            '-m',
            'sge_mmdet',
            'make-digits',
            '--out',
            tmp_path / 'digits',
            '--train-images',
            '1',
            '--val-images',
            '1',
            '--image-size',
            '64',
            '--max-digit',
            '20',
        ],
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert shown == f'{tmp_path}/digits: written\n'


def test_users_error_is_a_line_and_status_1():
    code = run_command('compare', 'a', 'b', '--ground-truth', 'none.json')
    assert code == 'error: There is no file none.json'


def test_missing_checkpoint_is_an_error_alone(tmp_path):
    done = subprocess.run(
        [
            sys.executable,
            '-c',
            'import sge_mmdet_cli; sge_mmdet_cli.main()',
            'convert-checkpoint',
            'nope.pth',
            '--out',
            'new.pth',
        ],
        cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (1, '')
    assert done.stderr == (
        'error: There is no checkpoint nope.pth; name a file or a URL\n'
    )


NO_CONFIG = 'error: There is no config nope.py; name a file, or a config of '
DEMO = str(ROOT / 'configs/demo/faster-rcnn_r18_fpn_400i_digits.py')


@pytest.mark.parametrize(
    'command, words',
    [
        (['add-sge', 'nope.py', '--out', 'new.py'], NO_CONFIG),
        (['run-study', 'nope.py'], NO_CONFIG),
        (['model-stats', 'nope.py'], NO_CONFIG),
        (
            ['convert-checkpoint', 'nope.pth', '--out', 'new.pth'],
            'error: There is no checkpoint nope.pth; name a file or a URL',
        ),
        (
            ['model-stats', 'SGERestNet'],
            'error: There is no backbone SGERestNet; name the type of one, '
            'such as SGEResNet',
        ),
        (['model-stats', 'SGEResNet'], '; give it with --cfg-options depth='),
        (
            ['evaluate', 'a.pth', 'b.py'],
            'a config and then a checkpoint, got a.pth and then b.py; swap',
        ),
        (
            ['evaluate', 'a.json', 'b.json', '--size-bins', '0,16,32'],
            'error: --size-bins: expected coco, aitod or two or more limits '
            'in pixels that ascend from 0 or more, such as 0 16 32 inf, got '
            '0,16,32',
        ),
        (
            ['model-stats', '#'],
            'error: There is no backbone #; name the type of one, such as '
            'SGEResNet, or a config',
        ),
        (
            ['add-sge', DEMO, '--out', 'new.py', '--stages', '1', '1'],
            'stages: expected a value for each of the 4 stages, got 2: 1 1; '
            'for SGE in all write 1 1 1 1, and 0 for a stage without SGE',
        ),
    ],
    ids=lambda value: ' '.join(value[:2]) if isinstance(value, list) else '',
)
def test_value_that_is_not_there_is_named_with_how_to_mend_it(
    command, words, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    code = run_command(*command)
    assert code.startswith('error: ') and words in code
    assert not any(tmp_path.glob('new*'))


def test_no_command_is_answered_with_the_list(capsys):
    assert run_command() == 2
    assert '  evaluate ' in capsys.readouterr().err


def test_wrong_usage_is_status_2(capsys):
    assert run_command('evaluate', '--score', 'high') == 2
    assert 'sge-mmdet evaluate: error: ' in capsys.readouterr().err


@pytest.mark.parametrize('option', ['--truth', '--ground-truth'])
def test_old_name_of_an_option_goes_on_working(option, tmp_path):
    code = run_command('compare', 'a', 'b', option, tmp_path / 'none.json')
    assert code == f'error: There is no file {tmp_path}/none.json'


def test_defects_are_not_taken_for_a_users_error():
    @common.reported_errors()
    def main():
        raise KeyError('defect')

    with pytest.raises(KeyError):
        main()


def test_warnings_of_this_package_take_one_line():
    before = warnings.formatwarning
    with common.reported_errors():
        own, other = (
            warnings.formatwarning('few', UserWarning, file, 1, 'code')
            for file in (common.__file__, os.__file__)
        )
    assert own == 'warning: few\n'
    assert other == before('few', UserWarning, os.__file__, 1, 'code')
    assert warnings.formatwarning is before


def test_failures_are_printed_one_a_line(capsys):
    common.exit_at_failures([])
    with pytest.raises(SystemExit) as end:
        common.exit_at_failures(['one', 'two'])
    assert end.value.code == 1
    assert capsys.readouterr().err == 'error: one\nerror: two\n'


def test_protocols_of_the_parsers_are_those_of_the_evaluation():
    assert options.PROTOCOLS == tuple(protocols.PROTOCOLS)


def test_places_of_the_parsers_are_those_of_add_sge():
    assert {*options.PLACES} == {*PLACES}
    assert options.POSITIONS == PLUGIN_POSITIONS


@pytest.mark.parametrize(
    'arguments, words',
    [
        (['add-sge', 'a.py', '-o', 'b.py', '--where', 'backone'], '--where: '),
        (
            ['new-config', 'a', '--train', 'b', '-o', 'c', '--where', 'neck'],
            '--where: expected --sge too',
        ),
        (
            ['new-config', 'a', '--train', 'b', '-o', 'c', '--val-images=d'],
            '--val-images: expected --val too',
        ),
        (
            ['new-config', 'a', '--train', 'b', '-o', 'c', '--seed', '1'],
            '--seed: expected --val-fraction too',
        ),
        (
            ['train', 'a.py', '--work-dirs', 'b'],
            'unrecognized arguments: --work-dirs b; the option nearest to '
            '--work-dirs is --work-dir',
        ),
        (['test', 'a.py'], 'arguments are required: checkpoint'),
        (
            ['add-sge', 'a.py', '-o', 'b.py', '--gruops', '8'],
            'unrecognized arguments: --gruops 8; the option nearest to '
            '--gruops is --groups',
        ),
    ],
)
def test_options_that_do_not_fit_are_wrong_usage(arguments, words, capsys):
    assert run_command(*arguments) == 2
    assert words in capsys.readouterr().err
