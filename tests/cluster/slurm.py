"""A throwaway Slurm: a controller and two nodes, all on this machine, gone when the block ends.

The configuration lies in /etc/slurm: Snakemake's jobs clear SLURM_CONF before they call srun. Nothing else is shared
with the system; a configuration that we did not write is never touched.
"""

import os
import shutil
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

CONFIGURATION = Path("/etc/slurm")
MARK = "# Throwaway cluster of the tests of SeqRepro"
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo", "munged")
NODES = ("n1", "n2")

SLURM_CONF = """\
{mark}
ClusterName=throwaway
SlurmctldHost=localhost(127.0.0.1)
SlurmUser=root
SlurmctldPort={controller}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmdSpoolDir={folder}/spool.%n
StateSaveLocation={folder}/state
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1,bf_interval=1
ReturnToService=2
KillWait=2
MinJobAge=3600
DefMemPerCPU=500
GresTypes=gpu
NodeName=n1 NodeHostname=localhost NodeAddr=127.0.0.1 Port={first} CPUs=2 RealMemory=32000 Gres=gpu:1
NodeName=n2 NodeHostname=localhost NodeAddr=127.0.0.1 Port={second} CPUs=2 RealMemory=32000
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=24:00:00 State=UP
PartitionName=gpu Nodes=n1 MaxTime=24:00:00 State=UP
"""

GRES_CONF = """\
{mark}
AutoDetect=off
NodeName=n1 Name=gpu File={folder}/gpu0
"""


@dataclass(frozen=True)
class Job:
    """What the controller knows of a job; `name` holds the rule and its wildcards, `gres` what it asked for."""

    id: str
    state: str
    node: str
    partition: str
    name: str
    gres: str

    @property
    def rule(self) -> str:
        """The Snakemake rule."""
        return self.name.removeprefix("rule_").split("_wildcards_")[0]


def why_not() -> str | None:
    """Why no cluster can be started here; None if one can."""
    missing = [program for program in PROGRAMS if not shutil.which(program)]
    if missing:
        return f"Slurm or munge is not installed: no {', '.join(missing)}"
    if os.geteuid() != 0:
        return "starting Slurm's daemons needs root"
    present = CONFIGURATION / "slurm.conf"
    if present.exists() and not present.read_text().startswith(MARK):
        return f"{present} belongs to a real cluster"
    if present.exists() and "is UP" in _output("scontrol", "ping"):
        return "the throwaway cluster of another test run is up; if that run is dead, `scontrol shutdown` ends it"
    return None


@contextmanager
def throwaway_cluster(folder: Path) -> Iterator[None]:
    """A running cluster whose state and logs lie in `folder`."""
    with ExitStack() as stack:
        stack.enter_context(_configuration(folder))
        stack.enter_context(_munge(folder))
        stack.enter_context(_daemon(folder, "slurmctld", "-D"))
        for node in NODES:
            stack.enter_context(_daemon(folder, "slurmd", "-D", "-N", node, name=f"slurmd.{node}"))
        idle = {f"{node} idle" for node in NODES}
        _wait(lambda: set(_output("sinfo", "-h", "-N", "-o", "%N %T").splitlines()) == idle)
        stack.callback(_cancel_all)
        yield


def jobs_of(folder: Path) -> list[Job]:
    """The jobs submitted from a folder, in order: the controller's own record."""
    fields = ("JobID", "State", "NodeList", "Partition", "Comment", "tres-per-job", "WorkDir")
    form = ",".join(f"{field}:|" for field in fields)
    lines = [line.rstrip("|").split("|") for line in _output("squeue", "-h", "-t", "all", "-O", form).splitlines()]
    return sorted((Job(*values[:-1]) for values in lines if Path(values[-1]) == folder), key=lambda job: int(job.id))


@contextmanager
def _configuration(folder: Path) -> Iterator[None]:
    controller, first, second = _free_ports(3)
    words = {"mark": MARK, "folder": folder, "controller": controller, "first": first, "second": second}
    os.mknod(folder / "gpu0", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    files = {"slurm.conf": SLURM_CONF, "gres.conf": GRES_CONF}
    for name, text in files.items():
        (CONFIGURATION / name).write_text(text.format(**words))
    try:
        yield
    finally:
        for name in files:
            (CONFIGURATION / name).unlink()


@contextmanager
def _munge(folder: Path) -> Iterator[None]:
    key, opened = folder / "munge.key", folder / "munge.socket"
    key.touch(mode=0o600)
    key.write_bytes(os.urandom(128))
    places = [f"--{name}-file={folder}/munged.{name}" for name in ("pid", "log", "seed")]
    with _daemon(folder, "munged", "--foreground", "--force", f"--key-file={key}", f"--socket={opened}", *places):
        _wait(opened.exists)
        yield


@contextmanager
def _daemon(folder: Path, *command: str, name: str = "") -> Iterator[None]:
    with (folder / f"{name or command[0]}.out").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _cancel_all() -> None:
    subprocess.run(["scancel", "--user=root"], check=False)
    _wait(lambda: not _output("squeue", "-h"))


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def _wait(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the cluster did not get there in time; see its logs"
        time.sleep(0.1)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
