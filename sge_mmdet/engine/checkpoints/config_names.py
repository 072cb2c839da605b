"""What a config names that MMEngine should not look up, import or evaluate.

A ``type`` is looked up in registries, and else imported by its path; MMCV and
MMDetection hand a few values to ``eval``. So names have to be registered, or
belong to the few that these packages look up elsewhere, and values that are
evaluated have to be of a form that runs nothing.
"""

import contextlib
import importlib
import importlib.util
import re
import sys
from typing import Any, Dict, Iterable, Iterator, Set, Tuple

from mmengine import registry as registries
from mmengine.registry import Registry

# Packages whose parts MMEngine imports by itself, by their names in a config.
PACKAGES = (
    'mmengine',
    'mmcv',
    'mmdet',
    'mmpretrain',
    'mmcls',
    'mmseg',
    'mmdet3d',
    'mmpose',
    'mmrotate',
    'mmyolo',
    'mmrazor',
    'mmselfsup',
    'sge_mmdet',
)
TYPE_KEYS = ('type', 'constructor', 'collate_fn', 'runner_type')
# Ends of keys, such as resize_type, that name a type for one of their users
# and are plain words for others.
LOOSE_KEYS = ('_type', '_fn', '_layer', '_mode', 'act')
# Names that MMCV and MMDetection look up in tables of their own: those that
# MMDetection's configs use, and the other NMS and RoI operations of MMCV.
FUNCTIONS = {
    'nms',
    'soft_nms',
    'nms_match',
    'nms_rotated',
    'nms_quadri',
    'RoIAlign',
    'RoIPool',
    'SimpleRoIAlign',
    'DeformRoIPoolPack',
    'RoIAlignRotated',
    'ModulatedDeformRoIPoolPack',
    'dilation',
    'offset',
    'conv',
    'interpolation_conv',
    'last_conv',
    'BboxParams',
    'OneOf',
    'Blur',
    'ChannelShuffle',
    'HueSaturationValue',
    'JpegCompression',
    'MedianBlur',
    'RGBShift',
    'RandomBrightnessContrast',
    'ShiftScaleRotate',
}
# Values that MMDetection, MMCV and MMPretrain evaluate, by their keys.
EVALUATED = dict(
    warp_mode=r'cv2\.MOTION_[A-Z]+',
    dtype=r'[A-Za-z]\w*',
    search_op=r'[A-Za-z]\w*',
)
SCOPE_KEYS = ('_scope_', 'default_scope', 'scope')
# Registries of what reads files when it is made, and of whole programs.
FILE_READERS = (
    'dataset',
    'runner',
    'runner constructor',
    'loop',
    'hook',
    'metric',
    'evaluator',
    'inferencer',
    'strategy',
)
# Names of configs, which would be executed, and of files for pickle.
FILE_KEYS = (
    'teacher_config',
    'tag_list_file',
    'prototype',
    'codebook_init_path',
)
# Files that MMEngine would execute or unpickle.
PROGRAMS = ('.py', '.yml', '.yaml', '.pkl', '.pickle')


def unknown_code(name: str, value: Any, names: 'Names') -> Iterator[str]:
    """Say what an assignment names that MMEngine should not look up.

    Args:
        name (str): What is assigned to.
        value (Any): The data.
        names (Names): What is registered.
    """
    if name == 'custom_imports':
        yield from _unknown_imports(value)
        return
    data = value.get('dataset') if isinstance(value, dict) else None
    if name.endswith('dataloader') and isinstance(data, dict):
        # MMDetection opens no file of the data set that it takes the names of
        # classes from; but it would, of data sets within that one.
        if not {'dataset', 'datasets'}.isdisjoint(data):
            yield 'a data set within a data set'
        if not names.has(str(data.get('type'))):
            yield f'type {data.get("type")} is not registered'
        value = {
            **value,
            'dataset': {
                key: item
                for key, item in data.items()
                if key in SCOPE_KEYS or not isinstance(item, str)
            },
        }
    is_built = name.endswith('dataloader') or name in ('model', 'visualizer')
    yield from _unknown_names(
        name, value, names, FILE_READERS if is_built else ()
    )


def _unknown_imports(value: Any) -> Iterator[str]:
    """Say which modules are neither imported nor of a known package."""
    modules = value.get('imports') if isinstance(value, dict) else value
    for module in modules if isinstance(modules, list) else [modules]:
        if not isinstance(module, str) or not (
            module in sys.modules or module.partition('.')[0] in PACKAGES
        ):
            yield f'it imports {module}'


