"""A training that is stopped, or killed, goes on as if it had not been."""

import random
import signal

import numpy as np
import pytest
import torch
from mmengine.dataset import BaseDataset
from mmengine.model import BaseModel
from mmengine.runner import Runner, loops

from sge_mmdet.engine import load_local_checkpoint
from sge_mmdet.engine.hooks import find_whole_checkpoint
from tests.helpers.processes import run_scripts
from tests.helpers.scripts import run_script
from tests.helpers.tiny_run import write_tiny_run

# Half of the checkpoint of the fourth iteration is written, then the process
# dies.
KILLED = """
import os, signal
from mmengine.fileio.backends import LocalBackend
from sge_mmdet.engine import run_upstream_tool

def put_half(self, data, path, put=LocalBackend.put):
    if 'iter_4' in path:
        put(self, data[:len(data) // 2], path)
        os.kill(os.getpid(), signal.SIGKILL)
    put(self, data, path)

LocalBackend.put = put_half
run_upstream_tool('train.py')
"""


def assert_same(got, want, where='checkpoint'):
    assert type(got) is type(want), where
    if isinstance(want, dict):
        assert got.keys() == want.keys(), where
        for key in want:
            assert_same(got[key], want[key], f'{where}.{key}')
    elif isinstance(want, (list, tuple)):
        assert len(got) == len(want), where
        for i, (a, b) in enumerate(zip(got, want)):
            assert_same(a, b, f'{where}.{i}')
    else:
        same = torch.equal if torch.is_tensor(want) else np.array_equal
        assert same(got, want), where


def training_state(path):
    checkpoint = load_local_checkpoint(path)
    logs = checkpoint['message_hub']['log_scalars']
    losses = [
        buffer.data[0]
        for name, buffer in sorted(logs.items())
        if 'loss' in name or 'grad_norm' in name
    ]
    return {
        name: checkpoint[name]
        for name in ('state_dict', 'optimizer', 'param_schedulers')
    } | {'losses': losses}


SKIPS = hasattr(loops._InfiniteDataloaderIterator, 'skip_iter')
without_skipping = pytest.mark.skipif(
    SKIPS, reason='this fork of MMEngine skips batches without drawing them'
)


@without_skipping
def test_killed_while_it_writes_a_checkpoint_a_training_ends_the_same(
    tmp_path,
):
    config = write_tiny_run(
        tmp_path,
        """
train_cfg = dict(max_iters=4, val_interval=3)
default_hooks['checkpoint'] = dict(interval=2)
custom_hooks = [dict(type='ExactResumeHook')]
""",
    )
    whole, parts = tmp_path / 'whole', tmp_path / 'parts'
    code, output = run_script('train.py', config, '--work-dir', whole)
    assert code == 0, output
    script = tmp_path / 'killed.py'
    script.write_text(KILLED)
    command = [script, config, '--work-dir', parts]
    ((code, output),) = run_scripts([(command, {})], tmp_path)
    assert code == -signal.SIGKILL, output
    with pytest.raises(RuntimeError, match='truncated'):
        load_local_checkpoint(parts / 'iter_4.pth')
    # A second blow: the name of the last checkpoint was just being written.
    (parts / 'last_checkpoint').write_text('')
    code, output = run_script(
        'train.py', config, '--work-dir', parts, '--resume'
    )
    assert code == 0, output
    assert f'resuming from {parts}/iter_2.pth' in output
    assert 'resumed epoch: 0, iter: 2' in output
    want = training_state(whole / 'iter_4.pth')
    assert any('.sge.' in name for name in want['state_dict'])
    assert want['optimizer']['state'] and len(want['losses'][0]) == 4
    assert_same(training_state(parts / 'iter_4.pth'), want)


class NoisyNumbers(BaseDataset):
    """Numbers to which each generator adds some noise."""

    def load_data_list(self):
        return [dict(number=float(i)) for i in range(7)]

    def prepare_data(self, index):
        return (
            self.get_data_info(index)['number']
            + random.random()
            + np.random.rand()
            + torch.rand(2)
        )


