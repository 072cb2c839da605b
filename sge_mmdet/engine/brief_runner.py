"""A runner whose terminal shows progress and results."""

import logging
from typing import Any

from mmengine.logging import MMLogger
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from pycocotools import coco

from ..utils.registration import register

# How the messages begin that go to the log file alone.
FILE_ONLY = (
    f'{"-" * 60}\nSystem environment:',
    'Config:\n',
    'Hooks will be executed in the following order:',
    'Distributed training is not used, all SyncBatchNorm',
    # MMEngine's checkpoint hook uses what MMEngine deprecates.
    '"FileClient" will be deprecated',
    '"HardDiskBackend" is the alias of "LocalBackend"',
)


@register(RUNNERS)
class BriefRunner(Runner):
    """MMEngine's runner with a short log on the terminal.

    The environment, the config, the list of hooks and MMEngine's warnings
    about its own code are written to the log file and are not shown on the
    terminal. pycocotools, which prints four lines for each file of
    annotations, prints nothing in such a process. All other messages are
    shown too. A config asks for it with ``runner_type = 'BriefRunner'``.
    """

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """Build MMEngine's logger with a filter before the terminal.

        Args:
            *args: Arguments of ``Runner.build_logger``.
            **kwargs: Keyword arguments of ``Runner.build_logger``.
        """
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            if not isinstance(handler, logging.FileHandler):
                handler.addFilter(_is_shown)
        # It has no option for this.
        vars(coco)['print'] = _print_nothing
        return logger


def _print_nothing(*args: Any, **kwargs: Any) -> None:
    """Stand in for ``print`` in pycocotools."""


def _is_shown(record: logging.LogRecord) -> bool:
    return not record.getMessage().lstrip().startswith(FILE_ONLY)
