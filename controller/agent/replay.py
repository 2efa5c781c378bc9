"""The agent that follows a script: a folder of patches, applied in the order of their names.

Git applies them; nothing is merged by guesswork. A patch that does not fit the incumbent is skipped with its
reason. What was proposed is read from the lab, so that a restart goes on with the next patch.
"""

from __future__ import annotations

import codecs
import hashlib
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from email.errors import MessageError
from email.header import decode_header
from email.parser import HeaderParser
from pathlib import Path
from threading import Lock

from controller.domain import Experiment, Proposal
from controller.errors import AgentError
from controller.ports import Abandoned, ProposalRequest, Waiting
from controller.settings import AgentSettings, search_path
from controller.text.safe_text import LINE, SENTENCE, one_line

HASH_DIGITS = 16
"""Digits of its hash that tell apart two files whose names cannot be shown; of a million, no two share 64 bits."""

SHOWN_OF_ODD_NAME = 100
"""Characters of such a name that are shown behind its hash."""

SECONDS = 60
"""For git to apply one patch to a few files; more means that the disk is gone."""

_NOT_OF_MAIL = frozenset({"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"})
"""Codecs of Python that decode bytes and name no character set of a mail. Some warn or fail in ways of their own."""


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
        """The patches that will be skipped, each with its reason. Raises AgentError where none can be read at all."""
        patches = self._patches()
        faults = {patch.name: fault for patch in patches if (fault := _fault_of(patch))}
        told = [one_line(f"agent replay will skip {name}: {fault}", SENTENCE) for name, fault in faults.items()]
        if len(faults) == len(patches):
            raise AgentError(
                f"agent.patches {self._folder}: none of its *.patch files can be read as a patch; "
                f"the first, {patches[0].name}: {faults[patches[0].name]}"
            )
        return told

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
            return Abandoned(reason=f"skipped {one_line(patch.name)}: {refused}")
        except AgentError:
            with self._lock:
                self._taken.discard(patch.name)  # it had no turn yet
            raise

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
            why = "" if self._folder.is_dir() else ", as it is no folder"
            raise AgentError(
                f"agent.patches {self._folder}: no *.patch file is there{why}; name a folder that holds some"
            )
        return patches

    def _strategy(self, patch: Path) -> str:
        # By this name the lab tells which patches had their turn, so it must be one that a record keeps as it is.
        name = one_line(patch.name, LINE - len(self.name) - 1)
        if name != patch.name:
            name = f"{hashlib.sha256(os.fsencode(patch.name)).hexdigest()[:HASH_DIGITS]} {name[:SHOWN_OF_ODD_NAME]}"
        return f"{self.name}:{name}"

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
    if path.exists() and not path.is_file():
        raise _Unfit("it is no file")  # opening a pipe would wait for its other end
    try:
        data = path.read_bytes()
        # Windows PowerShell writes UTF-16 where a command's output is sent to a file.
        marked = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = data.decode("utf-16" if marked else "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise _Unfit(f"it cannot be read as text ({error})") from error
    return text if text.endswith("\n") or not text.strip() else f"{text}\n"


def _describe(stem: str, text: str) -> tuple[str, str]:
    """Title and hypothesis: subject and body of the mail that `git format-patch` writes, else the file's name.

    Raises _Unfit where the subject is written in a way that no mail program reads.
    """
    mail = HeaderParser().parsestr(text)
    subject = re.sub(r"^(\[[^]]*\]\s*)+", "", _decoded(mail.get("Subject", ""))).strip()
    if not subject:
        return re.sub(r"^\d+[-_ ]*", "", stem).replace("-", " ").strip() or stem, ""
    body = re.split(r"^(?:---|diff --git .*)$", str(mail.get_payload()), maxsplit=1, flags=re.MULTILINE)[0]
    return subject, " ".join(body.split())


def _decoded(subject: str) -> str:
    """A mail's subject as one line of text."""
    # The newer policies of this package decode by themselves, and raise whatever they meet.
    try:
        parts = [
            part if isinstance(part, str) else _decode(part, charset or "ascii")
            for part, charset in decode_header(subject)
        ]
        text = "".join(parts)
        text.encode()
    except (MessageError, LookupError, ValueError) as error:
        raise _Unfit(f"its subject cannot be decoded ({one_line(str(error), 200)})") from error
    return one_line(text)


def _decode(part: bytes, charset: str) -> str:
    codec = codecs.lookup(charset).name
    if codec in _NOT_OF_MAIL:
        raise LookupError(f"{codec} is no character set of mails")
    return part.decode(codec)


def _fault_of(patch: Path) -> str:
    """The reason why this patch fits no incumbent at all; empty if git can read it."""
    try:
        text = _read(patch)
        _describe(patch.stem, text)
        with _scratch() as folder:
            return _git_apply(text, folder, "--numstat")
    except _Unfit as unfit:
        return str(unfit)


@contextmanager
def _scratch() -> Iterator[Path]:
    try:
        with tempfile.TemporaryDirectory(prefix="autoresearch-replay-") as name:
            yield Path(name).resolve()
    except OSError as error:
        raise AgentError(f"agent replay cannot make a copy of the files to patch: {error}") from error


def _apply(patch: str, files: Mapping[str, str], *, onto: str) -> dict[str, str]:
    """The files that the patch changes, whole. Raises _Unfit when git cannot place a hunk of it."""
    try:
        return _apply_as_it_is(patch, files, onto=onto)
    except _Unfit:
        plain = {path: _without_returns(text) for path, text in files.items()}
        if _without_returns(patch) == patch and plain == files:
            raise
    # An editor or git's core.autocrlf gave the ends of lines another form on one side. Which one a file has is kept.
    changed = _apply_as_it_is(_without_returns(patch), plain, onto=onto)
    windows = {path for path, text in files.items() if text != plain[path]}
    return {path: text.replace("\n", "\r\n") if path in windows else text for path, text in changed.items()}


def _without_returns(text: str) -> str:
    return text.replace("\r\n", "\n")


def _apply_as_it_is(patch: str, files: Mapping[str, str], *, onto: str) -> dict[str, str]:
    with _scratch() as folder:
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(text.encode())
        problem = _git_apply(patch, folder)
        if lacks := re.fullmatch(r"(?:error: )?(.+): No such file or directory", problem):
            problem = _none_of(files, lacks[1])
        if problem:
            raise _Unfit(f"it does not apply to {onto[:7]} ({problem})")
        after = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if not path.is_dir()}
        missing = sorted(set(files) - set(after))
        if missing:
            raise _Unfit(f"it removes {missing[0]}, which the task needs")
        texts = {path: _read_patched(path, file) for path, file in after.items()}
    changed = {path: text for path, text in texts.items() if files.get(path) != text}
    if not changed:
        raise _Unfit("it changes no line of a file")
    return changed


