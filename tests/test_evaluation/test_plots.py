import json
import sys
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import imread

from sge_mmdet.datasets import DigitsOptions, make_digits
from sge_mmdet.evaluation import (
    ErrorBreakdown,
    SizeBin,
    compare_detections,
    diagnose_detections,
    evaluate,
    size_bins,
)
from sge_mmdet.evaluation.plots import (
    draw_ap_by_size,
    draw_calibration,
    draw_comparison,
    draw_confusion,
    draw_detections,
    draw_error_costs,
    draw_errors,
)
from sge_mmdet.evaluation.plots.boxes import arrange_labels, draw_box
from sge_mmdet.evaluation.plots.curves import FEW
from sge_mmdet.evaluation.synthetic import (
    Skill,
    synthetic_detections,
    synthetic_ground_truth,
)
from sge_mmdet.visualization import draw_training_curves
from sge_mmdet.visualization.training_curves import (
    read_scalars,
    training_curves,
)


def log(work_dir, run, lines):
    folder = work_dir / run / 'vis_data'
    folder.mkdir(parents=True)
    (folder / 'scalars.json').write_text(
        '\n'.join(
            line if isinstance(line, str) else json.dumps(line)
            for line in lines
        )
    )


@pytest.fixture
def drawn(monkeypatch):
    """A function that returns the figure that a function would write."""

    def draw(function, *data):
        figures = []
        monkeypatch.setattr(
            sys.modules[function.__module__],
            'save_figure',
            lambda figure, *_: figures.append(figure),
        )
        function(*data, 'unused.png')
        return figures[0]

    return draw


@pytest.mark.parametrize('false', [0, 1, 7])
def test_numbers_of_errors_begin_at_zero_and_are_whole(drawn, false):
    errors = ErrorBreakdown(
        SizeBin('small', 0, 32),
        0.58058,
        2,
        2,
        dict(localisation=0, missed=0),
        dict(duplicate=0, background=false),
        np.zeros(0, int),
    )
    figure = drawn(draw_errors, errors)
    assert [axis.get_xlabel() for axis in figure.axes] == [
        'objects',
        'detections',
    ]
    for axis, most in zip(figure.axes, (2, false)):
        assert axis.get_xlim()[0] == 0 and axis.get_xlim()[1] > most
        ticks = axis.get_xticks()
        assert (ticks == ticks.round()).all()
    assert 'score of at least 0.581' in figure.texts[0].get_text()


def diagnostics_of(ground_truth, detections):
    return diagnose_detections(ground_truth, detections, size_bins('coco'))


@pytest.fixture(scope='module')
def data():
    """Ground truth and detections, with few of them at some scores."""
    ground_truth = synthetic_ground_truth(8, 100, 3)
    return ground_truth, synthetic_detections(ground_truth, Skill(), 0)


def hollow(axis):
    """Return the values of the points that are hollow, in order."""
    return sorted(
        value
        for line in axis.lines
        if line.get_fillstyle() == 'none'
        for value in line.get_ydata()
    )


def test_few_detections_have_hollow_markers_in_the_calibration(drawn, data):
    diagnostics = diagnostics_of(*data)
    figure = drawn(draw_calibration, diagnostics)
    axis, legend = figure.axes[0], figure.legends[0]
    few = [
        (one.counts > 0) & (one.counts < FEW)
        for one in diagnostics.calibrations
    ]
    expected = [
        one.precision[is_few]
        for one, is_few in zip(diagnostics.calibrations, few)
    ]
    assert hollow(axis) == sorted(np.concatenate(expected)) != []
    lines = [line for line in axis.lines if len(line.get_xdata()) > 2]
    assert sum(
        np.isnan(line.get_ydata()).sum()
        for line in lines
        if line.get_fillstyle() == 'full'
    ) == sum(map(np.count_nonzero, few))
    assert legend.texts[-1].get_text() == 'fewer than 10 detections'
    assert axis.get_legend() is None


