"""The command from a user's data to a comparison with intervals."""

import re
import shlex
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.helpers.own_data import BASES, write_coco
from tests.helpers.processes import run_scripts

ROOT = Path(__file__).parents[2]
NEW = ROOT / 'tools' / 'new_config.py'


def run(command, folder):
    """Run a command as a shell in a folder does; return its output."""
    words = shlex.split(command)
    assert words.pop(0) == 'python', command
    ((code, output),) = run_scripts([(words, {})], folder)
    assert code == 0, output
    return output


def follow(folder, name, sge):
    """Make a config and run all commands that it prints."""
    (folder / 'base.py').write_text(BASES[name])
    shown = run(
        f'python {NEW} base.py --train train.json --val val.json '
        f'--images images -o mine.py {sge}',
        folder,
    )
    commands = [
        line for line in shown.splitlines() if line.startswith('python ')
    ]
    return shown, [run(command, folder) for command in commands]


@pytest.fixture(scope='module')
def followed(tmp_path_factory):
    """What the command and those that it printed showed, by detector."""
    folders = {name: tmp_path_factory.mktemp(name) for name in BASES}
    for folder in folders.values():
        write_coco(folder)
    with ThreadPoolExecutor() as pool:
        futures = {
            name: pool.submit(
                follow, folder, name, '--sge' if name == 'faster' else ''
            )
            for name, folder in folders.items()
        }
        return {name: future.result() for name, future in futures.items()}


def test_printed_commands_lead_from_a_coco_file_to_a_comparison(followed):
    shown, outputs = followed['faster']
    assert "classes = ('ship', 'buoy', 'old harbour')" in shown
    train, evaluate, make, train_plain, evaluate_plain, compare = outputs
    for output in train, train_plain:
        assert 'coco/bbox_mAP_small: ' in output
    for output in evaluate, evaluate_plain:
        assert re.search(r'small', output) and 'written to' in output
    assert 'SGE' in compare and '95 % interval' in compare


def test_rtmdet_is_trained_and_evaluated_by_the_printed_commands(followed):
    _, outputs = followed['rtmdet']
    assert 'coco/bbox_mAP_small: ' in outputs[0]
    assert 'written to' in outputs[1]
