"""Snippets, links and figures of README and docs.

Snippets run on small data; of those that need more, and say so, the arguments
are parsed by the tools' own parsers.
"""

import argparse
import csv
import json
import os
import re
import runpy
import statistics
import subprocess
import sys
from unittest import mock

import pytest
import yaml
from mmdet.registry import METRICS, MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.registry import HOOKS, init_default_scope

from sge_mmdet import SpatialGroupEnhance
from sge_mmdet.utils import upstream_path
from tests.helpers.documents import (
    PAGES,
    PLACEHOLDERS,
    ROOT,
    anchors,
    links,
    snippets,
    write_sandbox,
)
from tests.helpers.scripts import run_script

SHELL = snippets('shell')
PYTHON = snippets('python')
CONFIGS = [snippet for snippet in PYTHON if snippet.is_config]
PROGRAMS = [snippet for snippet in PYTHON if not snippet.is_config]
RESULTS = sorted((ROOT / 'docs' / 'results').glob('[!.]*.json'))


class ParsedError(Exception):
    """Arguments were parsed, and nothing shall follow."""


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    register_all_modules()
    folder = tmp_path_factory.mktemp('files')
    write_sandbox(folder)
    return folder


@pytest.fixture
def sandbox(files, tmp_path, monkeypatch):
    """A folder of the test's own with the reader's files, and the way in."""
    register_all_modules()
    for path in files.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize('snippet', SHELL, ids=str)
def test_commands_take_their_arguments(snippet, tmp_path):
    for words in snippet.commands():
        check_command(words, tmp_path)


@pytest.mark.parametrize(
    'snippet',
    [
        snippet
        for snippet in SHELL
        if not snippet.needs
        and re.search(r'^python tools/\w+\.py', snippet.text, re.MULTILINE)
    ],
    ids=str,
)
def test_commands_run(snippet, sandbox):
    for words in snippet.commands():
        if words[0] != 'python':
            continue
        words = [PLACEHOLDERS.get(word, word) for word in words]
        code, output = run_script(words[1].partition('tools/')[2], *words[2:])
        assert code == 0, output


@pytest.mark.parametrize('snippet', CONFIGS, ids=str)
def test_configs_build(snippet, sandbox):
    (sandbox / 'snippet.py').write_text(snippet.text)
    cfg = Config.fromfile('snippet.py')
    init_default_scope('mmdet')
    built = 0
    if 'model =' in snippet.text or 'sge_mmdet::' in snippet.text:
        assert has_sge(cfg)
        built += 1
    if 'val_evaluator =' in snippet.text:
        cfg.val_evaluator.ann_file = 'val.json'
        METRICS.build(cfg.val_evaluator)
        built += 1
    for hook in cfg.get('custom_hooks', ()):
        HOOKS.build(hook)
        built += 1
    assert built


@pytest.mark.parametrize('snippet', PROGRAMS, ids=str)
def test_programs_run(snippet, sandbox):
    exec(compile(snippet.text, str(snippet), 'exec'), {})


def has_sge(cfg):
    cfg.model.backbone.init_cfg = None
    parts = [MODELS.build(cfg.model.backbone), MODELS.build(cfg.model.neck)]
    return any(
        isinstance(module, SpatialGroupEnhance)
        for part in parts
        for module in part.modules()
    )


def check_command(words, folder):
    """Fail unless a command exists and takes these arguments."""
    while re.fullmatch(r'[A-Z_]+=.*', words[0]):
        words = words[1:]
    if words[0] == 'make':
        targets = re.search(
            r'^\.PHONY: (.*)$', (ROOT / 'Makefile').read_text(), re.MULTILINE
        )[1].split()
        assert {*words[1:]} <= {*targets}
    elif words[0] == 'pip':
        assert words[1] == 'install'
        if '-e' in words:
            package = words[words.index('-e') + 1]
            extra = re.fullmatch(r'\.(?:\[(\w+)\])?', package)[1]
            assert not extra or f"'{extra}'" in (ROOT / 'setup.py').read_text()
    elif words[0].endswith('.sh'):
        parse(*shell_script_runs(words, folder))
    else:
        words = words[1:] if words[0] == 'python' else words
        parse(words[0], words[1:])


def shell_script_runs(words, folder):
    """Return the tool that a shell script runs, and with what arguments."""
    for name in ('python', 'srun'):
        (folder / name).write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
        (folder / name).chmod(0o755)
    shown = subprocess.run(
        ['bash', *words],
        cwd=ROOT,
        env={**os.environ, 'PATH': f'{folder}:{os.environ["PATH"]}'},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    start = next(i for i, line in enumerate(shown) if 'tools/' in line)
    return shown[start], shown[start + 1 :]


def parse(script, arguments):
    """Let a tool parse its arguments, and stop there."""
    assert (ROOT / script).is_file()
    if script in ('tools/train.py', 'tools/test.py'):
        path = upstream_path('tools', script.partition('/')[2])
    else:
        path = ROOT / script
    parse_args = argparse.ArgumentParser.parse_args

    def stop(self, *args, **kwargs):
        parse_args(self, *args, **kwargs)
        raise ParsedError

    with mock.patch('sys.argv', [script, *arguments]), mock.patch(
        'sys.path', [str(path.parent), *sys.path]
    ), mock.patch('argparse.ArgumentParser.parse_args', stop), pytest.raises(
        ParsedError
    ):
        runpy.run_path(str(path), run_name='__main__')


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for link in links(page.read_text()):
        if re.match(r'https?://', link):
            continue
        name, _, anchor = link.partition('#')
        target = page.parent / name if name else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.read_text()), link


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page):
    text = re.sub(
        r'^\| old name.*?\n\n', '', page.read_text(), flags=re.DOTALL | re.M
    )
    names = re.findall(
        r'`((?:tools|tests|configs|docs|sge_mmdet)/[\w./-]*\w)`', text
    )
    assert not [name for name in names if not (ROOT / name).exists()]


