#!/usr/bin/env python3
"""Edit good files at random and see that whatever reads them names the fault.

Ground truth, result files, configs and checkpoints are damaged byte by byte
and entry by entry and given to the tools as a user would. Each file has to end
in one of two ways: the tool works, or it stops with "error: ", the file and
what is wrong. Anything else, a traceback above all, is a defect; it is listed
with its number, which --first tries again.
"""
import argparse
import contextlib
import faulthandler
import importlib.util
import io
import json
import pickle
import re
import resource
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from pathlib import Path
from random import Random
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    List,
    NamedTuple,
    Sequence,
)
from unittest import mock

import torch
from mmengine.config import Config
from tqdm import tqdm

from sge_mmdet.evaluation.engines import ENGINES, default_engine
from sge_mmdet.runner import run_stock_tool
from sge_mmdet.study import plan_study
from sge_mmdet.utils.tables import Table

ROOT = Path(__file__).resolve().parents[2]
WORKS, NAMED, DEFECT = 'works', 'refused by name', 'DEFECT'
KINDS = ('truth.json', 'boxes.json', 'masks.json', 'boxes.pkl', 'masks.pkl',
         'config.py', 'weights.pth')
# A file that takes longer than this has hung what reads it.
SECONDS = 60
# One that asks for more memory than this has asked for too much.
MEMORY = 6 * 2**30
ODD_VALUES = (
    None, True, -1, 0, 1, 1.5, -1e300, float('nan'), float('inf'), 2**31,
    2**63, 10**30, 10**400, '', '1', 'text', 'nan', '../../x', '$x^$',
    '\ud800', '\0', [], {}, [[]], [None], [1, 2], {'a': 1}, [0, 0, -1, -1])
ODD_TENSORS = (torch.tensor(1.), torch.zeros(0), torch.ones(3),
               torch.full((3, 2, 1, 1), float('nan')))
ODD_SOURCE = ('None', 'True', '-1', '0', '7', '1.5', "float('nan')", "'text'",
              "''", '[]', '()', '{}', '[None]', 'dict(type="SGE")', 'unknown',
              "dict(groups=3)", "dict(groups='a')", 'dict(grops=64)', '...',
              '(True, False)', 'len', '1 / 0', "'../../x'", "'/nowhere'")


class Trial(NamedTuple):
    """What came of one edited file.

    Attributes:
        number: Of the file; it is all that the edit depends on.
        kind: Of the file, one of :data:`KINDS`.
        status: :data:`WORKS`, :data:`NAMED` or :data:`DEFECT`.
        said: What the tool ended with.
    """

    number: int
    kind: str
    status: str
    said: str


def make_files(folder: Path) -> Dict[str, bytes]:
    """Write a small data set and return a good file of each kind.

    Args:
        folder (Path): Where to.
    """
    data = folder / 'data'
    (data / 'images').mkdir(parents=True)
    images = [dict(id=3 * i + 2, height=24, width=32, file_name=f'{i}.png')
              for i in range(3)]
    names = ['cat', 'dog']
    categories = [dict(id=2 * k + 5, name=name)
                  for k, name in enumerate(names)]
    annotations, results, tensors = [], [], []
    rle = dict(size=[24, 32], counts=_rle([0, 24 * 8, 24 * 24]))
    for i, image in enumerate(images):
        x = float(3 * i)
        for k, category in enumerate(categories):
            own = dict(image_id=image['id'], category_id=category['id'])
            corners = [[x, 2, x + 9, 2], [x + 9, 12, x, 12]]
            annotations.append(dict(
                own, id=len(annotations) + 1, bbox=[x, 2., 9., 10.],
                area=90., iscrowd=0, segmentation=rle if k else [
                    corners[0] + corners[1]]))
            results.append(dict(own, bbox=[x + k, 2., 9., 10.],
                                score=0.9 - 0.1 * i, segmentation=rle))
        tensors.append(dict(
            img_id=image['id'], ori_shape=(24, 32), pred_instances=dict(
                bboxes=torch.tensor([[x, 2, x + 9, 12]] * 2),
                scores=torch.tensor([0.9, 0.8]), labels=torch.arange(2),
                masks=[rle, rle])))
    truth = json.dumps(dict(images=images, categories=categories,
                            annotations=annotations)).encode()
    boxes = json.dumps([{key: value for key, value in result.items()
                         if key != 'segmentation'} for result in results])
    (data / 'truth.json').write_bytes(truth)
    (data / 'boxes.json').write_text(boxes)
    (data / 'masks.json').write_text(json.dumps(results))
    weights = io.BytesIO()
    # As the paper's authors have them, whose heads are turned around.
    torch.save(dict(meta=dict(CLASSES=names), state_dict={
        'layer1.0.conv1.weight': torch.ones(2, 2, 1, 1),
        'layer1.0.sge.weight': torch.ones(1, 2, 1, 1),
        'bbox_head.fc_cls.weight': torch.ones(3, 4),
        'bbox_head.fc_reg.weight': torch.ones(12, 4),
        'bbox_head.bn.num_batches_tracked': torch.tensor(1),
        'mask_head.conv_logits.weight': torch.ones(3, 4, 1, 1)}), weights)
    return {
        'truth.json': truth, 'boxes.json': boxes.encode(),
        'masks.json': json.dumps(results).encode(),
        'boxes.pkl': pickle.dumps(tensors), 'masks.pkl': pickle.dumps(tensors),
        'config.py': _config(data).encode(), 'weights.pth': weights.getvalue()}


