"""The rules of each protocol in plain loops, without any library.

They are written from the published programs, which the docstrings of
``sge_mmdet.evaluation.protocols`` name, and share no code with them or with
this package.
"""

from dataclasses import dataclass, field
from typing import Callable

import numpy as np

COCO_IOUS = [0.5 + 0.05 * i for i in range(10)]
COCO_AREAS = {
    'all': (0, 1e10),
    'small': (0, 32**2),
    'medium': (32**2, 96**2),
    'large': (96**2, 1e10),
}
SODA_AREAS = {
    'all': (0, 32**2),
    'eS': (0, 12**2),
    'rS': (12**2, 20**2),
    'gS': (20**2, 32**2),
    'Normal': (32**2, 40 * 50),
}


@dataclass
class Rules:
    """Objects and detections that a protocol counts.

    Attributes:
        areas: Smallest and largest area of each size.
        numbers: Of detections an image, or an image and class.
        ious: Thresholds.
        ignored: Whether an annotation is ignored.
        many: Whether an annotation, ignored or of another size, is hit by any
            number of detections that lie in it.
        by_image: Whether the numbers are of all classes together.
        ap_number: Number of detections for AP; the largest without it.
        voc: Whether AP is the area under the curve.
        box_areas: Whether areas of boxes count.
    """

    areas: dict
    numbers: list
    ious: list = field(default_factory=lambda: list(COCO_IOUS))
    ignored: Callable = lambda a: a['iscrowd']
    many: Callable = lambda a, outside: a['iscrowd']
    by_image: bool = False
    ap_number: int = 0
    voc: bool = False
    box_areas: bool = False


AI_TOD = Rules(
    {
        'all': (0, 1e10),
        'very_tiny': (0, 8**2),
        'tiny': (8**2, 16**2),
        'small': (16**2, 32**2),
        'medium': (32**2, 1e10),
    },
    [1, 100, 1500],
    [0.25, *COCO_IOUS],
)
RULES = {
    'coco': Rules(COCO_AREAS, [100]),
    'aitod': AI_TOD,
    'aitod-v2': AI_TOD,
    'visdrone': Rules(
        COCO_AREAS,
        [1, 10, 100, 500],
        ignored=lambda a: a['iscrowd'] or a.get('ignore'),
        many=lambda a, outside: a['iscrowd'] or a.get('ignore'),
        by_image=True,
        voc=True,
    ),
    'tinyperson': Rules(
        {
            'all': (1, 1e10),
            'tiny': (1, 20**2),
            'tiny1': (1, 8**2),
            'tiny2': (8**2, 12**2),
            'tiny3': (12**2, 20**2),
            'small': (20**2, 32**2),
            'reasonable': (32**2, 1e10),
        },
        [200],
        [0.25, 0.5, 0.75],
        ignored=lambda a: (
            a['iscrowd'] or a.get('ignore') or a.get('uncertain')
        ),
        many=lambda a, outside: (
            outside or a['iscrowd'] or a.get('ignore') or a.get('uncertain')
        ),
    ),
    'soda-d': Rules(
        SODA_AREAS,
        [100, 300, 1000],
        ignored=lambda a: a.get('ignore'),
        many=lambda a, outside: False,
        ap_number=100,
    ),
    'soda-a': Rules(
        SODA_AREAS,
        [20000],
        ignored=lambda a: False,
        many=lambda a, outside: False,
        box_areas=True,
    ),
    'lvis': Rules(
        COCO_AREAS,
        [300],
        ignored=lambda a: a.get('ignore'),
        many=lambda a, outside: False,
        by_image=True,
    ),
}


