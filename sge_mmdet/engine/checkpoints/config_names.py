"""Names in a config that MMEngine must not look up, import or evaluate.

MMEngine looks a ``type`` up in its registries and otherwise imports it by its
path. MMCV and MMDetection pass a few values to ``eval``. So names must be
registered, or belong to the few that these packages look up elsewhere, and
evaluated values must have a form that runs no code.
"""

import contextlib
import importlib
import importlib.util
import re
import sys
from typing import Any, Dict, Iterable, Iterator, Set, Tuple

from mmengine import registry as registries
from mmengine.registry import Registry

from ...models.generated import is_type_with_sge

# Packages that MMEngine imports by itself if a config names them.
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
# Suffixes of keys, such as resize_type, whose values are types in some places
# and plain words in others.
LOOSE_KEYS = ('_type', '_fn', '_layer', '_mode', 'act')
# Names that MMCV and MMDetection look up in their own tables: those in
# MMDetection's configs, and the other NMS and RoI operations of MMCV.
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
# Registries of classes that read files in their constructor, or run programs.
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
# Keys with names of configs, which are executed, and of pickle files.
FILE_KEYS = (
    'teacher_config',
    'tag_list_file',
    'prototype',
    'codebook_init_path',
)
# Files that MMEngine would execute or unpickle.
PROGRAMS = ('.py', '.yml', '.yaml', '.pkl', '.pickle')


def unknown_code(name: str, value: Any, names: 'Names') -> Iterator[str]:
    """Describe names in an assignment that MMEngine must not look up.

    Args:
        name (str): Name of the variable.
        value (Any): Assigned data.
        names (Names): Registered names.
    """
    if name == 'custom_imports':
        yield from _unknown_imports(value)
        return
    data = value.get('dataset') if isinstance(value, dict) else None
    if name.endswith('dataloader') and isinstance(data, dict):
        # MMDetection reads only class names from this data set and does not
        # open its files, but it would open those of nested data sets.
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
    """Describe modules that are neither imported nor in a known package."""
    modules = value.get('imports') if isinstance(value, dict) else value
    for module in modules if isinstance(modules, list) else [modules]:
        if not isinstance(module, str) or not (
            module in sys.modules or module.partition('.')[0] in PACKAGES
        ):
            yield f'it imports {module}'


def _unknown_names(
    key: Any, value: Any, names: 'Names', but: Tuple[str, ...]
) -> Iterator[str]:
    """Describe names in data that MMEngine must not look up."""
    if isinstance(value, dict):
        # Models of Hugging Face can contain code.
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
    """Describe a name in text that MMEngine must not look up."""
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
        """Return whether MMEngine can find a name only in its registries.

        Args:
            name (str): Value of ``type`` in a config.
            but (tuple[str]): Registries whose classes must not be named by
                their path, because a path is found in any context.
        """
        scope, dot, _ = name.partition('.')
        if not dot:
            return (
                name in FUNCTIONS
                or any(name in self.of(own) for own in self.scopes)
                or is_type_with_sge(name)
            )
        # MMCV evaluates names of functions, and MMEngine imports any path.
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
        # Configs in pure Python contain paths of registered classes.
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
        """Return the names in the registries, with and without their scope."""
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
    """Return the packages that the config names as a scope."""
    if isinstance(value, dict):
        return set().union(*(_scopes(*item) for item in value.items()))
    if isinstance(value, list):
        return set().union(*(_scopes(key, item) for item in value))
    return {value} if key in SCOPE_KEYS and value in PACKAGES else set()


def _is_path(name: str) -> bool:
    """Return whether a name consists of identifiers separated by dots."""
    return all(part.isidentifier() for part in name.split('.'))


def _is_module(name: str) -> bool:
    """Return whether a name without dots could be imported.

    Python would import a package to find the modules in it.
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
            # If this import fails, it fails again later in MMEngine.
            with contextlib.suppress(Exception):
                registry.import_from_location()
        yield registry
