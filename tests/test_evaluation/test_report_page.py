"""The page of an evaluation or comparison, without a browser."""

import base64
import gzip
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import sge_mmdet
from sge_mmdet.evaluation import compare_detections, evaluate, size_bins
from sge_mmdet.evaluation.interactive import (
    Gallery,
    compared_report,
    evaluated_report,
)
from sge_mmdet.evaluation.interactive.page import render_page
from sge_mmdet.evaluation.synthetic import (
    Skill,
    synthetic_detections,
    synthetic_ground_truth,
)

BINS = size_bins('coco')
HOSTILE = '</script><script>alert(1)</script>'


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('images')
    random = np.random.default_rng(0)
    for i in range(1, 9):
        pixels = random.integers(0, 255, (480, 640, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f'{i}.jpg')
    return folder


def results(objects=60, classes=3):
    ground_truth = synthetic_ground_truth(8, objects, classes)
    return ground_truth, [
        synthetic_detections(ground_truth, Skill(recall=recall), seed)
        for seed, recall in enumerate((0.6, 0.8))
    ]


def page_of_one(ground_truth, detections, **options):
    result = evaluate(ground_truth, detections, BINS)
    curve = evaluate(ground_truth, detections, size_bins((0, 32, 64, np.inf)))
    return evaluated_report(ground_truth, detections, result, curve, **options)


def content_of(report):
    found = re.search(r'id="content">(.*?)</script>', report.html, re.S)
    return json.loads(found[1])


def columns_of(report):
    found = re.search(r'id="columns">(.*?)</script>', report.html, re.S)
    data = gzip.decompress(base64.b64decode(found[1]))
    return {
        place['name']: np.frombuffer(
            data, place['type'], place['length'], place['offset']
        )
        for place in content_of(report)['columns']
    }


def test_page_holds_what_was_evaluated(folder):
    ground_truth, (detections, _) = results()
    report = page_of_one(ground_truth, detections, gallery=Gallery(folder))
    content, columns = content_of(report), columns_of(report)
    objects = ~ground_truth.crowd
    assert len(columns['object_area']) == objects.sum()
    assert len(columns['score_0']) == len(detections.score)
    rows = content['tables']['sizes']['rows']
    assert [row[0] for row in rows] == ['all', 'small', 'medium', 'large']
    assert content['items'] and not report.files
    assert {*content['pictures']} <= {*map(str, range(8))}


def test_page_asks_for_nothing_and_allows_no_other_script(folder):
    ground_truth, (detections, _) = results()
    html = page_of_one(ground_truth, detections).html
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)[1]
    assert "default-src 'none'" in policy
    assert re.search(r"script-src( 'sha256-[\w+/=]+'){3};", policy)
    assert not re.search(r'<(script|link|img)[^>]* (src|href)=', html)


def test_names_of_classes_and_files_are_text():
    ground_truth, (detections, _) = results()
    ground_truth = replace(
        ground_truth, category_names=[HOSTILE] * 3, name=HOSTILE
    )
    report = page_of_one(ground_truth, detections, name=HOSTILE)
    assert '<script>alert' not in report.html
    assert content_of(report)['classes'] == [HOSTILE] * 3


def test_images_that_cannot_be_read_are_named(folder, tmp_path):
    ground_truth, (detections, _) = results()
    for i in range(1, 6):
        (tmp_path / f'{i}.jpg').write_bytes(
            (folder / f'{i}.jpg').read_bytes() if i > 1 else b'no image'
        )
    report = page_of_one(ground_truth, detections, gallery=Gallery(tmp_path))
    notes = ' '.join(content_of(report)['notes'])
    assert '4 images could not be read' in notes
    for name in '1.jpg', '6.jpg', '7.jpg', '8.jpg':
        assert name in notes
    assert content_of(report)['items']


