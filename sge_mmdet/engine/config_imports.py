"""The import of this package, written into the configs that need it."""

from typing import Any, Iterator, List, Set

from mmdet import registry as mmdet_registry
from mmengine import registry as mmengine_registry
from mmengine.config import Config
from mmengine.registry import Registry

PACKAGE = 'sge_mmdet'


def import_options(cfg: Config) -> List[str]:
    """Return options that make a config import this package if it needs to.

    MMEngine writes the config into the work directory and into checkpoints.
    With the import, MMDetection's own tools can use them.

    Args:
        cfg (Config): Config of a run.

    Returns:
        list[str]: Options to add to the config (``--cfg-options``); empty if
        the config has the import or names nothing of this package.
    """
    imports = (cfg.get('custom_imports') or {}).get('imports') or []
    imports = [imports] if isinstance(imports, str) else list(imports)
    if PACKAGE in imports or own_names().isdisjoint(_types(cfg.to_dict())):
        return []
    return [f'custom_imports.imports=[{",".join([*imports, PACKAGE])}]']


def own_names() -> Set[str]:
    """Return the names that this package has in all registries."""
    return {
        name
        for module in (mmengine_registry, mmdet_registry)
        for registry in vars(module).values()
        if isinstance(registry, Registry)
        for name, cls in registry.module_dict.items()
        if str(getattr(cls, '__module__', '')).startswith(f'{PACKAGE}.')
    }


def _types(value: Any) -> Iterator[str]:
    """Yield the types that a config names, without their scopes."""
    if isinstance(value, dict):
        kind = value.get('type', '')
        yield (
            kind.rpartition('.')[2]
            if isinstance(kind, str)
            else getattr(kind, '__name__', '')
        )
        # MMEngine builds a runner of this type.
        yield str(value.get('runner_type', ''))
        value = [*value.values()]
    if isinstance(value, (list, tuple)):
        for part in value:
            yield from _types(part)
