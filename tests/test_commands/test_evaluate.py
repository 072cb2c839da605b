import json
import re

import numpy as np
import pytest
from matplotlib.image import imread, imsave

from sge_mmdet_cli.evaluate import main
from tests.helpers.engines import ENGINES
from tests.helpers.random_coco import HEIGHT, WIDTH, random_coco

PICTURES = (
    'ap_by_size',
    'precision_recall',
    'operating_points',
    'classes',
    'errors',
    'missed',
)


@pytest.fixture
def files(tmp_path):
    ground_truth, results = random_coco(1, images=12)
    (tmp_path / 'truth.json').write_text(json.dumps(ground_truth))
    (tmp_path / 'results.json').write_text(json.dumps(results[::2]))
    (tmp_path / 'images').mkdir()
    for image in ground_truth['images']:
        imsave(
            tmp_path / 'images' / image['file_name'],
            np.random.default_rng(0).random((HEIGHT, WIDTH, 3)),
        )
    return tmp_path


def run(capsys, *args):
    main([*map(str, args)])
    return capsys.readouterr().out


def test_tables_are_printed_and_everything_is_written(files, capsys):
    shown = run(
        capsys,
        files / 'truth.json',
        files / 'results.json',
        '--images',
        files / 'images',
        '--classwise',
        '--out-dir',
        files / 'out',
    )
    shown = shown.replace(str(files), '')
    assert 'n/a' in shown and '-1' not in shown
    assert re.search(r'small +area < 32\^2 +\d+ +0\.\d{3}', shown)
    data = json.loads((files / 'out' / 'evaluation.json').read_text())
    large = data['sizes'][-1]
    assert (large['size'], large['objects'], large['AP']) == ('large', 0, None)
    small = data['sizes'][1]
    assert f'{small["AP"]:.3f}' in shown
    assert (
        data['errors']['objects']
        == small['objects']
        == (data['errors']['hits'] + sum(data['errors']['misses'].values()))
    )
    for name in 'sizes.csv', 'classes.csv', 'evaluation.md':
        assert (files / 'out' / name).read_text().count('small')
    for name in PICTURES:
        assert imread(files / 'out' / f'{name}.png').std() > 0


def test_engines_print_the_same_table(files, capsys):
    tables = [
        run(
            capsys,
            files / 'truth.json',
            files / 'results.json',
            '--engine',
            engine,
            '--area',
            'box',
            '--size-bins',
            0,
            8,
            16,
            'inf',
        )
        for engine in ENGINES
    ]
    assert len({*tables}) == 1 and '8^2 to 16^2' in tables[0]


def test_any_score_does_where_there_are_no_detections(files, capsys):
    (files / 'results.json').write_text('[]')
    names = files / 'truth.json', files / 'results.json'
    assert 'large' in run(capsys, *names, '--score', 30)


def test_no_detections_and_no_small_objects_are_drawn_all_the_same(
    files, capsys
):
    (files / 'results.json').write_text('[]')
    shown = run(
        capsys,
        files / 'truth.json',
        files / 'results.json',
        '--size-bins',
        500,
        600,
        '--images',
        files / 'images',
        '--out-dir',
        files / 'out',
    )
    assert '0.000' in shown and 'n/a' in shown
    assert (files / 'out' / 'missed.png').is_file()


@pytest.mark.parametrize(
    'args, words',
    [
        (['none.json', 'results.json'], 'no file .*none.json'),
        (['truth.json', 'truth.json'], 'not a COCO result file'),
        (['results.json', 'results.json'], 'got a list, as'),
        (
            ['truth.json', 'results.json', '--score', '30'],
            '--score 30: the highest score of a detection is 0',
        ),
        (
            ['truth.json', 'results.json', '--metric', 'segm'],
            "lacks the key 'segmentation'",
        ),
        (
            [
                'truth.json',
                'results.json',
                '--out-dir',
                'out',
                '--images',
                'none',
            ],
            'no folder .*none',
        ),
    ],
)
def test_what_is_wrong_is_said_in_a_line(files, capsys, args, words):
    args = [
        files / arg if '.' in arg or arg in ('out', 'none') else arg
        for arg in args
    ]
    with pytest.raises(SystemExit, match=words):
        run(capsys, *args)


def contents(folder):
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if path.is_file()
    }


