"""One edited file after the other, and how each of them ended."""

import contextlib
import faulthandler
import io
import tempfile
import traceback
import warnings
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any, Callable, Dict, Iterable, Iterator, NamedTuple, Tuple

from sge_mmdet.utils.tables import Table

from .commands import Command, commands
from .edits import edit
from .good_files import make_files
from .hostile import hostile_checkpoint, hostile_results
from .limits import measured

WORKS, NAMED, DEFECT = 'works', 'refused by name', 'DEFECT'
HOSTILE = {'hostile.pkl': hostile_results, 'hostile.pth': hostile_checkpoint}
KINDS = (
    'truth.json',
    'boxes.json',
    'masks.json',
    'boxes.pkl',
    'masks.pkl',
    'config.py',
    'weights.pth',
    *HOSTILE,
)
# A file that takes longer than this has hung what reads it, in seconds.
HUNG = 120


class Trial(NamedTuple):
    """What came of one edited file.

    Attributes:
        number: Of the file; it is all that the edit depends on.
        kind: Of the file, one of :data:`KINDS`.
        status: :data:`WORKS`, :data:`NAMED` or :data:`DEFECT`.
        said: What the tool ended with.
        checked: Whether figures or weights were compared and agree.
    """

    number: int
    kind: str
    status: str
    said: str
    checked: bool = False


def kind_of(number: int) -> str:
    """Return the kind of the file of a number, one of :data:`KINDS`."""
    return KINDS[number % len(KINDS)]


def make_file(number: int, files: Dict[str, bytes], marker: Path) -> bytes:
    """Return the edited or hostile file of a number.

    Args:
        number (int): Of the trial.
        files (dict[str, bytes]): The good file of each kind.
        marker (Path): What anything that runs would create.
    """
    random, kind = Random(number), kind_of(number)
    if kind in HOSTILE:
        return HOSTILE[kind](random, str(marker))
    return edit(random, kind, files[kind])


def try_file(number: int, files: Dict[str, bytes], folder: Path) -> Trial:
    """Edit a file, let it be read, and return how that ended.

    Args:
        number (int): Of the trial.
        files (dict[str, bytes]): Of :func:`make_files`.
        folder (Path): As there.
    """
    kind, marker = kind_of(number), folder / 'ran'
    path = folder / f'{number}_{kind}'
    path.write_bytes(make_file(number, files, marker))
    worst = Trial(number, kind, WORKS, '')
    # Ends the process, and says where it was, also in the midst of C code.
    faulthandler.dump_traceback_later(HUNG, exit=True)
    for command in commands(Random(number), kind, path, folder):
        status, said, checked = outcome(command, path)
        if marker.exists():
            status, said = DEFECT, f'something in it was run; {said}'
            marker.rmdir() if marker.is_dir() else marker.unlink()
        checked = checked or worst.checked
        worst = worst._replace(checked=checked)
        if status != WORKS:
            worst = Trial(number, kind, status, said, checked)
        if status == DEFECT:
            break
    faulthandler.cancel_dump_traceback_later()
    path.unlink()
    return worst


def outcome(command: Command, path: Path) -> Tuple[str, str, bool]:
    """Run a command that reads a file and return how it ended.

    Args:
        command (Command): The command.
        path (Path): The file, which an error has to name.

    Returns:
        tuple[str, str, bool]: Status, what the command ended with, and
        whether what it made was checked and found right.
    """
    with measured(path.stat().st_size) as exceeded:
        status, said = _run(command.run, path)
    if exceeded:
        return DEFECT, f'{"; ".join(exceeded)}; {status}: {said}', False
    if status != WORKS or not command.check:
        return status, said, False
    status, said = _run(command.check, path)
    # A check has nobody to name a fault to.
    return (WORKS, '', True) if status == WORKS else (DEFECT, said, False)


def _run(call: Callable[[], Any], path: Path) -> Tuple[str, str]:
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(
            io.StringIO()
        ), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter('ignore')
            call()
    except SystemExit as stop:
        said = str(stop.code)
        if stop.code in (None, 0):
            return WORKS, ''
        is_named = (
            said.startswith('error: ')
            and path.name in said
            and ('\n' not in said)
        )
        return NAMED if is_named else DEFECT, said
    except KeyboardInterrupt:
        raise
    except BaseException:
        # Not only Exception: what is written in Rust panics with others.
        return DEFECT, traceback.format_exc()
    return WORKS, ''


def fuzz(numbers: Iterable[int]) -> Iterator[Trial]:
    """Try edited files, after the good ones, which have to work.

    Args:
        numbers (Iterable[int]): Of the trials; the remainder by the number of
            kinds chooses the kind of file.

    Raises:
        RuntimeError: If a good file does not work, so that nothing can be
            said of edited ones.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = make_files(folder)
        for kind in files:
            # What is imported at the first use is not the files' memory.
            for command in commands(
                Random(0), kind, folder / 'data' / kind, folder
            ):
                status, said = _run(command.run, folder / 'data' / kind)
                if status != WORKS:
                    raise RuntimeError(f'{kind}, a good file: {said}')
        for number in numbers:
            yield try_file(number, files, folder)


def counts(trials: Iterable[Trial]) -> Table:
    """Return how many files of each kind ended in what.

    Args:
        trials (Iterable[Trial]): The trials.
    """
    trials = list(trials)
    found = Counter((trial.kind, trial.status) for trial in trials)
    checked = Counter(trial.kind for trial in trials if trial.checked)
    statuses = (WORKS, NAMED, DEFECT)
    rows = [
        [kind, *(found[kind, status] for status in statuses), checked[kind]]
        for kind in KINDS
    ]
    rows.append(
        ['all', *(sum(column) for column in zip(*(row[1:] for row in rows)))]
    )
    return Table(['file', *statuses, 'figures or weights agree'], rows)
