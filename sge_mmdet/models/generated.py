"""Types ``SGE<Name>``: backbones, necks and heads with SGE, by their name.

Every backbone and neck that MMDetection registers has such a type, which is a
subclass with one more argument, ``sge``; ``model.backbone.type=SGECSPNeXt`` is
all it takes. Heads, and backbones and necks of MMPretrain and other packages
get theirs when a config first names it.
"""

import ast
import difflib
import importlib.util
import inspect
import re
import types
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any, Callable, Mapping, Optional, Tuple

from mmdet.models import backbones, necks
from mmdet.registry import MODELS
from mmengine.logging import print_log
from mmengine.registry import Registry
from torch import nn

from ..utils.registration import register

# Imported first, because classes written by hand keep their names.
from . import backbones as own_backbones  # noqa: F401
from . import necks as own_necks  # noqa: F401
from .families import place_sge
from .new_layers import describe_new_layers

PREFIX = 'SGE'
# Before the name of a class of MMPretrain where MMDetection has that name too.
OF_MMPRETRAIN = 'MMPretrain'
DOCUMENTATION = """{name} with SGE; generated from it.

    It takes every argument of ``{name}``, and its weights keep their keys.

    Args:
        sge (dict, optional): Options of :func:`sge_mmdet.ops.insert_sge`:
            ``groups``, ``preserve``, ``eps``, ``normalize``, ``weight_init``,
            ``bias_init``, and ``after``: patterns for the names of the
            modules that SGE follows, or "outputs". Default: None, SGE with
            its defaults at the default place of the family.
    """