class Dropping(BaseModel):
    """A model that draws random numbers, too."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 2)

    def forward(self, inputs, mode):
        return dict(
            loss=torch.dropout(self.layer(torch.stack(inputs)), 0.5, True)
            .pow(2)
            .mean()
        )

    def train_step(self, data, optim_wrapper):
        losses = self(data, 'loss')
        optim_wrapper.update_params(losses['loss'])
        return losses

    def val_step(self, data):
        torch.rand(3)
        return [None]


def toy_runner(
    work_dir,
    loop,
    workers=0,
    hook=True,
    seed=0,
    resume=False,
    persistent=False,
    batches=1,
):
    by_epoch = 'epochs' in str(loop)
    torch.manual_seed(0)
    loader = dict(
        dataset=NoisyNumbers(lazy_init=False),
        batch_size=2,
        num_workers=workers,
        persistent_workers=persistent,
        collate_fn=list,
    )
    return Runner(
        Dropping(),
        str(work_dir),
        train_cfg=loop,
        resume=resume,
        train_dataloader=dict(
            loader,
            sampler=dict(
                type='DefaultSampler' if by_epoch else 'InfiniteSampler',
                shuffle=True,
            ),
        ),
        val_dataloader=dict(loader, sampler=dict(type='DefaultSampler')),
        val_cfg=dict(),
        val_evaluator=[],
        optim_wrapper=dict(
            optimizer=dict(type='AdamW', lr=0.1), accumulative_counts=batches
        ),
        default_hooks=dict(
            checkpoint=dict(
                type='CheckpointHook', by_epoch=by_epoch, interval=1
            )
        ),
        custom_hooks=[dict(type='ExactResumeHook')] * hook,
        randomness=dict(seed=seed),
        log_level='ERROR',
        default_scope='mmdet',
        experiment_name=f'{work_dir.name}{resume}',
    )


LOOPS = {
    'iter': dict(type='IterBasedTrainLoop', max_iters=7, val_interval=3),
    'epoch': dict(type='EpochBasedTrainLoop', max_epochs=4, val_interval=2),
}


@pytest.mark.parametrize(
    'unit, workers, stop',
    [
        *(
            pytest.param(*case, marks=without_skipping)
            for case in (('iter', 0, 1), ('iter', 0, 3), ('iter', 2, 3))
        ),
        ('epoch', 0, 1),
        ('epoch', 2, 3),
    ],
)
def test_random_numbers_go_on_wherever_they_are_drawn(
    tmp_path, unit, workers, stop
):
    toy_runner(tmp_path / 'whole', LOOPS[unit], workers).train()
    first = dict(LOOPS[unit], **{f'max_{unit}s': stop})
    toy_runner(tmp_path / 'parts', first, workers).train()
    resumed = toy_runner(tmp_path / 'parts', LOOPS[unit], workers, resume=True)
    resumed.train()
    end = f'{unit}_{LOOPS[unit][f"max_{unit}s"]}.pth'
    want = load_local_checkpoint(tmp_path / 'whole' / end)
    got = load_local_checkpoint(tmp_path / 'parts' / end)
    for part in ('state_dict', 'optimizer'):
        assert_same(got[part], want[part])


def test_without_the_hook_a_resumed_training_differs(tmp_path):
    """Should MMEngine ever save its generators, the hook can go."""
    weights = []
    for resume in (False, True):
        name = tmp_path / str(resume)
        if resume:
            toy_runner(
                name, dict(LOOPS['iter'], max_iters=3), hook=False
            ).train()
        runner = toy_runner(name, LOOPS['iter'], hook=False, resume=resume)
        weights.append(runner.train().layer.weight)
    assert not torch.equal(*weights)


@pytest.mark.parametrize(
    'unit, options, words',
    [
        (
            'iter',
            dict(seed=None),
            r'got seed=None; set randomness=dict\(seed=0\)',
        ),
        (
            'epoch',
            dict(workers=1, persistent=True),
            'got persistent_workers=True; set train_dataloader.persistent',
        ),
        ('iter', dict(batches=2), 'got accumulative_counts=2'),
    ],
)
def test_trainings_that_cannot_be_exact_are_refused(
    tmp_path, unit, options, words
):
    with pytest.raises(ValueError, match=words):
        toy_runner(tmp_path, LOOPS[unit], **options).train()


@pytest.fixture
def work_dir(tmp_path):
    """Checkpoints of which the last is cut off."""
    for i in (50, 100, 150):
        torch.save(dict(i=torch.ones(999)), tmp_path / f'iter_{i}.pth')
    torch.save({}, tmp_path / 'best_coco_bbox_mAP_iter_150.pth')
    data = (tmp_path / 'iter_150.pth').read_bytes()
    (tmp_path / 'iter_150.pth').write_bytes(data[:-30])
    return tmp_path


@pytest.mark.parametrize(
    'named', ['iter_50.pth', 'iter_100.pth', 's3://bucket/iter_200.pth']
)
def test_last_checkpoint_that_is_whole_or_elsewhere_is_kept(work_dir, named):
    pointer = work_dir / 'last_checkpoint'
    pointer.write_text(named if ':' in named else f'{work_dir}/{named}')
    before = pointer.read_text()
    assert find_whole_checkpoint(work_dir) is None
    assert pointer.read_text() == before


@pytest.mark.parametrize('named', [None, '', 'iter_150.pth', 'iter_200.pth'])
def test_newest_whole_checkpoint_is_resumed(work_dir, named, capsys):
    pointer = work_dir / 'last_checkpoint'
    if named is not None:
        pointer.write_text(named and f'{work_dir}/{named}')
    newest = work_dir / 'iter_100.pth'
    assert find_whole_checkpoint(work_dir) == newest
    assert pointer.read_text() == str(newest)
    assert f'resuming from {newest}' in capsys.readouterr().out
    assert {
        path.name for path in work_dir.iterdir() if path.suffix != '.pth'
    } == {'last_checkpoint'}


def test_checkpoints_are_looked_for_where_the_last_one_is(work_dir, tmp_path):
    other = tmp_path / 'work'
    other.mkdir()
    (other / 'last_checkpoint').write_text(f'{work_dir}/iter_150.pth')
    assert find_whole_checkpoint(other) == work_dir / 'iter_100.pth'


@pytest.mark.parametrize(
    'named, newest',
    [('iter_50.pth', 'iter_50.pth'), ('iter_150.pth', 'iter_100.pth')],
)
def test_folder_that_was_moved_is_resumed(work_dir, named, newest):
    (work_dir / 'last_checkpoint').write_text(f'/was/here/{named}')
    assert find_whole_checkpoint(work_dir) == work_dir / newest


def test_training_that_wrote_nothing_starts_anew(tmp_path):
    assert find_whole_checkpoint(tmp_path / 'not there') is None
    (tmp_path / 'iter_50.pth').write_bytes(b'PK')
    assert find_whole_checkpoint(tmp_path) is None


def test_no_whole_checkpoint_ends_in_one_line(tmp_path):
    config = write_tiny_run(tmp_path)
    pointer = tmp_path / 'last_checkpoint'
    pointer.write_text(f'{tmp_path}/iter_50.pth')
    code, output = run_script(
        'train.py', config, '--work-dir', tmp_path, '--resume'
    )
    assert code == 1
    assert output.splitlines()[-1].endswith(
        f'there is none in {tmp_path}; remove {pointer} to train from the '
        'start'
    )
