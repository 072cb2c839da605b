import json
import re
import tracemalloc
import warnings
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from sge_mmdet.evaluation import (
    bootstrap,
    compare_detections,
    evaluate,
    read_ground_truth,
    size_bins,
)
from sge_mmdet.evaluation.resampled_figures import Support
from sge_mmdet.evaluation.result_json import detections_from_coco
from tests.helpers.random_coco import random_coco

BINS = size_bins([0, 10, float('inf')])


def sides(images=40, seed=1, worse=0.5):
    """Return ground truth, a result, and one with fewer and worse boxes."""
    ground_truth, results = random_coco(seed, images=images)
    ground_truth = read_ground_truth(ground_truth)
    random = np.random.default_rng(seed)
    spoilt = [
        dict(r, bbox=[r['bbox'][0] + 3, *r['bbox'][1:]])
        if random.random() < worse
        else r
        for r in results
    ]
    return (
        ground_truth,
        detections_from_coco(results, ground_truth, 'a'),
        detections_from_coco(spoilt, ground_truth, 'b'),
    )


def test_equal_results_differ_in_nothing():
    ground_truth, a, _ = sides()
    result = compare_detections(ground_truth, [a], [a], BINS, resamples=50)
    for row in (*result.sizes, *result.classes):
        assert (row.difference, row.low, row.high, row.p) == (0, 0, 0, 1)
    assert 'cannot be told' in result.verdict()


def test_clear_difference_is_found_and_said():
    ground_truth, a, b = sides()
    result = compare_detections(
        ground_truth, [a], [b], BINS, ('SGE', 'plain'), resamples=200
    )
    assert [row.name for row in result.sizes] == [
        'AP',
        'AP50',
        'AP75',
        'AP_0-10',
        'AP_10-inf',
    ]
    row = result['AP']
    assert row.b < row.a and row.low < row.difference < row.high < 0
    assert 0 < row.p < row.p_adjusted < 0.05
    assert 'plain is worse than SGE in AP:' in result.verdict()
    assert '200 paired bootstrap resamples of 40 images' in result.verdict()
    text = result.table().text()
    assert text.splitlines()[0].split()[:3] == ['figure', 'SGE', 'plain']
    assert json.loads(json.dumps(result.to_dict()))['verdict']


def test_swapping_the_sides_changes_the_sign():
    ground_truth, a, b = sides()
    one, other = (
        compare_detections(ground_truth, [x], [y], BINS, resamples=60)
        for x, y in ((a, b), (b, a))
    )
    for left, right in zip(one.sizes, other.sizes):
        np.testing.assert_allclose(
            [left.difference, left.low, left.high],
            [-right.difference, -right.high, -right.low],
            atol=1e-6,
        )


def test_same_seed_gives_the_same_and_another_another():
    ground_truth, a, b = sides()
    runs = [
        compare_detections(
            ground_truth, [a], [b], BINS, resamples=60, seed=seed
        )
        for seed in (0, 0, 1)
    ]
    assert runs[0] == runs[1] != runs[2]


def test_several_seeds_are_averaged_and_their_spread_is_shown():
    ground_truth, a, b = sides()
    result = compare_detections(
        ground_truth, [a, b], [b, b, b], BINS, resamples=60
    )
    singles = [
        compare_detections(ground_truth, [x], [b], BINS, resamples=2)['AP'].a
        for x in (a, b)
    ]
    row = result['AP']
    assert row.a == pytest.approx(np.mean(singles))
    assert row.spread_a == pytest.approx(np.std(singles, ddof=1))
    assert row.spread_b == 0
    assert result.table().header[-2:] == ['sd of A', 'sd of B']
    assert '2 and 3 seeds' in result.verdict()


def test_several_seeds_of_both_widen_the_interval():
    ground_truth, a, b = sides()
    alone = compare_detections(ground_truth, [a], [b], BINS, resamples=60)
    same = compare_detections(ground_truth, [a, a], [b, b], BINS, resamples=60)
    spread = compare_detections(
        ground_truth, [a, b], [b, a], BINS, resamples=60
    )
    widths = [
        result['AP'].high - result['AP'].low
        for result in (alone, same, spread)
    ]
    # Seeds without spread leave what images say, up to the normal's shape.
    assert widths[1] == pytest.approx(widths[0], rel=0.3)
    assert widths[2] > 2 * widths[1]
    assert 'would change' in alone.method()
    assert 'spread over 2 seeds' in spread.method()
    assert 'these images and seeds' in spread.findings()


