"""Short runs without what libraries repeat and without what they wait for."""

import dataclasses
import functools
import time
from types import SimpleNamespace

from mmengine.config import config, utils
from mmengine.runner import loops
from torch.utils.data import _utils


def hasten_runs() -> None:
    """Let runs of this process, and of those it forks, take less time.

    A run formats the text of its config five times, and for each ``mmdet::``
    in a config MMEngine reloads pkg_resources and reads a hundred metafiles:
    the answers are kept. MMEngine waits two seconds between epochs, and
    PyTorch up to five for the end of a worker: nobody waits.
    """
    if loops.time is not time:
        return
    config.is_installed = functools.lru_cache(config.is_installed)
    utils.load = functools.lru_cache(utils.load)
    config.FormatCode = _keep_answers(config.FormatCode)
    loops.time = SimpleNamespace(sleep=lambda seconds: None)
    _utils.MP_STATUS_CHECK_INTERVAL = 0.1


def hasten_interpreter() -> None:
    """Let Triton's interpreter take a third of the time.

    It replaces triton.language anew for each function that a kernel calls,
    although it is replaced already, and computes whole numbers twice to see
    whether they overflow, which a compiled kernel does not.
    """
    try:
        from triton import language
        from triton.runtime import interpreter
    except ImportError:
        return
    # Older versions do without it.
    if not hasattr(interpreter, '_LangPatchScope'):
        return
    replace = interpreter._patch_lang

    def replace_once(function):
        languages = [
            module
            for module in function.__globals__.values()
            if module is language or module is language.core
        ]
        if any(language.core.is_builtin(one.load) for one in languages):
            return replace(function)
        return interpreter._LangPatchScope()

    interpreter._patch_lang = replace_once
    builder = interpreter.interpreter_builder
    builder.options = dataclasses.replace(
        builder.options, sanitize_overflow=False
    )


def _keep_answers(format_code):
    formatted = {}

    def format_once(text, **options):
        key = text, repr(options)
        if key not in formatted:
            formatted[key] = format_code(text, **options)
        return formatted[key]

    return format_once
