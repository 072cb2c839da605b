#!/usr/bin/env python3
"""Train a plain ResNet to classify the objects of a detection data set.

Its weights are what a detector starts from in the study of fine-tuning: what
ImageNet's are elsewhere. An object is cut out with some of its surroundings,
at a random place and scale in training. The accuracy on the objects of the
other split is printed after each epoch.
"""

import argparse
import json
from pathlib import Path
from typing import List, Tuple

import cv2
import numpy as np
import torch
from mmdet.models import ResNet
from mmengine.logging import MMLogger
from torch import nn
from tqdm import tqdm

from sge_mmdet.utils import Writer

# ImageNet's, as in the configs of MMDetection.
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
Objects = List[Tuple[np.ndarray, Tuple[float, ...], int]]


def parse_args() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('data', type=Path, help='folder of make_digits.py')
    parser.add_argument('out', type=Path, help='file for the weights')
    parser.add_argument('--base-channels', type=int, default=16)
    parser.add_argument('--size', type=int, default=32, help='pixels')
    parser.add_argument('--epochs', type=int, default=8)
    parser.add_argument('--batch-size', type=int, default=64)
    parser.add_argument('--lr', type=float, default=2e-3)
    parser.add_argument('--seed', type=int, default=0)
    return parser.parse_args()


def main() -> None:
    """Train the network and save its backbone."""
    args = parse_args()
    writer = Writer()
    writer.check(args.out)
    MMLogger.get_instance('pretraining', log_level='WARNING')
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    train, val = (read_objects(args.data, split) for split in ('train', 'val'))
    backbone = ResNet(
        50, base_channels=args.base_channels, norm_eval=False, out_indices=(3,)
    )
    backbone.init_weights()
    head = nn.Linear(args.base_channels * 32, 10)
    network = nn.Sequential(backbone, Pool(), head)
    optimizer = torch.optim.AdamW(network.parameters(), lr=args.lr)
    steps = args.epochs * (len(train) // args.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, args.lr, total_steps=steps
    )
    for epoch in range(args.epochs):
        network.train()
        batches = np.array_split(
            rng.permutation(len(train)), len(train) // args.batch_size
        )
        for batch in tqdm(batches, desc=f'epoch {epoch + 1}'):
            images, labels = crop_batch(train, batch, args.size, rng)
            loss = nn.functional.cross_entropy(network(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        print(f'accuracy {accuracy(network, val, args.size):.3f}')
    state = {'state_dict': backbone.state_dict(), 'meta': {}}
    with writer.replacing(args.out) as file:
        torch.save(state, file)


class Pool(nn.Module):
    """Mean of the backbone's last map over its positions."""

    def forward(self, maps: Tuple[torch.Tensor, ...]) -> torch.Tensor:
        """Return (N, C) for a map of (N, C, H, W)."""
        return maps[-1].mean((2, 3))


def read_objects(data: Path, split: str) -> Objects:
    """Return each object's image, box and label."""
    content = json.loads((data / 'annotations' / f'{split}.json').read_text())
    images = {
        image['id']: cv2.imread(str(data / split / image['file_name']))
        for image in content['images']
    }
    return [
        (images[each['image_id']], each['bbox'], each['category_id'] - 1)
        for each in content['annotations']
    ]


def crop_batch(
    objects: Objects, indices: np.ndarray, size: int, rng: np.random.Generator
) -> Tuple[torch.Tensor, torch.Tensor]:
    """Return crops (N, 3, size, size) around objects, and their labels."""
    crops = []
    for index in indices:
        image, (x, y, w, h), _ = objects[index]
        side = max(w, h) * rng.uniform(1.2, 2.5)
        centre = np.array([x + w / 2, y + h / 2])
        corner = centre - side / 2 + rng.uniform(-0.15, 0.15, 2) * max(w, h)
        matrix = np.array([[1, 0, -corner[0]], [0, 1, -corner[1]]])
        crops.append(
            cv2.warpAffine(
                image,
                matrix * size / side,
                (size, size),
                borderMode=cv2.BORDER_REFLECT,
            )
        )
    pixels = np.stack(crops)[..., ::-1].astype(np.float32)
    pixels = (pixels - np.float32(MEAN)) / np.float32(STD)
    labels = [objects[index][2] for index in indices]
    return torch.from_numpy(pixels).permute(0, 3, 1, 2), torch.tensor(labels)


@torch.no_grad()
def accuracy(network: nn.Module, objects: Objects, size: int) -> float:
    """Return the share of objects that are classified rightly."""
    network.eval()
    rng = np.random.default_rng(0)
    right = 0
    for batch in np.array_split(np.arange(len(objects)), len(objects) // 100):
        images, labels = crop_batch(objects, batch, size, rng)
        right += int((network(images).argmax(1) == labels).sum())
    return right / len(objects)


if __name__ == '__main__':
    main()