def _rle(counts: List[int]) -> str:
    from pycocotools import mask
    return mask.frPyObjects(dict(size=[24, 32], counts=counts), 24,
                            32)['counts'].decode()


def _config(data: Path) -> str:
    """Return the demo's config with all that it inherits, of other data."""
    cfg = Config.fromfile(
        ROOT / 'configs/demo/faster-rcnn_r50-w16_fpn_400i_digits.py')
    for loader in (cfg.train_dataloader, cfg.val_dataloader,
                   cfg.test_dataloader):
        loader.dataset.update(data_root=str(data), ann_file='truth.json',
                              data_prefix=dict(img='images'),
                              metainfo=dict(classes=('cat', 'dog')))
    for evaluator in cfg.val_evaluator, cfg.test_evaluator:
        evaluator.ann_file = str(data / 'truth.json')
    return cfg.pretty_text


def edit_bytes(random: Random, data: bytes) -> bytes:
    """Return a file with some of its bytes changed, added or lost.

    Args:
        random (Random): Chooses the edit.
        data (bytes): The good file.
    """
    begin = random.randrange(len(data))
    end = min(len(data), begin + random.choice((1, 2, 8, 64, 1024)))
    some = bytes(random.randrange(256) for _ in range(end - begin))
    return random.choice((
        lambda: data[:begin],
        lambda: data[begin:],
        lambda: data[:begin] + data[end:],
        lambda: data[:end] + data[begin:],
        lambda: data[:begin] + some + data[end:],
        lambda: data[:begin] + some + data[begin:],
        lambda: data[:begin] + bytes(end - begin) + data[end:],
        lambda: data[:begin] + bytes([data[begin] ^ 1 << random.randrange(8)])
        + data[begin + 1:],
        lambda: data.decode('latin1').encode('utf-16'),
        lambda: b'\xef\xbb\xbf' + data,
        lambda: data + data,
        lambda: b''))()


def edit_entries(random: Random, content: Any,
                 odd_values: Sequence[Any] = ODD_VALUES) -> None:
    """Change one entry of nested lists and dicts, in place.

    Args:
        random (Random): Chooses the edit.
        content (list or dict): What a good file holds.
        odd_values (Sequence): What to put in. Default: :data:`ODD_VALUES`.
    """
    while True:
        keys = list(content if isinstance(content, dict)
                    else range(len(content)))
        key = random.choice(keys)
        inside = content[key]
        if not (isinstance(inside, (dict, list)) and len(inside)) or (
                random.random() < 0.2):
            break
        content = inside
    edit = random.choice(('delete', 'replace', 'replace', 'replace', 'repeat',
                          'nest', 'rename', 'nudge'))
    if edit == 'delete':
        del content[key]
    elif edit == 'repeat' and isinstance(content, list):
        content.insert(key, inside)
    elif edit == 'rename' and isinstance(content, dict):
        content[key[:-1]] = content.pop(key)
    elif edit == 'nest':
        content[key] = random.choice(([inside], {'a': inside}))
    elif edit == 'nudge' and isinstance(inside, (int, float)):
        content[key] = inside + random.choice((-1, 1, 1000, 0.5, 10**6))
    elif edit == 'nudge' and isinstance(inside, str) and inside:
        at = random.randrange(len(inside))
        content[key] = (inside[:at] + chr(random.randrange(1, 256))
                        + inside[at + 1:])
    else:
        content[key] = random.choice(odd_values)


