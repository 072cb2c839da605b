"""Reading of a user's data, and what is said of data that is wrong."""

import json
from pathlib import Path

import pytest

from sge_mmdet.datasets import read_own_data
from sge_mmdet.datasets.yolo import read_yolo
from tests.helpers.own_data import CLASSES, write_coco, write_voc, write_yolo


@pytest.fixture(scope='module')
def coco(tmp_path_factory):
    folder = tmp_path_factory.mktemp('coco')
    write_coco(folder)
    return folder


@pytest.fixture
def folder(coco, tmp_path):
    """A copy of the annotations that a test may change."""
    for split in ('train', 'val'):
        text = (coco / f'{split}.json').read_text()
        (tmp_path / f'{split}.json').write_text(text)
    (tmp_path / 'images').symlink_to(coco / 'images')
    return tmp_path


def read(folder, **options):
    return read_own_data(
        folder / 'train.json',
        folder / 'val.json',
        folder / 'images',
        **options,
    )


def objects(split):
    """Return image, class and box of all objects."""
    names = {c['id']: c['name'] for c in split.content['categories']}
    images = {
        image['id']: image['file_name'].rpartition('/')[2]
        for image in split.content['images']
    }
    return sorted(
        (
            images[entry['image_id']],
            names[entry['category_id']],
            [round(value) for value in entry['bbox']],
        )
        for entry in split.content['annotations']
    )


def test_coco_files_are_used_as_they_are(folder):
    data = read(folder)
    assert data.classes == CLASSES and data.has_masks
    assert data.train.file == folder / 'train.json'
    assert data.ground_truth.category_ids.tolist() == [7, 8, 9]


@pytest.mark.parametrize('write', [write_voc, write_yolo])
def test_folders_of_voc_and_yolo_hold_the_same_objects(write, coco, tmp_path):
    write(tmp_path / 'data', coco)
    data, expected = read_own_data(tmp_path / 'data'), read(coco)
    order = sorted if write is write_voc else tuple
    assert data.classes == tuple(order(CLASSES))
    assert not data.has_masks and data.train.file is None
    for split in ('train', 'val'):
        got = getattr(data, split)
        assert objects(got) == objects(getattr(expected, split))
        for image in got.content['images']:
            assert (got.images / image['file_name']).is_file()


def test_yolo_polygons_become_masks_and_files_without_labels_no_objects(
    coco, tmp_path
):
    (tmp_path / 'images').mkdir()
    (tmp_path / 'labels').mkdir()
    for name, image in zip('ab', sorted((coco / 'images').iterdir())):
        (tmp_path / 'images' / f'{name}.jpg').symlink_to(image)
    (tmp_path / 'labels/a.txt').write_text('1 0 0 0.5 0 0.5 0.25 0 0.25\n')
    (tmp_path / 'classes.txt').write_text('one\ntwo\n')
    content = read_yolo(tmp_path)['all'].content
    (entry,) = content['annotations']
    assert entry['bbox'] == [0, 0, 32, 16] and entry['area'] == 32 * 16
    assert entry['segmentation'] == [[0, 0, 32, 0, 32, 16, 0, 16]]
    assert entry['category_id'] == 2 and len(content['images']) == 2


@pytest.mark.parametrize('places', ['split first', 'lists of images'])
def test_other_places_of_yolo_files_hold_the_same_objects(
    places, coco, tmp_path
):
    write_yolo(tmp_path / 'old', coco)
    lines = [f'names: {[*CLASSES]}']
    for split in ('train', 'val'):
        for kind in ('images', 'labels'):
            source = tmp_path / 'old' / kind / split
            target = tmp_path / 'new' / split / kind
            target.parent.mkdir(parents=True, exist_ok=True)
            source.rename(target)
        listed = tmp_path / 'new' / f'{split}.txt'
        names = sorted((tmp_path / 'new' / split / 'images').iterdir())
        listed.write_text(
            ''.join(f'./{split}/images/{path.name}\n' for path in names)
        )
        is_list = places == 'lists of images'
        place = listed.name if is_list else f'../{split}/images'
        lines.append(f'{split}: {place}')
    (tmp_path / 'new/data.yaml').write_text('\n'.join(lines))
    data, expected = read_own_data(tmp_path / 'new'), read(coco)
    assert objects(data.train) == objects(expected.train)
    assert objects(data.val) == objects(expected.val)


