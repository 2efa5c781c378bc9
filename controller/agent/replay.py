"""The agent that follows a script: a folder of patches, applied in the order of their names.

Git applies them; nothing is merged by guesswork. A patch that does not fit the incumbent is skipped with its
reason. What was proposed is read from the lab, so that a restart goes on with the next patch.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from email import message_from_string
from email.policy import default
from pathlib import Path
from threading import Lock

from controller.domain import Experiment, Proposal
from controller.errors import AgentError
from controller.ports import Abandoned, ProposalRequest, Waiting
from controller.settings import AgentSettings, search_path

SECONDS = 60
"""For git to apply one patch to a few files; more means that the disk is gone."""


class _Unfit(Exception):
    """A patch that cannot be tried on this incumbent; the text says why. Never leaves this module."""


class ReplayAgent:
    """Proposes each `*.patch` of a folder once, however many slots ask.

    The folder is read anew at each request, so that patches may be added while the campaign runs. Raises
    AgentError when the settings name none.
    """

    name = "replay"

    def __init__(self, settings: AgentSettings) -> None:
        if settings.patches is None:
            raise AgentError("agent replay needs agent.patches, a folder of *.patch files")
        self._folder = settings.patches
        self._taken: set[str] = set()
        self._lock = Lock()

    def check(self) -> list[str]:
        """Nothing to warn of."""
        return []

    @property
    def waiting(self) -> tuple[Waiting, ...]:
        """Nothing is ever waited for."""
        return ()

    def propose(self, request: ProposalRequest) -> Proposal | Abandoned:
        """The next patch on the incumbent, or why it is skipped. Raises AgentError without patches or git."""
        patch = self._take(request.experiments)
        if patch is None:
            return Abandoned(reason=f"every patch in {self._folder} had its turn", exhausted=True)
        try:
            return self._proposal(patch, request)
        except _Unfit as refused:
            return Abandoned(reason=f"skipped {patch.name}: {refused}")

    def stop(self) -> None:
        """Nothing to give up: git takes a moment."""

    def _take(self, experiments: Sequence[Experiment]) -> Path | None:
        recorded = {experiment.strategy for experiment in experiments}
        with self._lock:
            for patch in self._patches():
                if patch.name not in self._taken and self._strategy(patch) not in recorded:
                    self._taken.add(patch.name)
                    return patch
        return None

    def _patches(self) -> Sequence[Path]:
        patches = sorted(self._folder.glob("*.patch"))
        if not patches:
            raise AgentError(f"agent.patches {self._folder}: no *.patch file is there; name a folder that holds some")
        return patches

    def _strategy(self, patch: Path) -> str:
        return f"{self.name}:{patch.name}"

    def _proposal(self, patch: Path, request: ProposalRequest) -> Proposal:
        text = _read(patch)
        title, hypothesis = _describe(patch.stem, text)
        return Proposal(
            base=request.base,
            files=_apply(text, request.files, onto=request.base),
            title=title,
            hypothesis=hypothesis,
            agent=self.name,
            strategy=self._strategy(patch),
        )


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise _Unfit(f"it cannot be read as text ({error})") from error


def _describe(stem: str, text: str) -> tuple[str, str]:
    """Title and hypothesis: subject and body of the mail that `git format-patch` writes, else the file's name."""
    mail = message_from_string(text, policy=default)
    subject = re.sub(r"^(\[[^]]*\]\s*)+", "", mail.get("Subject", "")).strip()
    if not subject:
        return re.sub(r"^\d+[-_ ]*", "", stem).replace("-", " ").strip() or stem, ""
    body = re.split(r"^(?:---|diff --git .*)$", str(mail.get_payload()), maxsplit=1, flags=re.MULTILINE)[0]
    return " ".join(subject.split()), " ".join(body.split())


def _apply(patch: str, files: Mapping[str, str], *, onto: str) -> dict[str, str]:
    """The files that the patch changes, whole. Raises _Unfit when git cannot place a hunk of it."""
    with tempfile.TemporaryDirectory(prefix="autoresearch-replay-") as name:
        folder = Path(name).resolve()
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(text.encode())
        problem = _git_apply(patch, folder)
        if problem:
            raise _Unfit(f"it does not apply to {onto[:7]} ({problem})")
        after = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if not path.is_dir()}
        missing = sorted(set(files) - set(after))
        if missing:
            raise _Unfit(f"it removes {missing[0]}, which the task needs")
        texts = {path: _read_patched(path, file) for path, file in after.items()}
    return {path: text for path, text in texts.items() if files.get(path) != text}


def _git_apply(patch: str, folder: Path) -> str:
    """Empty when git applied the patch, else its first complaint."""
    # Without the ceiling, a repository around the temporary folder would make git skip every file in silence.
    environment = {
        "PATH": search_path(),
        "HOME": str(folder),
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CEILING_DIRECTORIES": str(folder.parent),
    }
    command = ["git", "apply", "--whitespace=nowarn", "-"]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            input=patch.encode(),
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except FileNotFoundError as error:
        raise AgentError("agent replay needs git to apply patches: install it and put it on PATH") from error
    except subprocess.TimeoutExpired:
        return f"git took more than {SECONDS} s"
    return "" if done.returncode == 0 else done.stderr.decode(errors="replace").strip().split("\n")[0][:300]


def _read_patched(path: str, file: Path) -> str:
    if file.is_symlink() or not file.is_file():
        raise _Unfit(f"it makes {path} something other than a file")
    try:
        return file.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise _Unfit(f"it makes {path} something other than UTF-8 text") from error
