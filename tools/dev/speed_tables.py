"""Tables of the speed of the operator and of networks, for the pages."""

import csv
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Sequence, Tuple

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / 'docs' / 'results'
FORMULA = "authors' formula"
# Other implementations in the CSV files, and the names of their columns.
OTHERS = {
    f'{FORMULA}, compiled': 'formula, compiled',
    'floor': 'floor',
    'block without SGE': 'without SGE',
}
# Names of precisions in tables, and of the columns on speed.
PRECISIONS = dict(
    amp_float16='AMP, float16',
    amp_bfloat16='AMP, bfloat16',
    tf32='TF32',
    float32='float32',
)
BY_WALL = 'speed by wall time'
SPEEDS = "GPU's time, ms", 'speed', BY_WALL
Row = Dict[str, str]


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [columns, ['---'] * len(columns), *rows]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def table_of(rows: List[Row]) -> str:
    """Return a table in Markdown, with "-" where a row lacks a column."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return table(
        columns, [[row.get(name, '-') for name in columns] for row in rows]
    )


def read(name: str) -> List[Row]:
    """Return the rows of ``docs/results/NAME.csv``."""
    with (RESULTS / f'{name}.csv').open(newline='') as file:
        return list(csv.DictReader(file))


def measured_on(name: str) -> str:
    """Return the day of a measurement."""
    return read(name)[0]['date']


def timings(
    name: str, columns: Sequence[str], clocks: Sequence[str]
) -> Iterator[Tuple[Dict[str, Row], Row]]:
    """Yield the rows of each case, by provider, and the case itself.

    Args:
        name: Name of the CSV file.
        columns: Those that make up a case.
        clocks: Clocks to take, the first that a case has.
    """
    cases: Dict[tuple, Dict[str, Dict[str, Row]]] = {}
    for row in read(name):
        provider = row['provider'].split(' (')[0]
        case = cases.setdefault(tuple(row[key] for key in columns), {})
        case.setdefault(row['clock'], {})[provider] = row
    for values, by_clock in cases.items():
        clock = next((clock for clock in clocks if clock in by_clock), None)
        if clock:
            yield by_clock[clock], dict(zip(columns, values))


def times_as_fast(base: Row, row: Row, field: str = 'seconds') -> float:
    """Return how many times as fast as another a row is."""
    return float(base['seconds']) / float(row[field])


def operator_on_cpu(part: str) -> List[Row]:
    """Return how many times as fast as the formula a part is on a CPU."""
    columns = 'part', 'shape', 'direction'
    return [
        {
            'shape': case['shape'].replace('x', ' x '),
            'pass': case['direction'].replace('+', ' + '),
            **_beside_formula(rows),
        }
        for rows, case in timings('ops_cpu', columns, ['wall'])
        if case['part'] == part
    ]


def operator_on_gpu(part: str, layout: str) -> List[Row]:
    """Return the GPU's time of a part, and its speed; the formula is 1."""
    columns = 'part', 'dtype', 'layout', 'shape', 'direction'
    return [
        {
            'type': case['dtype'],
            'shape': case['shape'].replace('x', ' x '),
            'pass': case['direction'].replace('+', ' + '),
            'ours, us': f'{1e6 * float(rows["ours"]["seconds"]):.0f}',
            **_beside_formula(rows),
        }
        # A map of the first stage is larger than the cache.
        for rows, case in timings('ops_gpu', columns, ['cold', 'hot'])
        if (case['part'], case['layout']) == (part, layout)
    ]


def _beside_formula(rows: Dict[str, Row]) -> Row:
    """Return the cells of one case; the authors' formula is 1."""
    formula, ours = rows[FORMULA], rows['ours']
    low, high = (
        times_as_fast(formula, ours, end) for end in ('upper', 'lower')
    )
    memory = float(ours['bytes']) / float(formula['bytes'])
    return {
        'ours': f'**{times_as_fast(formula, ours):.1f}** '
        f'({low:.1f} to {high:.1f})',
        **{
            column: f'{times_as_fast(formula, rows[other]):.1f}'
            for other, column in OTHERS.items()
            if other in rows
        },
        'memory, ours': f'{memory:.2f}',
    }


def network_on_cpu() -> List[Row]:
    """Return the speed and memory of networks on a CPU; plain is 1."""
    return [
        {
            'network': name,
            'pass': case['direction'],
            'speed': f'{times_as_fast(rows["plain"], row):.2f}',
            'quartiles': _quartiles(rows['plain'], row),
            'memory': _memory(rows['plain'], row),
        }
        for rows, case in timings('network_cpu', ['direction'], ['wall'])
        for name, row in rows.items()
    ]


def network_on_gpu() -> List[Row]:
    """Return the GPU's time of all networks in mixed precision; plain is 1.

    Their wall time was measured before SGE was launched from C++.
    """
    return [
        {
            'layout': case['layout'],
            'pass': case['direction'],
            **{key: cells[key] for key in cells if key != BY_WALL},
        }
        for case, cells in _networks_on_gpu('network_gpu_python')
        if case['precision'] == 'amp_float16'
    ]


