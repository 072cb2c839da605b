import csv
import os
import re
import subprocess
import sys

import pytest
import torch
from matplotlib.image import imread

from sge_mmdet.ops import backend_for, spatial_group_enhance_reference
from tests.helpers.operator_cases import HAS_TRITON
from tests.helpers.scripts import TOOLS, load_script

CPU = torch.device('cpu')
FOLDER = TOOLS / 'benchmark'


def test_peak_memory_is_the_most_at_any_time_and_not_the_sum():
    from timing import peak_memory

    def two_after_another():
        first = torch.empty(1000, 1000)
        del first
        return torch.empty(2000, 1000)

    def two_together():
        return torch.empty(1000, 1000), torch.empty(2000, 1000)

    assert peak_memory(two_after_another, CPU) == 8_000_000
    assert peak_memory(two_together, CPU) == 12_000_000


def test_functions_take_turns_over_all_buffers_and_two_rounds_do_not_count():
    from timing import time_in_turns

    calls = []
    spreads = time_in_turns(
        {name: lambda i, name=name: calls.append((name, i)) for name in 'ab'},
        CPU,
        rounds=3,
        buffers=2,
    )
    assert calls == [(name, i % 2) for i in range(5) for name in 'ab']
    assert {*spreads} == {('a', 'wall'), ('b', 'wall')}
    assert all(
        0 <= spread.lower <= spread.median <= spread.upper
        for spread in spreads.values()
    )


def test_quartiles_are_those_of_the_times():
    from timing import Spread

    assert Spread.of([4.0, 1.0, 2.0, 3.0, 5.0]) == (3.0, 2.0, 4.0)
    assert Spread.of([7.0]) == (7.0, 7.0, 7.0)


@pytest.mark.parametrize(
    'layout', [torch.contiguous_format, torch.channels_last]
)
def test_the_baseline_computes_what_the_reference_does(layout):
    from providers import authors_formula

    x = torch.randn(2, 128, 9, 7).to(memory_format=layout)
    weight, bias = torch.randn(2, 1, 64, 1, 1)
    torch.testing.assert_close(
        authors_formula(x, weight, bias),
        spatial_group_enhance_reference(x, weight, bias, 64),
    )


def test_providers_of_a_block_compute_the_same_but_floor_and_plain():
    from providers import block_end_providers

    x, identity = torch.randn(2, 2, 128, 9, 7)
    tensors = [
        x,
        identity,
        *torch.randn(2, 1, 64, 1, 1),
        *torch.rand(4, 128).add(0.5),
    ]
    providers = block_end_providers(x, compiled=False, backends=['torch'])
    results = {
        name: provider.function(tensors)
        for name, provider in providers.items()
    }
    want = results.pop("authors' formula")
    floor, plain = results.pop('floor'), results.pop('block without SGE')
    assert len(results) == 2 and floor.shape == plain.shape == want.shape
    for got in results.values():
        torch.testing.assert_close(got, want)


def test_operator_is_measured_beside_the_formula_and_the_floor(tmp_path):
    from report import draw_rows, read_rows, rows_table, write_rows

    shape = (1, 128, 40, 40)
    cases = list(
        load_script('benchmark/ops.py').benchmark_operator(
            ['operator'], [shape], rounds=1, compiled=False, backends=['torch']
        )
    )
    assert [rows[0].case['direction'] for rows in cases] == [
        'forward',
        'forward+backward',
    ]
    usual = f'ours ({backend_for(torch.ones(1))})'
    size = 4 * 128 * 40 * 40
    for rows, least in zip(cases, (1, 2)):
        by = {row.provider: row for row in rows}
        assert {*by} == {"authors' formula", usual, 'ours (torch)', 'floor'}
        assert by['floor'].bytes == pytest.approx(least * size, rel=1e-3)
        # Less than a tenth of a map besides the results.
        assert by['floor'].bytes <= by[usual].bytes < (least + 0.1) * size
        assert by["authors' formula"].bytes > 1.8 * by[usual].bytes
    rows = cases[0] + cases[1]
    write_rows(rows, tmp_path / 'new' / 'ops.csv', 'cpu')
    assert read_rows(tmp_path / 'new' / 'ops.csv') == rows
    with (tmp_path / 'new' / 'ops.csv').open() as file:
        read = list(csv.DictReader(file))
    assert len(read) == 8 and read[0]['shape'] == '1x128x40x40'
    assert all(
        row['hardware'] and row['torch'] == torch.__version__ for row in read
    )
    draw_rows(tmp_path / 'new' / 'ops.csv', tmp_path / 'ops.png')
    assert imread(tmp_path / 'ops.png').std() > 0
    text = rows_table(cases[0], 'cpu').text()
    assert "speed, authors' formula = 1" in text and '1.000' in text