def test_few_images_have_no_interval_and_no_verdict():
    """One small object in 20 images, which only B detects."""
    ground_truth, results = random_coco(1, images=20)
    ground_truth['annotations'] = [
        dict(one, area=400, iscrowd=0) for one in ground_truth['annotations']
    ]
    ground_truth['annotations'][0]['area'] = 25
    ground_truth = read_ground_truth(ground_truth)
    found = detections_from_coco(results, ground_truth, 'b')
    none = detections_from_coco(results[:1], ground_truth, 'a')
    result = compare_detections(
        ground_truth, [none], [found], BINS, resamples=100
    )
    row = result['AP_0-10']
    assert (row.low, row.high, row.p, row.p_adjusted) == (None,) * 4
    assert row.images == 1 and not row.is_clear
    assert 'too few images to tell' in result.table().text()
    assert (
        'too few images to tell whether B differs from A in AP_0-10: 1 of 20 '
        'images hold' in result.verdict()
    )
    assert result['AP'].is_told and result['AP'].images > 10


def test_mean_over_classes_needs_images_of_each_class():
    """Six images with small objects are enough of one class, not of six."""
    enough = Support(images=6, units=6, of_a_class=6)
    assert enough.is_enough
    assert not replace(enough, of_a_class=1).is_enough
    assert not replace(enough, units=5).is_enough


def test_adjusted_p_values_are_shown_and_decide():
    ground_truth, a, b = sides(worse=0.12)
    result = compare_detections(ground_truth, [a], [b], BINS, resamples=200)
    for rows in result.sizes, result.classes:
        assert all(row.p <= row.p_adjusted for row in rows if row.is_told)
    assert result.table().header[5:8] == ['p', 'adjusted p', 'images']
    assert 'adjusted' in result.findings()
    assert 'by Holm' in result.method()


def test_results_by_the_same_seeds_are_paired():
    ground_truth, a, b = sides()
    by_seed, mixed, listed = (
        compare_detections(ground_truth, x, y, BINS, resamples=60)
        for x, y in (
            ({0: a, 1: b}, {1: b, 0: a}),
            ({0: a, 1: b}, {0: a, 2: b}),
            ([a, b], [a, b]),
        )
    )
    assert by_seed.paired and not (mixed.paired or listed.paired)
    row = by_seed['AP']
    assert (row.difference, row.low, row.high) == (0, 0, 0)
    assert listed['AP'].low < 0 < listed['AP'].high
    assert '2 paired seeds' in by_seed.method()
    assert mixed['AP'] == listed['AP']


def test_sizes_without_objects_are_left_out():
    ground_truth, a, b = sides()
    result = compare_detections(
        ground_truth, [a], [b], size_bins('coco'), resamples=20
    )
    assert {'AP_medium', 'AP_large'}.isdisjoint(
        row.name for row in result.sizes
    )


@pytest.mark.parametrize('free', [10**7, 0])
def test_resamples_beyond_the_memory_are_refused_with_what_fits(
    monkeypatch, free
):
    ground_truth, a, b = sides(images=5)
    monkeypatch.setattr(bootstrap, 'available_memory', lambda: free)
    with pytest.raises(
        ValueError,
        match=r'^1000000000000 resamples of 5 '
        r'images .* resamples fit$',
    ) as caught:
        compare_detections(ground_truth, [a], [b], BINS, resamples=10**12)
    fits = int(re.search(r'(\d+) resamples fit', str(caught.value))[1])
    with pytest.raises(ValueError, match=f'{fits} resamples fit'):
        compare_detections(ground_truth, [a], [b], BINS, resamples=fits + 1)
    if fits > 1:
        tracemalloc.start()
        compare_detections(ground_truth, [a], [b], BINS, resamples=fits)
        assert tracemalloc.get_traced_memory()[1] < free
        tracemalloc.stop()


