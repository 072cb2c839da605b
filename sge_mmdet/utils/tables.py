"""Small tables as text, Markdown, HTML, CSV, JSON and for pandas."""

import contextlib
import csv
import html
import io
import re
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence, Union

from .text import printable

# Longest cell on the terminal and in Markdown, in characters.
LONGEST_CELL = 1000
Cell = Union[str, int, float, None]


@dataclass(frozen=True)
class Table:
    """Rows of cells below a header.

    Attributes:
        header: Names of the columns.
        rows: Cells; None is shown as "n/a", a float with three digits.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    def text(self) -> str:
        """Return the table with aligned columns."""
        cells = self._shown()
        widths = [max(map(len, column)) for column in zip(*cells)]
        is_text = [
            any(isinstance(row[i], str) for row in self.rows)
            for i in range(len(widths))
        ]
        lines = [
            '  '.join(
                cell.ljust(width) if left else cell.rjust(width)
                for cell, width, left in zip(row, widths, is_text)
            ).rstrip()
            for row in cells
        ]
        return '\n'.join([lines[0], '-' * max(map(len, lines)), *lines[1:]])

    def markdown(self) -> str:
        """Return the table as Markdown.

        Cells are escaped, because names of categories may contain HTML or
        links.
        """
        header, *rows = self._shown()
        lines = [header, ['---'] * len(header), *rows]
        lines = [
            [re.sub(r'[\\|<>\[\]`]', r'\\\g<0>', cell) for cell in line]
            for line in lines
        ]
        return '\n'.join(f'| {" | ".join(line)} |' for line in lines)

    def html(self) -> str:
        """Return the table as HTML, with all names escaped."""
        header, *rows = (
            [html.escape(cell) for cell in row] for row in self._shown()
        )
        names = ''.join(f'<th>{cell}</th>' for cell in header)
        lines = [
            f'<tr>{"".join(f"<td>{cell}</td>" for cell in row)}</tr>'
            for row in rows
        ]
        return '\n'.join(
            [
                '<table>',
                f'<thead><tr>{names}</tr></thead>',
                '<tbody>',
                *lines,
                '</tbody>',
                '</table>',
            ]
        )

    def to_dataframe(self) -> Any:
        """Return the table for pandas, with all digits and NaN for None.

        Returns:
            pandas.DataFrame: One row per row of the table.

        Raises:
            ImportError: If pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError(
                'to_dataframe needs pandas, which is not installed; install '
                'it with "pip install pandas"'
            ) from error
        rows = [
            [float('nan') if cell is None else cell for cell in row]
            for row in self.rows
        ]
        return pd.DataFrame(rows, columns=list(self.header))

    def csv(self) -> str:
        """Return the table as CSV, with all digits and empty cells for None.

        Text that a spreadsheet would run as a formula gets an apostrophe in
        front, so that it is shown as text.
        """
        out = io.StringIO()
        writer = csv.writer(out, lineterminator='\n')
        writer.writerows(
            [map(_no_formula, row) for row in (self.header, *self.rows)]
        )
        return out.getvalue()

    def records(self) -> 'List[Dict[str, Cell]]':
        """Return the rows as dicts, for JSON."""
        return [dict(zip(self.header, row)) for row in self.rows]

    def _shown(self) -> 'List[List[str]]':
        return [
            [show_cell(cell) for cell in row]
            for row in (self.header, *self.rows)
        ]


def _no_formula(cell: Cell) -> Cell:
    if isinstance(cell, str) and re.match(r'[=+\-@\t\r].', cell, re.S):
        with contextlib.suppress(ValueError):
            float(cell)
            return cell
        return f"'{cell}"
    return cell


def show_cell(cell: Cell) -> str:
    """Return a cell as text: "n/a" for None, a float with three digits."""
    if cell is None:
        return 'n/a'
    return (
        f'{cell:.3f}'
        if isinstance(cell, float)
        else printable(str(cell), LONGEST_CELL)
    )


def points(value: Optional[float]) -> Optional[str]:
    """Return a difference in AP as signed points, such as "+1.2", or "0.0"."""
    if value is None:
        return None
    rounded = round(100 * value, 1)
    return f'{rounded:+.1f}' if rounded else '0.0'