def test_named_backends_run_both_passes(monkeypatch):
    from sge_mmdet.ops import eager

    calls = []
    for name in 'forward', 'backward':
        real = getattr(eager, name)
        monkeypatch.setattr(
            eager,
            name,
            lambda *args, name=name, real=real: (
                calls.append(name),
                real(*args),
            ),
        )
    list(
        load_script('benchmark/ops.py').benchmark_operator(
            ['operator', 'block_end'],
            [(1, 64, 3, 3)],
            rounds=1,
            compiled=False,
            backends=['torch'],
        )
    )
    assert calls.count('backward') and calls.count('forward')


def test_every_cut_that_is_tried_cuts_passes_in_its_own_way():
    tiles = load_script('benchmark/tiles.py')
    shape, made = (2, 256, 200, 336), {}
    for cut in tiles.cuts('backward'):
        with tiles.cut_so(cut):
            plan = tiles.plan.backward_plan(shape, 64, 4, False, True, True)
            made[cut] = plan.grid, str(plan.constants)
    today = made.pop(tiles.NOW)
    assert len({*made.values()}) == len(made) > 10
    # It is one of them, and stands again afterwards.
    assert today in made.values()
    plan = tiles.plan.backward_plan(shape, 64, 4, False, True, True)
    assert (plan.grid, str(plan.constants)) == today


def test_the_page_shows_the_cut_of_today():
    tables = load_script('dev/speed_tables.py')
    tiles = load_script('benchmark/tiles.py')
    plans = tiles.plan.forward_plan, tiles.plan.backward_plan
    made = dict(zip(('forward', 'backward'), plans))
    columns = 'direction', 'dtype', 'layout', 'shape'
    cases = [
        case for _, case in tables.timings('tiles_gpu', columns, ['graph'])
    ]
    assert len(cases) > 10
    for case in cases:
        arguments = (
            tuple(map(int, case['shape'].split('x'))),
            64,
            int(case['dtype'][-2:]) // 8,
            case['layout'] == 'NHWC',
            True,
        )
        if case['direction'] == 'backward':
            arguments += (True,)
        numbers = re.findall(r'\d+', tables.cut_of_now(case))
        today = made[case['direction']](*arguments)
        with tiles.cut_so(tiles.Cut(*map(int, numbers))):
            shown = made[case['direction']](*arguments)
        assert (today.grid, today.constants) == (shown.grid, shown.constants)


@pytest.mark.parametrize(
    'name, args, words',
    [
        ('ops', ['--shape', '2x3x4'], "got '2x3x4'"),
        ('ops', ['--shape', '2x65x4x4'], 'a multiple of 64 channels'),
        ('ops', ['--backend', 'fast'], "invalid choice: 'fast'"),
        ('network', ['--precision', 'half'], "invalid choice: 'half'"),
    ],
)
def test_tool_refuses_bad_options_before_it_measures(
    name, args, words, monkeypatch, capsys
):
    monkeypatch.setattr('sys.argv', [name, *args])
    with pytest.raises(SystemExit):
        load_script(f'benchmark/{name}.py').main()
    assert words in capsys.readouterr().err


@pytest.mark.parametrize('wrong', [0, 1])
def test_nan_in_any_result_fails_the_check_of_kernels(wrong):
    from check_kernels import errors

    got = [torch.ones(3), torch.ones(3)]
    got[wrong][1] = torch.nan
    assert errors([torch.ones(3)] * 2, [torch.ones(3).double()] * 2) == 0
    error = errors(got, [torch.ones(3).double()] * 2)
    assert not error <= 1