def test_names_of_detectors_are_safe_to_print():
    ground_truth, a, b = sides(images=5)
    result = compare_detections(
        ground_truth, [a], [b], BINS, ('\x1b[2J', 'b\n'), resamples=5
    )
    assert result.names == ('?[2J', 'b?')


def test_nothing_to_compare_is_said(tmp_path):
    ground_truth, a, _ = sides()
    with pytest.raises(ValueError, match='got 1 and 0'):
        compare_detections(ground_truth, [a], [], BINS)
    (tmp_path / 'empty.json').write_text(
        json.dumps(dict(random_coco(1)[0], annotations=[]))
    )
    empty = read_ground_truth(tmp_path / 'empty.json')
    with pytest.raises(ValueError, match=r'empty\.json has no objects'):
        compare_detections(empty, [a], [a], BINS)


def test_a_comparison_is_shown_as_its_table_and_verdict():
    ground_truth, a, b = sides()
    result = compare_detections(
        ground_truth, [a], [b], BINS, ('<A>', 'B & C'), resamples=50
    )
    assert str(result) == f'{result.table().text()}\n\n{result.verdict()}'
    table, verdict = ElementTree.fromstring(
        f'<div>{result._repr_html_()}</div>'
    )
    assert [cell.text for cell in table[0][0]][1:3] == ['<A>', 'B & C']
    assert len(table[1]) == len(result.sizes)
    assert verdict.text == result.verdict()


def test_a_comparison_is_a_dataframe():
    pytest.importorskip('pandas')
    ground_truth, a, b = sides()
    result = compare_detections(ground_truth, [a], [b], BINS, resamples=50)
    frame = result.to_dataframe().set_index('name')
    assert frame.loc['AP', 'difference'] == result['AP'].difference
    assert frame['spread_a'].isna().all()
    assert [*result.to_dataframe(classes=True)['name']] == [
        row.name for row in result.classes
    ]


def test_max_dets_of_a_comparison_counts():
    ground_truth, a, b = sides(images=10)
    result = compare_detections(
        ground_truth, [a], [b], BINS, resamples=20, max_dets=1
    )
    expected = evaluate(ground_truth, a, BINS, max_dets=(1,))
    assert result['AP'].a == pytest.approx(expected.ap(), abs=1e-7)
    assert expected.ap() != evaluate(ground_truth, a, BINS).ap()


def test_results_that_are_repeated_are_warned_of():
    ground_truth, a, b = sides()
    with pytest.warns(UserWarning, match='only 2 of 3 results have'):
        compare_detections(ground_truth, [a], [b, a], BINS, resamples=200)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        compare_detections(ground_truth, [a], [b], BINS, resamples=200)


def test_detectors_of_the_same_name_are_refused():
    ground_truth, a, b = sides()
    with pytest.raises(ValueError, match=r'two names .* got A twice'):
        compare_detections(
            ground_truth, [a], [b], BINS, ('A', 'A'), resamples=200
        )


@pytest.mark.parametrize(
    'p, in_table, in_sentence',
    [
        (8.2e-07, '<0.001', 'p < 0.001'),
        (0.0123, '0.012', 'p = 0.012'),
        (1.0, '1.000', 'p = 1.000'),
    ],
)
def test_p_values_that_resamples_cannot_tell_apart_look_alike(
    p, in_table, in_sentence
):
    ground_truth, a, b = sides()
    result = compare_detections(ground_truth, [a], [b], BINS, resamples=200)
    result.sizes[0] = replace(result.sizes[0], p=p)
    assert result.table().records()[0]['p'] == in_table
    assert in_sentence in result.findings().split('AP:')[-1]
    assert json.loads(json.dumps(result.to_dict()))['sizes'][0]['p'] == p


def test_few_resamples_and_a_negative_seed_are_named():
    ground_truth, a, b = sides()
    with pytest.warns(UserWarning, match='20 resamples are too few'):
        compare_detections(ground_truth, [a], [b], BINS, resamples=20)
    with pytest.raises(ValueError, match=r'seed .* got -1'):
        compare_detections(ground_truth, [a], [b], BINS, seed=-1)
