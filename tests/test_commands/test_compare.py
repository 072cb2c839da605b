import json
import re

import pytest
from matplotlib.image import imread

from sge_mmdet.utils import json_files
from sge_mmdet_cli import evaluate as evaluate_command
from sge_mmdet_cli.compare import main
from tests.helpers.random_coco import random_coco


@pytest.fixture
def files(tmp_path):
    ground_truth, results = random_coco(1, images=20)
    (tmp_path / 'truth.json').write_text(json.dumps(ground_truth))
    (tmp_path / 'a.json').write_text(json.dumps(results))
    (tmp_path / 'b.json').write_text(json.dumps(results[::2]))
    return tmp_path


def run(capsys, *args):
    main([*map(str, args)])
    return capsys.readouterr().out


def test_tool_prints_the_differences_and_writes_them(files, capsys):
    shown = run(
        capsys,
        files / 'a.json',
        files / 'b.json',
        '--ground-truth',
        files / 'truth.json',
        '--resamples',
        50,
        '--size-bins',
        0,
        10,
        'inf',
        '--names',
        'all',
        'half',
        '--out-dir',
        files / 'out',
    )
    assert 'half' in shown and 'AP_0-10' in shown and 'resamples' in shown
    data = json.loads((files / 'out' / 'comparison.json').read_text())
    assert data['verdict'] in shown
    assert data['verdict'] in (files / 'out' / 'comparison.md').read_text()
    lines = (files / 'out' / 'comparison.csv').read_text().splitlines()
    assert lines[0].startswith('name,a,b,difference,low,high,p')
    assert len(lines) == 1 + len(data['sizes']) + len(data['classes'])
    assert imread(files / 'out' / 'comparison.png').std() > 0
    assert f'look at {files / "out" / "comparison.html"}' in shown


def test_comparison_and_evaluation_share_a_folder(files, capsys):
    truth, out = files / 'truth.json', files / 'out'
    results = files / 'a.json', files / 'b.json'
    evaluate_command.main([str(truth), str(results[0]), '--out-dir', str(out)])
    page = (out / 'report.html').read_bytes()
    options = '--resamples', 9, '--out-dir', out
    run(capsys, *results, '--ground-truth', truth, *options)
    assert (out / 'report.html').read_bytes() == page
    assert '<title>' in (out / 'comparison.html').read_text()


def test_tool_takes_groups_and_pairs_seeds(files, capsys):
    shown = run(
        capsys,
        '--a',
        files / 'a.json',
        files / 'b.json',
        '--b',
        files / 'b.json',
        files / 'b.json',
        '--paired-seeds',
        '--ground-truth',
        files / 'truth.json',
        '--group-by',
        r'(\d)[.]png$',
        '--resamples',
        20,
    )
    assert 'of 10 groups of 20 images' in shown
    assert 'over 2 paired seeds' in shown


def test_tool_takes_several_seeds(files, capsys):
    shown = run(
        capsys,
        '--a',
        files / 'a.json',
        files / 'b.json',
        '--b',
        files / 'b.json',
        files / 'b.json',
        '--ground-truth',
        files / 'truth.json',
        '--resamples',
        20,
    )
    assert 'sd of A' in shown


@pytest.mark.parametrize(
    'args, words',
    [
        (['none.json', 'b.json'], 'no file .*none.json'),
        (['a.json', 'truth.json'], 'truth.json is not a COCO result file'),
        (['a.json'], 'expected two result files'),
        (
            [
                'a.json',
                'b.json',
                '--resamples',
                '5',
                '--out-dir',
                'truth.json',
            ],
            'cannot write .*truth.json/comparison.json: Not a directory',
        ),
        (['a.json', 'b.json', '--size-bins', '9', '3'], 'ascend'),
        (['a.json', 'b.json', '--score', '30'], '--score 30: the highest'),
        (['a.json', 'b.json', '--group-by', 'video'], 'no group for 20 of 20'),
        (
            ['--paired-seeds', '--a', 'a.json', 'b.json', '--b', 'b.json'],
            'as many results of --a as of --b',
        ),
    ],
)
def test_tool_says_what_is_wrong(files, capsys, args, words):
    args = [files / arg if arg.endswith('.json') else arg for arg in args]
    with pytest.raises(SystemExit) as caught:
        run(capsys, *args, '--ground-truth', files / 'truth.json')
    assert re.search(words, f'{caught.value} {capsys.readouterr().err}')


def test_tool_renews_its_outputs_and_keeps_those_of_others(files, capsys):
    args = [
        '--ground-truth',
        files / 'truth.json',
        '--resamples',
        5,
        '--out-dir',
        files / 'out',
    ]
    run(capsys, files / 'a.json', files / 'b.json', *args)
    first = (files / 'out' / 'comparison.md').read_text()
    run(capsys, files / 'b.json', files / 'a.json', *args)
    assert (files / 'out' / 'comparison.md').read_text() != first
    (files / 'out' / 'comparison.csv').write_text('mine')
    with pytest.raises(SystemExit, match=r'comparison\.csv is there already'):
        run(capsys, files / 'a.json', files / 'b.json', *args)
    assert (files / 'out' / 'comparison.csv').read_text() == 'mine'


@pytest.mark.parametrize('options', [[], ['--overwrite']], ids=str)
def test_tool_keeps_inputs_that_have_the_names_of_its_outputs(
    files, capsys, options
):
    (files / 'b.json').rename(files / 'comparison.json')
    before = (files / 'comparison.json').read_text()
    with pytest.raises(
        SystemExit,
        match=r'error: .*comparison\.json is an '
        'input',
    ):
        run(
            capsys,
            files / 'a.json',
            files / 'comparison.json',
            '--ground-truth',
            files / 'truth.json',
            '--out-dir',
            files,
            *options,
        )
    assert (files / 'comparison.json').read_text() == before
    assert not (files / 'comparison.md').exists()


def test_tool_keeps_the_file_of_groups(files, capsys):
    groups = files / 'comparison.json'
    groups.write_text(json.dumps({f'{i}.png': i // 2 for i in range(20)}))
    with pytest.raises(SystemExit, match=r'comparison\.json is an input'):
        run(
            capsys,
            files / 'a.json',
            files / 'b.json',
            '--ground-truth',
            files / 'truth.json',
            '--group-by',
            groups,
            '--out-dir',
            files,
            '--overwrite',
        )


def test_the_ground_truth_is_read_once_for_groups(files, capsys, monkeypatch):
    data = json.loads((files / 'truth.json').read_text())
    for i, image in enumerate(data['images']):
        image['video'] = i // 2
    (files / 'truth.json').write_text(json.dumps(data))
    read = []

    def read_text(path):
        read.append(path)
        return path_text(path)

    path_text = json_files.read_json_text
    monkeypatch.setattr(json_files, 'read_json_text', read_text)
    results = [files / 'a.json', files / 'b.json']
    args = [*results, '--ground-truth', files / 'truth.json']
    shown = run(capsys, *args, '--group-by', 'video', '--resamples', 20)
    assert 'of 10 groups of 20 images' in shown
    assert [*map(str, read)] == [str(files / 'truth.json')]


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
            files / 'a.json',
            files / 'b.json',
            '--ground-truth',
            files / 'truth.json',
            *options,
        )
