"""The page of an evaluation or comparison in Chromium."""

import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from sge_mmdet.evaluation import compare_detections, evaluate, size_bins
from sge_mmdet.evaluation.interactive import (
    Gallery,
    compared_report,
    evaluated_report,
)
from sge_mmdet.evaluation.interactive.outcomes import (
    DETECTION_KINDS,
    OBJECT_KINDS,
    find_outcomes,
)
from sge_mmdet.evaluation.report import report_evaluation
from sge_mmdet.evaluation.synthetic import (
    Skill,
    synthetic_detections,
    synthetic_ground_truth,
)
from tests.helpers.browser import needs_chromium, open_page, open_tab
from tests.helpers.page_counts import (
    count_outcomes,
    exchange_of,
    gained_and_lost,
    sign_flip_p,
    threshold_of_precision,
)

pytestmark = needs_chromium
BINS = size_bins('coco')
FALSE = DETECTION_KINDS[1:-1]
HOSTILE = '<script>document.title = "run"</script>'
NARROW = dict(width=400, height=800)


@pytest.fixture(scope='module')
def tab():
    with open_tab() as tab:
        yield tab


@pytest.fixture(scope='module')
def data():
    """Ground truth and two detectors' results, with equal scores."""
    ground_truth = synthetic_ground_truth(30, 300, 4)
    ground_truth = replace(
        ground_truth, category_names=['ant', 'bee', HOSTILE, 'class 4']
    )
    return ground_truth, [
        replace(found, score=found.score.round(2))
        for found in (
            synthetic_detections(ground_truth, Skill(recall=recall), seed)
            for seed, recall in enumerate((0.6, 0.8))
        )
    ]


@pytest.fixture(scope='module')
def paths(data, tmp_path_factory):
    """The pages of an evaluation and of a comparison."""
    folder = tmp_path_factory.mktemp('reports')
    random = np.random.default_rng(0)
    for i in range(1, 31):
        pixels = random.integers(0, 255, (24, 32, 3), np.uint8)
        Image.fromarray(pixels).resize((640, 480)).save(folder / f'{i}.jpg')
    ground_truth, (first, second) = data
    gallery = Gallery(folder, most=120, beside=folder)
    one, two = folder / 'report.html', folder / 'compared.html'
    evaluated_report(
        ground_truth,
        first,
        evaluate(ground_truth, first, BINS),
        evaluate(ground_truth, first, size_bins((0, 32, 64, np.inf))),
        gallery=gallery,
    ).write(one)
    compared_report(
        ground_truth,
        (first, second),
        compare_detections(
            ground_truth,
            [first],
            [second],
            BINS,
            ('plain', 'SGE'),
            resamples=20,
        ),
        BINS,
        gallery=gallery,
    ).write(two)
    return one, two


def set_filters(page, low='', high='', category='', threshold=None):
    page.fill('#low', str(low))
    page.fill('#high', str(high))
    page.fill('#class', category)
    if threshold is not None:
        page.evaluate(
            """value => {
                const slider = document.getElementById('threshold');
                slider.value = value;
                slider.dispatchEvent(new Event('input'));
            }""",
            threshold,
        )
    # Twice, since what is set in a frame is drawn in the next.
    page.evaluate(
        '() => new Promise(done => requestAnimationFrame('
        '() => requestAnimationFrame(done)))'
    )


def rows_of(page, panel):
    return page.eval_on_selector_all(
        f'{panel} tbody tr',
        'rows => rows.map(row => [...row.cells].map(cell => '
        'cell.textContent))',
    )


def shown_counts(page, column=1):
    """Return numbers of objects and of false detections by kind."""
    numbers = [row[column] for row in rows_of(page, '#counts')]
    names = [row[0] for row in rows_of(page, '#counts')]
    first = names.index('objects') + 1
    second = names.index('false detections') + 1
    return (
        [int(n) for n in numbers[first : first + len(OBJECT_KINDS)]],
        [int(n) for n in numbers[second : second + len(FALSE)]],
    )