def evaluate(name, ground_truth, results):
    """Return the figures of a protocol.

    Returns:
        dict: AP by (size, IoU or None) and AR by (size, IoU or None, number),
        and the figures that only some protocols have, by name; None without
        objects.
    """
    rules = RULES[name]
    truth = [dict(a) for a in ground_truth['annotations']]
    found = [dict(d, place=i) for i, d in enumerate(results)]
    for one in truth + found:
        x, y, width, height = one['bbox']
        if rules.box_areas or 'area' not in one:
            one['area'] = width * height
    classes = {c['id']: c['name'] for c in ground_truth['categories']}
    if name == 'lvis':
        truth = [a for a in truth if a['area'] > 0]
    pairs = {(a['image_id'], a['category_id']) for a in truth}
    open_pairs = set()
    if name == 'visdrone':
        truth, found = without_regions(ground_truth, truth, found, classes)
        classes = {
            key: text
            for key, text in classes.items()
            if text not in ('others', 'ignored regions')
        }
    found = best_first(found, rules)
    if name == 'lvis':
        for image in ground_truth['images']:
            pairs |= {(image['id'], k) for k in image['neg_category_ids']}
            open_pairs |= {
                (image['id'], k) for k in image['not_exhaustive_category_ids']
            }
        found = [
            d
            for d in found
            if d['area'] > 0 and (d['image_id'], d['category_id']) in pairs
        ]
    tables = {
        key: of_class(truth, found, key, rules, open_pairs)
        for key in sorted(classes)
    }
    return summary(name, rules, tables, truth, ground_truth)


def best_first(found, rules):
    """Return detections with their rank in the image or image and class."""
    ranks, ranked = {}, []
    for d in sorted(found, key=lambda d: -d['score']):
        key = d['image_id'], None if rules.by_image else d['category_id']
        ranks[key] = ranks.get(key, -1) + 1
        if ranks[key] < rules.numbers[-1]:
            ranked.append(dict(d, rank=ranks[key]))
    return ranked


def of_class(truth, found, key, rules, open_pairs):
    """Return rows of detections and numbers of objects, by size and IoU."""
    truth = [a for a in truth if a['category_id'] == key]
    found = [d for d in found if d['category_id'] == key]
    tables = {}
    for size, area in rules.areas.items():
        for iou in rules.ious:
            rows, objects = [], 0
            images = {one['image_id'] for one in truth + found}
            for image in sorted(images):
                own = [a for a in truth if a['image_id'] == image]
                hits, number = of_image(
                    own,
                    [d for d in found if d['image_id'] == image],
                    area,
                    iou,
                    rules,
                    (image, key) in open_pairs,
                )
                rows += hits
                objects += number
                if rules.voc and size == 'all':
                    objects += sum(bool(rules.ignored(a)) for a in own)
            tables[size, iou] = (
                sorted(rows, key=lambda row: -row[0]),
                objects,
            )
    return tables


def of_image(truth, found, area, iou, rules, is_open):
    """Return rows (score, rank, 'hit' or 'false' or 'ignored', overlap)."""
    kept, left_out = [], []
    for a in truth:
        outside = not area[0] <= a['area'] <= area[1]
        a = dict(a, many=rules.many(a, outside), taken=False)
        (left_out if outside or rules.ignored(a) else kept).append(a)
    limit = min(iou, 1 - 1e-10)
    rows = []
    for d in found:
        kind, best = 'false', 0
        for group, name in (kept, 'hit'), (left_out, 'ignored'):
            best, chosen = limit, None
            for a in group:
                if a['taken'] and not a['many']:
                    continue
                value = overlap(d['bbox'], a['bbox'], a['many'])
                if value >= best:
                    best, chosen = value, a
            if chosen:
                chosen['taken'] = True
                kind = name
                break
        if kind == 'false' and (
            is_open or not area[0] <= d['area'] <= area[1]
        ):
            kind = 'ignored'
        rows.append((d['score'], d['rank'], kind, best))
    return rows, len(kept)