def edit_source(random: Random, text: str) -> str:
    """Return a config with a line, a word, a value or a bracket changed.

    Args:
        random (Random): Chooses the edit.
        text (str): The good config.
    """
    def replaced(pattern: str, new: Callable[[str], str]) -> str:
        found = random.choice(list(re.finditer(pattern, text)))
        return text[:found.start()] + new(found.group()) + text[found.end():]

    def misspelt(word: str) -> str:
        at = random.randrange(len(word))
        return random.choice((word[:at] + word[at + 1:], word + 'x',
                              word.swapcase()))

    lines = text.splitlines(keepends=True)
    at = random.randrange(len(lines))
    odd = random.choice(ODD_SOURCE)
    return random.choice((
        lambda: ''.join(lines[:at] + lines[at + 1:]),
        lambda: ''.join(lines[:at] + lines[at:at + 1] + lines[at:]),
        lambda: ''.join([*lines[:at], '  ', *lines[at:]]),
        lambda: replaced(r'[A-Za-z_]\w+', misspelt),
        lambda: replaced(r"(?<==)[\w'./-]+", lambda _: odd),
        lambda: replaced(r"(?<==)[\w'./-]+", lambda _: odd),
        lambda: replaced(r'\b\d+(\.\d+)?\b', lambda _: odd),
        lambda: replaced(r"[\[\](){},'=]", lambda _: ''),
        lambda: text.replace("type='ResNet'", random.choice((
            f"type='SGEResNet', sge={odd}",
            f"type='SGEResNet', sge=dict(groups={odd})",
            f"type='SGEResNet', sge_stages={odd}",
            f"type='ResNet', plugins={odd}",
            f"type='ResNet', plugins=[dict(cfg=dict(type='SGE', groups={odd}"
            "), position='after_conv3')]",
            f"type='ResNet', plugins=[dict(cfg=dict(type='SGE'), "
            f'position={odd})]'))),
        lambda: text + f'\n{odd}\n'))()


def edit(random: Random, kind: str, data: bytes) -> bytes:
    """Return an edited file, other than the good one.

    Args:
        random (Random): Chooses the edit.
        kind (str): Of the file, one of :data:`KINDS`.
        data (bytes): The good file.
    """
    while True:
        edited = _edit_once(random, kind, data)
        if edited != data:
            return edited


def _edit_once(random: Random, kind: str, data: bytes) -> bytes:
    if random.random() < 0.3:
        return edit_bytes(random, data)
    if kind == 'weights.pth':
        content, edited = torch.load(io.BytesIO(data)), io.BytesIO()
        edit_entries(random, content, ODD_VALUES + ODD_TENSORS)
        torch.save(content, edited)
        return edited.getvalue()
    if kind.endswith('.py'):
        return edit_source(random, data.decode()).encode()
    content = (json.loads if kind.endswith('.json') else pickle.loads)(data)
    edit_entries(random, content)
    if kind.endswith('.json'):
        return json.dumps(content).encode()
    with contextlib.suppress(Exception):
        return pickle.dumps(content)
    return b''


def commands(random: Random, kind: str, path: Path,
             folder: Path) -> List[Callable[[], None]]:
    """Return what reads an edited file, as a user would have it read.

    Args:
        random (Random): Chooses the options.
        kind (str): Of the file, one of :data:`KINDS`.
        path (Path): The edited file.
        folder (Path): Of :func:`make_files`, and where tools may write.
    """
    data, out = folder / 'data', folder / 'out'
    metric = ['--metric', 'segm' if 'masks' in kind else 'bbox']
    engine = random.choice(ENGINES[ENGINES.index(default_engine()):])
    if kind == 'truth.json':
        which = random.choice(('boxes', 'masks'))
        metric[1] = dict(boxes='bbox', masks='segm')[which]
        args = [path, data / f'{which}.json', *metric, '--engine', engine]
        if random.random() < 0.03:
            args += ['--out-dir', out]
        return [lambda: tool('evaluate.py', *args),
                lambda: tool('compare.py', args[1], args[1], '--truth', path,
                             *metric, '--resamples', 5)]
    if kind == 'config.py':
        return [lambda: tool('add_sge.py', path, '-o', out / 'new.py',
                             '--overwrite', '--groups', 32),
                lambda: named(plan_study, [path], [0], folder / 'study'
                              / path.stem, options={}),
                lambda: preflight(path)]
    if kind == 'weights.pth':
        return [lambda: tool('convert_checkpoint.py', path, '-o',
                             out / 'new.pth', '--overwrite')]
    truth = data / 'truth.json'
    return [lambda: tool('evaluate.py', truth, path, *metric, '--classwise',
                         '--engine', engine),
            lambda: tool('compare.py', path, path, '--truth', truth, *metric,
                         '--resamples', 5)]


