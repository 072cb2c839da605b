"""Compile the Triton kernels without a GPU, and report on the code.

Writes registers, spilled bytes, and loads and stores of maps by width as CSV,
one line for each kernel. The kernels are those that a training of ResNet-50
compiles for the maps of its four stages.

Example:
    python tools/dev/inspect_kernels.py --out docs/results/kernels.csv
"""

import argparse
import csv
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence, Tuple

# The interpreter has no code to look at.
os.environ.pop('TRITON_INTERPRET', None)

import triton
from triton.compiler import ASTSource, compile

from sge_mmdet.ops.triton.backward_kernel import backward_kernel
from sge_mmdet.ops.triton.forward_kernel import forward_kernel
from sge_mmdet.ops.triton.plan import Plan, backward_plan, forward_plan

SHAPES = (
    (2, 256, 200, 336),
    (2, 512, 100, 168),
    (2, 1024, 50, 84),
    (2, 2048, 25, 42),
)
GROUPS = 64
KERNELS = dict(
    forward=(forward_kernel, forward_plan),
    backward=(backward_kernel, backward_plan),
)
BYTES = dict(fp32=4, fp16=2, bf16=2)
MAPS = ('x', 'y', 'identity', 'grad_y', 'grad_x', 'grad_identity')
OF_NORM = (
    'scale',
    'shift',
    'running_mean',
    'running_var',
    'grad_scale',
    'grad_shift',
)
OF_TAIL = ('identity', 'grad_identity')
OPTIONS = 'num_warps', 'maxnreg'
INTEGERS = (
    'first_phase',
    'last_phase',
    'phase',
    'positions',
    'parts',
    'blocks',
    'groups',
    'images',
)
# Types of arguments that are neither maps nor float32 vectors.
KINDS = {
    **{name: 'i32' for name in INTEGERS},
    'eps': 'fp32',
    'norm_eps': 'fp32',
}
FIELDS = (
    'triton',
    'sm',
    'kernel',
    'stage',
    'dtype',
    'layout',
    'tail',
    'launches',
    'programs',
    'warps',
    'registers',
    'spilled_bytes',
    'shared_bytes',
    'map_loads',
    'map_stores',
)


def source(
    kernel: Any, plan: Plan, dtype: str, tail: bool
) -> Tuple[ASTSource, Dict]:
    """Return what Triton compiles for a plan, and with which options."""
    constants = {**plan.constants}
    options = {
        name: constants.pop(name) for name in OPTIONS if name in constants
    }
    if not tail:
        absent = OF_NORM + OF_TAIL
        if 'grad_y' in kernel.arg_names:
            absent += ('y',)
        constants.update(
            (name, None) for name in absent if name in kernel.arg_names
        )
    kinds = {**KINDS, **{name: f'*{dtype}' for name in MAPS}}
    signature, values, attributes = {}, {}, {}
    for i, name in enumerate(kernel.arg_names):
        if name in constants:
            signature[name] = 'constexpr'
            values[i,] = constants[name]
            continue
        signature[name] = kinds.get(name, '*fp32')
        if signature[name].startswith('*'):
            attributes[i,] = [['tt.divisibility', 16]]
    return _ast_source(kernel, signature, values, attributes), options


def _ast_source(
    kernel: Any,
    signature: Dict[str, str],
    values: Dict[tuple, Any],
    attributes: Dict[tuple, list],
) -> ASTSource:
    """Make a source as this version of Triton takes it."""
    major, minor = map(int, triton.__version__.split('.')[:2])
    if (major, minor) >= (3, 3):
        return ASTSource(kernel, signature, values, attributes)
    if (major, minor) >= (3, 2):
        from triton.backends.compiler import AttrsDescriptor
    else:
        from triton.compiler.compiler import AttrsDescriptor
    signature = {
        i: kind
        for i, kind in enumerate(signature.values())
        if kind != 'constexpr'
    }
    values = {at[0]: value for at, value in values.items()}
    aligned = tuple(at[0] for at in attributes)
    if (major, minor) >= (3, 2):
        names = kernel.arg_names
        signature = {names[i]: kind for i, kind in signature.items()}
        values = {names[i]: value for i, value in values.items()}
        return ASTSource(
            kernel,
            signature,
            values,
            AttrsDescriptor.from_dict(
                {
                    'arg_properties': {'tt.divisibility': aligned},
                    'cls': 'AttrsDescriptor',
                }
            ),
        )
    return ASTSource(
        kernel, signature, values, AttrsDescriptor(divisible_by_16=aligned)
    )


def inspect(
    kernel: str,
    stage: int,
    dtype: str,
    last: bool,
    tail: bool,
    sm: int,
) -> Dict[str, Any]:
    """Compile a kernel of a stage (from 1), and return a line of the table."""
    from triton.backends.compiler import GPUTarget

    function, make_plan = KERNELS[kernel]
    plan = make_plan(
        SHAPES[stage - 1],
        GROUPS,
        BYTES[dtype],
        last,
        True,
        **dict(has_norm=tail) if kernel == 'backward' else {},
    )
    made, options = source(function, plan, dtype, tail)
    built = compile(made, target=GPUTarget('cuda', sm, 32), options=options)
    registers, spilled = _resources(built.asm['ptx'])
    return dict(
        triton=triton.__version__,
        sm=sm,
        kernel=kernel,
        stage=stage,
        dtype=dtype,
        layout='NHWC' if last else 'NCHW',
        tail='tail' if tail else 'alone',
        launches=len(plan.launches),
        programs=plan.grid[0],
        warps=options['num_warps'],
        registers=registers,
        spilled_bytes=spilled,
        shared_bytes=built.metadata.shared,
        map_loads=_widths(built.asm['llir'], 'ld'),
        map_stores=_widths(built.asm['llir'], 'st'),
    )


