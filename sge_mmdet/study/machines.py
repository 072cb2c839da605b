"""The machines on which the runs of a study were trained.

Another machine rounds sums in another order, so that the same seed gives
other weights there. So two runs with the same seed are a fair pair only if one
machine trained both.
"""

import json
from pathlib import Path
from typing import Dict, List, Sequence, Tuple, Union

import torch

from ..utils import RENEWING, load_json, printable
from ..utils.machine import processor_name
from ..utils.text import printable_list
from .plan import StudyRun

FILE = 'machines.json'


def note_machine(work_dir: Union[str, Path]) -> None:
    """Add this machine to those that a run was trained on.

    Args:
        work_dir (str or Path): Work directory of the run.

    Raises:
        OSError: If the file cannot be written.
    """
    device = (
        torch.cuda.get_device_name()
        if torch.cuda.is_available()
        else processor_name()
    )
    machine = f'{device}, PyTorch {torch.__version__}'
    known = read_machines(work_dir)
    if machine not in known:
        content = json.dumps([*known, machine], indent=1)
        RENEWING.write(Path(work_dir, FILE), content)


def read_machines(work_dir: Union[str, Path]) -> Tuple[str, ...]:
    """Return the machines of a run, more than one if it was continued.

    Args:
        work_dir (str or Path): Work directory of the run, or its place in an
            archive.

    Returns:
        tuple[str]: Processor or GPU and version of PyTorch; empty if nothing
        is known.
    """
    path = Path(work_dir, FILE)
    return tuple(map(str, load_json(path))) if path.is_file() else ()


def describe_unlike_pairs(runs: Sequence[StudyRun]) -> str:
    """Return which pairs were trained on different machines, in a sentence.

    Args:
        runs (Sequence[StudyRun]): All runs of a study, the first config's
            first.

    Returns:
        str: The sentence; empty if no pair is known to be one.
    """
    first = runs[0].name
    machines = {
        (run.name, run.seed): read_machines(run.work_dir)
        for run in runs
        if run.is_done
    }
    unlike: Dict[str, List[str]] = {}
    for (name, seed), own in machines.items():
        other = machines.get((first, seed))
        if own and other and own != other:
            unlike.setdefault(name, []).append(str(seed))
    if not unlike:
        return ''
    pairs = ' and '.join(
        f'those of {name} with seed {printable_list(seeds)}'
        for name, seeds in unlike.items()
    )
    found = dict.fromkeys(
        machine for trained in machines.values() for machine in trained
    )
    return (
        f'On another machine or PyTorch than their partners of {first} were '
        f'trained {pairs} ({printable("; ".join(found))}). The same seed '
        'gives other weights there, so that seeds are not paired as well as '
        'on one.'
    )