def test_filters_count_as_python_does(tab, data, paths):
    ground_truth, (detections, _) = data
    outcomes = find_outcomes(ground_truth, detections)
    with open_page(tab, paths[0]) as page:
        for low, high, category, score in (
            ('', '', '', 0.3),
            ('', 32, '', 0.3),
            (32, 96, 'bee', 0.55),
            (0, 200.5, 'ant', 0),
            ('', '', HOSTILE, 0.7),
            (500, '', '', 0.3),
        ):
            names = ground_truth.category_names
            expected = count_outcomes(
                outcomes,
                ground_truth,
                detections,
                score,
                (low or 0, high or float('inf')),
                names.index(category) if category else None,
            )
            set_filters(page, low, high, category, score)
            assert shown_counts(page) == as_shown(expected)


def as_shown(counts):
    """Return counts in the form of :func:`shown_counts`."""
    return (
        [counts['objects'][kind] for kind in OBJECT_KINDS],
        [counts['detections'][kind] for kind in FALSE],
    )


def test_gained_and_lost_objects_are_counted_and_tested_as_by_python(
    tab, data, paths
):
    ground_truth, results = data
    outcomes = [find_outcomes(ground_truth, each) for each in results]
    objects = outcomes[0].object
    inside = ground_truth.area[objects].astype(np.float32) <= 96**2
    expected = exchange_of(
        gained_and_lost(*outcomes, 0.4, 0.4)[inside],
        ground_truth.image[objects][inside],
    )
    with open_page(tab, paths[1]) as page:
        set_filters(page, high=96, threshold=0.4)
        row = rows_of(page, '#exchange')[0]
    assert row[:5] == ['in view', *map(str, (inside.sum(), *expected[:3]))]
    assert float(row[5]) == pytest.approx(expected.p, rel=0.01)


def test_equal_precision_finds_the_thresholds_of_python(tab, data, paths):
    ground_truth, results = data
    expected = []
    for detections in results:
        outcomes = find_outcomes(ground_truth, detections)
        scores = detections.score[outcomes.detection]
        expected.append(threshold_of_precision(outcomes.kind, scores, 0.6))
    with open_page(tab, paths[1]) as page:
        page.select_option('#mode', 'precision')
        set_filters(page, threshold=0.6)
        row = rows_of(page, '#counts')[0]
        assert page.text_content('#threshold-name') == 'Precision'
    assert row[0] == 'lowest score'
    assert [float(cell) for cell in row[1:]] == pytest.approx(
        expected, abs=6e-4
    )


def test_few_detections_have_hollow_points_without_a_line(tab, data, paths):
    ground_truth, (detections, _) = data
    outcomes = find_outcomes(ground_truth, detections)
    counted = outcomes.kind != DETECTION_KINDS.index('ignored')
    scores = detections.score[outcomes.detection[counted]]
    # The page has single precision.
    scores = scores.astype(np.float32).astype(float)
    counts = np.bincount((scores * 10).astype(int).clip(0, 9), None, 10)
    with open_page(tab, paths[0]) as page:
        curve, hollow, bars = page.evaluate(
            """() => document.getElementById('calibration-plot').data
                .slice(0, 3).map(({ y }) => y)"""
        )
    few = counts[counts > 0] < 10
    assert bars == counts.tolist()
    assert [value is None for value in curve] == few.tolist()
    assert [value is not None for value in hollow] == few.tolist()
    assert few.any() and not few.all()


def test_gallery_follows_the_filters(tab, paths):
    def status(page):
        return int(
            re.search(r'of (\d+) pictures', page.text_content('#pictures'))[1]
        )

    with open_page(tab, paths[0]) as page:
        before = status(page)
        page.check('#pictures input[value=hit]')
        set_filters(page)
        with_hits = status(page)
        set_filters(page, high=32)
        small = status(page)
        set_filters(page, low=5000)
        assert status(page) == 0
        assert not page.query_selector('.crop')
    assert with_hits > before > 0 and 0 < small < with_hits


def test_names_are_shown_and_not_run(tab, paths):
    with open_page(tab, paths[0]) as page:
        assert page.title() == 'Evaluation of the detector'
        assert HOSTILE in page.text_content('#table-classes')


def test_script_that_was_not_in_the_page_is_refused(tab, paths):
    with open_page(tab, paths[0], logs=['Content Security Policy']) as page:
        page.evaluate(
            """() => {
                const script = document.createElement('script');
                script.textContent = 'document.title = "run"';
                document.body.append(script);
            }"""
        )
        assert page.title() != 'run'