def precisions_on_gpu() -> List[Row]:
    """Return the speed of SGE's network in each precision; plain is 1."""
    before = {
        tuple(case.values()): cells[BY_WALL]
        for case, cells in _networks_on_gpu('network_gpu_python')
        if cells['network'] == 'SGE, ours'
    }
    return [
        {
            'precision': PRECISIONS[case['precision']],
            'layout': case['layout'],
            'pass': case['direction'],
            **{key: cells[key] for key in cells if key != 'network'},
            f'{BY_WALL}, launched from Python': before[tuple(case.values())],
        }
        for case, cells in _networks_on_gpu('network_gpu')
        if cells['network'] == 'SGE, ours'
    ]


def compiled_on_gpu() -> List[Row]:
    """Return the speed of compiled networks; the plain one as it is is 1."""
    return [
        {
            'pass': case['direction'],
            'network': cells['network'],
            **{key: cells[key] for key in cells if key in SPEEDS},
        }
        for case, cells in _networks_on_gpu('network_gpu_compiled')
        # As it is, it was launched from Python then.
        if cells['network'] != 'SGE, ours'
    ]


def _networks_on_gpu(name: str) -> Iterator[Tuple[Row, Row]]:
    """Yield each case and the cells of each network; plain is 1.

    Args:
        name: Name of the CSV file.
    """
    columns = 'precision', 'layout', 'direction'
    walls = {
        tuple(case.values()): rows
        for rows, case in timings(name, columns, ['wall'])
    }
    for rows, case in timings(name, columns, ['hot']):
        wall = walls[tuple(case.values())]
        for network, row in rows.items():
            time, speed, by_wall = SPEEDS
            yield (
                case,
                {
                    'network': network,
                    time: f'{1e3 * float(row["seconds"]):.2f}',
                    speed: f'{times_as_fast(rows["plain"], row):.2f} '
                    f'({_quartiles(rows["plain"], row)})',
                    by_wall: (
                        f'{times_as_fast(wall["plain"], wall[network]):.2f} '
                        f'({_quartiles(wall["plain"], wall[network])})'
                    ),
                    'memory': _memory(rows['plain'], row),
                },
            )


def tiles_on_gpu() -> List[Row]:
    """Return the time of a pass as it was cut before, and as it is now."""
    columns = 'direction', 'dtype', 'layout', 'shape'
    before = '512 values, 16 programs, 1 stage'
    return [
        {
            'pass': case['direction'],
            'type': case['dtype'],
            'layout': case['layout'],
            'shape': case['shape'].replace('x', ' x '),
            'before, us': f'{1e6 * float(rows[before]["seconds"]):.1f}',
            'now, us': f'{1e6 * float(now["seconds"]):.1f}',
            'times as fast': 'unchanged'
            if now is rows[before]
            else f'{times_as_fast(rows[before], now):.2f}',
        }
        for rows, case in timings('tiles_gpu', columns, ['graph'])
        for now in [rows[cut_of_now(case)]]
    ]


def cut_of_now(case: Row) -> str:
    """Return how sge_mmdet/ops/triton/plan.py cuts the end of a block.

    A test compares this with it.
    """
    c = int(case['shape'].split('x')[1]) // 64
    in_nchw = case['layout'] == 'NCHW'
    if case['direction'] == 'forward':
        programs = 20 if in_nchw and c <= 16 else 16
        return f'512 values, {programs} programs, 1 stage'
    values = 256 if in_nchw and c == 32 else 512
    return f'{values} values, 16 programs, 2 stages'


def training_on_gpu(layout: str) -> str:
    """Return the speed of a training iteration with SGE in a layout."""
    (row,) = (
        row
        for row in precisions_on_gpu()
        if (row['precision'], row['layout'], row['pass'])
        == (PRECISIONS['amp_float16'], layout, 'training')
    )
    of_gpu, wall = (row[key].split(maxsplit=1) for key in SPEEDS[1:])
    # The wall time varies; these are its quartiles.
    quartiles = wall[1].strip('()').replace(' to ', '-')
    return f'{of_gpu[0]} (GPU), {wall[0]} (wall, {quartiles})'


def _quartiles(base: Row, row: Row) -> str:
    low, high = (times_as_fast(base, row, end) for end in ('upper', 'lower'))
    return f'{low:.2f} to {high:.2f}'


def _memory(base: Row, row: Row) -> str:
    return f'{int(row["bytes"]) / int(base["bytes"]):.2f}'


VIEWS: Dict[str, Callable[[], str]] = {
    'block-end-cpu': lambda: table_of(operator_on_cpu('block_end')),
    'block-end-gpu': lambda: table_of(operator_on_gpu('block_end', 'NCHW')),
    'block-end-gpu-last': lambda: table_of(
        operator_on_gpu('block_end', 'NHWC')
    ),
    'network-cpu': lambda: table_of(network_on_cpu()),
    'network-gpu': lambda: table_of(network_on_gpu()),
    'ops-cpu': lambda: table_of(operator_on_cpu('operator')),
    'network-gpu-compiled': lambda: table_of(compiled_on_gpu()),
    'network-gpu-precisions': lambda: table_of(precisions_on_gpu()),
    'ops-gpu': lambda: table_of(operator_on_gpu('operator', 'NCHW')),
    'ops-gpu-last': lambda: table_of(operator_on_gpu('operator', 'NHWC')),
    'tiles-gpu': lambda: table_of(tiles_on_gpu()),
}
