"""Changes of a detector's config for another number of classes."""

from copy import deepcopy
from typing import Any, Dict, List, Tuple, Union

from ..utils.class_counts import STUFF, WEIGHTS, class_counts
from .source_code import Code, item_source

COUNT = Code('num_classes')
Path = Tuple[Union[str, int], ...]


def class_changes(model: Dict[str, Any], number: int) -> Dict[str, Any]:
    """Return the changes of a model for another number of classes.

    The text refers to a variable ``num_classes``.

    Args:
        model (dict): Config of a model.
        number (int): Number of classes.

    Raises:
        ValueError: If the model has no head with classes, or is trained on
            more than one labelled data set.
    """
    if 'semi_train_cfg' in model:
        raise ValueError(
            'expected a detector that is trained on labelled images, got a '
            f'semi-supervised one ({model.get("type")}); name the config of '
            'its detector'
        )
    counts = list(class_counts(model))
    if not counts:
        raise ValueError(
            'expected a detector with num_classes in a head, got '
            f'{model.get("type")!r} without one; name the config of a '
            'detector, such as mmdet::faster_rcnn/'
            'faster-rcnn_r50_fpn_1x_coco.py'
        )
    changes: Dict[str, Any] = {}
    for path, value in counts:
        _set(changes, path, _new_value(path, value))
    return {
        key: _as_source(model[key], change, ('model', key))
        for key, change in changes.items()
    }


def _new_value(path: Path, value: Any) -> Any:
    """Return the new value of a number or of a list of weights."""
    if path[-1] == STUFF:
        return 0
    if path[-1] == WEIGHTS:
        first, last = value[0], value[-1]
        return Code(f'[{first!r}] * {COUNT} + [{last!r}]')
    return COUNT


def _set(changes: Dict[Any, Any], path: Path, value: Any) -> None:
    """Set a nested value; members of lists are kept by their indices."""
    for key in path[:-1]:
        changes = changes.setdefault(key, {})
    changes[path[-1]] = value


def _as_source(base: Any, change: Any, path: Path) -> Any:
    """Return a change in which lists are written as a whole.

    A list in a derived config replaces the inherited one.
    """
    if isinstance(base, dict) and isinstance(change, dict):
        return {
            key: _as_source(base[key], value, (*path, key))
            for key, value in change.items()
        }
    if not isinstance(base, (list, tuple)) or not isinstance(change, dict):
        return change
    source = item_source(path)
    if len(change) == len(base) and all(
        one == dict(num_classes=COUNT) for one in change.values()
    ):
        return Code(f'[dict(head, num_classes={COUNT}) for head in {source}]')
    return [_merged(part, change.get(i, {})) for i, part in enumerate(base)]


def _merged(base: Any, change: Any) -> Any:
    """Return a part of a model with a change, for a list."""
    if isinstance(base, (list, tuple)) and isinstance(change, dict):
        members: List[Any] = [
            _merged(part, change.get(i, {})) for i, part in enumerate(base)
        ]
        return members
    if not (isinstance(base, dict) and isinstance(change, dict)):
        return change
    new = deepcopy(base)
    for key, value in change.items():
        new[key] = _merged(base.get(key), value)
    return new
