"""Measured figures that stand in the running text of README and docs."""

import csv
import json
import math
import re
from functools import partial
from itertools import product
from typing import Callable, Dict, Iterator, List, Sequence, Tuple

from scipy.stats import norm
from scipy.stats import t as student_t
from speed_tables import (
    FORMULA,
    RESULTS,
    Row,
    read,
    tiles_on_gpu,
    times_as_fast,
    timings,
)

OPERATOR = 'part', 'dtype', 'layout', 'shape', 'direction'
# Fewest samples of which the share of intervals that held is shown.
FEWEST_SAMPLES = 30


def result(name: str) -> dict:
    """Return the content of ``docs/results/NAME.json``."""
    return json.loads((RESULTS / f'{name}.json').read_text())


def records(name: str) -> List[Row]:
    """Return the rows of ``docs/results/NAME.json``, by column."""
    content = result(name)
    return [dict(zip(content['columns'], row)) for row in content['rows']]


def added_time(
    name: str, network: str, clock: str
) -> Dict[Tuple[str, str, str], float]:
    """Return how much longer than the plain network another takes.

    Args:
        name: Name of the CSV file.
        network: Name of the network in the file.
        clock: Clock of the times.

    Returns:
        Share of the plain network's time in percent, by precision, layout
        and pass.
    """
    columns = 'precision', 'layout', 'direction'
    return {
        tuple(case.values()): 100
        * (
            float(rows[network]['seconds']) / float(rows['plain']['seconds'])
            - 1
        )
        for rows, case in timings(name, columns, [clock])
        if network in rows
    }


def added_on_gpu(clock: str, name: str = 'network_gpu', **chosen: str) -> str:
    """Return the range of the time that SGE's network adds on a GPU.

    Args:
        clock: "hot", the GPU's time, or "wall".
        name: Name of the CSV file. Default: today's.
        **chosen: Beginning of the precision, the layout or the direction of
            the cases that count. Default: all.
    """
    columns = 'precision', 'layout', 'direction'
    times = [
        value
        for values, value in added_time(name, 'SGE, ours', clock).items()
        if all(
            dict(zip(columns, values))[key].startswith(begin)
            for key, begin in chosen.items()
        )
    ]
    low, high = (f'{round(end) or 0:+d} %' for end in (min(times), max(times)))
    return low if low == high else f'{low} to {high}'


def added_by(network: str) -> str:
    """Return the range of the time that a plugin adds on a GPU."""
    times = added_time('network_gpu_python', network, 'hot').values()
    return f'{min(times):.0f} to {max(times):.0f} %'


def operator_ratios(first: str, second: str, **chosen: str) -> List[float]:
    """Return the GPU's time of one implementation over that of another.

    Args:
        first: Name of the one.
        second: Name of the other.
        **chosen: Values of columns of the cases that count. Default: all.
    """
    return [
        times_as_fast(rows[first], rows[second])
        for rows, case in timings('ops_gpu', OPERATOR, ['cold', 'hot'])
        if first in rows and chosen.items() <= case.items()
    ]


def ahead_of_compiled() -> str:
    """Return in how many cases ours is faster than the compiled formula."""
    ratios = operator_ratios(f'{FORMULA}, compiled', 'ours', layout='NCHW')
    return f'{sum(ratio > 1 for ratio in ratios)} of {len(ratios)}'


def over_norm(direction: str) -> str:
    """Return the GPU's time at the end of a block in NCHW; without SGE is 1.

    Args:
        direction: "forward" or "forward+backward".
    """
    ratios = operator_ratios(
        'ours',
        'block without SGE',
        part='block_end',
        direction=direction,
        layout='NCHW',
    )
    return f'{min(ratios):.1f} to {max(ratios):.1f}'


def faster_than_formula() -> str:
    """Return how many times as fast as the formula the operator is."""
    ratios = operator_ratios(FORMULA, 'ours')
    return f'{min(ratios):.1f} to {max(ratios):.1f}'


def share_of_floor() -> str:
    """Return the share of the floor that the operator reaches."""
    ratios = operator_ratios('floor', 'ours')
    return f'{100 * min(ratios):.0f} to {100 * max(ratios):.0f} %'


def host_time(provider: str) -> str:
    """Return the host's time of a call; without SGE is 1."""
    rows = {row['provider']: row for row in read('host_time')}
    plain = rows['batch norm, addition and ReLU']
    return f'{times_as_fast(rows[provider], plain):.2f}'


