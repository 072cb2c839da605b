"""Edited and hostile files; ``make soak`` tries many more of them."""

import importlib
import pickletools
import sys
from random import Random

import numpy as np
import pytest
import torch

from tests.helpers.scripts import TOOLS

sys.path.append(str(TOOLS / 'dev'))
commands, good_files, hostile, limits, oracle, reference, trials, workers = (
    importlib.import_module(f'fuzz.{name}')
    for name in (
        'commands',
        'good_files',
        'hostile',
        'limits',
        'oracle',
        'reference',
        'trials',
        'workers',
    )
)


def case(data, metric='bbox', results='boxes.json', engine='pycocotools'):
    return oracle.Case(
        data / 'truth.json', data / results, metric, ('coco',), engine
    )


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp('fuzz')
    good_files.make_files(folder)
    return folder / 'data'


def test_edited_files_are_right_or_are_refused_by_name():
    tried = list(trials.fuzz(range(180)))
    table = trials.counts(tried).text()
    assert not [trial for trial in tried if trial.status == trials.DEFECT], (
        table
    )
    statuses = [trial.status for trial in tried]
    assert statuses.count(trials.WORKS) > 40
    assert statuses.count(trials.NAMED) > 80
    assert sum(trial.checked for trial in tried) > 40


@pytest.mark.parametrize(
    'results, metric',
    [
        ('boxes.json', 'bbox'),
        ('masks.json', 'segm'),
        ('boxes.pkl', 'bbox'),
        ('masks.pkl', 'segm'),
    ],
)
def test_good_files_have_the_figures_of_the_reference(data, results, metric):
    good = case(data, metric, results)
    oracle.check_figures(good)
    figures = oracle.reference_figures(good)
    assert 0.1 < figures['AP all'] < 0.9
    # Objects of every size, or an error in one could not be seen.
    assert all(
        figures[f'objects {size}'] for size in ('small', 'medium', 'large')
    )


@pytest.mark.parametrize(
    'changes, words',
    [
        (dict(area=2000.0), 'objects small'),
        (dict(iscrowd=1), 'objects all'),
        (dict(bbox=[0.0, 0.0, 1.0, 1.0]), 'AP all'),
        (dict(category_id=5), 'of category 1'),
    ],
)
def test_figures_that_differ_are_a_defect(data, monkeypatch, changes, words):
    def misread(text):
        ground_truth = reference.coco_ground_truth(text)
        for annotation in ground_truth['annotations']:
            annotation.update(changes)
        return ground_truth

    monkeypatch.setattr(oracle, 'coco_ground_truth', misread)
    with pytest.raises(oracle.Disagreement, match=words):
        oracle.check_figures(case(data))


def test_weights_that_differ_are_a_defect(data, monkeypatch):
    monkeypatch.setattr(
        oracle,
        'weights_of',
        lambda _: {
            **good_files.make_weights(),
            'layer1.0.conv1.weight': torch.zeros(1),
        },
    )
    with pytest.raises(oracle.Disagreement, match=r'layer1\.0\.conv1'):
        oracle.check_weights(data / 'weights.pth')


@pytest.mark.parametrize(
    'run, status',
    [
        (lambda: None, trials.WORKS),
        (lambda: sys.exit('error: a.json is no file'), trials.NAMED),
        (lambda: sys.exit('error: a.json\nis no file'), trials.DEFECT),
        (lambda: sys.exit('error: something is wrong'), trials.DEFECT),
        (lambda: {}['key'], trials.DEFECT),
        (lambda: np.ones(20_000_000).sum(), trials.DEFECT),
    ],
    ids=['works', 'named', 'lines', 'no name', 'traceback', 'memory'],
)
def test_outcome_tells_a_named_refusal_from_a_defect(tmp_path, run, status):
    path = tmp_path / 'a.json'
    path.touch()
    assert trials.outcome(commands.Command(run), path)[0] == status


def test_files_that_take_long_are_a_defect(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, 'CPU_SECONDS', -1)
    (tmp_path / 'a.json').touch()
    status, said, _ = trials.outcome(
        commands.Command(lambda: None), tmp_path / 'a.json'
    )
    assert status == trials.DEFECT and 'it took 0.0 s' in said


def test_code_that_a_file_runs_is_a_defect(data, monkeypatch):
    def run(random, kind, path, folder):
        return [commands.Command((folder / 'ran').mkdir)]

    monkeypatch.setattr(trials, 'commands', run)
    files = {kind: (data / kind).read_bytes() for kind in trials.KINDS[:7]}
    trial = trials.try_file(7, files, data.parent)
    assert (trial.kind, trial.status) == ('hostile.pkl', trials.DEFECT)
    assert 'something in it was run' in trial.said
    assert not (data.parent / 'ran').exists()


@pytest.mark.parametrize('make', trials.HOSTILE.values())
def test_hostile_files_depend_on_their_number_alone(make):
    # Tensors are named after where they lie in memory.
    for number in range(3):
        first, second = (make(Random(number), '/x') for _ in range(2))
        assert abs(len(first) - len(second)) < 40


def test_hostile_pickles_use_every_instruction():
    missing = {code.name for code in pickletools.opcodes}
    for number in range(400):
        data = hostile.hostile_results(Random(number), '/nowhere')
        try:
            missing -= {code.name for code, *_ in pickletools.genops(data)}
        except ValueError:
            continue
        if not missing:
            break
    assert not missing


def test_files_after_one_that_ends_its_process_are_tried(monkeypatch):
    """Threads stand for processes, of which a new one takes seconds."""
    import queue

    done, starts = queue.SimpleQueue(), []

    class Process:
        exitcode = -11

        def __init__(self, target, args):
            self.numbers, self.sink = args
            starts.append(list(self.numbers))

        def start(self):
            for number in self.numbers:
                if number == 3:
                    break
                self.sink.send(trials.Trial(number, 'x', trials.WORKS, ''))

        def join(self):
            pass

    context = workers.multiprocessing.get_context('spawn')
    monkeypatch.setattr(
        workers.multiprocessing,
        'get_context',
        lambda _: type(
            'Context', (), dict(Pipe=context.Pipe, Process=Process)
        ),
    )
    workers._supervise([1, 3, 5], done)
    found = [done.get() for _ in range(3)]
    assert [(trial.number, trial.status) for trial in found] == [
        (1, trials.WORKS),
        (3, trials.DEFECT),
        (5, trials.WORKS),
    ]
    assert 'with the status -11' in found[1].said
    assert starts == [[1, 3, 5], [5]]
