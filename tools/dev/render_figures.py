#!/usr/bin/env python3
"""Render the measured figures in README and docs.

A measured figure is written once, in a file below ``docs/results``, with the
command, date, hardware and versions of its measurement. A page shows it
between two comments::

    <!-- table: NAME -->
    <!-- end -->

NAME is the name of a file of ``docs/results`` without its suffix, or of one of
the views in this script. What stands between the comments is replaced. A
figure within a sentence stands between comments too, and NAME is one of
:mod:`text_figures`::

    <!-- figure: NAME --><!-- end -->
"""

import argparse
import json
import operator
import re
import sys
import textwrap
from typing import Callable, Dict, List

import speed_tables
import yaml
from speed_tables import RESULTS, ROOT, table
from text_figures import FEWEST_SAMPLES, FIGURES

PAGES = (ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md')))
PROVENANCE = ('what', 'command', 'date', 'hardware', 'versions')
# Commands that write a CSV file, whose columns have the date, the hardware and
# the versions.
BENCHMARKS = dict(
    host_time='tools/benchmark/host_time.py',
    network_cpu='tools/benchmark/network.py --device cpu',
    network_gpu='tools/benchmark/network.py --rounds 10',
    network_gpu_python='tools/benchmark/network.py --rounds 5',
    network_gpu_compiled='tools/benchmark/network.py --rounds 5 --compile',
    ops_cpu='tools/benchmark/ops.py --device cpu',
    ops_gpu='tools/benchmark/gpu.py OUT --only ops_',
    tiles_gpu='an earlier form of tools/benchmark/tiles.py',
)
BLOCK = re.compile(
    r'(<!-- table: (?P<name>[\w-]+) -->\n).*?(<!-- end -->)', re.DOTALL
)
FIGURE = re.compile(r'(<!-- figure: (?P<name>[\w-]+) -->).*?(<!-- end -->)')


def read_result(name: str) -> dict:
    """Read ``docs/results/NAME.json`` and check that nothing is missing."""
    path = RESULTS / f'{name}.json'
    result = json.loads(path.read_text())
    # Tables have rows, or a CSV file that a page links to.
    content = {'data'} if 'data' in result else {'columns', 'rows'}
    missing = {*PROVENANCE, *content} - set(result)
    if missing:
        raise ValueError(f'{path} lacks {", ".join(sorted(missing))}')
    return result


def source(result: dict) -> str:
    """Return the line below a table: how, when and where it was measured."""
    command = result['command']
    if re.match(r'(make|tools/|pytest)', command) and ',' not in command:
        command = f'`{command}`'
    return (
        f'*{result["what"]}. Measured with {command} on {result["date"]}; '
        f'hardware: {result["hardware"]}; versions: {result["versions"]}.*'
    )


def render_result(name: str) -> str:
    """Return the table of a results file, with its source below."""
    result = read_result(name)
    return f'{table(result["columns"], result["rows"])}\n\n{source(result)}'


def paper_accuracy() -> str:
    """Return the figures that the paper reports, from the metafiles."""
    rows = []
    for family in ('sge', 'imagenet'):
        folder = ROOT / 'configs' / family
        models = yaml.safe_load((folder / 'metafile.yml').read_text())[
            'Models'
        ]
        found = {
            model['Name']: next(iter(model['Results'][0]['Metrics'].items()))
            for model in models
            if model.get('Results')
        }
        for name, (metric, figure) in found.items():
            plain = name.replace('-sge', '').replace('sge-', '')
            if plain != name:
                decimals = 1 if family == 'sge' else 2
                gain = figure - found[plain][1]
                rows.append(
                    [
                        f'`{name}`',
                        metric,
                        f'{found[plain][1]:.{decimals}f}',
                        f'{figure:.{decimals}f}',
                        f'{gain:+.{decimals}f}',
                    ]
                )
    return (
        table(
            ['config', 'metric', 'plain (paper)', 'SGE (paper)', 'gain'], rows
        )
        + "\n\n*Reported by the paper for its authors' own implementation, "
        'from `configs/*/metafile.yml`. None of these was trained here.*'
    )


def finding() -> str:
    """Return the sentence on what SGE brought here."""
    return textwrap.fill(
        f'**What we found ourselves:** {study_answer()} The gains of 1 to 2 '
        'points of AP below are those that the paper reports.',
        99,
    )


def study_answer() -> str:
    """Return the answers to the primary questions of the study."""
    answers, verdicts = [], []
    for answer in primary_answers():
        setting = answer['setting']
        if not setting.startswith('from'):
            setting = f'in {setting}'
        interval = answer['95 % interval']
        answers.append(
            f'by {answer["difference"]} points {setting} (95 % interval '
            f'{interval}, {answer["seeds"]} paired seeds)'
        )
        low, high = map(float, interval.split(' to '))
        verdicts.append(
            'a gain'
            if low > 0
            else 'a loss'
            if high < 0
            else 'no gain that can be told from chance'
        )
    kinds = [*dict.fromkeys(verdicts)]
    return (
        f'with SGE, AP on small objects differed {" and ".join(answers)}, in '
        f'narrow detectors of handwritten digits: {" and ".join(kinds)}.'
    )


def primary_answers() -> List[Dict[str, str]]:
    """Return the rows of the primary questions of the study."""
    result = read_result('study_answers')
    answers = [dict(zip(result['columns'], row)) for row in result['rows']]
    return [each for each in answers if each['question'] == 'primary']


def largest(result: dict) -> str:
    """Return the largest figure of a result's last column."""
    return max((row[-1] for row in result['rows']), key=float)


def trained_models() -> List[List[str]]:
    """Return the README's rows on average precision."""
    metafile = yaml.safe_load(
        (ROOT / 'configs' / 'sge' / 'metafile.yml').read_text()
    )
    plain, sge = (
        next(
            model['Results'][0]['Metrics']['box AP']
            for model in metafile['Models']
            if model['Name'] == f'faster-rcnn_{backbone}_fpn_clip-2x_coco'
        )
        for backbone in ('r50', 'r50-sge')
    )
    study, demo = read_result('study_answers'), read_result('demo')
    by_size = {row[0]: row[3] for row in demo['rows']}
    return [
        [
            '[COCO, Faster R-CNN R-50](docs/repeat_the_paper.md), paper',
            f'AP {plain}, with SGE {sge}',
            '2019',
        ],
        [
            '[Points by SGE](docs/study.md), AP_small',
            ', '.join(
                f'{answer["difference"]} ({answer["95 % interval"]})'
                for answer in primary_answers()
            ),
            study['date'],
        ],
        [
            '[AP of the demo](docs/get_started.md): all, small, medium',
            ', '.join(by_size[size] for size in ('all', 'small', 'medium')),
            demo['date'],
        ],
    ]


def exactness() -> List[List[str]]:
    """Return the README's rows on costs, weights, intervals and ONNX."""
    costs, coverage = read_result('paper_costs'), read_result('coverage')
    conversions, onnx = read_result('conversions'), read_result('onnx_checks')
    same = sum(row[-1] == 'same' for row in costs['rows'])
    return [
        [
            "[Costs](docs/repeat_the_paper.md) equal to the paper's",
            f'{same} of {len(costs["rows"])} models',
            costs['date'],
        ],
        [
            '[Converted weights](docs/your_weights.md) and plain model',
            f'at most {largest(conversions)} apart',
            conversions['date'],
        ],
        [
            '[ONNX files](docs/deployment.md) and MMDetection',
            f'at most {largest(onnx)} apart',
            onnx['date'],
        ],
        [
            '[95 % intervals](docs/compare.md) that held the truth',
            mean_coverage(coverage),
            coverage['date'],
        ],
    ]


def coverage_rows(result: dict, is_of_seeds: bool) -> List[Dict[str, str]]:
    """Return the rows on training seeds, or all other rows."""
    rows = [dict(zip(result['columns'], row)) for row in result['rows']]
    return [row for row in rows if ('seeds' in row['setting']) == is_of_seeds]


def mean_coverage(result: dict) -> str:
    """Return how often the intervals held the truth, over all settings."""
    rows = [
        row
        for row in coverage_rows(result, False)
        if row['held'] != '-' and 'image by image' not in row['setting']
    ]
    held = [float(row['held'].split()[0]) for row in rows]
    given = [float(row['intervals given'].split()[0]) for row in rows]
    mean = sum(map(operator.mul, held, given)) / sum(given)
    settings = {(row['setting'], row['images']) for row in rows}
    return f'{mean:.1f} %, mean of {len(settings)} settings'


def coverage() -> str:
    """Return how often the intervals held the truth, a row per setting."""
    result = read_result('coverage')
    settings: Dict[tuple, Dict[str, str]] = {}
    for row in coverage_rows(result, False):
        given = row['intervals given']
        held = row['held']
        # Of so few samples, the share that held would say nothing.
        share = int(given.split()[0])
        if share * result['samples'] < 100 * FEWEST_SAMPLES:
            held = f'- ({given} given)'
        elif given != '100 %':
            held += f' ({given} given)'
        cells = settings.setdefault((row['setting'], row['images']), {})
        cells[row['figure']] = held
    figures = list(next(iter(settings.values())))
    return '\n\n'.join(
        [
            table(
                ['setting', 'images', *figures],
                [
                    [*setting, *(cells[figure] for figure in figures)]
                    for setting, cells in settings.items()
                ],
            ),
            source(result),
        ]
    )


def coverage_seeds() -> str:
    """Return how often the intervals over seeds held, and their width."""
    columns = ('setting', 'held', 'figure')
    return table(
        ['seeds of each detector', 'held', 'mean width'],
        [
            [row[column].replace('width: ', '') for column in columns]
            for row in coverage_rows(read_result('coverage'), True)
        ],
    )


def false_alarms() -> str:
    """Return the share of figures of equal detectors that seem to differ."""
    columns = ('images', 'figure', 'p < 0.05', 'adjusted p < 0.05')
    return table(
        columns,
        [
            [row[column] for column in columns]
            for row in coverage_rows(read_result('coverage'), False)
            if row['setting'] == 'equal detectors'
            and row['figure'] in ('AP', 'AP_small', 'each class')
        ],
    )


def speed() -> List[List[str]]:
    """Return the README's rows on speed."""
    of_operator = speed_tables.operator_on_cpu('operator')
    times = [float(row['ours'].split('**')[1]) for row in of_operator]
    evaluation = read_result('evaluation_speed')
    return [
        *(
            [
                what,
                speed_tables.training_on_gpu(layout),
                speed_tables.measured_on('network_gpu'),
            ]
            for layout, what in (
                (
                    'NCHW',
                    '[AMP training](docs/performance.md), plain = 1',
                ),
                ('NHWC', 'the same in channels-last'),
            )
        ),
        [
            '[Operator on a CPU](docs/performance.md), formula = 1',
            f'{min(times):.1f} to {max(times):.1f} times as fast',
            speed_tables.measured_on('ops_cpu'),
        ],
        [
            '[Evaluation by size](docs/evaluate.md), pycocotools = 1',
            f'{evaluation["rows"][1][1]} times as fast',
            evaluation['date'],
        ],
    ]


def summary() -> str:
    """Return the README's table: one line for each question."""
    return table(
        ['what', 'result', 'date'],
        [*trained_models(), *exactness(), *speed()],
    )


def demo_verdict() -> str:
    """Return the verdict that the demo's comparison prints."""
    return f'> {read_result("demo_comparison")["verdict"]}'


def sources() -> str:
    """Return where each figure comes from."""
    rows = []
    for path in sorted(RESULTS.glob('[!.]*.json')):
        result = read_result(path.stem)
        rows.append(
            [
                f'[{path.name}](results/{path.name})',
                *(result[field] for field in PROVENANCE),
            ]
        )
    for name, command in BENCHMARKS.items():
        first = speed_tables.read(name)[0]
        rows.append(
            [
                f'[{name}.csv](results/{name}.csv)',
                'see [performance](performance.md)',
                command,
                first['date'],
                first['hardware'],
                f'torch {first["torch"]}, Python {first["python"]}',
            ]
        )
    return table(['file', *PROVENANCE], rows)


# Tables that pages may name besides the results files.
VIEWS: Dict[str, Callable[[], str]] = {
    **speed_tables.VIEWS,
    'coverage': coverage,
    'coverage-seeds': coverage_seeds,
    'false-alarms': false_alarms,
    'demo-verdict': demo_verdict,
    'finding': finding,
    'study-answer': lambda: textwrap.fill(f'**Answer:** {study_answer()}', 99),
    'paper-accuracy': paper_accuracy,
    'sources': sources,
    'summary': summary,
}


def render(text: str) -> str:
    """Return a page with all of its tables and figures rendered."""

    def replace(match: 're.Match[str]') -> str:
        name = match['name']
        content = VIEWS[name]() if name in VIEWS else render_result(name)
        return f'{match[1]}\n{content}\n\n{match[3]}'

    text = BLOCK.sub(replace, text)
    if re.search(r'^\s*<!-- figure:', text, re.MULTILINE):
        raise ValueError(
            'a line begins with a figure, which Markdown would take for HTML; '
            'put a word before it'
        )
    return FIGURE.sub(
        lambda match: f'{match[1]}{FIGURES[match["name"]]()}{match[3]}', text
    )


def main() -> None:
    """Render the pages, or check that they are up to date."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        '--check',
        action='store_true',
        help='change no page; exit status 1 if one differs from the files',
    )
    args = parser.parse_args()
    differing = []
    for page in PAGES:
        text = page.read_text()
        rendered = render(text)
        if rendered != text:
            differing.append(page.name)
            if not args.check:
                page.write_text(rendered)
    if args.check and differing:
        sys.exit(
            f'error: {", ".join(differing)}: figures differ from those of '
            'docs/results; `make figures` renders them'
        )
    print(f'rendered: {", ".join(differing) or "nothing to do"}')


if __name__ == '__main__':
    main()
