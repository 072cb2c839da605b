"""A study that really trains, as small as one can be."""

import json
from pathlib import Path

import pytest
from matplotlib.image import imread

from sge_mmdet.datasets import DigitsOptions, make_digits
from sge_mmdet.study.machines import read_machines
from sge_mmdet_cli.run_study import main as run_study
from tests.helpers.scripts import run_script

CONFIG = (
    Path(__file__).parents[2]
    / 'configs'
    / 'demo'
    / 'faster-rcnn_r50-w16-sge_fpn_400i_digits.py'
)


def test_study_trains_tests_and_reports_and_is_not_repeated(tmp_path):
    # MMEngine's options would drop the space and split at the comma.
    data, out = tmp_path / 'digits', tmp_path / 'a study, mine'
    make_digits(
        data,
        DigitsOptions(
            train_images=2,
            val_images=2,
            image_size=64,
            min_digit=8,
            max_digit=20,
            max_objects=3,
        ),
    )
    loaders = [
        f'{split}_dataloader.{key}'
        for split in ('train', 'val', 'test')
        for key in (
            f'dataset.data_root={data}/',
            'num_workers=0',
            'persistent_workers=False',
        )
    ]
    ground_truth = data / 'annotations' / 'val.json'
    command = [
        'run_study.py',
        CONFIG,
        '--names',
        'SGE',
        '--work-dir',
        out,
        '--resamples',
        '5',
        '--size-bins',
        '0',
        '16',
        'inf',
        '--seeds',
        '7',
        '--cfg-options',
        *loaders,
        f'val_evaluator.ann_file={ground_truth}',
        f'test_evaluator.ann_file={ground_truth}',
        'train_cfg.max_iters=1',
        'train_cfg.val_interval=1',
        'default_hooks.logger.interval=1',
    ]
    code, output = run_script(*command)
    assert code == 0, output
    run = out / CONFIG.stem / 'seed_7'
    assert 'Iter(test)' in (run / 'output.log').read_text()
    logs = sorted(run.glob('*/*.log'))
    assert any('seed: 7\n' in log.read_text() for log in logs)
    assert isinstance(
        json.loads((run / 'detections.bbox.json').read_text()), list
    )
    (machine,) = read_machines(run)
    assert 'PyTorch' in machine
    report = json.loads((out / 'study.json').read_text())
    assert 0 <= report['runs']['SGE']['7']['AP'] <= 1
    assert 'SGE' in (out / 'study.md').read_text() and 'SGE' in output
    for name in 'study.png', 'curves.png':
        assert imread(out / name).std() > 0
    code, output = run_script(*command)
    assert code == 0, output
    assert sorted(run.glob('*/*.log')) == logs, 'nothing was run again'
    # Small copies, from which the report is the same.
    archive = out / 'archive'
    code, output = run_script(*command, '--archive', archive, '--report-only')
    assert code == 0 and f'{archive}: 1 results added' in output, output
    sizes = ['--size-bins', '0', '16', 'inf', '--resamples', '5']
    code, again = run_script(
        'run_study.py',
        '--archive',
        archive,
        '--work-dir',
        out / 'again',
        *sizes,
    )
    assert code == 0, again
    assert read_machines(archive / CONFIG.stem / 'seed_7') == (machine,)
    table = (out / 'study.md').read_text().split('\n\n')[0]
    assert (out / 'again' / 'study.md').read_text().startswith(table)


@pytest.mark.parametrize(
    'args, words',
    [
        ([], 'expected configs to train, or --archive'),
        (['--archive', '.'], 'is no archive of a study'),
        ([CONFIG, '--plan', '--target', '0'], '--target: expected a positive'),
        (
            [CONFIG, '--slurm', 'gpus', '--gpus', '0'],
            '--gpus chooses GPUs of this machine',
        ),
    ],
)
def test_wrong_options_are_named(tmp_path, monkeypatch, args, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=words):
        run_study([str(arg) for arg in args])
    assert not any(tmp_path.iterdir())
