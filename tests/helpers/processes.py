"""New processes, of which several may talk to each other."""

import multiprocessing
import os
import runpy
import socket
import sys
import tempfile
from unittest import mock

# Processes are forked from one that has imported MMDetection, which takes each
# new process some seconds, and that has done nothing else.
CONTEXT = multiprocessing.get_context('forkserver')
CONTEXT.set_forkserver_preload(['tests.helpers.preloaded'])


def free_port():
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def start(function, *args):
    """Start a process without GPUs that calls a function, and return it."""
    process = CONTEXT.Process(target=function, args=args)
    with mock.patch.dict(os.environ, CUDA_VISIBLE_DEVICES=''):
        process.start()
    return process


def run_scripts(commands, cwd, **environment):
    """Run scripts at the same time, each in a process of its own.

    It is what a shell would see. Each command is a script and its arguments,
    and a dict of environment variables; further variables are of all.
    Returns the exit status and the output of each.
    """
    with tempfile.TemporaryDirectory() as folder:
        outputs = [f'{folder}/{i}' for i in range(len(commands))]
        processes = [
            start(
                _run_script,
                [*map(str, command)],
                str(cwd),
                {**os.environ, 'CUDA_VISIBLE_DEVICES': ''}
                | environment
                | variables,
                output,
            )
            for (command, variables), output in zip(commands, outputs)
        ]
        found = []
        for process, output in zip(processes, outputs):
            process.join()
            with open(output, errors='replace') as file:
                found.append((process.exitcode, file.read()))
    return found


def _run_script(command, cwd, environment, output):
    # A process of the fork server has a start method; a new process has none.
    multiprocessing.set_start_method(None, force=True)
    file = os.open(output, os.O_WRONLY | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(file, stream)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    sys.argv = command
    # As Python does for a script and for PYTHONPATH.
    sys.path[:0] = [
        os.path.dirname(os.path.abspath(command[0])),
        *filter(None, os.getenv('PYTHONPATH', '').split(os.pathsep)),
    ]
    runpy.run_path(command[0], run_name='__main__')