def test_fraction_is_drawn_by_its_seed(folder):
    one, again, other = (
        read_own_data(
            folder / 'train.json',
            images=folder / 'images',
            val_fraction=0.5,
            seed=seed,
        )
        for seed in (0, 0, 3)
    )
    names = [
        {image['file_name'] for image in data.val.content['images']}
        for data in (one, again, other)
    ]
    assert names[0] == names[1] != names[2] and len(names[0]) == 2
    both = [*objects(one.train), *objects(one.val)]
    assert sorted(both) == objects(read(folder).train)


def test_areas_that_are_not_annotated_are_those_of_the_boxes(folder):
    change(folder, 'train', lambda data: data['annotations'][0].pop('area'))
    train = read(folder).train
    first = train.content['annotations'][0]
    assert first['area'] == first['bbox'][2] * first['bbox'][3]
    assert train.file is None, 'a new file is written'


def change(folder, split, edit):
    path = folder / f'{split}.json'
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def rename(index, name):
    return lambda data: data['categories'][index].update(name=name)


def no_annotations(data):
    data['annotations'] = []


def no_images(data):
    data['images'] = data['annotations'] = []


@pytest.mark.parametrize(
    'split, edit, words',
    [
        (
            'val',
            rename(0, 'shop'),
            r'val\.json: expected the categories of .*train\.json, ship, '
            'buoy, old harbour, got shop, .*; write the same list',
        ),
        (
            'val',
            lambda data: data['categories'].reverse(),
            r'val\.json: expected the categories in the order of ',
        ),
        (
            'train',
            rename(0, 'buoy'),
            r'expected each name of a class once, got buoy several times; '
            'give each category a name',
        ),
        ('train', rename(0, 'a\x1b'), "got 'a\\?'; rename the class"),
        ('train', rename(0, ' ship'), "got ' ship'; rename the class"),
        ('train', rename(0, 3), 'got 3; rename the class'),
        (
            'train',
            no_annotations,
            'expected at least one object, got an empty list "annotations"',
        ),
        ('val', no_images, 'expected at least one image'),
        (
            'train',
            lambda data: data['images'][1].update(file_name='gone.jpg'),
            '1 of 4 images are not in .*images; the first is gone.jpg. Name '
            'the folder .* with --images',
        ),
        (
            'train',
            lambda data: data['images'][1].pop('width'),
            'image 2 has no "width" and "height".*; add them',
        ),
        (
            'train',
            lambda data: data['images'][1].pop('file_name'),
            'expected a text as "file_name" of each image, got None',
        ),
        (
            'train',
            lambda data: data['annotations'][0].update(category_id=1),
            r'train\.json: annotation 1 has a "category_id" that is not in',
        ),
        (
            'train',
            lambda data: data.pop('images'),
            r'train\.json.* is not a COCO annotation file: expected an '
            'object with .*, got no list "images"',
        ),
    ],
)
def test_data_that_is_wrong_is_named_with_how_to_mend_it(
    folder, split, edit, words
):
    change(folder, split, edit)
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        read(folder)


@pytest.mark.parametrize('fraction', [None, 0.5])
@pytest.mark.parametrize(
    'text, words', [('[]', 'got a list, as in a file of results'), ('3', '3')]
)
def test_file_that_is_no_annotation_file_is_named(
    folder, text, words, fraction
):
    (folder / 'train.json').write_text(text)
    with pytest.raises(
        ValueError, match=rf'train\.json is not a COCO annotation .*{words}$'
    ):
        read_own_data(
            folder / 'train.json',
            None if fraction else folder / 'val.json',
            folder / 'images',
            val_fraction=fraction,
        )


def test_entries_are_checked_before_they_are_divided(folder):
    change(folder, 'train', lambda data: data['annotations'].append('cat'))
    with pytest.raises(ValueError, match=r'train\.json.* an entry has a'):
        read_own_data(
            folder / 'train.json', images=folder / 'images', val_fraction=0.5
        )


def with_corners(data, number):
    for entry in data['annotations'][:number]:
        entry['bbox'] = [40, 40, 60, 60]