def overlap(a, b, over_first):
    """Return the intersection over union, or over the first box."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0
    common = width * height
    first = a[2] * a[3]
    return common / (first if over_first else first + b[2] * b[3] - common)


def curve(rows, objects, number):
    """Return recall and precision of the detections up to a rank."""
    hits = falses = 0
    recall, precision = [], []
    for _, rank, kind, _ in rows:
        if rank < number:
            hits += kind == 'hit'
            falses += kind == 'false'
            recall.append(hits / objects)
            precision.append(hits / max(1, hits + falses))
    return recall, precision


def precision_at(recall, precision, wanted):
    """Return the best precision from the first place with this recall on."""
    place = np.searchsorted(recall, wanted)
    return max(precision[place:], default=0)


def average_precision(recall, precision, voc):
    if not voc:
        return np.mean(
            [
                precision_at(recall, precision, r)
                for r in np.linspace(0, 1, 101)
            ]
        )
    total = before = 0
    for r in sorted({*recall}):
        total += (r - before) * precision_at(recall, precision, r)
        before = r
    return total


def summary(name, rules, tables, truth, ground_truth):
    """Return all figures, means over the classes."""
    weights = {
        key: len({a['image_id'] for a in truth if a['category_id'] == key})
        if rules.voc
        else 1
        for key in tables
    }
    ap, ar = {}, {}
    for key, table in tables.items():
        for (size, iou), (rows, objects) in table.items():
            if not objects:
                continue
            number = rules.ap_number or rules.numbers[-1]
            ap[key, size, iou] = average_precision(
                *curve(rows, objects, number), rules.voc
            )
            for number in rules.numbers:
                recall, _ = curve(rows, objects, number)
                ar[key, size, iou, number] = (recall or [0])[-1]
    figures = {}
    wanted = [t for t in rules.ious if t != 0.25 or 'aitod' not in name]
    for size in rules.areas:
        for iou in [None, *rules.ious]:
            chosen = wanted if iou is None else [iou]
            figures['AP', size, iou] = mean(
                [
                    (ap[key, size, t], weights[key])
                    for key in tables
                    for t in chosen
                    if (key, size, t) in ap
                ]
            )
            for number in rules.numbers:
                figures['AR', size, iou, number] = mean(
                    [
                        (ar[key, size, t, number], weights[key])
                        for key in tables
                        for t in chosen
                        if (key, size, t, number) in ar
                    ]
                )
    if 'aitod' in name:
        figures.update(optimal_lrp(tables))
    if name == 'lvis':
        for group in 'rcf':
            keys = [
                c['id']
                for c in ground_truth['categories']
                if c['frequency'] == group
            ]
            figures[f'AP{group}'] = mean(
                [
                    (v, 1)
                    for (k, s, _), v in ap.items()
                    if k in keys and s == 'all'
                ]
            )
    return figures


def mean(values):
    if not values:
        return None
    return np.average([v for v, _ in values], weights=[w for _, w in values])


def optimal_lrp(tables):
    """Return the smallest LRP of each class over all scores, as means."""
    names = 'oLRP', 'oLRP_Localisation', 'oLRP_FP', 'oLRP_FN'
    columns = {name: [] for name in names}
    for table in tables.values():
        rows, objects = table['all', 0.5]
        if not objects:
            continue
        best = (1, None, None, 1)
        hits = falses = 0
        away = 0.0
        if any(row[2] == 'hit' for row in rows):
            best = (np.inf, None, None, 1)
            for _, _, kind, value in rows:
                hits += kind == 'hit'
                falses += kind == 'false'
                away += (1 - value) * (kind == 'hit')
                missed = objects - hits
                error = (away / 0.5 + falses + missed) / (
                    hits + falses + missed
                )
                if error < best[0] - 1e-12:
                    best = (
                        error,
                        away / hits if hits else None,
                        falses / (hits + falses) if hits + falses else None,
                        missed / objects,
                    )
        for name, value in zip(names, best):
            if value is not None:
                columns[name].append(value)
    return {
        name: np.mean(values) if values else None
        for name, values in columns.items()
    }


def without_regions(ground_truth, truth, found, classes):
    """Leave out what lies in ignored regions by half or more, by pixels."""
    maps = {}
    for image in ground_truth['images']:
        # Pixels are counted from 1.
        maps[image['id']] = np.zeros(
            (image['height'] + 1, image['width'] + 1), bool
        )
    kept = []
    for a in truth:
        if classes[a['category_id']] != 'ignored regions':
            kept.append(a)
            continue
        x, y, width, height = (max(1, int(value)) for value in a['bbox'])
        maps[a['image_id']][y : y + height + 1, x : x + width + 1] = True

    def inside(one):
        pixels = maps[one['image_id']]
        rows, columns = (side - 1 for side in pixels.shape)
        x, y, width, height = (
            max(1, int(np.floor(value + 0.5))) for value in one['bbox']
        )
        x, y = min(columns, x), min(rows, y)
        covered = pixels[y + 1 : y + height + 1, x + 1 : x + width + 1].sum()
        return covered / (width * height) >= 0.5

    return [a for a in kept if not inside(a)], [
        d for d in found if not inside(d)
    ]
