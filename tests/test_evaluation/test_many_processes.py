"""SmallObjectMetric where every process evaluated a part of the images."""

import json
import os

import torch
import torch.multiprocessing as mp
from mmengine.dataset import DefaultSampler

from tests.helpers.processes import free_port

from .test_small_object_metric import run, write

IMAGES = 7
PROCESSES = 2


def evaluate_a_part(rank, folder, port):
    """Evaluate this process's images as MMEngine's test loop does."""
    os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
    torch.distributed.init_process_group(
        'gloo', rank=rank, world_size=PROCESSES
    )
    path, samples, meta = write(folder / str(rank), 3, IMAGES)
    metric = build(path, meta)
    own = [*DefaultSampler(range(IMAGES), shuffle=False)]
    for i in own:
        metric.process({}, [samples[i]])
    figures = metric.evaluate(size=IMAGES)
    (folder / f'{rank}.json').write_text(json.dumps([own, figures]))
    torch.distributed.destroy_process_group()


def build(path, meta):
    from mmdet.registry import METRICS

    metric = METRICS.build(
        dict(
            type='SmallObjectMetric',
            ann_file=str(path),
            metric=['bbox', 'segm'],
            classwise=True,
        )
    )
    metric.dataset_meta = meta
    return metric


def test_an_uneven_split_over_processes_gives_the_figures_of_one(tmp_path):
    for rank in range(PROCESSES):
        (tmp_path / str(rank)).mkdir()
    mp.start_processes(
        evaluate_a_part,
        (tmp_path, free_port()),
        PROCESSES,
        start_method='spawn',
    )
    (first, figures), (second, others) = (
        json.loads((tmp_path / f'{rank}.json').read_text())
        for rank in range(PROCESSES)
    )
    # One image is evaluated twice, so that both have as many.
    assert len(first) == len(second) == 4 and len({*first, *second}) == 7
    alone = run(
        'SmallObjectMetric',
        *write(tmp_path, 3, IMAGES),
        metric=['bbox', 'segm'],
        classwise=True,
    )
    assert figures == others == json.loads(json.dumps(alone))
    assert figures['coco/bbox_mAP_small'] > 0
