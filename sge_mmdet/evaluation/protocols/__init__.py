"""Protocols of data sets by name.

Each one has its own sizes, numbers of detections, IoU thresholds and rules of
what is ignored, as the published program of the data set has them. The
docstring of each class names that program.
"""

from typing import Any, Dict, Optional

from .aitod import AITOD, AITODv2
from .base import Protocol
from .lvis import LVIS
from .soda import SODAA, SODAD
from .tinyperson import TinyPerson
from .visdrone import VisDrone

PROTOCOLS: Dict[str, Protocol] = {
    kind.name: kind()
    for kind in (
        Protocol,
        AITOD,
        AITODv2,
        VisDrone,
        TinyPerson,
        SODAD,
        SODAA,
        LVIS,
    )
}


def find_protocol(name: Optional[str] = None, sizes: Any = None) -> Protocol:
    """Return a protocol by its name.

    Args:
        name (str, optional): Name of the protocol, such as "aitod". Default:
            None, AI-TOD's if ``sizes`` is "aitod", otherwise COCO's.
        sizes (str or Sequence, optional): Argument of :func:`size_bins` or of
            :func:`parse_size_bins`. Default: None.

    Raises:
        ValueError: If there is no protocol of this name.
    """
    if name is None:
        words = sizes if isinstance(sizes, (list, tuple)) else [sizes]
        is_aitod = len(words) == 1 and str(words[0]) == 'aitod'
        name = 'aitod' if is_aitod else 'coco'
    if not isinstance(name, str) or name not in PROTOCOLS:
        raise ValueError(
            f'expected protocol to be one of {", ".join(PROTOCOLS)}, got '
            f'{name!r}'
        )
    return PROTOCOLS[name]


__all__ = [
    'AITOD',
    'LVIS',
    'PROTOCOLS',
    'SODAA',
    'SODAD',
    'AITODv2',
    'Protocol',
    'TinyPerson',
    'VisDrone',
    'find_protocol',
]
