"""Long use in one process, and data loaded by others."""

import re
import subprocess
import sys

import pytest
import torch
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.runner import Runner

from tests.helpers.scripts import TOOLS, load_script
from tests.helpers.tiny_run import write_tiny_run

memory_growth = load_script('dev/memory_growth.py')


def test_memory_stays_while_a_detector_trains_and_is_evaluated():
    """``tools/dev/soak.py`` alone takes more steps.

    A process of its own: in that of other tests, freed memory in pieces makes
    the allocator's moves larger than a leak. One arena of it (64 MiB) is
    none.
    """
    done = subprocess.run(
        [
            sys.executable,
            TOOLS / 'dev' / 'soak.py',
            '--iterations',
            '20',
            '--evaluations',
            '20',
            '--workers',
            '0',
            '--samples',
            '4',
            '--slack',
            '80',
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == 'Memory does not grow.'
    rows = re.findall(
        r'^(training|evaluation) +(\d+) +\d+ +\d+$', done.stdout, re.MULTILINE
    )
    assert rows == [
        (phase, str(steps))
        for phase in ('training', 'evaluation')
        for steps in (5, 10, 15, 20)
    ]


@pytest.mark.parametrize('size', [1, 2**20])
def test_growth_is_seen(size):
    kept = []
    samples = [
        *memory_growth.soak(
            'keeping', lambda: kept.append(torch.ones(size)), 20, 4
        )
    ]
    assert [sample.steps for sample in samples] == [5, 10, 15, 20]
    assert samples[-1].tensors - samples[0].tensors == 15
    assert samples[-1].resident > 1
    growth = memory_growth.growing_phases(samples)['keeping']
    assert growth.endswith('+15 tensors from step 5 to 20')
    assert memory_growth.memory_table(samples).rows[-1][:2] == ('keeping', 20)


def test_only_what_comes_after_the_first_steps_is_growth():
    def phase(name, *pairs):
        return [
            memory_growth.MemorySample(name, 10 * i, *pair)
            for i, pair in enumerate(pairs, start=1)
        ]

    samples = [
        *phase(
            'start',
            (9, 0),
            (99, 99),
            (99, 99),
            (99, 99),
            (99, 99),
            (99, 99),
            (99, 99),
            (99, 99),
            (99, 99),
            (110, 105),
        ),
        *phase('memory', (100, 5), (100, 5), (140, 5)),
        *phase('tensors', (100, 5), (100, 5), (100, 8)),
    ]
    assert memory_growth.growing_phases(samples) == {
        'memory': '+40.0 MiB, +0 tensors from step 10 to 30',
        'tensors': '+0.0 MiB, +3 tensors from step 10 to 30',
    }
    assert list(memory_growth.growing_phases(samples, slack=50)) == ['tensors']


@pytest.mark.parametrize('method', ['fork', 'spawn'])
def test_workers_load_the_same_data_however_they_are_started(tmp_path, method):
    register_all_modules()
    cfg = Config.fromfile(write_tiny_run(tmp_path)).train_dataloader
    batches = []
    for workers in (
        dict(num_workers=0, persistent_workers=False),
        dict(num_workers=1, multiprocessing_context=method),
    ):
        loader = Runner.build_dataloader({**cfg, **workers}, seed=0)
        iterator = iter(loader)
        batches.append([next(iterator) for _ in range(3)])
    for here, there in zip(*batches):
        for a, b in zip(here['inputs'], there['inputs']):
            assert torch.equal(a, b)
        for a, b in zip(here['data_samples'], there['data_samples']):
            assert a.img_id == b.img_id
            assert torch.equal(
                a.gt_instances.bboxes.tensor, b.gt_instances.bboxes.tensor
            )
