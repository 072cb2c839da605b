"""The page of an evaluation or comparison, without a browser."""

import io
import os
import re
import shutil
from dataclasses import replace
from urllib.parse import unquote_to_bytes

import numpy as np
import pytest
from PIL import Image, ImageOps

import sge_mmdet
from sge_mmdet.evaluation import (
    compare_detections,
    diagnose_detections,
    evaluate,
    size_bins,
)
from sge_mmdet.evaluation.interactive import (
    Gallery,
    compared_report,
    evaluated_report,
)
from sge_mmdet.evaluation.interactive.crops import cut_out
from sge_mmdet.evaluation.interactive.page import render_page
from sge_mmdet.evaluation.report import report_evaluation
from sge_mmdet.evaluation.synthetic import (
    Skill,
    synthetic_detections,
    synthetic_ground_truth,
)
from tests.helpers.pages import columns_of, content_of

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
    # Equal names are numbered.
    assert content_of(report)['classes'] == [
        HOSTILE + number for number in ('', ' (2)', ' (3)')
    ]


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
    # Another page in the same folder must not change these pictures.
    other = page_of_one(
        ground_truth,
        detections,
        gallery=Gallery(folder, most=9, most_bytes=0, beside=tmp_path),
    )
    for name in {*report.files} & {*other.files}:
        assert report.files[name] == other.files[name]
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


@pytest.mark.parametrize(
    'orientation, is_annotated_as_stored',
    # The size tells only whether it was turned by 90 degrees.
    [*((i, False) for i in range(1, 9)), *((i, True) for i in range(5, 9))],
)
def test_pieces_are_cut_where_the_annotations_are(
    tmp_path, orientation, is_annotated_as_stored
):
    """A red square is cut out of an image that its EXIF data turn."""
    upright = Image.new('RGB', (200, 100), 'blue')
    upright.paste('red', (150, 10, 170, 30))
    # A reader of the EXIF data turns the stored image back.
    inverse = {6: 8, 8: 6}.get(orientation, orientation)
    exif = Image.Exif()
    exif[0x0112] = inverse
    stored = ImageOps.exif_transpose(_with_exif(upright, exif, tmp_path))
    if is_annotated_as_stored:
        stored = upright
    exif[0x0112] = orientation
    stored.save(tmp_path / 'a.png', exif=exif)
    crops = cut_out(
        tmp_path,
        ['a.png'],
        np.array([[100, 200]]),
        np.zeros(1, int),
        np.array([[150, 10, 20, 20.0]]),
    )
    x, y, *_ = crops.windows[0]
    with Image.open(io.BytesIO(crops.pictures[0])) as piece:
        red, _, blue = piece.getpixel((int(160 - x), int(20 - y)))
    assert red > 200 and blue < 50
    assert crops.sizes == {0: (200, 100)} and not crops.resized
    assert crops.unturned == ({0} if is_annotated_as_stored else set())


def _with_exif(picture, exif, folder):
    picture.save(folder / 'exif.png', exif=exif)
    return Image.open(folder / 'exif.png')


@pytest.mark.parametrize('annotated', [(50, 100), (200, 400), (0, 0)])
def test_pieces_are_those_of_the_annotations_in_resized_images(
    tmp_path, annotated
):
    picture = Image.new('RGB', (200, 100), 'blue')
    picture.paste('red', (150, 10, 190, 50))
    picture.save(tmp_path / 'a.png')
    scale = (annotated[0] or 100) / 100
    crops = cut_out(
        tmp_path,
        ['a.png'],
        np.array([annotated]),
        np.zeros(1, int),
        scale * np.array([[150, 10, 40, 40.0]]),
    )
    with Image.open(io.BytesIO(crops.pictures[0])) as piece:
        x, y, width, height = crops.windows[0]
        red, _, blue = piece.getpixel(
            (
                int((170 * scale - x) / width * piece.width),
                int((30 * scale - y) / height * piece.height),
            )
        )
    assert red > 200 and blue < 50
    assert bool(crops.resized) == (annotated[0] > 0)
    assert crops.sizes == {0: (200 * scale, 100 * scale)}