def test_page_is_used_by_keyboard(tab, paths):
    with open_page(tab, paths[0]) as page:
        page.focus('#size')
        page.keyboard.press('ArrowDown')
        assert page.input_value('#high') == '32'
        page.focus('#table-sizes th:nth-child(3) button')
        page.keyboard.press('Enter')
        objects = [int(row[2]) for row in rows_of(page, '#table-sizes')]
        assert objects == sorted(objects, reverse=True)
        page.focus('.crop')
        page.keyboard.press('Enter')
        assert page.is_visible('#zoom')
        page.keyboard.press('Escape')
        assert not page.is_visible('#zoom')
        # A class is chosen in the table, and the choice is undone.
        page.focus('#table-classes td button')
        page.keyboard.press('Enter')
        assert page.input_value('#class') != ''


def test_unknown_class_is_named(tab, paths):
    with open_page(tab, paths[0]) as page:
        before = shown_counts(page)
        set_filters(page, category='nobody')
        assert 'no class' in page.text_content('#class-error')
        assert shown_counts(page) == before


@pytest.mark.parametrize('which', [0, 1])
@pytest.mark.parametrize('width, scheme', [(400, 'dark'), (2000, 'light')])
def test_page_fits_its_window(tab, paths, which, width, scheme):
    with open_page(
        tab,
        paths[which],
        dict(width=width, height=900),
        scheme,
    ) as page:
        root = 'document.documentElement'
        assert page.evaluate(f'{root}.scrollWidth') <= width
        # Plots follow the colours of the scheme.
        fill = page.eval_on_selector(
            '#errors-plot .xtick text', 'text => getComputedStyle(text).fill'
        )
        assert (fill == 'rgb(27, 31, 36)') == (scheme == 'light')


def test_whole_image_opens_beside_the_page(tab, paths):
    with open_page(tab, paths[1], NARROW) as page:
        page.click('.crop')
        links = page.eval_on_selector_all(
            '#zoom-image image:first-child',
            "images => images.map(image => image.getAttribute('href'))",
        )
        assert len(links) == 2 and (paths[1].parent / links[0]).is_file()
        page.click('#zoom-close')
        assert not page.is_visible('#zoom')


def test_precision_that_is_just_reached_counts(tab, paths):
    """11 of 20 reach 0.55, although 0.55 * 20 is more than 11 in doubles."""
    with open_page(tab, paths[0]) as page:
        found = page.evaluate(
            """() => {
                const hit = (i) => i % 2 === 0 || i === 19;
                const each = (type, value) => type.from(
                    {length: 20}, (_, i) => value(i));
                Object.assign(state, { precision: 0.55 });
                Object.assign(columns, {
                    object_area: Float32Array.of(1),
                    object_class: Int32Array.of(0),
                    score_0: each(Float32Array, (i) => 1 - i / 32),
                    kind_0: each(Uint8Array, (i) => hit(i) ? 0 : 4),
                    partner_0: each(Int32Array, (i) => hit(i) ? 0 : -1),
                    area_0: new Float32Array(20),
                    class_0: new Int32Array(20),
                });
                return sweep(0, 1).threshold;
            }"""
        )
    assert found == 1 - 19 / 32


def test_exact_test_is_that_of_python(tab, paths):
    random = np.random.default_rng(0)
    samples = [
        random.integers(-most, most + 1, n)
        for most, n in ((1, 12), (3, 200), (9, 5000), (40, 60)) * 4
    ]
    samples.append(np.r_[np.ones(400, int), -np.ones(290, int)])
    with open_page(tab, paths[1]) as page:
        found = page.evaluate(
            'samples => samples.map(signFlip)',
            [sample.tolist() for sample in samples],
        )
    expected = [sign_flip_p(sample) for sample in samples]
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-12)


@pytest.fixture(scope='module')
def of_logits(data, tmp_path_factory):
    """A page of a detector whose scores lie between -6 and 6."""
    ground_truth, (detections, _) = data
    detections = replace(
        detections, score=(12 * detections.score - 6).round(3)
    )
    path = tmp_path_factory.mktemp('logits') / 'report.html'
    result = evaluate(ground_truth, detections, BINS)
    evaluated_report(
        ground_truth, detections, result, result, score=-1.375
    ).write(path)
    return path, detections


