"""A checkpoint that loads, to be damaged."""

import torch


def save_good(path, **content):
    torch.save(
        dict(dict(state_dict=dict(a=torch.arange(50.0))), **content), path
    )
    return path
