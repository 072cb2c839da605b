#!/usr/bin/env python3
"""Compare the protocol of VisDrone with the data set's own toolkit.

Random data sets are written in VisDrone's text format. GNU Octave runs the
functions of the toolkit on them, and this package runs on the same data in
COCO's format. Get the toolkit by
``git clone https://github.com/VisDrone/VisDrone2018-DET-toolkit``; it was made
for MATLAB, and the two functions of MATLAB's toolboxes that it calls are added
for Octave.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Dict, List, Tuple

import numpy as np
from tqdm import tqdm

import sge_mmdet

HEIGHT, WIDTH = 120, 160
CLASSES = 10
REGION, OTHERS = 0, 11
FIGURES = ('AP', 'AP50', 'AP75', 'AR@1', 'AR@10', 'AR@100', 'AR@500')
TOLERANCE = 1e-9
# The toolkit reads an image for its size alone.
SIZE = f'{HEIGHT}, {WIDTH}, 3'
STAND_INS = {
    'imread': f'function image = imread(path), image = zeros({SIZE}); end',
    'mean2': 'function m = mean2(a), m = mean(a(:)); end',
}
PROGRAM = """
warning('off', 'all');
addpath('{stand_ins}'); addpath('{toolkit}/utils');
for k = 1:{number}
  folder = sprintf('{data}/%d', k);
  names = findImageList([folder '/truth']);
  n = length(names);
  [gt, det] = saveAnnoRes([folder '/truth'], [folder '/found'], folder, n, ...
      names);
  [a, b, c, d, e, f, g] = calcAccuracy(n, gt, det);
  printf('figures %.15g %.15g %.15g %.15g %.15g %.15g %.15g\\n', ...
      a, b, c, d, e, f, g);
