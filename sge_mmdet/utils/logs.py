"""Temporary silencing of MMEngine's log."""

import logging
from contextlib import contextmanager
from typing import Iterator

from mmengine.logging import MMLogger


@contextmanager
def quiet_log(level: int = logging.ERROR) -> Iterator[None]:
    """Suppress messages of MMEngine's current logger below a level.

    Args:
        level (int): Lowest level that is shown. Default: ``logging.ERROR``.
    """
    logger = MMLogger.get_current_instance()
    before = logger.level
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)
