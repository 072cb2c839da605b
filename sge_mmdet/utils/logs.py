"""MMEngine's log, kept quiet for a while."""

import logging
from contextlib import contextmanager
from typing import Iterator

from mmengine.logging import MMLogger


@contextmanager
def quiet_log(level: int = logging.ERROR) -> Iterator[None]:
    """Let nothing below a level through MMEngine's current logger.

    Args:
        level (int): The lowest level that is still shown. Default: errors.
    """
    logger = MMLogger.get_current_instance()
    before = logger.level
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)
