"""Launching a kernel of Triton at a low cost.

``kernel[grid](...)`` binds its arguments, decides what each of them is
compiled for and looks the compiled kernel up, all in Python. On a small map
this takes longer than the kernel. :class:`Launcher` leaves it to Triton for
the first launch of a kind, and keeps what Triton compiled.
"""

from typing import Any, Dict, NamedTuple, Optional, Sequence, Tuple

import torch
import triton
from torch import Tensor

try:
    from triton import knobs
except ImportError:
    # Before Triton 3.4 the hooks belonged to this class.
    from triton.compiler import CompiledKernel

    knobs = None

# Versions of Triton that launch a compiled kernel as Compiled.launch does.
FIRST, LAST = (3, 0), (3, 9)
_version = tuple(int(part) for part in triton.__version__.split('.')[:2])
_is_known = FIRST <= _version <= LAST and torch.version.hip is None


def current_stream(device: int) -> int:
    """Return the handle of the current stream of a GPU.

    Args:
        device: Index of the GPU.
    """
    stream: int = torch._C._cuda_getCurrentRawStream(device)
    return stream


class Compiled(NamedTuple):
    """A compiled kernel, and what each of its launches takes.

    Attributes:
        kernel: The kernel as Triton returns it; it is unloaded with its last
            reference.
        run: Triton's function that launches it.
        function: Its handle in CUDA.
        metadata: Its warps and its shared memory, packed by Triton.
        constants: The constants that ``run`` takes and ignores: all of them
            from Triton 3.3 on, none before.
    """

    kernel: Any
    run: Any
    function: Any
    metadata: Any
    constants: Tuple[Any, ...]

    @classmethod
    def of(cls, kernel: Any, constants: Dict[str, Any]) -> 'Compiled':
        """Return a kernel that Triton has launched, with its constants."""
        if hasattr(kernel, 'result'):
            # Compiled in another thread; done, since it has been launched.
            kernel = kernel.result()
        taken = kernel.src.signature
        return cls(
            kernel,
            kernel.run,
            kernel.function,
            kernel.packed_metadata,
            tuple(constants[name] for name in taken if name in constants),
        )

    def takes(self, arguments: int) -> bool:
        """Return whether ``run`` takes so many arguments and the constants.

        Some versions of Triton do not check this themselves.
        """
        return len(self.kernel.src.signature) == arguments + len(
            self.constants
        )

    def launch(
        self,
        programs: int,
        stream: int,
        addresses: Sequence[int],
        phases: Sequence[Tuple[int, ...]],
        numbers: Sequence[float],
    ) -> None:
        """Launch the kernel once for each phase, without hooks.

        Args:
            programs: Number of programs.
            stream: Handle of the stream.
            addresses: Addresses of the tensors.
            phases: First integers of each launch.
            numbers: Numbers that follow in every launch.
        """
        _, run, function, metadata, constants = self
        for phase in phases:
            # Behind its packed metadata a launch has some that only hooks
            # read, and two hooks.
            run(
                programs,
                1,
                1,
                stream,
                function,
                metadata,
                None,
                None,
                None,
                *addresses,
                *phase,
                *numbers,
                *constants,
            )


class Launcher:
    """Launches a kernel, from the second launch of a kind on directly.

    Launches are of one kind if Triton compiles one kernel for them: they are
    on one GPU and have the same constants, types and absent tensors. Triton
    launches the first one. It also launches whatever else it might compile
    another kernel for, that is with an address that is no multiple of 16 or
    an integer of more than 32 bits, or while it compiles for debugging. It
    launches all while a hook waits for launches, as a profiler's does, in its
    interpreter, and in versions that are not known.

    Args:
        kernel: The kernel, as ``triton.jit`` returns it. Its parameters are
            tensors, integers that Triton does not specialise on, floats and
            constants, in this order.
    """

    def __init__(self, kernel: Any) -> None:
        self.kernel = kernel
        self._compiled: Dict[Tuple[Any, ...], Compiled] = {}
        self._is_direct = _is_known

    def __call__(
        self,
        grid: Tuple[int],
        tensors: Sequence[Optional[Tensor]],
        phases: Sequence[Tuple[int, ...]],
        numbers: Sequence[float],
        constants: Dict[str, Any],
    ) -> Optional[Compiled]:
        """Launch the kernel once for each phase, on the current stream.

        Args:
            grid: Number of programs.
            tensors: Tensors on the current GPU, or None where one is absent.
                The first one is present.
            phases: Integers that are the first numbers of each launch.
            numbers: Integers and floats that follow in every launch.
            constants: Constants of the kernel and options of Triton, by name.

        Returns:
            The compiled kernel, where its next launch of this kind may be
            direct.
        """
        # Triton takes an integer as an address, and 0 as an absent tensor.
        addresses = [
            0 if tensor is None else tensor.data_ptr() for tensor in tensors
        ]
        kind = None
        if self._may_be_direct(addresses, numbers):
            kind = _kind(tensors, constants)
            compiled = self._compiled.get(kind)
            if compiled:
                stream = current_stream(kind[0])
                try:
                    compiled.launch(
                        grid[0], stream, addresses, phases, numbers
                    )
                    return compiled
                except TypeError:
                    # Triton has refused the first launch before it did
                    # anything: this version launches otherwise.
                    self._is_direct = False
        launch = self.kernel[grid]
        for phase in phases:
            launched = launch(*tensors, *phase, *numbers, **constants)
        # The interpreter returns nothing.
        if kind and launched is not None:
            compiled = Compiled.of(launched, constants)
            if compiled.takes(len(tensors) + len(phases[0]) + len(numbers)):
                # Another thread may have been first.
                return self._compiled.setdefault(kind, compiled)
        return None

    def _may_be_direct(
        self, addresses: Sequence[int], numbers: Sequence[float]
    ) -> bool:
        """Return whether a kind tells all that Triton compiles for."""
        return (
            self._is_direct
            and not any([address % 16 for address in addresses])
            and max(numbers) < 2**31
            and not is_watched()
            and not getattr(self.kernel, 'pre_run_hooks', None)
        )


def _kind(
    tensors: Sequence[Optional[Tensor]], constants: Dict[str, Any]
) -> Tuple[Any, ...]:
    """Return what Triton compiles for, with the index of the GPU first."""
    first = tensors[0]
    assert first is not None
    return (
        first.get_device(),
        *[None if tensor is None else tensor.dtype for tensor in tensors],
        *constants.items(),
    )


def is_watched() -> bool:
    """Return whether Triton's hooks or settings want launches of its own."""
    if knobs is None:
        hooks = (
            CompiledKernel.launch_enter_hook,
            CompiledKernel.launch_exit_hook,
        )
        return hooks != (None, None)
    runtime = knobs.runtime
    return (
        _is_set(runtime.launch_enter_hook)
        or _is_set(runtime.launch_exit_hook)
        or runtime.debug
        # Of Triton 3.6 and later.
        or getattr(runtime, 'add_stages_inspection_hook', None) is not None
        or getattr(knobs.compilation, 'instrumentation_mode', '') != ''
    )


def _is_set(hook: Any) -> bool:
    """Return whether a hook, or from Triton 3.5 on a chain of them, is set."""
    return hook is not None and bool(getattr(hook, 'calls', True))
