"""Measurements as CSV, tables and pictures."""

import argparse
import csv
import importlib.util
import io
import os
import platform
import sys
from collections import defaultdict
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Dict,
    Iterable,
    List,
    Optional,
    Sequence,
    Union,
)

import torch
from timing import Spread

from sge_mmdet.utils.files import RENEWING, Writer
from sge_mmdet.utils.machine import processor_name
from sge_mmdet.utils.tables import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Row:
    """What one provider took in one case.

    Attributes:
        case: What was run, by name.
        provider: What ran it. The first of a case is what the others are
            compared with.
        clock: What was timed; see :func:`timing.time_in_turns`.
        seconds: Median and quartiles.
        bytes: Peak memory of its tensors.
    """

    case: Dict[str, str]
    provider: str
    clock: str
    seconds: Spread
    bytes: int


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the files that :func:`report` writes.

    Args:
        parser (ArgumentParser): The parser.
    """
    parser.add_argument(
        '--out',
        type=Path,
        help='CSV file to write; a picture goes beside it where matplotlib '
        'is installed',
    )
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='replace files that are there, also those that this tool did '
        'not write',
    )


def report_or_exit(
    cases: Iterable[List[Row]], device: str, args: argparse.Namespace
) -> None:
    """Call :func:`report`, and exit with its error if there is one.

    Args:
        cases (Iterable[list[Row]]): Rows of each case of a benchmark.
        device (str): Device that is measured.
        args (Namespace): Options of :func:`add_output_options`.
    """
    try:
        report(cases, device, args.out, args.overwrite)
    except (OSError, ValueError) as error:
        sys.exit(f'error: {error}')


def report(
    cases: Iterable[List[Row]],
    device: str,
    out: Optional[Path],
    overwrite: bool = False,
) -> None:
    """Print the table of each case as it is measured; write all of them.

    Args:
        cases (Iterable[list[Row]]): Rows of each case of a benchmark.
        device (str): Device that is measured.
        out (Path, optional): CSV file to write, with a picture beside it
            where matplotlib is installed. Those of an earlier benchmark are
            renewed.
        overwrite (bool): Whether to replace other files. Default: False.

    Raises:
        OSError: If a file cannot be written, before anything is measured if
            that is known by then.
        ValueError: If the CSV has the name of the picture.
    """
    writer = Writer(overwrite, renews=True)
    picture = out and out.with_suffix('.png')
    if out:
        if out == picture:
            raise ValueError(
                f'{out} is the CSV, beside which the picture '
                'goes; name it *.csv'
            )
        writer.check(out, picture)
    rows: List[Row] = []
    for case in cases:
        rows += case
        print(rows_table(case, device).text(), end='\n\n', flush=True)
        if out:
            # Case by case: what is measured by then outlives an interruption.
            write_rows(rows, out, device, writer)
    if out and importlib.util.find_spec('matplotlib') is None:
        print(f'{picture} is not drawn: matplotlib is not installed')
    elif out:
        draw_rows(out, picture, writer)


def rows_table(rows: Sequence[Row], device: str) -> Table:
    """Return how much faster than the first provider each one is.

    Args:
        rows (Sequence[Row]): Of all cases.
        device (str): Where they were measured. On a GPU times are shown as
            well; elsewhere they belong to a shared machine, and ratios alone
            are.
    """
    first: Dict[tuple, Row] = {}
    cells = []
    for row in rows:
        base = first.setdefault((*row.case.values(), row.clock), row)
        low, high = (
            base.seconds.median / quartile
            for quartile in (row.seconds.upper, row.seconds.lower)
        )
        times = (
            [f'{1e6 * row.seconds.median:.1f}']
            if torch.device(device).type == 'cuda'
            else []
        )
        cells.append(
            [
                *row.case.values(),
                row.clock,
                row.provider,
                *times,
                base.seconds.median / row.seconds.median,
                f'{low:.2f} to {high:.2f}',
                row.bytes / max(base.bytes, 1),
            ]
        )
    base = rows[0].provider
    times = ['us'] if torch.device(device).type == 'cuda' else []
    return Table(
        [
            *rows[0].case,
            'clock',
            'provider',
            *times,
            f'speed, {base} = 1',
            'quartiles',
            f'memory, {base} = 1',
        ],
        cells,
    )


def write_rows(
    rows: Sequence[Row],
    path: Union[str, Path],
    device: str,
    writer: Writer = RENEWING,
) -> None:
    """Write rows as CSV, with hardware and versions in each.

    Args:
        rows (Sequence[Row]): The rows.
        path (str or Path): File to write.
        device (str): Where they were measured.
        writer (Writer): How it is written. Default: over what this package
            wrote before, and nothing else.
    """
    about = dict(
        date=date.today().isoformat(),
        hardware=hardware(device),
        torch=torch.__version__,
        python=platform.python_version(),
    )
    records = [_record(row, about) for row in rows]
    text = io.StringIO(newline='')
    table = csv.DictWriter(text, list(records[0]))
    table.writeheader()
    table.writerows(records)
    writer.write(path, text.getvalue())


def _record(row: Row, about: Dict[str, str]) -> Dict[str, object]:
    """Return a line of the CSV file by column."""
    return dict(
        row.case,
        provider=row.provider,
        clock=row.clock,
        seconds=row.seconds.median,
        lower=row.seconds.lower,
        upper=row.seconds.upper,
        bytes=row.bytes,
        **about,
    )


def read_rows(path: Union[str, Path]) -> List[Row]:
    """Read what :func:`write_rows` wrote.

    Args:
        path (str or Path): The file.
    """
    with Path(path).open(newline='') as file:
        lines = list(csv.DictReader(file))
    names = list(lines[0])[: list(lines[0]).index('provider')]
    return [
        Row(
            {name: line[name] for name in names},
            line['provider'],
            line['clock'],
            Spread(
                *(float(line[name]) for name in ('seconds', 'lower', 'upper'))
            ),
            int(line['bytes']),
        )
        for line in lines
    ]


def draw_rows(
    csv_file: Union[str, Path],
    out_file: Union[str, Path],
    writer: Writer = RENEWING,
) -> None:
    """Draw the speed of each provider, relative to the first, case by case.

    Args:
        csv_file (str or Path): What :func:`write_rows` wrote.
        out_file (str or Path): Picture to write.
        writer (Writer): How it is written. Default: over what this package
            wrote before, and nothing else.
    """
    from matplotlib.figure import Figure

    from sge_mmdet.utils.figures import save_figure

    rows = read_rows(csv_file)
    cases = _by_label(rows)
    providers = list(dict.fromkeys(row.provider for row in rows))
    figure = Figure(figsize=(10, 1.5 + 0.2 * len(rows)), layout='constrained')
    axis = figure.subplots()
    for i, members in enumerate(cases.values()):
        _draw_case(axis, -i, members, providers)
    for k, provider in enumerate(providers):
        axis.barh(0, 0, color=f'C{k}', label=provider)
    axis.axvline(1, color='grey', linewidth=0.8, zorder=0)
    axis.set_yticks(
        [-i - 0.4 for i in range(len(cases))], list(cases), fontsize=8
    )
    with Path(csv_file).open(newline='') as file:
        about = next(csv.DictReader(file))
    axis.set_xlabel(
        f'times as fast as {providers[0]}, lines: quartiles\n'
        f'{about["hardware"]}, torch {about["torch"]}, '
        f'{about["date"]}',
        fontsize=8,
    )
    axis.margins(x=0.1, y=0.01)
    figure.legend(
        loc='outside upper center', ncols=min(len(providers), 4), fontsize=8
    )
    save_figure(figure, out_file, writer)


def _by_label(rows: Sequence[Row]) -> Dict[str, List[Row]]:
    """Return the rows of each case and clock, by what varies among them."""
    varying = [
        name
        for name in rows[0].case
        if len({row.case[name] for row in rows}) > 1
    ]
    clocks = {row.clock for row in rows}
    cases: Dict[str, List[Row]] = defaultdict(list)
    for row in rows:
        label = [row.case[name] for name in varying]
        cases[', '.join(label + [row.clock] * (len(clocks) > 1))].append(row)
    return cases


def _draw_case(
    axis: 'Axes', top: float, rows: Sequence[Row], providers: Sequence[str]
) -> None:
    """Draw a bar for each row of a case, the first of which is 1."""
    base = rows[0].seconds.median
    height = 0.8 / len(providers)
    for row in rows:
        k = providers.index(row.provider)
        at = top - k * height
        speed, low, high = (
            base / seconds
            for seconds in (
                row.seconds.median,
                row.seconds.upper,
                row.seconds.lower,
            )
        )
        axis.barh(at, speed, height, color=f'C{k}')
        axis.plot([low, high], [at, at], color='black', linewidth=0.8)
        axis.text(
            max(speed, high), at, f' {speed:.2f}', va='center', fontsize=7
        )


def hardware(device: str) -> str:
    """Return what a device is, in words.

    Args:
        device (str): The device.
    """
    if torch.device(device).type == 'cuda':
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f'{processor_name()}, {threads} threads of {os.cpu_count()} cores'