def test_calibration_shows_how_many_detections_each_point_has(drawn, data):
    diagnostics = diagnostics_of(*data)
    figure = drawn(draw_calibration, diagnostics)
    curves, numbers = figure.axes
    lines = [one for one in curves.lines if one.get_label()[0] != '_']
    for one, line, steps in zip(
        diagnostics.calibrations, lines, numbers.patches
    ):
        assert line.get_label().startswith(one.bin.name)
        assert (steps.get_data().values == one.counts).all()
        assert steps.get_edgecolor()[:3] == to_rgb(line.get_color())
    assert len(numbers.patches) == len(diagnostics.calibrations)


def test_few_objects_have_hollow_markers_over_size(drawn, data):
    bins = size_bins((0, 8, 32, 96, 128, 256, float('inf')))
    result = evaluate(*data, bins)
    figure = drawn(draw_ap_by_size, result)
    axis = figure.axes[0]
    objects = [result.count(bin.name) for bin in bins]
    few = [n for n in objects if 0 < n < FEW]
    assert few and len(hollow(axis)) == 3 * sum(n < FEW for n in objects)
    assert [
        label.get_text().split('\n')[1] for label in axis.get_xticklabels()
    ] == [f'({n})' for n in objects]
    legend = figure.legends[0]
    assert legend.texts[-1].get_text() == 'fewer than 10 objects'


def test_confusions_have_numbers_and_classes_without_objects_none(drawn, data):
    ground_truth, detections = data
    diagnostics = diagnostics_of(
        replace(ground_truth, category=np.minimum(ground_truth.category, 1)),
        detections,
    )
    axis = drawn(draw_confusion, diagnostics, 'all').axes[0]
    matrix = diagnostics.confusions[0].matrix[:-1]
    written = np.zeros(matrix.shape, int).astype(object)
    for text in axis.texts:
        column, row = text.get_position()
        written[row, column] = text.get_text()
    expected = [[str(n) if n else 0 for n in row] for row in matrix]
    expected[-1] = 4 * ['n/a']
    assert written.tolist() == expected
    assert axis.get_yticklabels()[-1].get_text() == 'class 3 (0)'


def test_costs_of_errors_are_those_of_the_table(drawn, data):
    diagnostics = diagnostics_of(*data)
    axis = drawn(draw_error_costs, diagnostics).axes[0]
    shown = [[bar.get_height() for bar in bars] for bars in axis.containers]
    table = diagnostics.cost_table()
    kinds = [label.get_text() for label in axis.get_xticklabels()]
    assert shown == [
        [row[table.header.index(kind)] for kind in kinds] for row in table.rows
    ]


def test_classes_that_cannot_be_told_are_counted_if_there_are_any(drawn, data):
    ground_truth, detections = data
    comparison = compare_detections(
        ground_truth,
        [detections],
        [synthetic_detections(ground_truth, Skill(recall=0.9), 1)],
        size_bins('coco'),
        resamples=100,
    )
    told = [row for row in comparison.classes if row.is_told]
    untold = [replace(told[0], p=None, p_adjusted=None), *told[1:]]
    titles = [
        drawn(draw_comparison, replace(comparison, classes=classes))
        .axes[1]
        .get_title()
        for classes in (told, untold)
    ]
    assert titles[0] == 'by class'
    assert titles[1] == (
        f'by class; 1 of {len(told)} have too few images to tell'
    )


def test_detections_are_drawn_above_the_threshold_only(tmp_path):
    root = tmp_path / 'digits'
    make_digits(
        root, DigitsOptions(train_images=1, val_images=3, image_size=128)
    )
    ground_truth = root / 'annotations' / 'val.json'
    annotations = json.loads(ground_truth.read_text())['annotations']
    pictures = {}
    for score in (0.2, 0.9):
        results = [dict(annotation, score=score) for annotation in annotations]
        (tmp_path / 'results.json').write_text(json.dumps(results))
        draw_detections(
            ground_truth,
            root / 'val',
            tmp_path / 'results.json',
            tmp_path / f'{score}.png',
        )
        pictures[score] = imread(tmp_path / f'{score}.png')
    differs = (pictures[0.2] != pictures[0.9]).any((0, 2))
    quarter = len(differs) // 4
    # Columns: ground truth and detections, twice.
    assert differs[quarter : 2 * quarter].any()
    assert not differs[: quarter - 20].any()