def test_workflow_runs_the_two_commands_of_the_readme():
    workflow = yaml.safe_load(
        (ROOT / '.github' / 'workflows' / 'ci.yml').read_text()
    )
    (job,) = workflow['jobs'].values()
    commands = [step['run'] for step in job['steps'] if 'run' in step]
    readme = next(
        snippet
        for snippet in reversed(SHELL)
        if snippet.page.name == 'README.md' and 'make demo' in snippet.text
    )
    shown = [line.split('#')[0].strip() for line in readme.text.splitlines()]
    assert commands[: len(shown)] == shown == ['make demo', 'make test']
    targets = [word for command in commands for word in command.split()[1:]]
    makefile = (ROOT / 'Makefile').read_text()
    assert all(f'\n{target}: env\n' in makefile for target in targets)
    versions = [step['uses'] for step in job['steps'] if 'uses' in step]
    assert all(re.fullmatch(r'[\w-]+/[\w-]+@v\d+', one) for one in versions)


def test_every_page_is_on_the_site():
    index = (ROOT / 'docs' / 'index.md').read_text()
    for page in (ROOT / 'docs').glob('*.md'):
        assert page.stem in {*index.split(), 'index', 'api', 'mim'}


def test_tables_are_those_of_the_results_files():
    code, output = run_script('dev/render_figures.py', '--check')
    assert code == 0, output


# Limits and settings, which are in the text and were not measured.
SETTINGS = {
    '95 %',
    '80 %',
    '0.7 points',
    '25 MB',
    '50 MB',
    '100 us',
    '29 minutes',
    '100 MB',
    '100 times',
    '20 seconds',
    '2,000 times',
    '90 of 100',
}


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_rows_of_tables_have_a_cell_in_each_column(page):
    header = None
    for number, line in enumerate(page.read_text().splitlines(), 1):
        cells = len(re.findall(r'(?<!\\)\|', line))
        is_row = line.startswith('|')
        assert not is_row or header in (None, cells), f'line {number}'
        header = cells if is_row else None


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_measured_figures_are_rendered_and_not_typed(page):
    """Figures in the running text come from the results files as well."""
    text = re.sub(
        r'<!-- (table|figure): .*?<!-- end -->|```.*?```',
        '',
        page.read_text(),
        flags=re.DOTALL,
    )
    typed = re.findall(
        r'\d[\d.,]* ?(?:%|us\b|ms\b|seconds?\b|minutes?\b|hours?\b|times\b|'
        r'points?\b|[KMG]i?B\b|of \d+)|\d\.\d+e-\d+',
        re.sub(r'`[^`\n]*`', '', text),
    )
    assert {*typed} <= SETTINGS


@pytest.mark.parametrize('path', RESULTS, ids=lambda path: path.stem)
def test_results_say_how_they_were_measured_and_are_shown(path):
    result = json.loads(path.read_text())
    for field in ('what', 'command', 'date', 'hardware', 'versions'):
        assert result[field]
    assert re.fullmatch(r'\d{4}-\d\d-\d\d', result['date'])
    if 'data' in result:
        assert (path.parent / result['data']).is_file()
    if 'rows' in result:
        columns = len(result['columns'])
        assert all(len(row) == columns for row in result['rows'])
        marker = f'<!-- table: {path.stem} -->'
        assert any(marker in page.read_text() for page in PAGES)


def test_every_csv_file_has_its_source_on_the_page_of_results():
    text = (ROOT / 'docs' / 'results.md').read_text()
    sources = {json.loads(path.read_text()).get('data') for path in RESULTS}
    for path in (ROOT / 'docs' / 'results').glob('*.csv'):
        assert path.name in sources or f'results/{path.name}' in text


def test_table_of_the_study_is_that_of_its_runs():
    folder = ROOT / 'docs' / 'results'
    study = json.loads((folder / 'study.json').read_text())
    with (folder / study['data']).open(newline='') as file:
        runs = list(csv.DictReader(file))
    for row in study['rows']:
        shown = dict(zip(study['columns'], row))
        for figure in ('AP', 'AP50', 'AP75', 'AP_small', 'AP_medium'):
            values = [
                float(run['value'])
                for run in runs
                if (run['config'], run['figure']) == (row[0], figure)
            ]
            assert len(values) == int(shown['seeds'])
            assert shown[figure] == (
                f'{statistics.mean(values):.3f} ± '
                f'{statistics.stdev(values):.3f}'
            )
