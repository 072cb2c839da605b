"""Operating points, TIDE and confusions by plain loops, as oracle."""

import numpy as np

from sge_mmdet.evaluation.matching import match
from sge_mmdet.evaluation.statuses import HIT, MISSED

POS, NEAR = 0.5, 0.1


def overlap(a, b):
    """Return the intersection over union of two boxes."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    common = width * height
    return common / (a[2] * a[3] + b[2] * b[3] - common)


def outcomes(ground_truth, detections, bin):
    """Yield (detection, status, object, inside) of a size, by score."""
    matches = match(ground_truth, detections, [bin], 'bbox', [POS])
    yield from zip(
        matches.index.tolist(),
        matches.status[:, 0, 0].tolist(),
        matches.partner[:, 0, 0].tolist(),
        matches.inside[:, 0].tolist(),
    )


def real_objects(ground_truth, bin):
    return np.flatnonzero(~ground_truth.crowd & bin.holds(ground_truth.area))


def plain_points(ground_truth, detections, bin, category=None):
    """Return (score, hits, false) for each distinct score, and objects."""
    rows = [
        (detections.score[i], status == HIT, status == MISSED and inside)
        for i, status, _, inside in outcomes(ground_truth, detections, bin)
        if category in (None, detections.category[i])
    ]
    objects = sum(
        category in (None, ground_truth.category[g])
        for g in real_objects(ground_truth, bin)
    )
    points = []
    for score in sorted({row[0] for row in rows}, reverse=True):
        counted = [row for row in rows if row[0] >= score]
        points.append(
            (score, sum(r[1] for r in counted), sum(r[2] for r in counted))
        )
    return points, objects


def plain_costs(ground_truth, detections, bin):
    """Return AP50, gains and counts as TIDE defines them."""
    every = list(outcomes(ground_truth, detections, bin))
    real = set(real_objects(ground_truth, bin).tolist())
    found = {obj for _, status, obj, _ in every if status == HIT}
    taken = {obj for _, _, obj, _ in every if obj >= 0}
    kind, target = {}, {}
    for i, status, _, inside in every:
        if status == MISSED and inside:
            kind[i], target[i] = _kind(ground_truth, detections, i, taken)
    meant = {g for g in target.values() if g is not None}
    missed = real - found - meant
    best = {}
    for i in sorted(kind, key=lambda i: -detections.score[i]):
        best.setdefault(target[i], i)

    def ap(fix=None, gone=(), only_hits=False):
        classes = range(len(ground_truth.category_ids))
        rows = {k: [] for k in classes}
        for i, status, _, _ in every:
            own, score = detections.category[i], detections.score[i]
            if status == HIT:
                rows[own].append((score, True))
            elif i in kind and not only_hits:
                if kind[i] != fix:
                    rows[own].append((score, False))
                elif target[i] in real - found and best[target[i]] == i:
                    k = ground_truth.category[target[i]]
                    rows[k].append((score, True))
        values = []
        for k in classes:
            objects = [g for g in real if ground_truth.category[g] == k]
            if objects:
                left = [g for g in objects if g not in gone]
                values.append(_ap(rows[k], len(left)))
        return np.mean(values) if values else None

    base = ap()
    counts = {
        name: sum(one == name for one in kind.values())
        for name in (
            *('localisation', 'class', 'both', 'duplicate', 'background'),
        )
    }
    gains = {}
    if base is not None:
        gains = {name: ap(name) - base for name in counts}
        gains['missed'] = ap(gone=missed) - base
        gains['false positive'] = ap(only_hits=True) - base
        gains['false negative'] = ap(gone=real - found) - base
    return base, gains, dict(counts, missed=len(missed))


def _kind(ground_truth, detections, i, taken):
    """Return the kind of a false detection and the object that it means."""
    overlaps = {
        g: overlap(detections.box[i], ground_truth.box[g])
        for g in range(len(ground_truth.image))
        if ground_truth.image[g] == detections.image[i]
        and not ground_truth.crowd[g]
    }
    same = {
        g: value
        for g, value in overlaps.items()
        if ground_truth.category[g] == detections.category[i]
    }
    other = {g: v for g, v in overlaps.items() if g not in same}
    near = max(same, key=same.get, default=None)
    if near is not None and NEAR <= same[near] < POS:
        return 'localisation', near
    on = max(other, key=other.get, default=None)
    if on is not None and other[on] >= POS:
        return 'class', on
    if any(value >= POS and g in taken for g, value in same.items()):
        return 'duplicate', None
    if max(overlaps.values(), default=0) < NEAR:
        return 'background', None
    return 'both', None


def _ap(rows, objects):
    if not objects:
        return 0.0
    rows = sorted(rows, key=lambda row: -row[0])
    hits = np.cumsum([row[1] for row in rows])
    precision = [
        max((hits[j:] / np.arange(j + 1, len(rows) + 1)).tolist())
        for j in range(len(rows))
    ]
    return np.mean(
        [
            next((p for p, h in zip(precision, hits) if h / objects >= r), 0)
            for r in np.linspace(0, 1, 101)
        ]
    )


def plain_confusion(ground_truth, detections, bin, score):
    """Return the matrix of classes, without crowds."""
    classes = len(ground_truth.category_ids)
    matrix = np.zeros((classes + 1, classes + 1), int)
    real = set(real_objects(ground_truth, bin).tolist())
    taken = set()
    # No more than 100 detections an image and class, as there are fewer.
    for i in sorted(
        np.flatnonzero(detections.score >= score),
        key=lambda i: -detections.score[i],
    ):
        free = {
            g: overlap(detections.box[i], ground_truth.box[g])
            for g in range(len(ground_truth.image))
            if g not in taken and ground_truth.image[g] == detections.image[i]
        }
        free = {g: value for g, value in free.items() if value >= POS}
        if free:
            best = max(free, key=lambda g: (g in real, free[g]))
            taken.add(best)
            if best in real:
                matrix[
                    ground_truth.category[best], detections.category[i]
                ] += 1
        elif bin.holds(detections.area[i]):
            matrix[-1, detections.category[i]] += 1
    for g in real - taken:
        matrix[ground_truth.category[g], -1] += 1
    return matrix
