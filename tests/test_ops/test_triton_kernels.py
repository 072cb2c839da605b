"""What the Triton kernels are compiled to and for, without a GPU."""

import ast
import csv
import os
import random
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

from tests.helpers.operator_cases import HAS_TRITON

pytestmark = pytest.mark.skipif(
    not HAS_TRITON, reason='Triton 3 is not installed'
)
TOOL = Path(__file__).parents[2] / 'tools/dev/inspect_kernels.py'
# Bytes of a load in NCHW: four positions, or two of the rows of 25 * 42.
WIDE = dict(fp32='16', fp16='8', bf16='8')
NARROW = dict(fp32='8', fp16='4', bf16='4')


@pytest.fixture(scope='module')
def compiled(tmp_path_factory):
    folder = tmp_path_factory.mktemp('kernels')
    env = {**os.environ, 'TRITON_CACHE_DIR': str(folder / 'cache')}
    env.pop('TRITON_INTERPRET', None)
    done = subprocess.run(
        [sys.executable, TOOL, '--quick', '--out', folder / 'kernels.csv'],
        capture_output=True,
        text=True,
        env=env,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with open(folder / 'kernels.csv', newline='') as file:
        return list(csv.DictReader(file))


def test_kernels_compile_for_three_generations_of_gpus(compiled):
    assert {line['sm'] for line in compiled} == {'80', '90', '100'}
    assert {
        (line['stage'], line['layout'])
        for line in compiled
        if line['kernel'] == 'forward'
    } == {
        (str(stage), layout)
        for stage in (1, 2, 3, 4)
        for layout in ('NCHW', 'NHWC')
    }
    assert {
        line['stage'] for line in compiled if line['kernel'] == 'backward'
    } == set('1234')


def test_kernels_keep_to_128_registers_and_hardly_spill(compiled):
    for line in compiled:
        assert int(line['registers']) <= 128, line
        most = 0 if line['kernel'] == 'forward' else 384
        assert int(line['spilled_bytes']) <= most, line


def test_maps_are_read_and_written_as_wide_as_rows_are_aligned(compiled):
    for line in compiled:
        wide = '16'
        if line['layout'] == 'NCHW':
            widths = NARROW if line['stage'] == '4' else WIDE
            wide = widths[line['dtype']]
        loads, stores = (
            {access.split(':')[0] for access in line[of].split()}
            for of in ('map_loads', 'map_stores')
        )
        assert loads == {wide}, line
        # Some versions of Triton do not say which line a store comes from.
        assert stores <= {wide}, line


def sizes_of_images(numbers, least, images=2):
    """Return the padded height and width of a batch of a detection set."""
    heights, widths = [], []
    for _ in range(images):
        ratio = numbers.choice(
            [4 / 3] * 6
            + [3 / 2] * 5
            + [16 / 9, 1.0]
            + [3 / 4] * 3
            + [2 / 3] * 2
            + [numbers.uniform(0.5, 2.1)] * 3
        )
        short = numbers.choice(least)
        height, width = (
            (short, short * ratio) if ratio >= 1 else (short / ratio, short)
        )
        factor = min(1, 1333 / max(width, height))
        heights.append(height * factor)
        widths.append(width * factor)
    return [-(-int(max(size)) // 32) * 32 for size in (heights, widths)]


def kernels_of_a_training(least, item, last):
    """Return the iteration in which each kernel of a training is compiled.

    Triton compiles for the constants, for the types and for numbers that it
    was not told to leave alone; those of the kernels are all left alone. The
    first stage is frozen, as usual.
    """
    from sge_mmdet.ops.triton import plan

    numbers = random.Random(0)
    forward_plan = plan.forward_plan
    backward_plan = partial(plan.backward_plan, has_norm=True)
    met = {}
    for iteration in range(20000):
        height, width = sizes_of_images(numbers, least)
        for stage, plans in enumerate(
            [(forward_plan,)] + 3 * [(forward_plan, backward_plan)]
        ):
            stride, channels = 4 << stage, 256 << stage
            shape = 2, channels, height // stride, width // stride
            for make_plan in plans:
                made = make_plan(shape, 64, item, last, True)
                key = make_plan, tuple(made.constants.items())
                met.setdefault(key, iteration)
    return met


@pytest.mark.parametrize(
    'least',
    [
        pytest.param([800], id='800'),
        pytest.param(
            [480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800],
            id='multi-scale',
        ),
    ],
)
def test_a_training_compiles_few_kernels_and_these_at_once(least):
    for item, last in ((4, False), (2, False), (4, True), (2, True)):
        met = kernels_of_a_training(least, item, last)
        assert len(met) <= 16
        assert max(met.values()) < 100


def test_no_number_of_a_kernel_is_compiled_into_it():
    from sge_mmdet.ops.triton import backward_kernel, forward_kernel

    for module, name in (
        (forward_kernel, 'forward_kernel'),
        (backward_kernel, 'backward_kernel'),
    ):
        tree = ast.parse(Path(module.__file__).read_text())
        (kernel,) = (
            node
            for node in tree.body
            if isinstance(node, ast.FunctionDef) and node.name == name
        )
        pointers = {
            'x',
            'y',
            'work',
            'turns',
            'mean',
            'spread',
            'weight',
            'bias',
            'scale',
            'shift',
            'identity',
            'running_mean',
            'running_var',
        }
        numbers = [
            argument.arg
            for argument in kernel.args.args
            if argument.annotation is None
            and argument.arg not in pointers
            and not argument.arg.startswith('grad_')
            and not argument.arg.endswith('eps')
        ]
        assert set(numbers) == set(module.SIZES)


def test_maps_that_no_tile_holds_are_left_to_other_backends():
    from sge_mmdet.ops import triton

    for shape, groups, taken in (
        ((1, 2048, 4, 4), 1, False),
        ((1, 2048, 4, 4), 8, True),
        ((1, 256, 4096, 4096), 1, False),
        ((1, 256, 4096, 4096), 64, True),
        ((64, 256, 1024, 1024), 64, True),
        ((2**20, 64, 1, 1), 64, False),
        ((1, 2**21, 2, 2), 2**19, True),
        ((1, 2**22, 2, 2), 2**20, False),
        # The end of the last tile must be counted as well.
        ((1, 1, 2**9, 2**22 - 1), 1, True),
        ((1, 1, 2, 2**30 - 1), 1, False),
    ):
        x = torch.empty(shape, device='meta')
        assert triton.takes(x, groups) is taken, (shape, groups)
