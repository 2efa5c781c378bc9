"""The Job of a recorded try tells people text and nothing else, whatever a cluster or a training said."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from controller.domain import Outcome, Provenance, Result, Score
from controller.executor.kubernetes.observation import EndCause, TryEnd
from controller.executor.kubernetes.recorded_job import EVENT_MESSAGE_LIMIT, build_event, recorded_patch
from controller.settings import Settings
from tests.support.hostile_text import HOSTILE, find_hostile

SETTINGS = Settings.model_validate({"executor": {"kind": "kubernetes"}})
ENDED = TryEnd(cause=EndCause.CRASH, reason="", container="train")


@pytest.mark.parametrize("text", [*HOSTILE, "x" * 10_000_000], ids=range(len(HOSTILE) + 1))
def test_labels_annotations_and_event_hold_text_as_text(text: str) -> None:
    result = Result(outcome=Outcome.CRASHED, reason=text, node=text)

    patch = recorded_patch(SETTINGS, replace(ENDED, reason=text), result, uid="u", now=0.0)
    event = build_event("ns", "job", "u", replace(ENDED, reason=text), result, now=0.0)

    for value in (*patch["metadata"]["labels"].values(), *patch["metadata"]["annotations"].values()):
        assert find_hostile(value) is None
    assert find_hostile(event["message"]) is None
    assert "\n" not in event["message"]
    assert len(event["message"]) <= EVENT_MESSAGE_LIMIT
    assert json.loads(patch["metadata"]["annotations"]["autoresearch.dev/result"])["outcome"] == "crashed"
    assert sum(map(len, patch["metadata"]["annotations"].values())) < 2**18, "the API server refuses more"


def test_score_is_a_label() -> None:
    scored = Result(outcome=Outcome.SCORED, score=Score(value=1.5, provenance=Provenance.SEALED))

    patch = recorded_patch(SETTINGS, ENDED, scored, uid="u", now=0.0)

    assert patch["metadata"]["labels"] == {"outcome": "scored", "val_bpb": "1.5"}