def test_classes_of_equal_or_no_names_are_told_apart():
    ground_truth, (detections, _) = results(classes=5)
    ground_truth = replace(
        ground_truth, category_names=['a', 'a (2)', 'a', '', 'a']
    )
    content = content_of(page_of_one(ground_truth, detections))
    names = ['a', 'a (2)', 'a (3)', '(no name)', 'a (4)']
    assert content['classes'] == names
    assert [row[0] for row in content['tables']['classes']['rows']] == names


def test_names_that_are_no_text_give_a_page(folder, tmp_path):
    """Lone surrogates of a JSON file, and a folder whose name is no UTF-8."""
    odd = tmp_path / os.fsdecode(b'\xff 100%%STYLE%% #?')
    shutil.copytree(folder, odd)
    ground_truth, (detections, _) = results()
    names = ['\ud800.jpg', *ground_truth.file_names[1:]]
    ground_truth = replace(ground_truth, file_names=names)
    report = page_of_one(
        ground_truth,
        detections,
        name='\udcff %%SCRIPT%%',
        gallery=Gallery(odd, beside=tmp_path),
    )
    report.write(tmp_path / 'report.html')
    content = content_of(report)
    links = [picture['link'] for picture in content['pictures'].values()]
    for link in links:
        assert (tmp_path / os.fsdecode(unquote_to_bytes(link))).is_file()
    assert links and any('?.jpg' in note for note in content['notes'])
    assert '<title>Evaluation of ? %%SCRIPT%%</title>' in report.html


def test_report_of_proposals_is_refused():
    ground_truth, (detections, _) = results()
    with pytest.raises(ValueError, match=r'"proposal".*sge_mmdet\.evaluate'):
        sge_mmdet.report(ground_truth, detections, metric='proposal')


def test_page_begins_with_the_best_score_of_all_sizes():
    ground_truth, (detections, _) = results(200)
    # Sizes differ in their best scores.
    halved = np.where(detections.area < 32**2, 0.5, 1) * detections.score
    detections = replace(detections, score=halved)
    result = evaluate(ground_truth, detections, BINS)
    report = report_evaluation(ground_truth, detections, result)
    content = content_of(report.page())
    best = report.points.threshold('all')
    assert content['score'] == best != report.points.threshold('small')
    assert content['scoreNote'].endswith('highest F1 (all sizes)')
    assert report.errors.score_threshold == report.points.threshold('small')
    given = report_evaluation(ground_truth, detections, result, score=0.4)
    content = content_of(given.page())
    assert (content['score'], content['scoreNote']) == (0.4, '')
    assert given.errors.score_threshold == 0.4


def test_tables_in_markdown_have_headings(tmp_path):
    ground_truth, (detections, _) = results()
    evaluated = evaluate(ground_truth, detections, BINS)
    diagnostics = diagnose_detections(ground_truth, detections, BINS)
    result = replace(evaluated, diagnostics=diagnostics)
    report_evaluation(ground_truth, detections, result).write(tmp_path)
    lines = (tmp_path / 'evaluation.md').read_text().splitlines()
    headings = [line[3:] for line in lines if line.startswith('## ')]
    assert headings[:2] == ['Figures by size', 'Figures by class']
    # As the terminal has them.
    assert headings[2:] == [*diagnostics.tables()]
    assert len(headings) == sum(line.startswith('| ---') for line in lines)


def test_report_is_complete_although_images_are_missing(folder, tmp_path):
    """Only a folder without any of the images is refused."""
    ground_truth, (detections, _) = results(200)
    result = evaluate(ground_truth, detections, BINS)
    report = report_evaluation(ground_truth, detections, result)
    missed = ground_truth.image[report.errors.missed[:24]]
    shutil.copytree(folder, tmp_path / 'images')
    (tmp_path / 'images' / ground_truth.file_names[missed[0]]).unlink()
    report.write(tmp_path / 'out', tmp_path / 'images')
    assert (tmp_path / 'out' / 'missed.png').is_file()
    (tmp_path / 'none').mkdir()
    with pytest.raises(FileNotFoundError, match='no image'):
        report.write(tmp_path / 'out', tmp_path / 'none')