def test_labels_of_boxes_are_inside_and_apart():
    figure = Figure(figsize=(4, 4), layout='constrained')
    axis = figure.subplots()
    axis.imshow(np.zeros((100, 100)))
    # At the upper edge, at the right one, and three at one place.
    for x, y in (5, 0), (95, 50), (20, 60), (20, 60), (22, 61):
        draw_box(axis, np.array([x, y, 5, 5]), 'red', 'a class: 0.99')
    figure.draw_without_rendering()
    arrange_labels(axis)
    places = [text.get_window_extent() for text in axis.texts]
    for i, place in enumerate(places):
        assert (place.min >= axis.bbox.min).all()
        assert (place.max <= axis.bbox.max).all()
        assert not place.count_overlaps(places[:i])


def test_empty_ground_truth_is_refused(tmp_path):
    for name, content in (
        ('truth', dict(images=[], annotations=[], categories=[])),
        ('results', []),
    ):
        (tmp_path / f'{name}.json').write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r'truth\.json has no images'):
        draw_detections(
            tmp_path / 'truth.json',
            tmp_path,
            tmp_path / 'results.json',
            tmp_path / 'out.png',
        )


def test_later_part_of_a_resumed_run_counts(tmp_path):
    log(
        tmp_path,
        '20260101_000000',
        [dict(loss=3.0, step=10), dict(loss=2.0, step=20), '{"loss": 1'],
    )
    log(
        tmp_path,
        '20260101_000100',
        [
            dict(loss=2.5, step=20),
            {'coco/bbox_mAP': 0.1, 'step': 20},
            {'coco/bbox_mAP': 0.7, 'step': 0},
        ],
    )
    scalars = read_scalars(tmp_path)
    assert scalars['loss'] == {10: 3.0, 20: 2.5}
    assert scalars['coco/bbox_mAP'] == {20: 0.1}


def test_curves_show_loss_and_precision_by_step(tmp_path):
    log(
        tmp_path,
        '20260101_000000',
        [
            dict(loss=3.0, loss_cls=1.0, step=10),
            dict(loss=2.0, step=20),
            {'coco/bbox_mAP': 0.1, 'coco/bbox_mAP_l': -1.0, 'step': 20},
        ],
    )
    figure = training_curves(read_scalars(tmp_path))
    drawn = [
        {line.get_label(): line.get_xydata().tolist() for line in axis.lines}
        for axis in figure.axes
    ]
    assert drawn == [
        {'total loss': [[10, 3], [20, 2]], 'RoI classes': [[10, 1]]},
        {'AP': [[20, 0.1]]},
    ]
    draw_training_curves(tmp_path, tmp_path / 'curves.png')
    assert imread(tmp_path / 'curves.png').shape == (450, 1200, 4)


@pytest.mark.parametrize(
    ('step', 'epochs', 'unit'),
    [
        (2, {10: 1, 20: 1, 30: 2, 40: 2}, 'epoch'),
        (40, {10: 1, 20: 1, 30: 2, 40: 2}, 'iteration'),
        (40, {}, 'iteration'),
    ],
)
def test_axis_of_a_curve_says_what_its_steps_are(step, epochs, unit):
    scalars = {'loss': {10: 3.0, 40: 1.0}, 'coco/bbox_mAP': {step: 0.2}}
    if epochs:
        scalars['epoch'] = epochs
    figure = training_curves(scalars)
    units = [axis.get_xlabel() for axis in figure.axes]
    assert units == ['iteration', unit]


def test_empty_axis_says_that_nothing_was_logged():
    figure = training_curves({'loss': {1: 2.0}})
    assert not figure.axes[0].texts
    assert figure.axes[1].texts[0].get_text() == 'nothing logged'


def test_work_directory_without_logs_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='holds no log'):
        draw_training_curves(tmp_path, tmp_path / 'curves.png')
