"""Time and memory, measured side by side in one run."""
from .network import benchmark_network
from .operator import SHAPES, benchmark_operator
from .report import Row, draw_rows, report, rows_table, write_rows

__all__ = [
    'SHAPES', 'Row', 'benchmark_network', 'benchmark_operator', 'draw_rows',
    'report', 'rows_table', 'write_rows'
]