def test_a_gradient_that_changes_fails_the_check_of_kernels(monkeypatch):
    import check_kernels

    calls = []

    def changing(tensors, groups):
        calls.append(tensors)
        return [torch.ones(3), torch.full((3,), float(len(calls)))]

    monkeypatch.setattr(check_kernels, 'run', changing)
    for case in check_kernels.cases(['operator'], ['float32'], 'tiny'):
        assert not check_kernels.check(case, 'cpu', 2).repeatable


def test_a_wrong_case_fails_the_check_of_kernels_by_number(monkeypatch):
    import check_kernels

    monkeypatch.setitem(check_kernels.TOLERANCE, 'float32', -1.0)
    monkeypatch.setattr(check_kernels.devices, 'use_cpu_alone', lambda: None)
    command = 'check_kernels.py --device cpu --sizes tiny --repeats 1'
    options = ' --dtype float32 --part operator'
    monkeypatch.setattr('sys.argv', (command + options).split())
    with pytest.raises(SystemExit, match='2 of 2 cases are wrong'):
        check_kernels.main()


def test_operator_and_checks_run_where_there_is_torch_alone(tmp_path):
    """Beside Triton, which needs no GPU to be imported."""
    code = f"""
import runpy, sys
for name in 'tqdm matplotlib numpy mmengine mmcv mmdet'.split():
    sys.modules[name] = None
sys.path[:0] = {[str(FOLDER), str(TOOLS.parent)]!r}
for command in sys.argv[1:]:
    sys.argv = command.split()
    runpy.run_path(f'{FOLDER}/' + sys.argv[0], run_name='__main__')
"""
    commands = [
        'ops.py --device cpu --rounds 1 --shape 1x64x2x2 --no-compile'
        f' --out {tmp_path / "ops.csv"}',
        *['host_time.py --rounds 1'] * HAS_TRITON,
        # Lets what comes later be interpreted, which takes NumPy.
        'check_kernels.py --device cpu --sizes tiny --repeats 2',
    ]
    done = subprocess.run(
        [sys.executable, '-c', code, *commands],
        capture_output=True,
        text=True,
        env={**os.environ, 'TRITON_INTERPRET': '0'},
    )
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    assert 'is not drawn: matplotlib is not installed' in done.stdout
    assert 'all 12 cases are right and repeatable' in done.stdout
    assert (tmp_path / 'ops.csv').stat().st_size
    assert not (tmp_path / 'ops.png').exists()


def test_table_of_the_evaluation_names_what_its_ratios_are_of():
    from evaluation import Row, parse_options, result_of

    times = dict(pycocotools=90.0, tables=2.0, comparison=4.0)
    rows = [
        Row(name, 1, 'wall', seconds, 0.5) for name, seconds in times.items()
    ]
    page = result_of(rows, parse_options([]))
    assert page['columns'][1] == 'time of pycocotools / its time'
    assert [row[1] for row in page['rows']] == ['1', '45', '22']
    page = result_of(
        rows[1:], parse_options(['--programs', 'tables', 'comparison'])
    )
    assert page['columns'][1] == 'time of tables / its time'
    assert [row[1] for row in page['rows']] == ['1', '0.5']
    # pycocotools does not run on the larger data.
    rows += [
        Row('tables', 3, 'wall', 5.0, 0.8),
        Row('comparison', 3, 'wall', 8.0, 0.9),
    ]
    options = ['--times', '1', '3', '--clock', 'cpu', '--programs']
    page = result_of(rows, parse_options([*options, *times]))
    assert page['columns'] == [
        *('size', 'time of tables', 'time of comparison', 'peak memory'),
    ]
    assert page['rows'] == [
        ['1', '1.0', '1.0', '0.5 GB'],
        ['3', '2.5', '2.0', '0.9 GB'],
    ]
    assert page['command'].endswith(
        'evaluation.py --clock cpu --programs pycocotools tables comparison '
        '--times 1 3'
    )
    assert "the processor's time" in page['what']