def kernels(field: str) -> List[int]:
    """Return a property of all compiled kernels, without zeros."""
    return [int(row[field]) for row in read('kernels') if int(row[field])]


def training_on_cpu() -> str:
    """Return the time that SGE adds to a training iteration on a CPU."""
    (times,) = (
        100
        * (
            float(rows['SGE, ours']['seconds'])
            / float(rows['plain']['seconds'])
            - 1
        )
        for rows, case in timings('network_cpu', ['direction'], ['wall'])
        if case['direction'] == 'training'
    )
    # Not -0.
    return f'{round(times) or 0:+d} %'


def measured_with(name: str) -> str:
    """Return date, hardware and versions of a CSV file."""
    row = read(name)[0]
    return (
        f'{row["date"]} on one {row["hardware"]}, with PyTorch '
        f'{row["torch"]} and Python {row["python"]}'
    )


def objects(size: str) -> str:
    """Return the number of the demo's objects of a size."""
    (row,) = (row for row in records('demo') if row['size'] == size)
    return row['objects']


def gain_in_study(figure: str) -> str:
    """Return by how many points SGE is ahead of no attention."""
    (row,) = (row for row in records('study') if row['config'] == 'SGE')
    return row[f'{figure} - none (95 %)'].split()[0]


def reach_in_study() -> str:
    """Return how far the intervals of the study reach to either side."""
    reaches = []
    for row in records('study'):
        for column, cell in row.items():
            if column.endswith('- none (95 %)') and cell != '-':
                low, high = map(float, re.findall(r'[-+][\d.]+', cell)[1:])
                reaches.append((high - low) / 2)
    return f'{min(reaches):.0f} to {max(reaches):.0f}'


def study_runs() -> Dict[str, List[float]]:
    """Return the AP of each seed of each config of the study, in points."""
    runs: Dict[str, List[float]] = {}
    with (RESULTS / 'study.csv').open(newline='') as file:
        for row in csv.DictReader(file):
            if row['figure'] == 'AP':
                runs.setdefault(row['config'], []).append(
                    100 * float(row['value'])
                )
    return runs


def spread_of_seeds() -> str:
    """Return how far apart the seeds of one config are at most."""
    return f'{max(max(ap) - min(ap) for ap in study_runs().values()):.1f}'


def single_runs() -> str:
    """Return what a single run of each could have shown."""
    runs = study_runs()
    pairs = [a - b for a in runs['SGE'] for b in runs['none']]
    return f'{min(pairs):+.1f} to {max(pairs):+.1f}'


def narrowed_by_pairing() -> str:
    """Return the width of the interval over paired seeds; unpaired is 1."""
    (row,) = records('study_seeds')
    paired, unpaired = (
        float(row[f'95 % interval, {kind}'].split()[1])
        for kind in ('paired by seed', 'unpaired')
    )
    return f'{paired / unpaired:.2f}'


def spread_of_rounding() -> str:
    """Return how far apart implementations of SGE end at most."""
    spreads = []
    for row in records('bfloat16'):
        ap = [float(row[key]) for key in row if key.startswith('float32')]
        spreads.append(100 * (max(ap) - min(ap)))
    return f'{max(spreads):.1f}'


def error_of_coverage() -> str:
    """Return the largest standard error of a share that is shown."""
    errors = []
    for held, number in shares_that_held():
        errors.append(math.sqrt(held * (100 - held) / number))
    return f'{max(errors):.0f} %'


def shares_that_held() -> Iterator[Tuple[float, float]]:
    """Yield the share of intervals that held, in percent, and of how many."""
    samples = result('coverage')['samples']
    for row in records('coverage'):
        given = row['intervals given'].split()[0]
        if row['held'] != '-' and 'seeds' not in row['setting']:
            number = float(given) * samples / 100
            if number >= FEWEST_SAMPLES:
                yield float(row['held'].split()[0]), number


def width_of_five() -> str:
    """Return the mean width of Student's interval over five differences.

    The width with a known standard deviation is 1. The standard deviation of
    five normal numbers is too small by the usual factor, c4.
    """
    c4 = math.sqrt(2 / 4) * math.gamma(5 / 2) / math.gamma(2)
    quantile = student_t.ppf(0.975, 4) / norm.ppf(0.975)
    return f'{c4 * quantile:.2f}'


def memory_of_json(content: str) -> str:
    """Return the memory that JSON takes once parsed; the file is 1."""
    (row,) = (r for r in records('json_memory') if r['content'] == content)
    return row['memory / size of the file']


