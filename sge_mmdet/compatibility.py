"""Versions of other packages that sge_mmdet supports."""

import importlib.util
import warnings
from importlib.metadata import PackageNotFoundError, version

# The first supported version, and the first that is not (None: no such limit).
SUPPORTED = {
    'torch': ('2.0.0', None),
    'mmengine': ('0.7.1', '1.0.0'),
    'mmcv': ('2.0.0rc4', '2.2.0'),
    'mmdet': ('3.0.0', '3.4.0'),
}


# MMDetection needs it; the package mmcv-lite does not have it.
OPERATORS = 'mmcv._ext'


def missing_packages() -> 'list[str]':
    """Return the packages of :data:`SUPPORTED` that cannot be imported.

    Where all can, but mmcv has no operators (mmcv-lite), it is
    :data:`OPERATORS` alone.
    """
    missing = [
        name for name in SUPPORTED if importlib.util.find_spec(name) is None
    ]
    if not missing and importlib.util.find_spec(OPERATORS) is None:
        missing = [OPERATORS]
    return missing


def describe_missing(missing: 'list[str]') -> str:
    """Return which packages are missing and how to install them.

    Args:
        missing (list[str]): Result of :func:`missing_packages`.
    """
    if missing == [OPERATORS]:
        return (
            'mmcv with operators; the installed mmcv has none (mmcv-lite). '
            '"pip uninstall mmcv-lite", "pip install -U openmim" and '
            f'"mim install \'mmcv{_supported("mmcv")}\'" install it'
        )
    specs = ' '.join(f"'{name}{_supported(name)}'" for name in missing)
    return (
        f'{", ".join(missing)}, which cannot be imported here. '
        f'"pip install -U openmim" and "mim install {specs}" install '
        f'{"it" if len(missing) == 1 else "them"}'
    )


def _supported(name: str) -> str:
    """Return the supported versions of a package, as pip takes them."""
    first, end = SUPPORTED[name]
    return f'>={first}' + (f',<{end}' if end else '')


def warn_of_unsupported_versions() -> None:
    """Warn of each installed package whose version is not supported."""
    from mmengine.utils import digit_version

    for name, (first, end) in SUPPORTED.items():
        try:
            found = version(name)
        except PackageNotFoundError:
            # A fork under another name, or a source tree on the path.
            continue
        too_new = end and digit_version(found) >= digit_version(end)
        if too_new or digit_version(found) < digit_version(first):
            warnings.warn(
                f'sge_mmdet supports {name}{_supported(name)}, found {name} '
                f'{found}; it may fail or give other results',
                stacklevel=3,
            )
