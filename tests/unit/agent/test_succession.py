"""Once the first agent has nothing left the second proposes, and the first has its turn again when it has more."""

from __future__ import annotations

from pathlib import Path

from controller.agent.replay import ReplayAgent
from controller.agent.succession import SuccessionAgent
from controller.domain import Proposal
from controller.ports import Abandoned
from controller.settings import AgentSettings
from tests.support.requests import proposal_request
from tests.support.scripted import TRAIN, NumberAgent

REQUEST = proposal_request({"train.py": TRAIN})
FIRST_LINE = TRAIN.splitlines()[0]
PATCH = f"""Subject: {{subject}}

---
--- a/train.py
+++ b/train.py
@@ -1 +1,2 @@
+# {{subject}}
 {FIRST_LINE}
"""


def proposer(answer: Proposal | Abandoned) -> str:
    return answer.agent if isinstance(answer, Proposal) else answer.reason


def test_second_proposes_after_the_last_patch_until_another_patch_is_there(tmp_path: Path) -> None:
    (tmp_path / "1.patch").write_text(PATCH.format(subject="first"))
    replay = ReplayAgent(AgentSettings(kind="replay", patches=tmp_path))
    agent = SuccessionAgent(replay, NumberAgent(name="second"))

    answers = [proposer(agent.propose(REQUEST)) for _ in range(3)]
    (tmp_path / "2.patch").write_text(PATCH.format(subject="late"))
    answers += [proposer(agent.propose(REQUEST)) for _ in range(2)]

    assert answers == ["replay", "second", "second", "replay", "second"]


def test_patch_that_does_not_fit_is_told_and_not_answered_by_the_second(tmp_path: Path) -> None:
    (tmp_path / "1.patch").write_text(PATCH.format(subject="first").replace(FIRST_LINE, "gone"))
    agent = SuccessionAgent(ReplayAgent(AgentSettings(kind="replay", patches=tmp_path)), NumberAgent(name="second"))

    assert "1.patch" in proposer(agent.propose(REQUEST))
    assert proposer(agent.propose(REQUEST)) == "second"