def added_figures() -> Dict[str, Callable[[], str]]:
    """Return the figures on the backbone, by layout and pass."""
    return {
        f'gpu-hot-{layout}-{direction}': partial(
            added_on_gpu, 'hot', layout=layout, direction=direction
        )
        for layout, direction in product(
            ('NCHW', 'NHWC'), ('inference', 'training')
        )
    }


def gained_by_tiles(direction: str) -> str:
    """Return how many times as fast the cut of today made a pass in NCHW."""
    times = [
        float(row['times as fast'])
        for row in tiles_on_gpu()
        if (row['pass'], row['layout']) == (direction, 'NCHW')
        and row['times as fast'] != 'unchanged'
    ]
    return f'{min(times):.2f} to {max(times):.2f}'


def figures_of_pilot() -> Dict[str, Callable[[], str]]:
    """Return what the protocol of the study says of its pilot."""
    names = (
        'accuracy',
        'scratch',
        'finetune',
        'bccd',
        'doubled',
        'effect',
        'interaction',
        'images',
        'seeds',
        'cautious',
        'earlier',
    )
    return {
        f'pilot-{name}': lambda name=name: result('study_pilot')[name]
        for name in names
    }


def quarter(setting: str) -> str:
    """Return what the last quarter of a setting's trainings gained."""
    mean, least, most = result('study_answers')['last_quarter'][setting]
    return f'{mean} ({least} to {most})'


def dates(names: Sequence[str]) -> Dict[str, Callable[[], str]]:
    """Return the days of measurements, by file."""
    return {
        f'date-{name}': lambda name=name: read(name)[0]['date']
        for name in names
    }


# Figures that a page may name between two comments.
FIGURES: Dict[str, Callable[[], str]] = {
    **added_figures(),
    **figures_of_pilot(),
    **dates(['host_time', 'network_cpu', 'ops_cpu']),
    'gpu-measured': lambda: measured_with('network_gpu'),
    'gpu-plugin': lambda: added_by('SGE plugin, ours'),
    'gpu-se': lambda: added_by('SE plugin'),
    'gpu-gc': lambda: added_by('GC plugin'),
    'gpu-ahead': ahead_of_compiled,
    'gpu-forward-over-norm': lambda: over_norm('forward'),
    'gpu-both-over-norm': lambda: over_norm('forward+backward'),
    'gpu-operator': faster_than_formula,
    'gpu-floor': share_of_floor,
    'gpu-tiles-forward': lambda: gained_by_tiles('forward'),
    'gpu-tiles-backward': lambda: gained_by_tiles('backward'),
    **{
        f'gpu-wall-{precision}': partial(
            added_on_gpu, 'wall', precision=precision
        )
        for precision in ('amp', 'tf32', 'float32')
    },
    'gpu-wall-python-amp': partial(
        added_on_gpu, 'wall', 'network_gpu_python', precision='amp'
    ),
    'host-sge': lambda: host_time('with SGE, ours'),
    'host-python': lambda: host_time('with SGE, launched from Python'),
    'kernel-registers': lambda: str(max(kernels('registers'))),
    'kernel-spills': lambda: (
        f'{min(kernels("spilled_bytes"))} to {max(kernels("spilled_bytes"))}'
    ),
    'cpu-training': training_on_cpu,
    'demo-objects': lambda: objects('all'),
    'demo-small-objects': lambda: objects('small'),
    'study-gain': lambda: gain_in_study('AP'),
    'study-gain-small': lambda: gain_in_study('AP_small'),
    'study-reach': reach_in_study,
    'study-seeds-apart': spread_of_seeds,
    'study-single-runs': single_runs,
    **{
        f'last-quarter-{setting}': lambda setting=setting: quarter(setting)
        for setting in ('finetune', 'scratch', 'bccd')
    },
    'machines-apart': lambda: result('study_machines')['apart'],
    'seeds-number': lambda: records('study_seeds')[0]['seeds'],
    'seeds-correlation': lambda: result('study_seeds')['correlation'],
    'seeds-paired-width': narrowed_by_pairing,
    'rounding-apart': spread_of_rounding,
    'coverage-error': error_of_coverage,
    'width-of-five': width_of_five,
    'onnx-demo': lambda: result('onnx_int8')['difference'],
    'json-annotations': lambda: memory_of_json('annotations'),
    'json-results': lambda: memory_of_json('a result file of 9,844,000 boxes'),
    'json-most': lambda: max(
        (row['memory / size of the file'] for row in records('json_memory')),
        key=float,
    ),
}