def test_pictures_are_chosen_evenly_and_the_page_says_so(folder):
    ground_truth, (detections, _) = results(objects=200)
    report = page_of_one(
        ground_truth, detections, gallery=Gallery(folder, most=40)
    )
    content = content_of(report)
    assert len(content['items']) == 40
    assert any('40 of' in note for note in content['notes'])
    again = page_of_one(
        ground_truth, detections, gallery=Gallery(folder, most=40)
    )
    assert content['items'] == content_of(again)['items']


def test_pictures_beyond_the_limit_lie_beside_the_page(folder, tmp_path):
    ground_truth, (detections, _) = results()
    report = page_of_one(
        ground_truth,
        detections,
        gallery=Gallery(folder, most=20, most_bytes=50_000, beside=tmp_path),
    )
    report.write(tmp_path / 'report.html')
    linked = [
        item['source']
        for item in content_of(report)['items']
        if not item['source'].startswith('data:')
    ]
    assert 0 < len(linked) < 20
    for name in linked:
        with Image.open(tmp_path / name) as picture:
            assert picture.format == 'JPEG'
    assert any('report_crops' in note for note in content_of(report)['notes'])


def test_pictures_of_all_kinds_of_images_become_rgb(tmp_path):
    ground_truth, (detections, _) = results()
    grey = np.arange(480 * 640).reshape(480, 640)
    for i, picture in enumerate(
        [
            Image.fromarray((grey % 256).astype(np.uint8)),
            Image.fromarray((grey % 65536).astype(np.uint16)),
            Image.fromarray(np.zeros((480, 640, 4), np.uint8)),
            Image.fromarray(grey % 256 > 9),
        ]
        * 2,
        1,
    ):
        picture.save(tmp_path / f'{i}.jpg', 'PNG')
    report = page_of_one(ground_truth, detections, gallery=Gallery(tmp_path))
    assert not any('read' in note for note in content_of(report)['notes'])


def test_comparison_has_both_detectors_and_their_intervals(folder):
    ground_truth, (first, second) = results()
    comparison = compare_detections(
        ground_truth, [first], [second], BINS, ('plain', 'SGE'), resamples=20
    )
    report = compared_report(
        ground_truth,
        (first, second),
        comparison,
        BINS,
        gallery=Gallery(folder),
    )
    content, columns = content_of(report), columns_of(report)
    assert content['detectors'] == ['plain', 'SGE']
    assert content['verdict'] == comparison.verdict()
    assert [row['name'] for row in content['differences']] == [
        row.name for row in comparison.sizes
    ]
    assert len(columns['hit_score_1']) == len(columns['hit_score_0'])


def test_no_objects_and_no_detections_give_a_page():
    ground_truth, (detections, _) = results()
    none = np.zeros(0, int)
    nothing = dict(
        image=none,
        category=none,
        box=np.zeros((0, 4)),
        area=np.zeros(0),
        segmentation=None,
    )
    no_detections = replace(detections, score=np.zeros(0), **nothing)
    no_objects = replace(ground_truth, crowd=np.zeros(0, bool), **nothing)
    for truth in ground_truth, no_objects:
        for found in detections, no_detections:
            content_of(page_of_one(truth, found))


def test_report_takes_what_evaluate_takes(folder):
    ground_truth, (first, second) = results()
    one = sge_mmdet.report(ground_truth, first, images=folder, sizes='aitod')
    rows = content_of(one)['tables']['sizes']['rows']
    assert rows[1][0] == 'very_tiny'
    two = sge_mmdet.report(
        ground_truth, first, second, names=('x', 'y'), resamples=10
    )
    assert content_of(two)['detectors'] == ['x', 'y']
    assert one._repr_html_().startswith('<iframe srcdoc="&lt;!DOCTYPE')


def test_column_of_another_type_is_refused():
    with pytest.raises(TypeError, match=r'a: expected one of .* got float64'):
        render_page('t', {}, dict(a=np.zeros(2)))
