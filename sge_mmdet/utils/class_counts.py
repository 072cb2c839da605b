"""Places in the config of a detector that depend on the number of classes."""

from typing import Any, Iterator, NamedTuple, Tuple, Union

# Parts of a model that have classes of their own, or none: a region proposal
# network tells objects from background, a semantic head has its own maps, and
# a classifier or a ReID network is trained before.
OTHER_PARTS = {
    'backbone',
    'data_preprocessor',
    'head',
    'init_cfg',
    'language_model',
    'neck',
    'reid',
    'rpn_head',
    'semantic_head',
    'test_cfg',
    'train_cfg',
}
COUNTS = ('num_classes', 'num_things_classes')
STUFF = 'num_stuff_classes'
WEIGHTS = 'class_weight'


class ClassCount(NamedTuple):
    """A value that depends on the number of classes.

    Attributes:
        path: Keys and indices that lead to the value in the model.
        value: The value: a number, or a list of weights, of which the last one
            is that of the background.
    """

    path: Tuple[Union[str, int], ...]
    value: Any

    @property
    def name(self) -> str:
        """str: Name of the value in a config, such as "model.bbox_head"."""
        text = 'model'
        for key in self.path:
            text += f'[{key}]' if isinstance(key, int) else f'.{key}'
        return text


def class_counts(
    part: Any, path: Tuple[Union[str, int], ...] = ()
) -> Iterator[ClassCount]:
    """Yield the values of a model that depend on the number of classes.

    Args:
        part (dict): Config of a model or of a part of it.
        path (tuple): Keys and indices that lead to the part. Default: ().
    """
    if isinstance(part, dict):
        for key, value in part.items():
            if key in (*COUNTS, STUFF) and isinstance(value, int):
                yield ClassCount((*path, key), value)
            elif key == WEIGHTS and isinstance(value, (list, tuple)):
                yield ClassCount((*path, key), value)
            elif key not in OTHER_PARTS:
                yield from class_counts(value, (*path, key))
    elif isinstance(part, (list, tuple)):
        for i, value in enumerate(part):
            yield from class_counts(value, (*path, i))