def test_own_outputs_are_renewed_and_edited_ones_are_kept(files, capsys):
    args = [
        files / 'truth.json',
        files / 'results.json',
        '--out-dir',
        files / 'out',
    ]
    run(capsys, *args)
    first = contents(files / 'out')
    (files / 'results.json').write_text('[]')
    run(capsys, *args)
    second = contents(files / 'out')
    assert all(
        first[name] != second[name]
        for name in (
            'sizes.csv',
            'evaluation.json',
            'evaluation.md',
            'ap_by_size.png',
        )
    )
    with (files / 'out' / 'evaluation.md').open('a') as file:
        file.write('My conclusion.')
    edited = contents(files / 'out')
    with pytest.raises(
        SystemExit,
        match=r'evaluation\.md is there already, .*'
        'changed since; name another folder, or replace it with --ov',
    ):
        run(capsys, *args)
    assert contents(files / 'out') == edited
    run(capsys, *args, '--overwrite')
    assert contents(files / 'out')['evaluation.md'] == second['evaluation.md']


@pytest.mark.parametrize('options', [[], ['--overwrite']], ids=str)
def test_inputs_with_the_names_of_outputs_are_kept(files, capsys, options):
    (files / 'results.json').rename(files / 'evaluation.json')
    (files / 'classes.csv').symlink_to(files / 'truth.json')
    before = contents(files)
    for ground_truth, results in (
        ('truth.json', 'evaluation.json'),
        ('classes.csv', 'results.pkl'),
    ):
        with pytest.raises(
            SystemExit,
            match='error: .*(classes|evaluation)'
            r'\.\w+ is an input',
        ):
            run(
                capsys,
                files / ground_truth,
                files / results,
                '--out-dir',
                files,
                *options,
            )
    assert contents(files) == before


def test_links_among_the_outputs_are_not_followed(files, capsys):
    (files / 'out').mkdir()
    (files / 'mine.txt').write_text('mine')
    for name in 'sizes.csv', 'errors.png', 'evaluation.json':
        (files / 'out' / name).symlink_to(files / 'mine.txt')
    args = [
        files / 'truth.json',
        files / 'results.json',
        '--out-dir',
        files / 'out',
    ]
    with pytest.raises(SystemExit, match='is there already'):
        run(capsys, *args)
    run(capsys, *args, '--overwrite')
    assert (files / 'mine.txt').read_text() == 'mine'
    assert not (files / 'out' / 'errors.png').is_symlink()


def test_images_with_the_names_of_outputs_are_kept(files, capsys):
    ground_truth = json.loads((files / 'truth.json').read_text())
    name = ground_truth['images'][0]['file_name']
    (files / 'images' / name).rename(files / 'images' / 'errors.png')
    ground_truth['images'][0]['file_name'] = 'errors.png'
    (files / 'truth.json').write_text(json.dumps(ground_truth))
    before = contents(files / 'images')
    with pytest.raises(SystemExit, match=r'errors\.png is an input'):
        run(
            capsys,
            files / 'truth.json',
            files / 'results.json',
            '--images',
            files / 'images',
            '--out-dir',
            files / 'images',
            '--overwrite',
        )
    assert contents(files / 'images') == before


def test_diagnostics_are_printed_and_written_if_asked_for(files, capsys):
    args = [files / 'truth.json', files / 'results.json']
    out = files / 'out'
    assert 'Calibration' not in run(capsys, *args)
    shown = run(capsys, *args, '--diagnose', '--out-dir', out)
    for words in 'R@0.125', 'localisation', 'expected error', 'taken for':
        assert words in shown
    data = json.loads((out / 'evaluation.json').read_text())
    assert {'error_costs', 'calibration', 'confusion'} <= {*data}
    best = data['operating_points']['sizes'][1]
    assert data['errors']['score'] == best['score']
    for name in 'error_costs', 'calibration', 'confusions':
        assert imread(out / f'{name}.png').std() > 0
        assert (out / f'{name}.csv').read_text().count('small')
    run(capsys, *args, '--score', '0.4', '--out-dir', out)
    data = json.loads((out / 'evaluation.json').read_text())
    assert data['errors']['score'] == 0.4 and 'error_costs' not in data


def test_pictures_beyond_the_report_size_lie_beside_the_page(files, capsys):
    run(
        capsys,
        files / 'truth.json',
        files / 'results.json',
        *('--images', files / 'images', '--out-dir', files / 'out'),
        *('--report-size', 0.01),
    )
    beside = [*(files / 'out' / 'report_crops').iterdir()]
    page = (files / 'out' / 'report.html').read_text()
    assert page.count('data:image/jpeg') > 0 and len(beside) > 1


@pytest.mark.parametrize(
    'options, words',
    [
        (['--images', 'none'], '--images is of use with --out-dir alone'),
        (['--images', 'none', '--out-dir', 'out'], 'no folder none'),
    ],
)
def test_images_that_cannot_be_shown_are_an_error_at_once(
    files, capsys, options, words
):
    with pytest.raises(SystemExit, match=words):
        run(
            capsys,
            files / 'truth.json',
            files / 'results.json',
            *options,
        )
