"""Has the training's supervisor measure what the node did, and reads the line in which it tells.

Pure. The supervisor runs in the container of the training (`exam.kit.witness` in the trainer image). It is told a key
that the training does not know and repeats it in its line: a line that the training printed is text like any other.
The key follows from the try alone, so that a controller that adopts a running try knows it.

Of what programs took on the node, the campaign's own share must not count, or its agent could pass one attempt off as
another's neighbour. A container cannot see how much its siblings use. But it can be said how much they can use: their
limits, if all of them are on this node. For that much the supervisor makes an allowance.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields

from controller.domain import Calm, TryRequest, Witness
from controller.executor.attempt_end import OVERRAN
from controller.executor.disturbance import may_be_lost, most_allowed, tell_shares
from controller.executor.kubernetes.naming import request_hash
from controller.executor.kubernetes.observation import TryEnd
from controller.executor.kubernetes.quantities import amount
from controller.executor.phases import Phase, PhaseName
from controller.settings import ExecutorSettings

MARK = b"@@WITNESS v1 "
EXIT_DISTURBED = 79
"""Exit code of the supervisor after a disturbed training. A training may end with it too: only the line decides."""

NODE_CPUS = 0.5
"""CPUs that the node may use on behalf of pods. The most that we know of is the kubelet's walk over the files of their
volumes: one thread, half of whose time is the kernel's."""

_GONE = "other programs disturbed it; how much stood in a log that is gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the supervisor told, and the training's log without that."""

    log: bytes | None
    """None if it could not be read."""

    witness: Witness | None = None
    """None if nothing was told."""

    disturbed: str = ""
    """Why the training is to be run again, as a sentence; empty if it counts."""


def witness_order(executor: ExecutorSettings, request: TryRequest, phase: Phase) -> dict[str, str]:
    """Variables that have the supervisor of this phase measure; none if it has no supervisor, or does not train."""
    if phase.name is not PhaseName.TRAIN or not phase.supervised:
        return {}
    order = {
        "AUTORESEARCH_WITNESS_KEY": _key_of(request),
        "AUTORESEARCH_WITNESS_OWN_CPUS": f"{_own_cpus(executor):g}",
    }
    if request.calm is not None and may_be_lost(request):
        limits = most_allowed(request.calm)
        # Exit codes: of a training that ended well, and of one that overran its budget.
        lost = [0] * (not request.counts) + [OVERRAN] * (not request.late_counts)
        order["AUTORESEARCH_WITNESS_RUN_AGAIN"] = " ".join(map(str, lost))
        order["AUTORESEARCH_WITNESS_MOST_WAITED"] = f"{limits.waited:.4f}"
        order["AUTORESEARCH_WITNESS_MOST_TAKEN"] = f"{limits.taken:.4f}"
    return order


def read_told(log: bytes | None, request: TryRequest, ended: TryEnd) -> Told:
    """Look for the supervisor's line in the log of the training of a try that ended."""
    # Only where it was told limits can it have ended a training for them.
    gave_up = may_be_lost(request) and (ended.container, ended.exit_code) == (PhaseName.TRAIN, EXIT_DISTURBED)
    if log is None:
        return Told(log=None, disturbed=_GONE if gave_up else "")
    lines = log.split(b"\n")
    mark = MARK + _key_of(request).encode() + b" "
    place = next((i for i in range(len(lines) - 1, -1, -1) if lines[i].startswith(mark)), None)
    shares = None if place is None else _decode(lines[place].removeprefix(mark))
    if place is None or shares is None:
        return Told(log=log)
    # The supervisor ends whatever line the training left open. Where there was none, that made an empty one.
    before = lines[: place - 1] if place and not lines[place - 1] else lines[:place]
    rest = b"\n".join([*before, *lines[place + 1 :]])
    again = gave_up and shares.get("again") == 1
    return Told(log=rest, witness=_witness_of(shares), disturbed=_tell(shares, request.calm) if again else "")


def _tell(shares: dict[str, float], calm: Calm | None) -> str:
    return tell_shares(waited=shares.get("waited", 0.0), taken=shares.get("others", 0.0), calm=calm)


def _witness_of(shares: dict[str, float]) -> Witness:
    return Witness(**{field.name: shares.get(field.name) for field in fields(Witness)})


def _decode(text: bytes) -> dict[str, float] | None:
    """The shares in the line by their names; None if it was cut or is none of ours."""
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(told, dict):
        return None
    return {name: float(share) for name, share in told.items() if isinstance(share, int | float) and 0 <= share <= 1}


def _key_of(request: TryRequest) -> str:
    # The hash covers the commit, which a training is not told and cannot find out.
    return hashlib.sha256(f"witness {request_hash(request)}".encode()).hexdigest()[:32]


def _own_cpus(executor: ExecutorSettings) -> float:
    """CPUs that the campaign's other tries and the node on their behalf may use, if all of them run on one node."""
    cluster = executor.kubernetes
    # Candidate and examiner run side by side. What cannot be read is infinite: then nothing counts as taken.
    most = amount(cluster.cpu) + amount(cluster.examine_cpu)
    return (executor.slots - 1) * most + NODE_CPUS
