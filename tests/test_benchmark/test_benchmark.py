import csv

import pytest
import torch
from matplotlib.image import imread
from scripts import load_script

from sge_mmdet.benchmark import (
    benchmark_network,
    benchmark_operator,
    draw_rows,
    rows_table,
    write_rows,
)
from sge_mmdet.benchmark.timing import peak_memory, time_in_turns
from sge_mmdet.ops import backend_for

CPU = torch.device('cpu')


def test_peak_memory_is_the_most_at_any_time_and_not_the_sum():
    def two_after_another():
        first = torch.empty(1000, 1000)
        del first
        return torch.empty(2000, 1000)

    def two_together():
        return torch.empty(1000, 1000), torch.empty(2000, 1000)

    assert peak_memory(two_after_another, CPU) == 8_000_000
    assert peak_memory(two_together, CPU) == 12_000_000


def test_functions_take_turns_and_the_first_two_rounds_do_not_count():
    calls = []
    seconds = time_in_turns({name: lambda name=name: calls.append(name)
                             for name in 'ab'}, CPU, rounds=3)
    assert calls == ['a', 'b'] * 5
    assert {*seconds} == {'a', 'b'} and min(seconds.values()) >= 0


def test_operator_is_measured_beside_its_reference_and_the_floor(tmp_path):
    shape = (1, 128, 40, 40)
    cases = list(benchmark_operator([shape], rounds=1, compiled=False,
                                    backends=['torch']))
    assert [rows[0].case['direction'] for rows in cases] == [
        'forward', 'forward+backward']
    usual = f'ours ({backend_for(torch.ones(1))})'
    size = 4 * 128 * 40 * 40
    for rows, least in zip(cases, (1, 2)):
        by = {row.provider: row for row in rows}
        assert {*by} == {'reference', usual, 'ours (torch)', 'floor'}
        assert by['floor'].bytes == pytest.approx(least * size, rel=1e-3)
        # Less than a tenth of a map besides the results.
        assert by['floor'].bytes <= by[usual].bytes < (least + 0.1) * size
        assert by['reference'].bytes > 1.8 * by[usual].bytes
    rows = cases[0] + cases[1]
    write_rows(rows, tmp_path / 'new' / 'ops.csv', 'cpu')
    with (tmp_path / 'new' / 'ops.csv').open() as file:
        read = list(csv.DictReader(file))
    assert len(read) == 8 and read[0]['shape'] == '1x128x40x40'
    assert all(row['hardware'] and row['torch'] == torch.__version__
               for row in read)
    draw_rows(tmp_path / 'new' / 'ops.csv', tmp_path / 'ops.png')
    assert imread(tmp_path / 'ops.png').std() > 0
    text = rows_table(cases[0]).text()
    assert 'speed, reference = 1' in text and '1.000' in text


def test_named_backends_run_both_passes(monkeypatch):
    from sge_mmdet.ops import eager as blocks
    calls = []
    for name in 'forward', 'backward':
        real = getattr(blocks, name)
        monkeypatch.setattr(blocks, name, lambda *args, name=name, real=real: (
            calls.append(name), real(*args)))
    list(benchmark_operator([(1, 64, 3, 3)], rounds=1, compiled=False,
                            backends=['torch']))
    assert calls.count('backward') and calls.count('forward')


def test_network_is_measured_in_inference_and_training():
    cases = list(benchmark_network(18, 64, 64, 1, rounds=1))
    assert [rows[0].case['direction'] for rows in cases] == ['inference',
                                                             'training']
    for rows in cases:
        assert [row.provider for row in rows] == ['plain', 'SGE, ours',
                                                  'SGE, reference']
        assert all(row.seconds > 0 and row.bytes > 0 for row in rows)


@pytest.mark.parametrize('args, words', [
    (['--shape', '2x3x4'], 'invalid map_shape value'),
    (['--backend', 'fast'], "invalid choice: 'fast'"),
])
def test_tool_refuses_bad_options_before_it_measures(args, words, monkeypatch,
                                                     capsys):
    monkeypatch.setattr('sys.argv', ['benchmark_ops.py', *args])
    with pytest.raises(SystemExit):
        load_script('benchmark_ops.py').main()
    assert words in capsys.readouterr().err
