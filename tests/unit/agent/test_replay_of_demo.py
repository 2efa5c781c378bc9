"""The ideas of `make demo` apply whatever was kept before them, and only the one that picks a seed is sent back."""

from __future__ import annotations

from itertools import chain, combinations
from pathlib import Path

import pytest

from controller.agent.replay import ReplayAgent
from controller.domain import Proposal
from controller.edits import novelty
from controller.settings import AgentSettings
from tests.support.requests import proposal_request

ROOT = Path(__file__).parents[3]
IDEAS = ROOT / "examples" / "demo"
HELPFUL = ("01-previous-token", "03-bigram-prior", "06-copies")
SENT_BACK = "04-better-seed"
SHIPPED = {"train.py": (ROOT / "trainer-image" / "train.py").read_text()}


def propose(name: str, files: dict[str, str], folder: Path) -> Proposal:
    """One idea on a program. Fails where it does not apply."""
    only = folder / name
    only.mkdir(exist_ok=True)
    (only / f"{name}.patch").write_text((IDEAS / f"{name}.patch").read_text())
    answer = ReplayAgent(AgentSettings(kind="replay", patches=only)).propose(proposal_request(files))
    assert isinstance(answer, Proposal), answer
    return answer


@pytest.mark.parametrize("kept", list(chain.from_iterable(combinations(HELPFUL, n) for n in range(4))), ids="+".join)
def test_ideas_of_the_demo_apply_on_top_of_any_that_were_kept(kept: tuple[str, ...], tmp_path: Path) -> None:
    files = SHIPPED
    for name in kept:
        files = files | dict(propose(name, files, tmp_path).files)

    for name in (path.stem for path in sorted(IDEAS.glob("*.patch")) if path.stem not in kept):
        edit = propose(name, files, tmp_path)
        refusal = novelty.find_refusal(
            base=files, proposed=edit.files, tried=frozenset({novelty.fingerprint(files)}), needs_load_model=True
        )
        assert ("seed" in (refusal or "")) == (name == SENT_BACK), refusal
        assert bool(refusal) == (name == SENT_BACK)
        assert edit.hypothesis
