"""The settings of an agent that is a program: what is run, what it may use, and what it may spend."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from controller.settings.secrecy import fault_of_variables
from controller.settings.section import Command, OneOrMore, Positive, Section, Variables

INTERPRETERS = ("python", "sh", "bash", "node", "perl", "ruby")


class CommandSettings(Section):
    """A program that proposes, in a sandbox of its own on this machine, or a Job of its own (command-agents.md)."""

    run: Command = ()
    """The program and its arguments, or one line as for a shell. It runs once for each proposal."""

    name: str = Field("", max_length=60, pattern=r"^[A-Za-z0-9._-]*$")
    """Name under which its experiments are recorded; empty: the name of its file."""

    seconds: float = Field(900, ge=1, le=86_400)
    """Seconds after which it is killed, and the proposal is given up; those for which it is frozen beside an exam do
    not count."""

    memory_gb: Positive = 4.0
    """Main memory that it may use, in GiB."""

    cpus: Positive | None = 1.0
    """CPUs that it may use, where a cgroup can limit them; empty: all, also those of trainings. A cluster reserves
    them."""

    image: str = ""
    """On a cluster, the image that it runs in; empty: that of trainings (`executor.kubernetes.image`)."""

    node_selector: Mapping[str, str] = Field(default_factory=dict)
    """On a cluster, labels that a node must have to run it, so that it runs beside no exam; empty: as trainings."""

    address: str = Field("", pattern=r"^[0-9A-Fa-f.:]*$")
    """On a cluster, the IP address at which pods reach this controller; empty: the one from which it reaches the API
    server, which in a pod is the pod's own."""

    port: int = Field(8642, ge=0, le=65535)
    """On a cluster, the port at which pods of proposals, and nobody else, reach this controller; 0 takes a free one."""

    mounts: OneOrMore[Path] = ()
    """Files and folders of this machine that it may read, each at its own path; a `bin` in one is searched for
    programs. The folder of the program is one of them unless it lies in /usr."""

    environment: Variables = Field(default_factory=dict)
    """Environment variables of the program. They are written to the lab: no key, token or password may be among them.
    """

    gateway: OneOrMore[Literal["anthropic", "openai"]] = ()
    """Vendors whose models it may ask, through the gateway, which holds the keys; empty: none, and no key is needed."""

    models: OneOrMore[str] = ()
    """Models that it may ask; empty: every model whose price is known."""

    dollars: Positive = 3.0
    """Most dollars that the model's calls for one proposal may cost. A call that might cost more than is left gets
    fewer output tokens, or the answer 402."""

    calls: int = Field(200, ge=1, le=10_000)
    """Most calls of a model for one proposal."""

    anthropic_url: str | None = None
    """Address of a gateway of yours that is asked in place of Anthropic's API; empty: ANTHROPIC_BASE_URL, else the
    vendor's own."""

    openai_url: str | None = None
    """The same for OpenAI's API, without `/v1`; empty: OPENAI_BASE_URL, else the vendor's own."""

    prices: Mapping[str, Mapping[str, float]] = Field(default_factory=dict)
    """Dollars per million tokens by model: input, output, cache_write, cache_write_1h, cache_read."""

    fallback: Literal["none", "perturb"] = "perturb"
    """Agent that proposes while the program cannot."""

    @field_validator("mounts")
    @classmethod
    def _mounts_begin_at_the_root(cls, mounts: tuple[Path, ...]) -> tuple[Path, ...]:
        places = tuple(mount.expanduser() for mount in mounts)
        wrong = [place for place in places if not place.is_absolute()]
        if wrong:
            raise ValueError(f"agent.command.mounts: {wrong[0]} does not begin with '/': give the whole path")
        return places

    @field_validator("environment")
    @classmethod
    def _environment_is_public(cls, variables: Mapping[str, str]) -> Mapping[str, str]:
        if fault := fault_of_variables(variables):
            raise ValueError(f"agent.command.environment {fault}")
        return variables

    @property
    def shown_name(self) -> str:
        """Name under which its experiments are recorded."""
        # Of an interpreter, the program that it runs tells more.
        words = [Path(word).name for word in self.run if not word.startswith("-")]
        named = [word for word in words[:2] if word.rstrip("0123456789.") not in INTERPRETERS]
        return self.name or re.sub(r"[^A-Za-z0-9._-]", "-", next(iter(named or words), "command"))[:60]