def _git_apply(patch: str, folder: Path, *options: str) -> str:
    """Empty when git applied the patch, or only read it as the options say; else the fault of the patch."""
    # As `git diff --no-prefix` and `svn diff` write it: both names are the same, and nothing is in front of them.
    prefix = ("-p0",) if _SAME_NAMES.search(patch) else ()
    complaint = _ask_git(patch, folder, *prefix, *options)
    # Git checks here and changes nothing. Where the opposite fits, the change itself is there already.
    if complaint and not options and not _ask_git(patch, folder, *prefix, "--check", "--reverse"):
        return "its change is there already, or the patch is reversed"
    return _in_plain_words(complaint)


def _none_of(files: Mapping[str, str], path: str) -> str:
    """That a patch changes a file which is none of these, and why."""
    if any(path.endswith(f"/{name}") for name in files):
        return f"the task folder has no {path}; make patches in the task folder, as by `git diff --relative`"
    return f"{path} is not an editable file: change only {', '.join(sorted(files))}"


_SAME_NAMES = re.compile(r"^(?:diff --git (\S+) \1|--- ([^/\s][^\t\n]*)(?:\t.*)?\n\+\+\+ \2(?:\t.*)?)$", re.MULTILINE)
_PLAIN_WORDS = (
    (r"No valid patches in input.*", "it holds no patch as `git diff` and `diff -u` write them"),
    (r"corrupt (?:binary )?patch at line (\d+).*", r"it is damaged at its line \1, cut off or edited by hand"),
    (r"patch failed: (.+):(\d+)", r"what it replaces in \1, from line \2 on, reads otherwise there"),
)
"""What git says of a patch, and the same with what to do about it."""


def _in_plain_words(complaint: str) -> str:
    bare = complaint.removeprefix("error: ")
    for said, plain in _PLAIN_WORDS:
        if match := re.fullmatch(said, bare):
            return match.expand(plain)
    return complaint


def _ask_git(patch: str, folder: Path, *options: str) -> str:
    """Empty when git did what the options say; else its first complaint."""
    # Without the ceiling, a repository around the temporary folder would make git skip every file in silence.
    environment = {
        "PATH": search_path(),
        "HOME": str(folder),
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CEILING_DIRECTORIES": str(folder.parent),
    }
    command = ["git", "apply", "--whitespace=nowarn", *options, "-"]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            input=patch.encode(),
            capture_output=True,
            timeout=SECONDS,
            check=False,
            start_new_session=True,  # Ctrl-C at the terminal asks the controller alone: no patch fails by it
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