def _resources(ptx: str) -> Tuple[int, int]:
    """Return the registers of a thread and the spilled bytes."""
    tools = Path(triton.__file__).parent / 'backends/nvidia/bin'
    # Where there are two, this one is newer and takes what the other does.
    ptxas = tools / 'ptxas-blackwell'
    if not ptxas.exists():
        ptxas = tools / 'ptxas'
    target = re.search(r'\.target (\w+)', ptx)[1]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'kernel.ptx')
        path.write_text(ptx)
        done = subprocess.run(
            [ptxas, '-v', '--gpu-name', target, path, '-o', os.devnull],
            capture_output=True,
            text=True,
            check=True,
        )
    return (
        int(re.search(r'Used (\d+) registers', done.stderr)[1]),
        int(re.search(r'(\d+) bytes spill stores', done.stderr)[1]),
    )


def _widths(code: str, what: str) -> str:
    """Count accesses of maps by width; "16:4 4:12" are four of 16 bytes.

    Those of maps are told from those of parameters and sums by the line of
    the source that LLVM's code names: the statement that begins there has a
    tile's offsets.
    """
    files = {
        number: _lines(f'{folder}/{name}')
        for number, name, folder in re.findall(
            r'^!(\d+) = !DIFile\(filename: "([^"]+)", '
            r'directory: "([^"]*)"',
            code,
            re.M,
        )
    }
    scopes = dict(
        re.findall(
            r'^!(\d+) = distinct !DI(?:LexicalBlockFile|'
            r'Subprogram)\(.*?file: !(\d+)',
            code,
            re.M,
        )
    )
    places = {
        number: (int(line), scope)
        for number, line, scope in re.findall(
            r'^!(\d+) = !DILocation\(line: (\d+), .*?scope: !(\d+)', code, re.M
        )
    }
    found: Counter = Counter()
    accesses = [
        (int(many or 1) * int(bits) // 8, at)
        for many, bits, at in re.findall(
            what + r'\.global(?:\.[\w:]+)*?(?:\.v(\d))?\.[bu](\d+) .*'
            r'!dbg !(\d+)',
            code,
        )
    ]
    if what == 'ld':
        # Loads of tiles to come go to shared memory.
        accesses += [
            (int(width, 16), at)
            for width, at in re.findall(
                r'cp\.async\.c[ag]\.shared\.global [^,]*, [^,]*, '
                r'0x([0-9a-f]+),.*!dbg !(\d+)',
                code,
            )
        ]
    for width, at in accesses:
        line, scope = places[at]
        if '+ tile' in _statement(files[scopes[scope]], line):
            found[width] += 1
    return ' '.join(
        f'{width}:{found[width]}' for width in sorted(found, reverse=True)
    )


def _statement(lines: Dict[int, str], number: int) -> str:
    """Return a line, and those after it up to where its brackets close."""
    text = lines.get(number, '')
    while text.count('(') > text.count(')') and number + 1 in lines:
        number += 1
        text += lines[number]
    return text


@lru_cache(maxsize=None)
def _lines(path: str) -> Dict[int, str]:
    """Return the lines of a source file by number."""
    if not os.path.exists(path):
        return {}
    return dict(enumerate(Path(path).read_text().splitlines(), 1))


def cases(quick: bool) -> Iterator[Dict[str, Any]]:
    """Yield what to compile."""
    if quick:
        yield from quick_cases()
        return
    stages = 1, 2, 3, 4
    for dtype, last, stage, kernel in product(
        BYTES, (False, True), stages, KERNELS
    ):
        yield _case(kernel, stage, dtype, last)
    for sm, stage, kernel in product((80, 100), stages, KERNELS):
        yield _case(kernel, stage, 'fp16', sm=sm)
    for stage, kernel in product(stages, KERNELS):
        yield _case(kernel, stage, 'fp32', tail=False)


def quick_cases() -> Iterator[Dict[str, Any]]:
    """Yield few that between them have every stage, type, layout and GPU."""
    kinds, machines = list(BYTES), (80, 90, 100)
    for i, (stage, last) in enumerate(product((1, 2, 3, 4), (False, True))):
        yield _case(
            'forward', stage, kinds[i % 3], last, machines[(i + i // 3) % 3]
        )
    for i, stage in enumerate((1, 2, 3, 4)):
        yield _case(
            'backward',
            stage,
            kinds[(i + 1) % 3],
            i % 2 == 0,
            machines[(i - 1) % 3],
        )


def _case(
    kernel: str,
    stage: int,
    dtype: str,
    last: bool = False,
    sm: int = 90,
    tail: bool = True,
) -> Dict[str, Any]:
    """Return the arguments of :func:`inspect`."""
    return dict(
        kernel=kernel,
        stage=stage,
        dtype=dtype,
        last=last,
        tail=tail,
        sm=sm,
    )


def main(arguments: Sequence[str]) -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument(
        '--out', type=Path, required=True, help='the CSV file to write'
    )
    parser.add_argument(
        '--quick',
        action='store_true',
        help='compile only the few kernels that the tests compile',
    )
    options = parser.parse_args(arguments)
    lines: List[Dict[str, Any]] = []
    for case in cases(options.quick):
        lines.append(inspect(**case))
        print(*lines[-1].values(), file=sys.stderr, flush=True)
    with open(options.out, 'w', newline='') as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator='\n')
        writer.writeheader()
        writer.writerows(lines)


if __name__ == '__main__':
    main(sys.argv[1:])
