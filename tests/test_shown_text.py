"""Text of others on the terminal, in Markdown and in CSV."""

import csv
import io

import pytest

from sge_mmdet.utils.tables import Table
from sge_mmdet.utils.text import printable_value


@pytest.mark.parametrize(
    'cell, shown',
    [
        ('=cmd', "'=cmd"),
        ('+A1', "'+A1"),
        ('-2+3+cmd|x', "'-2+3+cmd|x"),
        ('@SUM(A1)', "'@SUM(A1)"),
        ('\t=A1', "'\t=A1"),
        ('-0.5', '-0.5'),
        (-0.5, '-0.5'),
        ('+1.2', '+1.2'),
        ('-', '-'),
        ('a=b', 'a=b'),
        ('-1e-3', '-1e-3'),
        (None, ''),
    ],
)
def test_spreadsheets_show_text_of_csv_and_do_not_compute_it(cell, shown):
    for table in Table(['a'], [[cell]]), Table([cell or ''], [['a']]):
        assert shown in [
            row[0] if row else ''
            for row in csv.reader(io.StringIO(table.csv()))
        ]


def test_tables_show_no_letters_that_a_terminal_obeys():
    table = Table(['\x1b[1m'], [['\x1b[2J\n\u202e']])
    for text in table.text(), table.markdown():
        text = text.replace('\\', '')
        assert '?[1m' in text and '?[2J??' in text and '\x1b' not in text


@pytest.mark.parametrize(
    'name, shown',
    [
        ('<img src=x>', r'\<img src=x\>'),
        ('[a](b)', r'\[a\](b)'),
        ('`a|b`', r'\`a\|b\`'),
        (r'\<b>', r'\\\<b\>'),
        ('a b', 'a b'),
    ],
)
def test_markdown_shows_html_and_links_of_names_as_text(name, shown):
    assert Table(['class'], [[name]]).markdown().splitlines()[-1] == (
        f'| {shown} |'
    )


@pytest.mark.parametrize(
    'value, shown',
    [
        ('a\x1b', "'a?'"),
        ([1, '2', [3]], "[1, '2', <list>]"),
        (True, 'True'),
        ((1.0, None), '[1.0, None]'),
        ({}, '<dict>'),
        (10**9999, '<huge number>'),
        ([0] * 99, '[0, 0, 0, 0, 0, 0, 0, 0, ...]'),
        ('a' * 99, f"'{'a' * 80}...'"),
    ],
    ids=lambda value: repr(value)[:20] if isinstance(value, str) else '',
)
def test_values_are_shown_as_python_writes_them_and_never_whole(value, shown):
    assert printable_value(value) == shown
