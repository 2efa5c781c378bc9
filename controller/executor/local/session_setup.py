"""Builds the command that runs a session in its sandbox, with its limits. Pure."""

from __future__ import annotations

from controller.executor.local.bench import FORWARDER, SOCKET, Bench
from controller.executor.local.cgroups import Cgroup
from controller.executor.local.process import Confined
from controller.executor.local.sandbox import Places, Scratch, in_bubblewrap
from controller.executor.local.session_place import SessionPlace
from controller.executor.phases import SOCKET as GATEWAY
from controller.executor.phases import TASK, Mount, Phase, PhaseName, Volume
from controller.executor.workshop import FOLDER_GB, Session

GATEWAY_PORT = 8642
"""Port on the program's own loopback that leads to the gateway; any would do, as nobody else is on that network."""


def confine_session(
    session: Session, bench: Bench, place: SessionPlace, *, cgroup: Cgroup | None, forwards: bool
) -> Confined:
    """The session's command with its sandbox and limits."""
    command = in_bubblewrap(
        _phase(session, forwards=forwards),
        places=Places(
            volumes={Volume.TASK: bench.folder, Volume.SOCKET: bench.gateway},
            task=(),
            etc=place.etc,
            filters=place.filters,
            frozen=place.frozen,
        ),
        machine=place.machine,
        bubblewrap=place.bubblewrap,
        scratch=Scratch(
            temporary_bytes=int(FOLDER_GB * 2**30),
            # RLIMIT_NPROC counts in the user namespace where there is a new one, so other sandboxes take nothing of it.
            processes=place.confinement.process_rlimit(own_namespace=True),
        ),
    )
    return Confined(command=command, rlimits=place.confinement.rlimits(), cgroup=cgroup)


def _phase(session: Session, *, forwards: bool) -> Phase:
    """The session as a sandbox is told of it."""
    lead = (
        ("python", "-I", "-S", f"{GATEWAY}/{FORWARDER}", f"{GATEWAY}/{SOCKET}", str(GATEWAY_PORT)) if forwards else ()
    )
    shown = (Mount(Volume.SOCKET, GATEWAY),) if forwards else ()
    return Phase(
        name=PhaseName.TRAIN,  # which decides the filter: sockets of its own network are allowed
        command=(*lead, *session.command),
        environment=session.environment,
        mounts=(Mount(Volume.TASK, TASK, writable=True), *shown),
        seconds=session.seconds,
        accelerator=False,
        supervised=False,
    )