_MAINS: Dict[str, Callable[[], None]] = {}


def tool(name: str, *args: object) -> None:
    """Run a tool with arguments, in this process.

    Args:
        name (str): Of the script.
        *args: Of its command line.
    """
    if name not in _MAINS:
        spec = importlib.util.spec_from_file_location(
            name[:-3], ROOT / 'tools' / name)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        _MAINS[name] = module.main
    with mock.patch('sys.argv', [name, *map(str, args)]):
        _MAINS[name]()


def named(call: Callable, *args: Any, **kwargs: Any) -> None:
    """Call what a tool calls, and exit on the errors that the tool names.

    Args:
        call (Callable): Such as ``plan_study``, as tools/run_study.py does.
        *args: Of it.
        **kwargs: Of it.
    """
    try:
        call(*args, **kwargs)
    except (OSError, RuntimeError, ValueError) as error:
        sys.exit(f'error: {error}')


def preflight(path: Path) -> None:
    """Do what tools/test.py does before MMDetection's own tool begins.

    Args:
        path (Path): A config.
    """
    with mock.patch('sys.argv', ['test.py', str(path), 'none.pth']), \
            mock.patch('runpy.run_path'):
        run_stock_tool('test.py')


def try_file(number: int, files: Dict[str, bytes], folder: Path) -> Trial:
    """Edit a file, let it be read, and return how that ended.

    Args:
        number (int): Of the trial.
        files (dict[str, bytes]): Of :func:`make_files`.
        folder (Path): As there.
    """
    random, kind = Random(number), KINDS[number % len(KINDS)]
    path = folder / f'{number}_{kind}'
    path.write_bytes(edit(random, kind, files[kind]))
    worst = Trial(number, kind, WORKS, '')
    # Ends the process, and says where it was, also in the midst of C code.
    faulthandler.dump_traceback_later(SECONDS, exit=True)
    for command in commands(random, kind, path, folder):
        status, said = outcome(command, path)
        if status != WORKS:
            worst = Trial(number, kind, status, said)
        if status == DEFECT:
            break
    faulthandler.cancel_dump_traceback_later()
    path.unlink()
    return worst


def outcome(command: Callable[[], None], path: Path) -> 'tuple[str, str]':
    """Run a command that reads a file and return how it ended, and with what.

    Args:
        command (Callable): The command.
        path (Path): The file, which an error has to name.
    """
    try:
        with warnings.catch_warnings(), \
                contextlib.redirect_stdout(io.StringIO()), \
                contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter('ignore')
            command()
    except SystemExit as stop:
        said = str(stop.code)
        if stop.code in (None, 0):
            return WORKS, ''
        is_named = said.startswith('error: ') and path.name in said
        return NAMED if is_named else DEFECT, said
    except KeyboardInterrupt:
        raise
    except BaseException:
        # Not only Exception: what is written in Rust panics with others.
        return DEFECT, traceback.format_exc()
    return WORKS, ''


def fuzz(numbers: Iterable[int]) -> List[Trial]:
    """Try edited files.

    Args:
        numbers (Iterable[int]): Of the trials; the remainder by the number of
            kinds chooses the kind of file.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = make_files(folder)
        return [try_file(number, files, folder) for number in numbers]


def counts(trials: Iterable[Trial]) -> Table:
    """Return how many files of each kind ended in what.

    Args:
        trials (Iterable[Trial]): The trials.
    """
    found = Counter((trial.kind, trial.status) for trial in trials)
    statuses = (WORKS, NAMED, DEFECT)
    rows = [[kind, *(found[kind, status] for status in statuses)]
            for kind in KINDS]
    rows.append(['all', *(sum(row[i + 1] for row in rows)
                          for i in range(len(statuses)))])
    return Table(['file', *statuses], rows)


def main() -> None:
    """Try the files, print the defects and what the files ended in."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--files', type=int, default=2100,
                        help='how many; default: 2100')
    parser.add_argument('--first', type=int, default=0,
                        help='number of the first; default: 0')
    args = parser.parse_args()
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    numbers = range(args.first, args.first + args.files)
    with tqdm(numbers, desc='files', unit='file') as bar:
        trials = fuzz(bar)
    defects = [trial for trial in trials if trial.status == DEFECT]
    for trial in defects:
        print(f'{trial.number} {trial.kind}: {trial.said}\n')
    print(counts(trials).text())
    sys.exit(bool(defects))


if __name__ == '__main__':
    main()
