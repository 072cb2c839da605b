"""Config text inside a checkpoint, read as data.

MMEngine writes its config into each checkpoint, as text, and executes that
text when a training is resumed (``Runner.resume``) or a detector is built of
a checkpoint alone (``DetInferencer``). What it writes is assignments of
literals, ``dict(...)``, lists and tuples; :func:`check_text` refuses all else.

Even as data, a config names code: modules to import, and classes, which
MMEngine looks up by any path, registered or not. :func:`harmless_text` leaves
out the assignments that name code which MMEngine would not know by itself.
"""
import ast
import contextlib
import importlib
import importlib.util
import math
import re
import sys
from typing import Any, Dict, Iterator, List, Set, Tuple

from mmengine import registry as registries
from mmengine.registry import Registry

from ..utils.text import printable
from .refusal import Refused

# MMEngine's longest configs are of some 50 kB.
LONGEST = 500_000
# As MMEngine writes float('inf') and float('nan').
NUMBERS = dict(inf=math.inf, nan=math.nan)
# Packages whose parts MMEngine imports by itself, by their names in a config.
PACKAGES = ('mmengine', 'mmcv', 'mmdet', 'mmpretrain', 'mmcls', 'mmseg',
            'mmdet3d', 'mmpose', 'mmrotate', 'mmyolo', 'mmrazor', 'mmselfsup',
            'sge_mmdet')
TYPE_KEYS = ('type', 'constructor', 'collate_fn', 'runner_type')
SCOPE_KEYS = ('_scope_', 'default_scope', 'scope')
# Registries of what reads files when it is made, and of whole programs.
FILE_READERS = ('dataset', 'runner', 'runner constructor', 'loop', 'hook',
                'metric', 'evaluator', 'inferencer', 'strategy')
CONFIG_KEYS = ('teacher_config', )
# Files that MMEngine would execute or unpickle.
PROGRAMS = ('.py', '.yml', '.yaml', '.pkl', '.pickle')
OLD_NODES = (ast.Module, ast.Assign, ast.Expr, ast.Constant, ast.List,
             ast.Tuple, ast.Dict, ast.Call, ast.keyword, ast.Name,
             ast.expr_context, ast.BinOp, ast.operator, ast.UnaryOp,
             ast.unaryop)


def harmless_text(text: str) -> Tuple[str, List[str]]:
    """Return config text that runs nothing when MMEngine reads or builds it.

    Args:
        text (str): What a checkpoint holds.

    Returns:
        tuple[str, list[str]]: The text without the assignments that name code
        which is not registered, and what they are, in words.

    Raises:
        Refused: If it is more than data.
    """
    lines, left_out, names = text.split('\n'), [], Names()
    for node, value in check_text(text):
        name = node.targets[0].id
        reasons = list(_unknown_code(name, value, names))
        if reasons:
            first, last = node.lineno - 1, node.end_lineno
            lines[first:last] = [''] * (last - first)
            left_out.append(f'{printable(name)} (line {node.lineno}: '
                            f'{printable(reasons[0])})')
    return '\n'.join(lines), left_out


def check_text(text: str) -> Iterator[Tuple[ast.Assign, Any]]:
    """Yield the assignments of config text, with their values.

    Args:
        text (str): The text.

    Raises:
        Refused: If it is anything but assignments of data.
    """
    if len(text) > LONGEST:
        raise Refused(f'its config is of {len(text)} letters')
    # MMEngine replaces what stands in double braces, quotes included, before
    # it executes the rest.
    for mark in '{{', '\r', '\f', '\0':
        if mark in text:
            line = text[:text.index(mark)].count('\n') + 1
            raise Refused(f'line {line} of its config holds {mark!r}')
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        line = getattr(error, 'lineno', None) or 1
        raise Refused(f'line {line} of its config cannot be read') from error
    end = 0
    for node in body:
        if not (isinstance(node, ast.Assign) and len(node.targets) == 1
                and isinstance(node.targets[0], ast.Name)
                and not node.targets[0].id.startswith('_')
                and node.targets[0].id not in NUMBERS
                and node.col_offset == 0 and node.lineno > end):
            raise Refused(f'line {node.lineno} of its config is no assignment '
                          'of data')
        end = node.end_lineno
        yield node, _value(node.value)


def is_old_text(text: str) -> bool:
    """Return whether text could be a config as MMCV's checkpoints hold it.

    It was the text of files, one after the other, each below its path: not
    data alone, but nothing that runs code. MMEngine cannot resume from those
    checkpoints, so that nobody misses the text.

    Args:
        text (str): What a checkpoint holds.
    """
    lines = ['' if re.fullmatch(r'\S+\.py\s*', line) else line
             for line in text.split('\n')]
    try:
        nodes = [*ast.walk(ast.parse('\n'.join(lines)))] if (
            len(text) <= LONGEST) else [None]
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    return all(isinstance(node, OLD_NODES) for node in nodes) and all(
        isinstance(node.func, ast.Name) and node.func.id == 'dict'
        for node in nodes if isinstance(node, ast.Call))


