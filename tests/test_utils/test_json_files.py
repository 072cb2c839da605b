"""JSON that grows in memory; see docs/security.md."""

import subprocess
import sys

import pytest

import sge_mmdet  # noqa: F401
from sge_mmdet.evaluation.annotation_files import read_ground_truth
from sge_mmdet.evaluation.result_files import read_detections
from sge_mmdet.utils import json_files, load_json
from tests.helpers.hostile_files import (
    PEAK,
    ground_truth,
    needs_weights_only,
)

pytestmark = needs_weights_only


@pytest.mark.parametrize(
    'text',
    [
        '[' * 10**6,
        '[' * 10**6 + ']' * 10**6,
        '{"a":' * 10**5 + '1' + '}' * 10**5,
    ],
)
def test_lists_in_lists_without_end_are_refused(tmp_path, text):
    path = tmp_path / 'deep.json'
    path.write_text(text)
    for read in (
        load_json,
        lambda p: read_detections(p, read_ground_truth(ground_truth())),
    ):
        with pytest.raises(ValueError, match=r'deep\.json'):
            read(path)


def test_json_beyond_the_memory_is_refused_before_it_is_read(tmp_path):
    with (tmp_path / 'huge.json').open('wb') as file:
        file.truncate(10**13)  # Without a byte of it on the disk.
    for read in (
        load_json,
        lambda p: read_detections(p, read_ground_truth(ground_truth())),
    ):
        with pytest.raises(
            ValueError,
            match=r'huge\.json is of 10000\.0 GB '
            'and takes up to .* are free',
        ):
            read(tmp_path / 'huge.json')


@pytest.mark.parametrize(
    'entry, grows',
    [
        ('[],', True),
        ('{},', True),
        ('[0],', True),
        ('{"a":1},', True),
        (
            '{"id":1,"image_id":1,"category_id":1,"bbox":[1,2,3,4],"area":12,'
            '"iscrowd":0},',
            False,
        ),
        (
            '{"image_id":1,"category_id":1,"bbox":[1,2,3,4],"score":0.5},',
            False,
        ),
        ('100,', False),
        ('[1,1,2,1,2,2,1,2,1,1],', False),
    ],
)
def test_json_that_grows_more_than_data_is_refused_whatever_fits(
    tmp_path, monkeypatch, entry, grows
):
    monkeypatch.setattr(json_files, 'FREE_BYTES', 0)
    (tmp_path / 'a.json').write_text(f'[{entry * 2000}1]')
    if grows:
        with pytest.raises(
            ValueError,
            match=r'a\.json is of .* MB and holds '
            '.* lists .* at most 8 times its size',
        ):
            load_json(tmp_path / 'a.json')
    else:
        assert len(load_json(tmp_path / 'a.json')) == 2001


@pytest.mark.parametrize(
    'text',
    [
        '[' + '[],' * 10**6 + '[]]',
        '[' + '{"a":[1.5]},' * 10**5 + '[]]',
        '["' + 'a' * 10**7 + '"]',
        '[' + '1e5,' * 10**6 + '1]',
    ],
    ids=['lists', 'dicts', 'text', 'numbers'],
)
def test_json_that_grows_in_memory_is_refused_where_it_would_not_fit(
    tmp_path, monkeypatch, text
):
    (tmp_path / 'a.json').write_text(text)
    script = f"""
import gc, json, re
{PEAK}
gc.disable()
text = open({str(tmp_path / 'a.json')!r}, 'rb').read()
before = peak()
held = json.loads(text)
print(peak() - before)"""
    taken = 1024 * int(
        subprocess.run(
            [sys.executable, '-c', script],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    )
    monkeypatch.setattr(
        json_files, 'available_memory', lambda: taken + len(text)
    )
    with pytest.raises(ValueError, match='of memory, of which'):
        load_json(tmp_path / 'a.json')
