"""Which categories the labels of a result pickle and a config mean."""

import json

import pytest
import torch

from sge_mmdet.engine.class_names import checkpoint_classes
from sge_mmdet.evaluation import (
    evaluate as evaluate_detections,
)
from sge_mmdet.evaluation import (
    read_detections,
    read_ground_truth,
    size_bins,
)
from sge_mmdet.utils import build_model, load_config
from sge_mmdet_cli import compare, evaluate
from tests.helpers.tiny_run import write_tiny_run
from tests.test_evaluation.test_result_files import dump

NAMES = ('car', 'bus', 'dog', 'cat')


def data_of_classes():
    """Return ground truth with one object of each class in each image."""
    box = [[5.0 + 9 * k, 5.0, 6.0 + k, 9.0] for k in range(len(NAMES))]
    objects = [
        dict(
            id=1 + len(NAMES) * i + k,
            image_id=i,
            category_id=7 + k,
            bbox=box[k],
            area=box[k][2] * box[k][3],
            iscrowd=0,
        )
        for i in range(3)
        for k in range(len(NAMES))
    ]
    return dict(
        images=[
            dict(id=i, height=40, width=60, file_name=f'{i}.png')
            for i in range(3)
        ],
        categories=[dict(id=7 + k, name=name) for k, name in enumerate(NAMES)],
        annotations=objects,
    )


def write(folder, classes):
    """Write ground truth and perfect results of a detector of ``classes``."""
    data = data_of_classes()
    (folder / 'truth.json').write_text(json.dumps(data))
    ids = {c['name']: c['id'] for c in data['categories']}
    wanted = {ids[name] for name in classes}
    results = [
        dict(entry, score=0.9)
        for entry in data['annotations']
        if entry['category_id'] in wanted
    ]
    labelled = dict(data, categories=[dict(id=ids[name]) for name in classes])
    dump(folder / 'results.pkl', labelled, results)
    (folder / 'results.json').write_text(json.dumps(results))
    return folder / 'truth.json', folder / 'results.pkl'


def ap(ground_truth, results):
    detections = read_detections(results, ground_truth)
    return evaluate_detections(
        ground_truth, detections, size_bins('coco')
    ).ap()


@pytest.mark.parametrize(
    'classes', [('bus', 'cat'), ('cat', 'bus'), tuple(reversed(NAMES))]
)
def test_labels_mean_the_classes_that_are_named_in_their_order(
    tmp_path, classes
):
    truth, results = write(tmp_path, classes)
    ground_truth = read_ground_truth(truth, classes, in_label_order=True)
    assert ap(ground_truth, results) == pytest.approx(1)
    assert ap(ground_truth, tmp_path / 'results.json') == pytest.approx(1)


def test_labels_beyond_the_named_classes_are_told_from_the_categories(
    tmp_path,
):
    truth, results = write(tmp_path, tuple(reversed(NAMES)))
    ground_truth = read_ground_truth(truth, NAMES[:2], in_label_order=True)
    with pytest.raises(
        ValueError,
        match=r'only 2 of the 4 categories .* were named as classes',
    ):
        ap(ground_truth, results)


def test_a_pickle_alone_with_fewer_labels_than_categories_asks_for_classes(
    tmp_path,
):
    truth, results = write(tmp_path, ('bus', 'cat'))
    with pytest.raises(
        ValueError, match=r'labels up to 1, but .* 4 categories.*--classes'
    ):
        ap(read_ground_truth(truth), results)
    # All of them: the labels are taken for the first two.
    assert ap(read_ground_truth(truth, 'all'), results) == 0
    # JSON names its categories.
    assert ap(
        read_ground_truth(truth), tmp_path / 'results.json'
    ) == pytest.approx(0.5)


def test_a_pickle_of_all_categories_needs_no_classes(tmp_path):
    truth, results = write(tmp_path, NAMES)
    assert ap(read_ground_truth(truth), results) == pytest.approx(1)