def _value(node: ast.expr) -> Any:
    """Return the data that an expression is."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name) and node.id in NUMBERS:
        return NUMBERS[node.id]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and (
            isinstance(node.operand, (ast.Constant, ast.Name))):
        number = _value(node.operand)
        if type(number) in (int, float):
            return -number
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_value(item) for item in node.elts]
    if isinstance(node, ast.Dict) and None not in node.keys:
        keys = [_value(key) for key in node.keys]
        if all(isinstance(key, (str, int, float, type(None)))
               for key in keys):
            return dict(zip(keys, map(_value, node.values)))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and (
            node.func.id == 'dict' and not node.args
            and all(item.arg for item in node.keywords)):
        return {item.arg: _value(item.value) for item in node.keywords}
    raise Refused(f'line {node.lineno} of its config is more than data, which '
                  'could run code')


def _unknown_code(name: str, value: Any, names: 'Names') -> Iterator[str]:
    """Say what an assignment names that MMEngine should not look up."""
    if name == 'custom_imports':
        modules = value.get('imports') if isinstance(value, dict) else value
        for module in modules if isinstance(modules, list) else [modules]:
            if not isinstance(module, str) or not (
                    module in sys.modules
                    or module.partition('.')[0] in PACKAGES):
                yield f'it imports {module}'
        return
    data = value.get('dataset') if isinstance(value, dict) else None
    if name.endswith('dataloader') and isinstance(data, dict):
        # MMDetection opens no file of the data set that it takes the names of
        # classes from; but it would, of data sets within that one.
        if not {'dataset', 'datasets'}.isdisjoint(data):
            yield 'a data set within a data set'
        if not names.has(str(data.get('type'))):
            yield f'type {data["type"]} is not registered'
        value = {**value, 'dataset': {
            key: item for key, item in data.items()
            if key in SCOPE_KEYS or not isinstance(item, str)}}
    is_built = name.endswith('dataloader') or name in ('model', 'visualizer')
    yield from _unknown_names(name, value, names,
                              FILE_READERS if is_built else ())


def _unknown_names(key: Any, value: Any, names: 'Names',
                   but: Tuple[str, ...]) -> Iterator[str]:
    """Say what data names that MMEngine should not look up."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _unknown_names(name, item, names, but)
    elif isinstance(value, list):
        for item in value:
            yield from _unknown_names(None, item, names, but)
    elif isinstance(value, str):
        if key in TYPE_KEYS and not names.has(value, but):
            yield f'{key} {value} is not registered'
        elif key in SCOPE_KEYS and value not in (*PACKAGES, *sys.modules):
            yield f'{key} {value} is not imported'
        elif value.lower().endswith(PROGRAMS) or key in CONFIG_KEYS:
            yield f'{value} could be a program'


class Names:
    """What MMEngine finds in its registries, looked up once for a text."""

    def __init__(self) -> None:
        self.known: Dict[str, Set[str]] = {}
        self.kinds: Dict[int, str] = {}

    def has(self, name: str, but: Tuple[str, ...] = ()) -> bool:
        """Return whether MMEngine finds a name, if at all, there alone.

        Args:
            name (str): As ``type`` in a config.
            but (tuple[str]): Registries whose content may not be named by its
                path, by which it is found where it does not belong.
        """
        scope, dot, _ = name.partition('.')
        if not dot:
            return name in self.of('') or not _is_module(name)
        if scope in PACKAGES:
            try:
                importlib.import_module(f'{scope}.registry')
            except ImportError:
                if scope not in sys.modules:
                    return True
        if name in self.of(scope if scope in PACKAGES else ''):
            return True
        # A path, as configs in pure Python leave it: of a class that is also
        # registered.
        module, _, last = name.rpartition('.')
        made = getattr(sys.modules.get(module), '__dict__', {}).get(last)
        kind = self.kinds.get(id(made))
        return kind is not None and kind not in but

    def of(self, scope: str) -> Set[str]:
        """Return names in the registries, with and without their scope."""
        if scope not in self.known:
            self.known[scope] = set()
            for registry in _registries(scope):
                for name, held in registry.module_dict.items():
                    self.known[scope] |= {name, f'{registry.scope}.{name}'}
                    self.kinds[id(held)] = registry.name
        return self.known[scope]


def _is_module(name: str) -> bool:
    """Return whether a name could be imported.

    It has no dots: to look for what is in a package, Python imports that.
    """
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return name in sys.modules


def _registries(imported: str) -> Iterator[Registry]:
    """Yield all registries, after everything of a scope is registered."""
    waiting = [root for root in vars(registries).values()
               if isinstance(root, Registry)]
    while waiting:
        registry = waiting.pop()
        waiting += registry.children.values()
        if registry.scope == imported:
            # Where it fails, be it in the midst, MMEngine fails later as well.
            with contextlib.suppress(Exception):
                registry.import_from_location()
        yield registry
