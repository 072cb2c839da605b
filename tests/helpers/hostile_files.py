"""Hostile files and annotations, and a process that is given some."""

import io
import json
import os
import subprocess
import sys
import zipfile

import pytest
import torch

# In older versions of PyTorch weights_only is off by default.
needs_weights_only = pytest.mark.skipif(
    not hasattr(torch.serialization, 'get_unsafe_globals_in_checkpoint'),
    reason='weights_only is off by default before torch 2.6',
)
SIZE = 24, 32


class Hostile:
    """Creates a folder when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def ground_truth(**changes):
    return dict(
        dict(
            images=[
                dict(id=1, height=SIZE[0], width=SIZE[1], file_name='0.png')
            ],
            categories=[dict(id=1, name='cat')],
            annotations=[
                dict(
                    id=1,
                    image_id=1,
                    category_id=1,
                    iscrowd=0,
                    bbox=[1, 1, 9, 9],
                    area=81,
                    segmentation=[[1, 1, 9, 1, 9, 9]],
                )
            ],
        ),
        **changes,
    )


def annotated(**changes):
    data = ground_truth()
    data['annotations'][0].update(changes)
    return data


def result(**changes):
    return [
        dict(
            dict(image_id=1, category_id=1, bbox=[1, 1, 9, 9], score=0.5),
            **changes,
        )
    ]


def write_bomb(path, megabytes=64, tail=b''):
    """Write a checkpoint of a few kilobytes that unpacks to megabytes."""
    whole = io.BytesIO()
    torch.save(dict(state_dict=dict(a=torch.zeros(megabytes << 18))), whole)
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(
        path, 'w', zipfile.ZIP_DEFLATED
    ) as target:
        for part in source.infolist():
            target.writestr(part.filename, source.read(part))
    with path.open('ab') as file:
        file.write(tail)
    assert path.stat().st_size < megabytes << 14


# In KiB. That of getrusage begins with the peak of the parent.
PEAK = """
def peak():
    with open('/proc/self/status') as status:
        return int(re.search(r'VmHWM:\\s+(\\d+)', status.read())[1])
"""


def refusals(call, *paths, most=32, seconds=60):
    """Return what calls on paths, in a new process, are refused with.

    It fails if the process took more than ``most`` MiB for them, or one of
    them more than some seconds.
    """
    done = subprocess.run(
        [
            sys.executable,
            '-c',
            f"""
import json, re, time
from mmengine.runner import CheckpointLoader
import sge_mmdet
from sge_mmdet.evaluation.bins import size_bins
from sge_mmdet.evaluation import resample_figures
from sge_mmdet.evaluation.engines import evaluate
from sge_mmdet.evaluation.result_json import detections_from_coco
from sge_mmdet.evaluation.annotation_files import read_ground_truth
from sge_mmdet.evaluation.result_files import read_detections
from sge_mmdet.utils.images import read_image
truth = read_ground_truth({ground_truth()!r})
{PEAK}
before = peak()
said = []
for path in {[str(path) for path in paths]!r}:
    begin = time.monotonic()
    try:
        {call}
    except (RuntimeError, ValueError) as error:
        said.append(str(error))
    assert time.monotonic() - begin < {seconds}, path
print(json.dumps(said))
assert peak() - before < {most} * 1024, f'{{peak() - before}} KiB more'
""",
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert len(said) == len(paths)
    return said
