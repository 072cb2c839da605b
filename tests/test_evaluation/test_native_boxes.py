"""The reader of result files in C++, beside Python's."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sge_mmdet.evaluation.native import boxes as native_boxes
from sge_mmdet.evaluation.native import read_boxes
from sge_mmdet.evaluation.native.loading import library

pytestmark = pytest.mark.skipif(
    library() is None, reason='built without a C++ compiler'
)
ROW = '{"image_id": 1, "category_id": 2, "bbox": [1, 2.5, 3, 4], "score": 0.5}'
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
IDS = st.integers(-(2**63), 2**63 - 1)
SPACE = st.text(' \n\r\t', max_size=2)


@st.composite
def texts(draw):
    """Return the text of a result file, in any order and with any space."""

    def join(parts, mark):
        return mark.join(f'{draw(SPACE)}{part}{draw(SPACE)}' for part in parts)

    def number():
        value = draw(NUMBERS)
        form = draw(st.sampled_from([repr, '{:.3e}'.format, '{:E}'.format]))
        return form(value)

    rows = []
    for _ in range(draw(st.integers(1, 3))):
        members = {
            'image_id': draw(IDS),
            'category_id': draw(IDS),
            'bbox': f'[{join([number() for _ in range(4)], ",")}]',
            'score': number(),
        }
        pairs = [
            f'"{key}"{draw(SPACE)}:{draw(SPACE)}{value}'
            for key, value in draw(st.permutations(list(members.items())))
        ]
        rows.append(f'{{{join(pairs, ",")}}}')
    return f'{draw(SPACE)}[{join(rows, ",")}]{draw(SPACE)}'


def assert_is_what_python_reads(boxes, text):
    rows = json.loads(text)
    for name, column in boxes._asdict().items():
        want = np.array([row[name] for row in rows], column.dtype)
        assert column.tobytes() == want.tobytes()


@given(texts())
def test_it_reads_what_python_reads_to_the_last_bit(text):
    boxes = read_boxes(text.encode())
    if boxes is None:
        # Nothing but a number that float64 holds as 0 or as infinity.
        values = [
            abs(value)
            for row in json.loads(text)
            for value in (*row['bbox'], row['score'])
        ]
        assert min(values) == 0 or max(values) == float('inf')
    else:
        assert_is_what_python_reads(boxes, text)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2 * len(ROW)),
            st.sampled_from(list('{}[],:"0123456789.eE+- _abdginorstx\\\0é')),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_a_changed_file_is_declined_or_read_as_python_reads_it(changes):
    text = f'[{ROW}, {ROW}]'
    for at, character in changes:
        text = text[:at] + character + text[at + 1 :]
    boxes = read_boxes(text.encode())
    if boxes is not None:
        assert_is_what_python_reads(boxes, text)


@pytest.mark.parametrize(
    'text',
    [
        '',
        '[]',
        '[ ]',
        '{}',
        ROW,
        f'[{ROW}',
        f'[{ROW},]',
        f'[{ROW}]]',
        f'[{ROW}] x',
        f'[{ROW}{ROW}]',
        '\ufeff' + f'[{ROW}]',
        f'[{ROW}, null]',
        f'[{ROW}, 1]',
        f'[{ROW[:-1]}, "id": 3}}]',
        f'[{ROW[:-1]}, "score": 0.5}}]',
        f'[{ROW.replace("score", "scores")}]',
        f'[{ROW.replace("score", "image_id")}]',
        '[' + ROW.replace('score', 'sc\\u006fre') + ']',
        *(
            f'[{ROW.replace("0.5", number)}]'
            for number in (
                *('NaN', 'Infinity', '-Infinity', 'null', 'true', '"0.5"'),
                *('.5', '5.', '+5', '01', '-', '0x5', '1e', '1e+', '1e999'),
                *('1_0', '[0.5]', '{}', '', '0.5 0.5', '1,5', '1e-999'),
            )
        ),
        *(
            f'[{ROW.replace("1,", f"{number},", 1)}]'
            for number in ('1.0', '1e3', '"1"', '9223372036854775808', '01')
        ),
        *(
            f'[{ROW.replace("[1, 2.5, 3, 4]", box)}]'
            for box in ('[1, 2, 3]', '[1, 2, 3, 4, 5]', '[]', '1', '[1 2 3 4]')
        ),
    ],
)
def test_everything_unusual_is_left_to_a_full_parser(text):
    assert read_boxes(text.encode()) is None


def test_every_text_that_ends_early_is_declined():
    text = f'[{ROW}, {ROW}]'.encode()
    assert read_boxes(text) is not None
    for end in range(len(text)):
        assert read_boxes(text[:end]) is None


def test_without_the_library_it_declines(monkeypatch):
    monkeypatch.setattr(native_boxes, 'library', lambda: None)
    assert read_boxes(f'[{ROW}]'.encode()) is None
