"""What a checkpoint says to MMEngine, besides its weights.

MMEngine executes and obeys parts of a checkpoint: it evaluates config text and
removes the file that is named as the best checkpoint so far.
"""

import os.path as osp
import re
from typing import Any, Dict

from mmengine.logging import print_log

from ...utils.text import printable, printable_list
from .config_text import harmless_text
from .refusal import CheckpointError, Refused

BEST_NAME = re.compile(r'best_[\w.+-]+\.pth')


def check_content(filename: str, checkpoint: Any) -> None:
    """Raise unless there are weights, and defuse what MMEngine would obey.

    Args:
        filename (str): Of the checkpoint.
        checkpoint (Any): What was read; its config text and names of files
            may be changed.

    Raises:
        CheckpointError: If MMEngine would not find weights by their names.
        Refused: If config text in it is more than data.
    """
    _check_weights(filename, checkpoint)
    left_out: Dict[str, None] = {}
    for holder, key in _texts(checkpoint):
        try:
            holder[key], left = harmless_text(holder[key])
        except Refused as error:
            # MMEngine executes it only to resume, for which it needs a
            # message hub; MMCV's checkpoints hold the text of files there.
            if key != 'config' or 'message_hub' in checkpoint:
                raise
            del holder[key]
            print_log(
                f'{filename}: its meta.config is left out ({error}); '
                'nobody resumes from a checkpoint without message_hub'
            )
            continue
        left_out.update(dict.fromkeys(left))
    if left_out:
        print_log(
            f'{filename}: of the config in this checkpoint is left out '
            f'what names code of others: {printable_list(left_out)}. '
            'Only a detector that is made without a config of its own '
            'needs it; import that code first'
        )
    _forget_files_of_others(filename, checkpoint)


def _check_weights(filename: str, checkpoint: Any) -> None:
    weights = (
        checkpoint.get('state_dict', checkpoint)
        if isinstance(checkpoint, dict)
        else checkpoint
    )
    where = 'state_dict' if weights is not checkpoint else 'content'
    found = f'is of type {type(weights).__name__}'
    if isinstance(weights, dict):
        other = next((key for key in weights if not isinstance(key, str)), '')
        if other == '':
            return
        found = f'has the key {printable(other)} ({type(other).__name__})'
    raise CheckpointError(
        f'{filename} is no checkpoint: its {where} {found}, '
        'and is no dict of names and tensors'
    )


def _inner(checkpoint: Any, *keys: str) -> dict:
    """Return a dictionary in a checkpoint; one of its own if there is none."""
    for key in keys:
        checkpoint = checkpoint.get(key)
        if not isinstance(checkpoint, dict):
            return {}
    return checkpoint


def _texts(checkpoint: dict) -> 'list[tuple[dict, str]]':
    """Return where MMEngine looks for config text, and finds some."""
    places = [
        (_inner(checkpoint, 'meta'), 'config'),
        (_inner(checkpoint, 'meta'), 'cfg'),
        (_inner(checkpoint, 'message_hub', 'runtime_info'), 'cfg'),
    ]
    return [
        (holder, key)
        for holder, key in places
        if isinstance(holder.get(key), str)
    ]


def _forget_files_of_others(filename: str, checkpoint: dict) -> None:
    """Keep MMEngine from removing what a checkpoint names.

    When there is a better one, MMEngine removes the best checkpoint so far,
    or the folder, that the checkpoint it resumed from names.
    """
    info = _inner(checkpoint, 'message_hub', 'runtime_info')
    folder = osp.dirname(osp.abspath(filename))
    for key in [key for key in info if str(key).startswith('best_ckpt')]:
        place = info[key]
        if not (
            isinstance(place, str)
            and BEST_NAME.fullmatch(osp.basename(place))
            and osp.dirname(osp.abspath(place)) == folder
        ):
            del info[key]
    kept = info.get('keep_ckpt_ids', [])
    if not (
        isinstance(kept, list) and all(type(number) is int for number in kept)
    ):
        raise Refused(
            'its keep_ckpt_ids, checkpoints to remove later, are no '
            'list of numbers'
        )