def test_detections_of_categories_that_are_not_evaluated_are_left_out(
    tmp_path,
):
    truth, _ = write(tmp_path, NAMES)
    ground_truth = read_ground_truth(truth, ['dog'])
    detections = read_detections(tmp_path / 'results.json', ground_truth)
    assert len(detections.image) == 3
    rows = json.loads((tmp_path / 'results.json').read_text())
    rows[0]['category_id'] = 99
    (tmp_path / 'other.json').write_text(json.dumps(rows))
    with pytest.raises(ValueError, match='category 99'):
        read_detections(tmp_path / 'other.json', ground_truth)


@pytest.mark.parametrize(
    'classes, words',
    [
        (['bus', 'cow'], 'has no category cow'),
        (['bus', 'bus'], 'names occur once'),
    ],
)
def test_classes_that_cannot_be_told_are_refused(tmp_path, classes, words):
    truth, _ = write(tmp_path, NAMES)
    with pytest.raises(ValueError, match=words):
        read_ground_truth(truth, classes, in_label_order=True)


def save_config(folder, classes):
    path = folder / 'config.py'
    path.write_text(
        "test_dataloader = dict(dataset=dict(type='CocoDataset', "
        f'metainfo=dict(classes={classes!r})))\n'
    )
    return path


def save_checkpoint(folder, classes):
    path = folder / 'model.pth'
    meta = dict(dataset_meta=dict(classes=classes))
    torch.save(dict(meta=meta, state_dict={}), path)
    return path


@pytest.mark.parametrize('save', [save_config, save_checkpoint])
def test_tools_take_the_classes_of_a_config_and_of_a_checkpoint(
    tmp_path, capsys, save
):
    # MMDetection numbers labels in the order of the file.
    truth, results = write(tmp_path, ('bus', 'cat'))
    source = save(tmp_path, ('cat', 'bus'))
    args = ['--classes', str(source)]
    evaluate.main([str(truth), str(results), '--classwise', *args])
    shown = capsys.readouterr().out
    assert '1.000' in shown and 'dog' not in shown
    compare.main(
        [str(results)] * 2
        + ['--ground-truth', str(truth), '--resamples', '5', *args]
    )
    assert '1.000' in capsys.readouterr().out


def test_tools_take_names_and_ask_for_them(tmp_path, capsys):
    truth, results = write(tmp_path, ('cat', 'bus'))
    both = [str(results)] * 2 + ['--ground-truth', str(truth)]
    both += ['--resamples', '5']
    for main, args in (
        (evaluate.main, [str(truth), str(results)]),
        (compare.main, both),
    ):
        with pytest.raises(SystemExit, match='--classes'):
            main(args)
        main([*args, '--classes', 'cat', 'bus'])
        assert '1.000' in capsys.readouterr().out


def test_a_config_or_checkpoint_without_classes_is_refused(tmp_path):
    truth, results = write(tmp_path, NAMES)
    source = save_checkpoint(tmp_path, ())
    with pytest.raises(SystemExit, match='does not name the classes'):
        evaluate.main([str(truth), str(results), '--classes', str(source)])
    assert checkpoint_classes(dict(meta=dict(CLASSES='cat'))) == ('cat',)
    assert checkpoint_classes([]) is None


def test_a_detector_is_evaluated_on_the_classes_of_its_config(
    tmp_path, capsys
):
    config = write_tiny_run(
        tmp_path,
        "test_dataloader['dataset']['metainfo'] = dict(classes=('3', '7'))\n"
        'model = dict(roi_head=dict(bbox_head=dict(num_classes=2)))\n',
    )
    torch.manual_seed(0)
    torch.save(
        dict(
            meta=dict(dataset_meta=dict(classes=('3', '7', '9'))),
            state_dict=build_model(load_config(config)).state_dict(),
        ),
        tmp_path / 'model.pth',
    )
    with pytest.warns(UserWarning, match='trained on 3 classes.* tests 2'):
        evaluate.main(
            [
                str(config),
                str(tmp_path / 'model.pth'),
                '--classwise',
                '--out-dir',
                str(tmp_path / 'out'),
            ]
        )
    rows = json.loads((tmp_path / 'out' / 'evaluation.json').read_text())
    assert [row['class'] for row in rows['classes']] == ['3', '7']
