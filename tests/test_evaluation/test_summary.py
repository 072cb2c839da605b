import json

import pytest

from sge_mmdet.evaluation import summarize_detections

BOXES = {1: [10, 10, 20, 20], 2: [40, 40, 50, 50], 3: [100, 10, 8, 8]}


@pytest.fixture
def files(tmp_path):
    """One image with two small objects and a medium one; all are found."""
    truth = dict(
        images=[dict(id=1, width=200, height=200, file_name='1.jpg')],
        categories=[dict(id=1, name='a')],
        annotations=[dict(id=i, image_id=1, category_id=1, bbox=box,
                          area=box[2] * box[3], iscrowd=0)
                     for i, box in BOXES.items()])
    results = [dict(image_id=1, category_id=1, bbox=box, score=0.9 - i / 10)
               for i, box in BOXES.items()]
    for name, content in (('truth', truth), ('results', results)):
        (tmp_path / f'{name}.json').write_text(json.dumps(content))
    return tmp_path / 'truth.json', tmp_path / 'results.json'


def values(summary):
    return {metric.name: metric.value for metric in summary.metrics}


def test_perfect_results_have_ap_one_and_n_a_where_no_object_is(files):
    summary = summarize_detections(*files)
    assert values(summary) == pytest.approx(dict(
        AP=1, AP50=1, AP75=1, AP_small=1, AP_medium=1, AP_large=None))
    assert {metric.size: metric.objects for metric in summary.metrics} == dict(
        all=3, small=2, medium=1, large=0)
    assert (summary.images, summary.detections) == (1, 3)


def test_a_missed_small_object_lowers_ap_small_alone(files):
    results = json.loads(files[1].read_text())
    files[1].write_text(json.dumps(results[:2]))
    summary = summarize_detections(*files)
    # One of two found: precision 1 up to recall 0.5, at 51 of 101 points.
    assert summary['AP_small'] == pytest.approx(51 / 101)
    assert summary['AP_medium'] == pytest.approx(1)
    assert summary['AP'] == pytest.approx(67 / 101)


def test_a_shifted_box_counts_at_low_thresholds_only(files):
    results = json.loads(files[1].read_text())
    results[1]['bbox'] = [40, 40, 50, 35]
    files[1].write_text(json.dumps(results))
    summary = summarize_detections(*files)
    # Its intersection over union is 0.7: found at 0.50 to 0.70 of ten.
    assert summary['AP_medium'] == pytest.approx(0.5)
    assert summary['AP50'] == pytest.approx(1) and summary['AP75'] < 1


def test_no_detection_at_all_is_zero_and_not_an_error(files):
    files[1].write_text('[]')
    summary = summarize_detections(*files)
    assert values(summary) == dict(AP=0, AP50=0, AP75=0, AP_small=0,
                                   AP_medium=0, AP_large=None)


def test_crowds_are_not_counted(files):
    truth = json.loads(files[0].read_text())
    truth['annotations'][2]['iscrowd'] = 1
    files[0].write_text(json.dumps(truth))
    summary = summarize_detections(*files)
    assert {m.size: m.objects for m in summary.metrics}['small'] == 1


def test_table_shows_every_metric_with_its_number_of_objects(files):
    lines = summarize_detections(*files).table().splitlines()
    rows = {line.split()[0]: line.split() for line in lines[2:-1]}
    assert rows['AP_small'][-2:] == ['2', '1.000']
    assert rows['AP_large'][-2:] == ['0', 'n/a']
    assert lines[-1].startswith('3 detections in 1 images')
    assert len({len(line) for line in lines[:-1]}) == 1


@pytest.mark.parametrize('which, text, words', [
    (0, 'no json', r'truth\.json is not a JSON file'),
    (0, '{"images": [', r'truth\.json is not a JSON file or is truncated'),
    (1, '{}', r'results\.json is not a COCO result file'),
    (1, '[{"score": 1}]', r'results\.json is not a COCO result file'),
    (1, '[{"image_id": 9, "category_id": 1, "bbox": [], "score": 1}]',
     r'results\.json is not of .*truth\.json: detection 0 is in image 9'),
    (0, '{"images": [], "annotations": []}', r'truth\.json.* no "categories"'),
    (0, '[]', r'truth\.json is not a COCO annotation file')])
def test_files_of_another_format_are_named(files, which, text, words):
    files[which].write_text(text)
    with pytest.raises(ValueError, match=words):
        summarize_detections(*files)


def test_missing_file_is_named(files):
    with pytest.raises(FileNotFoundError, match=r'other\.json'):
        summarize_detections(files[0], files[1].with_name('other.json'))
