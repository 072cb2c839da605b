import builtins
import math
from xml.etree import ElementTree

import pytest

from sge_mmdet.utils.tables import Table, points


@pytest.mark.parametrize(
    'difference, words',
    [
        (0.0123, '+1.2'),
        (-0.0123, '-1.2'),
        (-0.0004, '0.0'),
        (0.0004, '0.0'),
        (None, None),
    ],
)
def test_a_difference_that_rounds_to_nothing_has_no_sign(difference, words):
    assert points(difference) == words


TABLE = Table(
    ('name', 'AP <all>'),
    [('<script>alert("x")</script> & co', 0.12345), ('b', None)],
)


def test_html_is_valid_and_names_are_escaped():
    text = TABLE.html()
    head, body = ElementTree.fromstring(text)
    assert [cell.text for cell in head[0]] == ['name', 'AP <all>']
    assert [[cell.text for cell in row] for row in body] == [
        ['<script>alert("x")</script> & co', '0.123'],
        ['b', 'n/a'],
    ]
    assert '<script>' not in text


def test_dataframe_has_all_digits():
    pytest.importorskip('pandas')
    frame = TABLE.to_dataframe()
    assert [*frame.columns] == ['name', 'AP <all>']
    assert frame['AP <all>'][0] == 0.12345
    assert math.isnan(frame['AP <all>'][1])
    assert frame['AP <all>'].dtype == float


def test_dataframe_tells_how_to_install_pandas(monkeypatch):
    real = builtins.__import__

    def without_pandas(name, *args):
        if name == 'pandas':
            raise ImportError(name)
        return real(name, *args)

    monkeypatch.setattr(builtins, '__import__', without_pandas)
    with pytest.raises(ImportError, match='pip install pandas'):
        TABLE.to_dataframe()
