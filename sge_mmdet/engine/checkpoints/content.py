"""Checks of those contents of a checkpoint that MMEngine acts on.

MMEngine executes the config text in a checkpoint, and it removes the file that
the checkpoint names as the best one so far.
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
    """Raise unless there are weights, and remove unsafe contents.

    Args:
        filename (str): Path of the checkpoint.
        checkpoint (Any): Contents of the checkpoint; its config text and names
            of files may be changed.

    Raises:
        CheckpointError: If it has no dict of named weights.
        Refused: If its config text is more than data.
    """
    _check_weights(filename, checkpoint)
    left_out: Dict[str, None] = {}
    for holder, key in _texts(checkpoint):
        try:
            holder[key], left = harmless_text(holder[key])
        except Refused as error:
            # MMEngine executes it only when resuming, which needs a message
            # hub. MMCV's checkpoints store the text of a file here.
            if key != 'config' or 'message_hub' in checkpoint:
                raise
            del holder[key]
            print_log(
                f'{filename}: its meta.config is left out ({error}), which '
                'a checkpoint without message_hub does not need'
            )
            continue
        left_out.update(dict.fromkeys(left))
    if left_out:
        print_log(
            f'{filename}: parts of the config in this checkpoint are left '
            f'out, because they name unregistered code: '
            f'{printable_list(left_out)}. They matter only for a detector '
            'that is built from the checkpoint alone; import that code '
            'before loading it'
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
        f'{filename} is not a checkpoint: expected a dict of names and '
        f'tensors, but its {where} {found}; name a file that torch.save wrote'
    )


def _inner(checkpoint: Any, *keys: str) -> dict:
    """Return a nested dict of a checkpoint, or a new one if there is none."""
    for key in keys:
        checkpoint = checkpoint.get(key)
        if not isinstance(checkpoint, dict):
            return {}
    return checkpoint


def _texts(checkpoint: dict) -> 'list[tuple[dict, str]]':
    """Return the dicts and keys where MMEngine finds config text."""
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
    """Keep MMEngine from removing files that a checkpoint names.

    When a better checkpoint is saved, MMEngine removes the file or folder that
    the resumed checkpoint names as the best one so far.
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