def test_scores_may_be_logits(tab, data, of_logits):
    path, detections = of_logits
    outcomes = find_outcomes(data[0], detections)
    with open_page(tab, path) as page:
        # It begins with the score that it was written for.
        for score in None, -6, -3, 2.5:
            expected = count_outcomes(
                outcomes,
                data[0],
                detections,
                -1.375 if score is None else score,
            )
            set_filters(page, threshold=score)
            assert shown_counts(page) == as_shown(expected)


def test_first_score_is_exact_and_shown_with_three_digits(tab, data, tmp_path):
    """Rounded up, it would lose the detection that it comes from."""
    ground_truth, (detections, _) = data
    # Scores of 0.0006 more than thousandths: rounding goes up.
    score = np.floor(1000 * detections.score) / 1000 + 0.0006
    detections = replace(detections, score=score)
    result = evaluate(ground_truth, detections, BINS)
    report = report_evaluation(ground_truth, detections, result)
    report.page().write(tmp_path / 'report.html')
    best = report.points.best('all')
    with open_page(tab, tmp_path / 'report.html') as page:
        rows = dict(rows_of(page, '#counts'))
        assert page.text_content('#threshold-value') == f'{best.score:.3f}'
        set_filters(page, threshold=0.9)
        changed = dict(rows_of(page, '#counts'))
        page.click('button[type=reset]')
        page.wait_for_selector(f'#threshold-value:text-is("{best.score:.3f}")')
        set_filters(page)
        assert dict(rows_of(page, '#counts')) == rows != changed
        assert 'highest F1 (all sizes)' in page.text_content('#counts')
    assert rows['lowest score'] == f'{best.score:.3f}'
    assert rows['F1'] == f'{best.f1:.3f}'
    assert rows['recall'] == f'{best.recall:.3f}'


def test_report_sent_alone_says_what_is_missing(tab, paths, tmp_path):
    copy = tmp_path / 'alone.html'
    copy.write_bytes(paths[1].read_bytes())
    # The image is looked for, in vain.
    with open_page(tab, copy, logs=['ERR_FILE_NOT_FOUND']) as page:
        page.click('.crop')
        page.wait_for_selector('#zoom-missing:not(:empty)')
        assert 'only the piece' in page.text_content('#zoom-missing')


def test_reset_and_small_p_and_signs(tab, paths):
    with open_page(tab, paths[1]) as page:
        before = shown_counts(page)
        page.select_option('#mode', 'precision')
        set_filters(page, low=-5, high=60, threshold=0.9)
        page.emulate_media(media='print')
        assert page.is_visible('#chosen')
        assert page.text_content('#chosen') == (
            'Chosen: sizes 0 to 60 px, all classes, precision from 0.90.'
        )
        page.emulate_media(media='screen')
        assert not page.is_visible('#chosen')
        page.click('button[type=reset]')
        page.wait_for_selector('#threshold-name:text("Score")')
        set_filters(page)
        assert shown_counts(page) == before
        # A negative size is none.
        set_filters(page, low=-500)
        assert shown_counts(page) == before
        assert page.evaluate('showP(1e-20)') == '< 1e-12'
        assert page.evaluate(
            "['+1.2', '-5.0', '0.0', '+10.0'].sort(compareCells)"
        ) == ['-5.0', '0.0', '+1.2', '+10.0']


def test_counts_of_many_classes_add_up_and_say_what_is_left_out(tab, tmp_path):
    ground_truth = synthetic_ground_truth(40, 2000, 60)
    found = synthetic_detections(ground_truth, Skill(recall=0.9), 0)
    random = np.random.default_rng(0)
    guess = random.integers(0, 60, len(found.category))
    is_guess = random.random(len(guess)) < 0.5
    found = replace(found, category=np.where(is_guess, guess, found.category))
    path = tmp_path / 'report.html'
    evaluated_report(
        ground_truth,
        found,
        evaluate(ground_truth, found, BINS),
        evaluate(ground_truth, found, BINS),
    ).write(path)
    with open_page(tab, path) as page:
        rows = rows_of(page, '#confusion')
        said = page.inner_text('#confusion')
    assert len(rows) == 12
    for _, *cells, total in rows:
        assert sum(map(int, cells)) == int(total)
    assert 'The other 48 classes in view are left out.' in said