class GeneratedSGE:
    """Mixin of all generated classes: inserts SGE after construction."""

    def __init__(
        self, *args: Any, sge: Optional[dict] = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        if not isinstance(sge, (Mapping, type(None))):
            raise TypeError(
                f'sge: expected a dict of options such as dict(groups=64), '
                f'got {sge!r}'
            )
        module: Any = self
        place_sge(module, sge or {}, self._arguments(args, kwargs))

    def train(self, mode: bool = True) -> Any:
        """Set the training mode and return the module, as modules do.

        The backbones of MMDetection return None.
        """
        super().train(mode)  # type: ignore[misc]
        return self

    def load_state_dict(
        self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        """Load weights and say which SGE layers they do not have.

        Swin and PVT load their ImageNet weights in this way.
        """
        module: Any = self
        # Loading removes keys from some state dicts.
        held = set(state_dict)
        result = super().load_state_dict(  # type: ignore[misc]
            state_dict, *args, **kwargs
        )
        text = describe_new_layers(module, held)
        if text:
            print_log(text, 'current')
        return result

    def _arguments(self, args: tuple, kwargs: dict) -> Mapping[str, Any]:
        """Return the arguments of the plain class, by name."""
        base: Any = next(
            cls
            for cls in type(self).__mro__
            if not issubclass(cls, GeneratedSGE)
        )
        bound = inspect.signature(base).bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments


def generate(base: type) -> type:
    """Return the class with SGE of a backbone, neck or head.

    The class is an attribute of this module, so that it can be pickled, and
    is registered in MMDetection's registry unless the name is taken.

    Args:
        base (type): Subclass of ``torch.nn.Module``.
    """
    name = type_name(base)
    if name in globals():
        return globals()[name]
    parameters = [*inspect.signature(base).parameters.values()]
    option = inspect.Parameter(
        'sge',
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Optional[dict],
    )
    # Only a parameter for further keyword arguments may come after it.
    rest = [one for one in parameters if one.kind is one.VAR_KEYWORD]
    content = dict(
        __module__=__name__,
        __doc__=DOCUMENTATION.format(name=base.__name__),
        __signature__=inspect.Signature(
            [*parameters[: len(parameters) - len(rest)], option, *rest]
        ),
    )
    cls = types.new_class(
        name, (GeneratedSGE, base), exec_body=lambda body: body.update(content)
    )
    globals()[name] = cls
    return register(MODELS)(cls)


def type_name(base: type) -> str:
    """Return the name of the type with SGE of a class.

    Args:
        base (type): Backbone, neck or head.
    """
    name = base.__name__
    is_of_mmpretrain = base.__module__.startswith('mmpretrain.')
    if is_of_mmpretrain and name in MODELS.module_dict:
        name = f'{OF_MMPRETRAIN}{name}'
    return f'{PREFIX}{name}'


def find_type(name: str) -> type:
    """Return the class of a type ``SGE<Name>``, generated if need be.

    Args:
        name (str): Name such as "SGECSPNeXt". What follows "SGE" is the name
            of a module in MMDetection's registry or of a backbone of
            MMPretrain ("MMPretrainResNet" where both have that name).

    Raises:
        KeyError: If there is no such module; the message names the nearest.
    """
    if name in MODELS.module_dict:
        return MODELS.module_dict[name]
    base = MODELS.module_dict.get(name[len(PREFIX) :])
    if base is None:
        pretrain = re.sub(f'^{PREFIX}({OF_MMPRETRAIN})?', '', name)
        if pretrain in _mmpretrain_backbones():
            base = MODELS.get(f'mmpretrain.{pretrain}')
    if isinstance(base, type) and issubclass(base, nn.Module):
        return generate(base)
    raise KeyError(
        f'There is no type {name!r}{_nearest(name)}. SGE goes before the name '
        'of a backbone, neck or head of MMDetection, or of a backbone of '
        'MMPretrain where that is installed'
    )


def check_type(kind: Any) -> None:
    """Raise if a config names a type ``SGE<Name>`` that does not exist.

    Args:
        kind: The ``type`` of a part of a model.

    Raises:
        ValueError: If it does not exist; the message names the nearest.
    """
    if isinstance(kind, str) and kind.startswith(PREFIX):
        try:
            find_type(kind)
        except KeyError as error:
            raise ValueError(error.args[0]) from error


def is_type_with_sge(name: str) -> bool:
    """Return whether a name is that of a type ``SGE<Name>``.

    Args:
        name (str): Value of ``type`` in a config.
    """
    if not name.startswith(PREFIX):
        return False
    try:
        find_type(name)
    except Exception:
        # An import of MMPretrain raises any type of error.
        return False
    return True


def _nearest(name: str) -> str:
    """Return the part of an error message that names the nearest type."""
    known = [
        one[len(PREFIX) :]
        for one in MODELS.module_dict
        if one.startswith(PREFIX)
    ]
    known += _mmpretrain_backbones()
    # Capital letters are what is most often mistaken.
    by_lower = {one.lower(): one for one in reversed(known)}
    near = difflib.get_close_matches(
        name[len(PREFIX) :].lower(), by_lower, 1, cutoff=0.7
    )
    return f'; the nearest is {PREFIX + by_lower[near[0]]!r}' if near else ''


@lru_cache(maxsize=None)
def _mmpretrain_backbones() -> Tuple[str, ...]:
    """Return the names of MMPretrain's backbones, without importing it."""
    spec = importlib.util.find_spec('mmpretrain')
    if spec is None or not spec.submodule_search_locations:
        return ()
    for folder in spec.submodule_search_locations:
        path = Path(folder, 'models', 'backbones', '__init__.py')
        if path.is_file():
            for node in ast.parse(path.read_bytes()).body:
                if isinstance(node, ast.Assign) and '__all__' in [
                    getattr(target, 'id', None) for target in node.targets
                ]:
                    return tuple(ast.literal_eval(node.value))
    return ()


def generate_on_demand(registry: Registry) -> None:
    """Let a registry find the types ``SGE<Name>`` that nobody has named yet.

    A mistyped name raises a KeyError that names the nearest one. For other
    names ``get`` returns None, as it does without this.

    Args:
        registry (Registry): Registry whose ``get`` is extended.
    """
    upstream: Callable[[str], Any] = registry.get

    @wraps(upstream)
    def get(key: str) -> Any:
        found = upstream(key)
        name = key.rpartition('.')[2] if isinstance(key, str) else ''
        if found is not None or not name.startswith(PREFIX):
            return found
        try:
            return find_type(name)
        except KeyError:
            if _nearest(name):
                raise
            return None

    vars(registry)['get'] = get


def __getattr__(name: str) -> Any:
    """Return a class that a pickle of another process names."""
    if name.startswith(PREFIX):
        try:
            return find_type(name)
        except KeyError as error:
            raise AttributeError(*error.args) from error
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


for _package in (backbones, necks):
    for _name in _package.__all__:
        if f'{PREFIX}{_name}' not in MODELS.module_dict:
            generate(getattr(_package, _name))
generate_on_demand(MODELS)
