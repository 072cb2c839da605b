"""A line of the log on SGE layers that loaded weights do not have."""

from functools import wraps
from typing import Any, Callable, Mapping

from mmengine.logging import print_log
from mmengine.runner import checkpoint as upstream
from torch import nn

from ...models.new_layers import describe_new_layers


def report_new_layers() -> None:
    """Let MMEngine say which SGE layers a loaded checkpoint does not have.

    Its function ``load_state_dict``, through which all of its loading goes,
    is extended.
    """
    load: Callable[..., Any] = upstream.load_state_dict
    if hasattr(load, '__wrapped__'):
        return

    @wraps(load)
    def load_and_report(
        module: nn.Module,
        state_dict: Mapping[str, Any],
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        # Loading removes keys from some state dicts.
        held = set(state_dict)
        result = load(module, state_dict, *args, **kwargs)
        text = describe_new_layers(module, held)
        if text:
            print_log(text, 'current')
        return result

    vars(upstream)['load_state_dict'] = load_and_report