end
"""


class DataSet:
    """A random data set in both formats.

    Objects crowd together, so that they overlap; ignored objects, ignored
    regions and other things are among them; scores have ties. One data set of
    twenty is so crowded that an image can have more detections than count.

    Args:
        seed (int): Seed of the numbers.
    """

    def __init__(self, seed: int) -> None:
        random = np.random.default_rng(seed)
        images = int(random.integers(1, 5))
        most = 400 if seed % 20 == 0 else 40
        self.truth: List[np.ndarray] = []
        self.found: List[np.ndarray] = []
        for _ in range(images):
            truth = self._objects(random, most)
            # As the toolkit takes the first lines of a file for the best.
            found = self._detections(random, truth)
            self.truth.append(truth)
            self.found.append(found[np.argsort(-found[:, 4], kind='stable')])

    @staticmethod
    def _objects(random: np.random.Generator, most: int) -> np.ndarray:
        """Return the lines of an image's objects, fewer than ``most``."""
        number = int(random.integers(most // 2, most))
        category = random.choice(
            [REGION, OTHERS, *range(1, CLASSES + 1)],
            number,
            p=[0.07, 0.03, *[0.9 / CLASSES] * CLASSES],
        )
        # An object of the first class makes sure that there is a figure.
        category[0] = 1
        lines = np.zeros((number, 8), int)
        lines[:, 0] = random.integers(1, WIDTH - 10, number)
        lines[:, 1] = random.integers(1, HEIGHT - 10, number)
        lines[:, 2:4] = random.integers(4, 40, (number, 2))
        lines[:, 4] = random.random(number) < 0.85
        lines[:, 5] = category
        lines[category == REGION, 4] = 0
        lines[0, 4] = 1
        return lines

    @staticmethod
    def _detections(
        random: np.random.Generator, truth: np.ndarray
    ) -> np.ndarray:
        """Return the lines of an image's detections: near objects, or not."""
        objects = truth[(truth[:, 5] != REGION) & (truth[:, 5] != OTHERS)]
        near = np.repeat(objects, random.integers(0, 4, len(objects)), 0)
        found = near.astype(float)
        found[:, :4] += random.normal(0, 1.5, (len(near), 4))
        false = np.zeros((int(random.integers(1, 30)), 8))
        false[:, :2] = random.uniform(1, 110, (len(false), 2))
        false[:, 2:4] = random.uniform(4, 40, (len(false), 2))
        false[:, 5] = random.integers(1, CLASSES + 1, len(false))
        found = np.concatenate([found, false])
        found[:, 2:4] = np.maximum(found[:, 2:4], 2)
        found[:, :4] = found[:, :4].round(2)
        found[:, 4] = random.integers(1, 30, len(found)) / 30
        found[:, 6:] = -1
        return found

    def write(self, folder: Path) -> None:
        """Write it in VisDrone's format."""
        for name, lines in (('truth', self.truth), ('found', self.found)):
            (folder / name).mkdir(parents=True)
            for i, each in enumerate(lines):
                # Names are read in alphabetical order.
                np.savetxt(folder / name / f'{i}.txt', each, '%.10g', ',')

    def figures(self) -> List[float]:
        """Return this package's figures."""
        images = [
            dict(id=i, file_name=f'{i}.jpg', width=WIDTH, height=HEIGHT)
            for i in range(len(self.truth))
        ]
        names = {REGION: 'ignored regions', OTHERS: 'others'}
        categories = [
            dict(id=k, name=names.get(k, f'class {k}')) for k in range(12)
        ]
        annotations = [
            dict(
                id=1000 * i + j,
                image_id=i,
                category_id=int(line[5]),
                bbox=line[:4].tolist(),
                area=float(line[2] * line[3]),
                iscrowd=0,
                ignore=int(line[4] == 0),
            )
            for i, lines in enumerate(self.truth)
            for j, line in enumerate(lines)
        ]
        results = [
            dict(
                image_id=i,
                category_id=int(line[5]),
                bbox=line[:4].tolist(),
                score=float(line[4]),
            )
            for i, lines in enumerate(self.found)
            for line in lines
        ]
        result = sge_mmdet.evaluate(
            dict(
                images=images, annotations=annotations, categories=categories
            ),
            results,
            protocol='visdrone',
        )
        return [
            result.ap(),
            result.ap(0.5),
            result.ap(0.75),
            *(result.figures[name] for name in FIGURES[3:]),
        ]


def run_toolkit(
    toolkit: Path, data_sets: List[DataSet], octave: str
) -> List[List[float]]:
    """Return the toolkit's figures of each data set, from 0 to 1."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for k, data in enumerate(data_sets, start=1):
            data.write(folder / f'{k}')
        stand_ins = folder / 'stand_ins'
        stand_ins.mkdir()
        for function, text in STAND_INS.items():
            (stand_ins / f'{function}.m').write_text(text)
        program = folder / 'program.m'
        program.write_text(
            PROGRAM.format(
                stand_ins=stand_ins,
                toolkit=toolkit.absolute(),
                number=len(data_sets),
                data=folder,
            )
        )
        done = subprocess.run(
            [octave, '--norc', str(program)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            check=True,
        )
    return [
        [float(number) / 100 for number in line.split()[1:]]
        for line in done.stdout.splitlines()
        if line.startswith('figures')
    ]


def differences(
    ours: List[float], theirs: List[float]
) -> Dict[str, Tuple[float, float]]:
    """Return the figures that differ, by name."""
    return {
        name: (a, b)
        for name, a, b in zip(FIGURES, ours, theirs)
        if abs(a - b) > TOLERANCE
    }


def parse_options() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('toolkit', type=Path, help='folder of the toolkit')
    parser.add_argument(
        '--data-sets', type=int, default=280, help='number; default: 280'
    )
    parser.add_argument(
        '--octave', default='octave-cli', help='program that runs it'
    )
    return parser.parse_args()


def main() -> None:
    """Print every difference, and how many data sets have none."""
    options = parse_options()
    data_sets = [DataSet(seed) for seed in range(options.data_sets)]
    try:
        theirs = run_toolkit(options.toolkit, data_sets, options.octave)
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f'error: the toolkit did not run: {error}')
    same = 0
    for seed, data in enumerate(tqdm(data_sets, desc='data sets')):
        found = differences(data.figures(), theirs[seed])
        same += not found
        if found:
            print(f'data set {seed}: {found}')
    print(f'{same} of {len(data_sets)} data sets have the same figures')
    sys.exit(same < len(data_sets))


if __name__ == '__main__':
    main()
