"""Pages of the documentation: their snippets, links and sandbox."""

import json
import pickle
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mmdet.registry import MODELS
from mmengine.config import Config

from .own_data import write_coco, write_voc, write_yolo
from .tiny_run import DEMO, write_tiny_run

ROOT = Path(__file__).parents[2]
PAGES = (
    ROOT / 'README.md',
    ROOT / 'CONTRIBUTING.md',
    ROOT / 'SECURITY.md',
    ROOT / 'CHANGELOG.md',
    *sorted((ROOT / 'docs').glob('*.md')),
    *sorted((ROOT / 'configs').glob('*/README.md')),
)
SNIPPET = re.compile(
    r'(?:<!-- needs: (?P<needs>[^>]+) -->\n)?'
    r'```(?P<language>\w+)\n(?P<text>.*?)```',
    re.DOTALL,
)
# Names of the reader's own files in the pages, and the test files for them.
PLACEHOLDERS = dict(
    CONFIG='config.py',
    CHECKPOINT='checkpoint.pth',
    ZOO_CHECKPOINT='zoo_checkpoint.pth',
    IMAGE='image.jpg',
    FOLDER='images',
    ANNOTATIONS='val.json',
)


@dataclass(frozen=True)
class Snippet:
    """A block of code on a page.

    Attributes:
        page: Path of the page.
        line: Number of its first line.
        language: "shell", "python" or another.
        text: The code.
        needs: Name of a requirement that tests lack, such as "COCO"; or "".
    """

    page: Path
    line: int
    language: str
    text: str
    needs: str

    def __str__(self):
        return f'{self.page.relative_to(ROOT)}:{self.line}'

    @property
    def is_config(self):
        """Whether it is (a part of) a config, not a program."""
        return self.language == 'python' and not re.search(
            r'^(import|from|with) ', self.text, re.MULTILINE
        )

    def commands(self):
        """Return the words of each command of a shell snippet."""
        text = re.sub(
            r'\$\(seq (\d+) (\d+)\)',
            lambda found: ' '.join(
                map(str, range(int(found[1]), int(found[2]) + 1))
            ),
            self.text.replace('\\\n', ' '),
        )
        lines = (shlex.split(line, comments=True) for line in text.split('\n'))
        return [words for words in lines if words]


def snippets(*languages):
    """Return the snippets of all pages that are in one of the languages."""
    return [
        Snippet(
            page,
            text.count('\n', 0, match.start('text')),
            match['language'],
            match['text'],
            match['needs'] or '',
        )
        for page in PAGES
        for text in [page.read_text()]
        for match in SNIPPET.finditer(text)
        if match['language'] in languages
    ]


def anchors(text):
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r'^#+ (.+)$', outside_code(text), re.MULTILINE)
    return {
        re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-')
        for heading in headings
    }


def outside_code(text):
    """Return a page's text without its blocks of code."""
    return re.sub(r'^```.*?^```', '', text, flags=re.DOTALL | re.MULTILINE)


def links(text):
    """Return the targets of a page's links and pictures."""
    return re.findall(r'\]\(([^)\s]+)\)', outside_code(text))


def write_sandbox(folder):
    """Write what the snippets call the reader's own files."""
    tiny = write_tiny_run(folder)
    (folder / 'config.py').write_text(tiny.read_text())
    data = folder / 'digits'
    (folder / 'images').symlink_to(data / 'val')
    (folder / 'image.jpg').symlink_to(min((data / 'val').glob('*.jpg')))
    (folder / 'val.json').symlink_to(data / 'annotations' / 'val.json')
    own = folder / 'data' / 'harbour'
    own.mkdir(parents=True)
    write_coco(own)
    write_voc(folder / 'data' / 'harbour_voc', own)
    write_yolo(folder / 'data' / 'harbour_yolo', own)
    for name in ('tools', 'configs'):
        (folder / name).symlink_to(ROOT / name)
    plain = DEMO / 'faster-rcnn_r50-w16_fpn_400i_digits.py'
    (folder / 'my_config.py').write_text(f'_base_ = {str(plain)!r}\n')
    (folder / 'my_swin_config.py').write_text(
        "_base_ = 'mmdet::swin/retinanet_swin-t-p4-w7_fpn_1x_coco.py'\n"
    )
    for config, checkpoint in (
        (tiny, 'checkpoint.pth'),
        (plain, 'my_weights.pth'),
        (
            'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py',
            'zoo_checkpoint.pth',
        ),
    ):
        write_weights(config, folder / checkpoint)
    write_results(folder)


def write_weights(config, path):
    """Write random weights of a config's detector."""
    from sge_mmdet.conversion import find_config

    cfg = Config.fromfile(find_config(str(config)))
    cfg.model.backbone.init_cfg = None
    torch.save(
        dict(state_dict=MODELS.build(cfg.model).state_dict(), meta={}), path
    )


def write_results(folder):
    """Write results near the ground truth, as JSON and as pickles."""
    ground_truth = json.loads((folder / 'val.json').read_text())
    random = np.random.default_rng(0)
    for name in ('plain', 'sge'):
        found = [
            dict(
                image_id=item['image_id'],
                category_id=item['category_id'],
                bbox=(item['bbox'] + random.normal(0, 2, 4)).tolist(),
                score=float(random.random()),
            )
            for item in ground_truth['annotations']
        ]
        (folder / f'{name}.bbox.json').write_text(json.dumps(found))
        for seed in range(2):
            (folder / f'{name}_seed{seed}.pkl').write_bytes(
                pickle.dumps(to_pickle(ground_truth, found))
            )


def to_pickle(ground_truth, found):
    """Return results as MMDetection's ``tools/test.py --out`` has them."""
    labels = {
        category['id']: i
        for i, category in enumerate(ground_truth['categories'])
    }
    results = []
    for image in ground_truth['images']:
        mine = [item for item in found if item['image_id'] == image['id']]
        box = torch.tensor([item['bbox'] for item in mine]).reshape(-1, 4)
        box[:, 2:] += box[:, :2]
        results.append(
            dict(
                img_id=image['id'],
                pred_instances=dict(
                    bboxes=box,
                    scores=torch.tensor([item['score'] for item in mine]),
                    labels=torch.tensor(
                        [labels[item['category_id']] for item in mine],
                        dtype=torch.int64,
                    ),
                ),
            )
        )
    return results
