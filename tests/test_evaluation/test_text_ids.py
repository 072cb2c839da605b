"""Ids of images and categories that are text, in files and in results."""

import copy
import json

import numpy as np
import pytest

import sge_mmdet
from sge_mmdet.evaluation import read_ground_truth
from sge_mmdet_cli import compare, evaluate
from tests.helpers.engines import ENGINES
from tests.helpers.random_coco import random_coco
from tests.test_evaluation.test_protocols import protocol_data, run_metric
from tests.test_evaluation.test_result_files import dump

SEEDS = range(3, 15)


def as_text(data, parts=('image', 'category')):
    """Return the same data with ids that are text, in the same order.

    As text, "9" would come after "10".
    """
    data = copy.deepcopy(data)
    ground_truth, results = data
    keys = dict(image='images', category='categories')
    for part in parts:
        for entry in ground_truth[keys[part]]:
            entry['id'] = f'{part} {entry["id"]:03d}'
        for entry in (*ground_truth['annotations'], *results):
            entry[f'{part}_id'] = f'{part} {entry[f"{part}_id"]:03d}'
    if 'category' in parts:
        for entry in ground_truth['annotations']:
            entry['id'] = f'object {entry["id"]}'
        for image in ground_truth['images']:
            for key in {*image} & {
                'neg_category_ids',
                'not_exhaustive_category_ids',
            }:
                image[key] = [f'category {value:03d}' for value in image[key]]
    return data


def write(folder, data):
    """Write ground truth and results; return their paths."""
    paths = folder / 'truth.json', folder / 'results.json'
    for path, content in zip(paths, data):
        path.write_text(json.dumps(content))
    return tuple(map(str, paths))


def two(found, truth):
    """Return options that compare a result with itself."""
    return found, found, '--ground-truth', truth, '--resamples', '9'


def same(got, want):
    np.testing.assert_array_equal(got.precision, want.precision)
    np.testing.assert_array_equal(got.recall, want.recall)
    np.testing.assert_array_equal(got.objects, want.objects)


@pytest.mark.parametrize(
    'parts', [('image',), ('category',), ('image', 'category')]
)
@pytest.mark.parametrize('engine', ENGINES)
def test_figures_are_those_of_numbers(parts, engine):
    for seed in SEEDS:
        data = random_coco(seed, ties=bool(seed % 2))
        same(
            sge_mmdet.evaluate(*as_text(data, parts), engine=engine),
            sge_mmdet.evaluate(*data, engine=engine),
        )


def test_tools_take_text(tmp_path, capsys):
    data = random_coco(4)
    outputs = []
    for folder, content in ('numbers', data), ('text', as_text(data)):
        (tmp_path / folder).mkdir()
        truth, found = write(tmp_path / folder, content)
        evaluate.main([truth, found, '--classwise'])
        compare.main([*two(found, truth), '--group-by', 'file_name'])
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]


def test_pickles_and_dicts_of_images_take_text(tmp_path):
    data = random_coco(4)
    want = sge_mmdet.evaluate(*data)
    text = as_text(data)
    truth, _ = write(tmp_path, text)
    dump(tmp_path / 'results.pkl', *text)
    path = str(tmp_path / 'results.pkl')
    same(sge_mmdet.evaluate(truth, path, categories='all'), want)
    keys = [entry['id'] for entry in text[0]['categories']]
    by_image = {
        image['id']: np.array(
            [
                [
                    *d['bbox'][:2],
                    d['bbox'][0] + d['bbox'][2],
                    d['bbox'][1] + d['bbox'][3],
                    d['score'],
                    keys.index(d['category_id']),
                ]
                for d in text[1]
                if d['image_id'] == image['id']
            ]
        ).reshape(-1, 6)
        for image in text[0]['images']
    }
    result = sge_mmdet.evaluate(truth, by_image, categories='all')
    assert result.ap() == pytest.approx(want.ap())


def test_groups_by_text_ids(tmp_path):
    text = as_text(random_coco(4))
    truth, found = write(tmp_path, text)
    groups = tmp_path / 'groups.json'
    ids = [image['id'] for image in text[0]['images']]
    groups.write_text(json.dumps({key: i % 2 for i, key in enumerate(ids)}))
    compare.main([*two(found, truth), '--group-by', str(groups)])


def test_lvis_takes_text():
    data = protocol_data('lvis', 6)
    got, want = (
        sge_mmdet.evaluate(*each, protocol='lvis')
        for each in (as_text(data), data)
    )
    same(got, want)
    assert got.figures['APr'] == want.figures['APr']


def test_unknown_and_repeated_text_is_named():
    data = as_text(random_coco(4))
    wrong = copy.deepcopy(data)
    wrong[1][0]['image_id'] = 7
    with pytest.raises(ValueError, match=r'of image 7, which .*image 00'):
        sge_mmdet.evaluate(*wrong)
    wrong = copy.deepcopy(data)
    wrong[1][0]['category_id'] = 'no\nsuch'
    with pytest.raises(ValueError, match=r'of category .no\?such., which'):
        sge_mmdet.evaluate(*wrong)
    wrong = copy.deepcopy(data)
    wrong[0]['annotations'][1]['image_id'] = ['x']
    with pytest.raises(ValueError, match='"image_id" that is not in "images"'):
        sge_mmdet.evaluate(*wrong)
    for key in 'images', 'categories', 'annotations':
        wrong = copy.deepcopy(data[0])
        wrong[key].append(dict(wrong[key][0]))
        with pytest.raises(ValueError, match=f'unique ids of {key}.* as .'):
            read_ground_truth(wrong)
    with pytest.raises(ValueError, match='ids that are text'):
        sge_mmdet.evaluate(data[0], np.zeros((1, 7)))


def test_the_metric_takes_text_ids_of_both(tmp_path):
    data = random_coco(4)
    want = run_metric(data, tmp_path)
    assert run_metric(as_text(data), tmp_path) == want
