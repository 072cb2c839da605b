"""A Slurm cluster of one machine, for the time of a test."""

import contextlib
import os
import shutil
import socket
import subprocess
import time

import pytest

COMMANDS = ('munged', 'slurmctld', 'slurmd', 'sbatch', 'squeue', 'scancel')
CONFIG = """
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={daemon}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1,batch_sched_delay=0,defer_batch
MinJobAge=2
NodeName=node NodeHostname=localhost NodeAddr=127.0.0.1 CPUs={cpus} State=IDLE
PartitionName=trains Nodes=node Default=YES State=UP MaxTime=INFINITE
"""

needs_slurm = pytest.mark.skipif(
    os.geteuid() != 0
    or any(
        shutil.which(command, path=f'{os.environ["PATH"]}:/usr/sbin') is None
        for command in COMMANDS
    ),
    reason='Slurm (slurm-wlm and munge, started as root) is not installed',
)


@contextlib.contextmanager
def start_cluster(folder, monkeypatch):
    """Start munged, slurmctld and slurmd in a folder, and stop them."""
    for name in 'state', 'spool', 'munge':
        (folder / name).mkdir(parents=True)
    monkeypatch.setenv('PATH', f'{os.environ["PATH"]}:/usr/sbin')
    config = folder / 'slurm.conf'
    controller, daemon = free_ports(2)
    config.write_text(
        CONFIG.format(
            folder=folder,
            controller=controller,
            daemon=daemon,
            cpus=os.cpu_count(),
        )
    )
    monkeypatch.setenv('SLURM_CONF', str(config))
    key = folder / 'munge' / 'key'
    key.write_bytes(os.urandom(64))
    key.chmod(0o400)
    daemons = [
        [
            'munged',
            '--foreground',
            '--force',
            f'--key-file={key}',
            f'--socket={folder}/munge.socket',
            f'--pid-file={folder}/munge/pid',
            f'--log-file={folder}/munge/log',
            f'--seed-file={folder}/munge/seed',
        ],
        ['slurmctld', '-D', '-c', '-f', str(config)],
        ['slurmd', '-D', '-N', 'node', '-f', str(config)],
    ]
    started = []
    try:
        for command in daemons:
            log = (folder / f'{command[0]}.out').open('wb')
            started.append(
                subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
                )
            )
        wait_until_idle(folder)
        yield
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()


def wait_until_idle(folder, seconds=30):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        shown = subprocess.run(
            ['sinfo', '--noheader', '-o', '%T'], capture_output=True, text=True
        )
        if shown.stdout.strip() == 'idle':
            return
        time.sleep(0.1)
    logs = '\n'.join(
        f'{log.name}: {log.read_text()[-800:]}'
        for log in [*folder.glob('*.log'), *folder.glob('*.out')]
    )
    pytest.fail(f'Slurm did not start: {shown.stderr}\n{logs}')


def free_ports(number):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(('127.0.0.1', 0))
        return [each.getsockname()[1] for each in sockets]
