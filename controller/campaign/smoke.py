"""Decides which edits are run for one step before their first attempt, and remembers what came of each program.

The tests run in the threads of the proposals, one at a time: they take no slot, and a machine that trains has little
left for them. The unchanged program goes first. Where it crashes, the test is at fault and not the edit, as for a
program that needs an accelerator or more than a second, so that this campaign goes on without.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Mapping
from threading import Lock

from controller.edits import novelty
from controller.ports import SmokeCrash, SmokeTest, Untested

log = logging.getLogger(__name__)

LARGE_EDIT = 10
"""Added lines from which on an edit is tested: one that only changes constants hardly ever crashes."""


class SmokeTests:
    """The smoke tests of one campaign; safe to use from several threads.

    baseline: the unchanged editable files, by path. needs_load_model: true for language models.
    """

    def __init__(self, test: SmokeTest, *, baseline: Mapping[str, str], needs_load_model: bool) -> None:
        self._test = test
        self._baseline = baseline
        self._needs_load_model = needs_load_model
        self._lock = Lock()
        self._known: dict[str, SmokeCrash | None] = {}
        self._usable: bool | None = None
        """False once the unchanged program has crashed; None before it was tested."""

    def find_crash(self, files: Mapping[str, str], *, base: Mapping[str, str]) -> SmokeCrash | None:
        """The crash of an edit; None if it does not, or is too small to be tested.

        files: all editable files with the edit, base: without it.
        """
        if count_added_lines(base, files) < LARGE_EDIT or self._is_refused(files, base):
            return None
        program = novelty.fingerprint(files)
        with self._lock:
            if not self._is_usable():
                return None
            if program not in self._known:
                crash = self._test(files)
                if crash is Untested.UNTESTED:
                    return None
                self._known[program] = crash
            return self._known[program]

    def _is_usable(self) -> bool:
        if self._usable is None:
            crash = self._test(self._baseline)
            if crash is Untested.UNTESTED:  # beside the exams of other slots, say: a later edit finds out
                return False
            self._usable = crash is None
            if crash:
                log.warning("edits are not smoke-tested, because the unchanged code crashes there: %s", crash.reason)
        return self._usable

    def _is_refused(self, files: Mapping[str, str], base: Mapping[str, str]) -> bool:
        """True if the edit is sent back anyway, whatever was tried before."""
        return bool(
            novelty.find_refusal(base=base, proposed=files, tried=frozenset(), needs_load_model=self._needs_load_model)
        )


def count_added_lines(base: Mapping[str, str], files: Mapping[str, str]) -> int:
    """Lines of the edited files that the files before the edit do not have at that place."""
    added = 0
    for path, text in files.items():
        old, new = base.get(path, "").splitlines(), text.splitlines()
        for tag, _, _, first, last in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
            added += last - first if tag in ("insert", "replace") else 0
    return added