def _unknown_names(
    key: Any, value: Any, names: 'Names', but: Tuple[str, ...]
) -> Iterator[str]:
    """Say what data names that MMEngine should not look up."""
    if isinstance(value, dict):
        # Code that Hugging Face's models come with.
        if value.get('trust_remote_code'):
            yield 'it trusts code of others'
        for name, item in value.items():
            yield from _unknown_names(name, item, names, but)
    elif isinstance(value, list):
        for item in value:
            yield from _unknown_names(
                key if key in EVALUATED else None, item, names, but
            )
    elif isinstance(value, str):
        yield from _unknown_text(key, value, names, but)


def _unknown_text(
    key: Any, value: str, names: 'Names', but: Tuple[str, ...]
) -> Iterator[str]:
    """Say what text names that MMEngine should not look up."""
    if key in TYPE_KEYS:
        if not names.has(value, but):
            yield f'{key} {value} is not registered'
    elif key in SCOPE_KEYS:
        if value not in (*PACKAGES, *sys.modules):
            yield f'{key} {value} is not imported'
    elif value.lower().endswith(PROGRAMS) or key in FILE_KEYS:
        yield f'{value} could be a program'
    elif key in EVALUATED:
        if not re.fullmatch(EVALUATED[key], value):
            yield f'{key} {value} could be a program'
    elif ('.' in value or str(key).endswith(LOOSE_KEYS)) and (
        names.could_import(value) and not names.has(value, but)
    ):
        yield f'{value} is not registered'


class Names:
    """What MMEngine finds in its registries, looked up once for a text.

    Args:
        values (Iterable): All assignments, for the packages that they name as
            a scope: MMEngine looks there for names without dots.
    """

    def __init__(self, values: Iterable[Any] = ()) -> None:
        self.known: Dict[str, Set[str]] = {}
        self.kinds: Dict[int, str] = {}
        self.modules: Dict[str, bool] = {}
        self.scopes = {'mmdet', *_scopes(None, [*values])}

    def has(self, name: str, but: Tuple[str, ...] = ()) -> bool:
        """Return whether MMEngine finds a name, if at all, there alone.

        Args:
            name (str): As ``type`` in a config.
            but (tuple[str]): Registries whose content may not be named by its
                path, by which it is found where it does not belong.
        """
        scope, dot, _ = name.partition('.')
        if not dot:
            return name in FUNCTIONS or any(
                name in self.of(own) for own in self.scopes
            )
        # MMCV evaluates the name of a function, and MMEngine imports any.
        if not _is_path(name):
            return False
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

    def could_import(self, name: str) -> bool:
        """Return whether MMEngine would import something for a name."""
        if not _is_path(name):
            return False
        scope = name.partition('.')[0]
        if scope not in self.modules:
            self.modules[scope] = _is_module(scope)
        return self.modules[scope]

    def of(self, scope: str) -> Set[str]:
        """Return names in the registries, with and without their scope."""
        if scope not in self.known:
            self.known[scope] = set()
            with contextlib.suppress(ImportError):
                importlib.import_module(f'{scope or "mmengine"}.registry')
            for registry in _registries(scope):
                for name, held in registry.module_dict.items():
                    self.known[scope] |= {name, f'{registry.scope}.{name}'}
                    self.kinds[id(held)] = registry.name
        return self.known[scope]


def _scopes(key: Any, value: Any) -> Set[str]:
    """Return the packages that are named as a scope."""
    if isinstance(value, dict):
        return set().union(*(_scopes(*item) for item in value.items()))
    if isinstance(value, list):
        return set().union(*(_scopes(key, item) for item in value))
    return {value} if key in SCOPE_KEYS and value in PACKAGES else set()


def _is_path(name: str) -> bool:
    """Return whether a name is of words with dots between them."""
    return all(part.isidentifier() for part in name.split('.'))


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
    waiting = [
        root
        for root in vars(registries).values()
        if isinstance(root, Registry)
    ]
    while waiting:
        registry = waiting.pop()
        waiting += registry.children.values()
        if registry.scope == imported:
            # Where it fails, be it in the midst, MMEngine fails later as well.
            with contextlib.suppress(Exception):
                registry.import_from_location()
        yield registry