def test_boxes_in_another_layout_are_refused(folder):
    change(folder, 'val', lambda data: with_corners(data, None))
    with pytest.raises(
        ValueError,
        match=r'val\.json: (\d+) of \1 boxes reach beyond their image; the '
        r'first is \[40.0, .*\] in val_.*jpg of 64 x 64 pixels. "bbox" must '
        'be x, y, width, height in pixels; convert',
    ):
        read(folder)


def test_few_boxes_beyond_their_image_are_warned_of(folder, monkeypatch):
    monkeypatch.setattr('sge_mmdet.datasets.own_data.FEWEST_SHARE', 0.9)
    change(folder, 'val', lambda data: with_corners(data, 1))
    with pytest.warns(UserWarning, match=r'1 of \d+ boxes reach beyond'):
        read(folder)


def test_images_of_both_splits_are_warned_of(folder):
    train = folder / 'train.json'
    with pytest.warns(
        UserWarning, match='4 of 4 images of the validation are images of'
    ):
        read_own_data(train, train, folder / 'images')


def test_class_without_an_object_is_warned_of(folder):
    change(
        folder,
        'train',
        lambda data: [a.update(category_id=7) for a in data['annotations']],
    )
    with pytest.warns(UserWarning, match='no object of the class buoy, old'):
        read(folder)


@pytest.mark.parametrize(
    'options, words',
    [
        (dict(), 'expected the folder of its images too; .*--images'),
        (
            dict(images='images'),
            'expected data for validation too; .*--val-fraction 0.1',
        ),
        (
            dict(images='images', val_fraction=10),
            'expected a share .* between 0 and 1, such as 0.1, got 10',
        ),
        (
            dict(images='images', val='val.json', val_fraction=0.1),
            'expected either --val or --val-fraction, got both',
        ),
        (dict(images='none', val='val.json'), 'no folder none.*--images'),
        (dict(train='images'), 'expected a folder with Annotations/'),
    ],
)
def test_options_that_do_not_fit_are_named(
    folder, options, words, monkeypatch
):
    monkeypatch.chdir(folder)
    paths = {
        key: Path(value) if isinstance(value, str) else value
        for key, value in dict(dict(train='train.json'), **options).items()
    }
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        read_own_data(**paths)


@pytest.mark.parametrize(
    'text, words',
    [
        ('<annotation>', 'is not an XML file'),
        ('<!DOCTYPE a><annotation/>', 'declares a document type'),
        (
            '<annotation><object><name>a</name></object></annotation>',
            'has no "bndbox"',
        ),
        ('<annotation><object/></annotation>', '"object" has no "name"'),
    ],
)
def test_files_of_voc_that_are_wrong_are_named(coco, tmp_path, text, words):
    write_voc(tmp_path / 'voc', coco)
    file = min((tmp_path / 'voc/Annotations').iterdir())
    file.write_text(text)
    with pytest.raises(ValueError, match=f'{file.name}.*{words}'):
        read_own_data(tmp_path / 'voc')


@pytest.mark.parametrize(
    'text, words',
    [
        ('ship 0 0 1 1', "line 1: expected numbers, got 'ship 0 0 1 1'"),
        ('0 0.5 0.5 0.1', 'expected a class and a box'),
        ('3 0.5 0.5 0.1 0.1', 'expected a class from 0 to 2, .* got 3'),
        ('0 320 320 10 10', 'expected fractions .*; divide pixels'),
        ('0 0.5 0.5 0 0.1', 'expected a width and a height above 0'),
    ],
)
def test_labels_of_yolo_that_are_wrong_are_named(coco, tmp_path, text, words):
    write_yolo(tmp_path / 'yolo', coco)
    file = min((tmp_path / 'yolo/labels/train').iterdir())
    file.write_text(text)
    with pytest.raises(ValueError, match=f'{file.name}.*{words}'):
        read_own_data(tmp_path / 'yolo')


@pytest.mark.parametrize(
    'text, words',
    [
        ('names: [', 'is not a YAML file'),
        ('train: a', 'expected "names"'),
        ('names: {1: a}', 'expected names with the numbers 0 to 0'),
        ('names: a', 'expected names as a list'),
    ],
)
def test_yaml_of_yolo_that_is_wrong_is_named(coco, tmp_path, text, words):
    write_yolo(tmp_path / 'yolo', coco)
    (tmp_path / 'yolo/data.yaml').write_text(text)
    with pytest.raises(ValueError, match=f'data.yaml.*{words}'):
        read_own_data(tmp_path / 'yolo')
