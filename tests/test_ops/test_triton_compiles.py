"""The CUDA kernels compile for GPUs that are not at hand."""
import os
import subprocess
import sys

import pytest
from operator_cases import HAS_TRITON

CODE = '''
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from sge_mmdet.ops import triton

MAPS = 'x', 'y', 'identity', 'grad_y', 'grad_x', 'grad_identity'
SIZES = ('parts', 'positions', 'groups', 'image_step', 'channel_step',
         'position_step')
BLOCKS = dict(c=3, BLOCK_C=4, BLOCK_P=1024, BLOCK_S=8, CHUNK=4096,
              NORMALIZE=True)
for name in ('_mean_kernel', '_square_kernel', '_apply_kernel',
             '_sums_kernel', '_grad_kernel'):
    kernel = getattr(triton, name)
    for kind, whole in (('fp32', False), ('fp16', True), ('bf16', True)):
        constants = dict(BLOCKS, AFFINE=whole, RESIDUAL=whole)
        if not whole:
            constants.update(scale=None, shift=None, identity=None,
                             grad_identity=None)
            if name != '_apply_kernel':
                constants['y'] = None
        kinds = {**{size: 'i32' for size in SIZES},
                 **{one: f'*{kind}' for one in MAPS}, 'eps': 'fp32'}
        signature = {
            argument: 'constexpr' if argument in constants else
            kinds.get(argument, '*fp32') for argument in kernel.arg_names}
        constants = {(i, ): constants[argument] for i, argument in
                     enumerate(kernel.arg_names) if argument in constants}
        built = compile(ASTSource(kernel, signature, constants),
                        target=GPUTarget('cuda', 90, 32))
        assert built.asm['cubin']
        print(name, kind)
'''


@pytest.mark.skipif(not HAS_TRITON, reason='Triton 3 is not installed')
def test_kernels_compile_to_machine_code_of_an_h100(tmp_path):
    env = {**os.environ, 'TRITON_CACHE_DIR': str(tmp_path)}
    env.pop('TRITON_INTERPRET', None)
    # Triton reads a kernel's source, so that this must be a file.
    (tmp_path / 'compile_all.py').write_text(CODE)
    done = subprocess.run([sys.executable, tmp_path / 'compile_all.py'],
                          capture_output=True, text=True, env=env,
                          check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('_kernel ') == 15
