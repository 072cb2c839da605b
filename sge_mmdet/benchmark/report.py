"""Measurements as CSV, tables and pictures."""
import csv
import io
import os
import platform
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Dict, Iterable, List, Optional, Sequence, Union

import torch
from matplotlib.figure import Figure

from ..utils import RENEWING, Writer
from ..utils.figures import save_figure
from ..utils.tables import Table


@dataclass(frozen=True)
class Row:
    """What one provider took in one case.

    Attributes:
        case: What was run, by name.
        provider: What ran it. The first of a case is what the others are
            compared with.
        seconds: Median.
        bytes: Peak memory of its tensors.
    """

    case: Dict[str, str]
    provider: str
    seconds: float
    bytes: int


def report(cases: Iterable[List[Row]], device: str,
           out: Optional[Path], overwrite: bool = False) -> None:
    """Print the table of each case as it is measured; write all of them.

    Args:
        cases (Iterable[list[Row]]): What a benchmark yields.
        device (str): Where it measures.
        out (Path, optional): CSV to write, with a picture beside it. Those
            of an earlier benchmark are renewed.
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
            raise ValueError(f'{out} is the CSV, beside which the picture '
                             'goes; name it *.csv')
        writer.check(out, picture)
    rows: List[Row] = []
    for case in cases:
        rows += case
        print(rows_table(case).text(), end='\n\n', flush=True)
    if out:
        write_rows(rows, out, device, writer)
        draw_rows(out, picture, writer)


def rows_table(rows: Sequence[Row]) -> Table:
    """Return how much faster than the first provider each one is.

    Args:
        rows (Sequence[Row]): Of all cases.
    """
    names = list(rows[0].case)
    first: Dict[tuple, Row] = {}
    cells = []
    for row in rows:
        base = first.setdefault(tuple(row.case.values()), row)
        cells.append([*row.case.values(), row.provider,
                      base.seconds / row.seconds,
                      row.bytes / max(base.bytes, 1)])
    base = rows[0].provider
    return Table([*names, 'provider', f'speed, {base} = 1',
                  f'memory, {base} = 1'], cells)


def write_rows(rows: Sequence[Row], path: Union[str, Path],
               device: str, writer: Writer = RENEWING) -> None:
    """Write rows as CSV, with hardware and versions in each.

    Args:
        rows (Sequence[Row]): The rows.
        path (str or Path): File to write.
        device (str): Where they were measured.
        writer (Writer): How it is written. Default: over what this package
            wrote before, and nothing else.
    """
    about = dict(date=date.today().isoformat(), hardware=hardware(device),
                 torch=torch.__version__, python=platform.python_version())
    text = io.StringIO(newline='')
    table = csv.DictWriter(text, [*rows[0].case, 'provider', 'seconds',
                                  'bytes', *about])
    table.writeheader()
    for row in rows:
        table.writerow(dict(row.case, provider=row.provider,
                            seconds=row.seconds, bytes=row.bytes, **about))
    writer.write(path, text.getvalue())


def draw_rows(csv_file: Union[str, Path], out_file: Union[str, Path],
              writer: Writer = RENEWING) -> None:
    """Draw the speed of each provider, relative to the first, case by case.

    Args:
        csv_file (str or Path): What :func:`write_rows` wrote.
        out_file (str or Path): Picture to write.
        writer (Writer): How it is written. Default: over what this package
            wrote before, and nothing else.
    """
    with Path(csv_file).open(newline='') as file:
        rows = list(csv.DictReader(file))
    names = list(rows[0])[:list(rows[0]).index('provider')]
    cases: Dict[str, List[dict]] = {}
    varying = [name for name in names if len({row[name] for row in rows}) > 1]
    for row in rows:
        cases.setdefault(', '.join(row[name] for name in varying),
                         []).append(row)
    providers = list(dict.fromkeys(row['provider'] for row in rows))
    figure = Figure(figsize=(10, 1.5 + 0.22 * len(rows)),
                    layout='constrained')
    axis = figure.subplots()
    height = 0.8 / len(providers)
    for i, members in enumerate(cases.values()):
        base = float(members[0]['seconds'])
        for row in members:
            k = providers.index(row['provider'])
            speed = base / float(row['seconds'])
            axis.barh(-i - k * height, speed, height, color=f'C{k}',
                      label=row['provider'] if i == 0 else None)
            axis.text(speed, -i - k * height, f' {speed:.2f}', va='center',
                      fontsize=7)
    axis.set_yticks([-i - 0.4 for i in range(len(cases))], list(cases),
                    fontsize=8)
    axis.set_xlabel(f'times as fast as {providers[0]}; '
                    f'{rows[0]["hardware"]}, torch {rows[0]["torch"]}, '
                    f'{rows[0]["date"]}')
    axis.margins(x=0.1)
    figure.legend(loc='outside upper center', ncols=len(providers),
                  fontsize=8)
    save_figure(figure, out_file, writer)


def hardware(device: str) -> str:
    """Return what a device is, in words."""
    if torch.device(device).type == 'cuda':
        return torch.cuda.get_device_name(device)
    model = platform.machine()
    info = Path('/proc/cpuinfo')
    if info.is_file():
        model = next((line.split(':')[1].strip()
                      for line in info.read_text().splitlines()
                      if line.startswith('model name')), model)
    return (f'{model}, {torch.get_num_threads()} threads of '
            f'{os.cpu_count()} cores')
