"""Weights that a config names for parts of its model."""

from typing import Any, Dict, Iterator, Optional, Tuple

# Prefixes of weights that MMEngine finds through torchvision.
TORCHVISION = ('torchvision://', 'modelzoo://')


def pretrained_parts(
    part: Any, where: str = 'model'
) -> Iterator[Tuple[str, Dict[str, Any], Dict[str, Any]]]:
    """Yield place, part and ``init_cfg`` of the parts with given weights.

    Args:
        part (Any): Config of a model or of a part of it.
        where (str): Place of the part. Default: "model".
    """
    if not isinstance(part, dict):
        return
    init_cfg = part.get('init_cfg')
    if isinstance(init_cfg, dict) and init_cfg.get('type') == 'Pretrained':
        yield where, part, init_cfg
    for key, item in part.items():
        yield from pretrained_parts(item, f'{where}.{key}')


def lacks_torchvision(checkpoint: str) -> Optional[str]:
    """Return why weights need torchvision that is not there, and what to do.

    Args:
        checkpoint (str): Value of ``init_cfg.checkpoint`` or ``load_from``.

    Returns:
        str or None: The end of a message; None if nothing is lacking.
    """
    if not checkpoint.startswith(TORCHVISION):
        return None
    try:
        import torchvision  # noqa: F401
    except ModuleNotFoundError:
        what = 'is not installed'
    except Exception as error:
        # A build for another PyTorch or CUDA raises any error.
        what = f'cannot be imported ({type(error).__name__}: {error})'
    else:
        return None
    return (
        f'{checkpoint} needs the package torchvision, which {what}; install '
        'the torchvision of your PyTorch, or name a file of weights'
    )
