"""Names and labels that the API server accepts, and selectors by which each controller finds its own objects alone."""

from __future__ import annotations

import pytest

from controller.domain import TryId
from controller.executor.kubernetes.naming import NAME_LIMIT, campaign_selector, is_label, job_name, labels
from controller.studies.study import StudyKind

LONGEST_TAG = "a" * 30
"""The longest that the settings take."""


def is_selected(selector: str, found: dict[str, str]) -> bool:
    """What the API server makes of the forms of requirements that are used here."""
    wanted, _, spared = selector.partition(",study notin (")
    if spared and found.get("study") in spared.removesuffix(")").split(","):
        return False
    for requirement in wanted.split(","):
        key, _, value = requirement.partition("=")
        if key.startswith("!") and key[1:] in found:
            return False
        if not key.startswith("!") and (key not in found or (value and found[key] != value)):
            return False
    return True


@pytest.mark.parametrize("kind", StudyKind)
def test_names_and_labels_of_every_study_fit_with_the_longest_tag(kind: StudyKind) -> None:
    tries = [TryId(LONGEST_TAG, arm, 26, 3, study=f"{kind}-{number}") for arm in (1, 12) for number in (1, 1234)]

    names = {job_name(one) for one in tries}

    assert len(names) == len(tries)
    assert max(map(len, names)) <= NAME_LIMIT
    assert all(is_label(name.rpartition("/")[2], value) for one in tries for name, value in labels(one).items())


def test_campaign_and_studies_select_their_own_tries_and_no_others() -> None:
    experiment, first, second = TryId("t", 1, 1, 1), *(TryId("t", 1, 1, 1, study=name) for name in ("claim-1", "aa-2"))
    tries = {one: labels(one) for one in (experiment, first, second)}

    def selected(selector: str) -> list[TryId]:
        return [one for one, found in tries.items() if is_selected(selector, found)]

    assert selected(campaign_selector("t")) == [experiment]
    assert selected(campaign_selector("t", studies=True)) == [first, second]
    assert selected(campaign_selector("t", studies=True, unfinished=["claim-1"])) == [second]
    assert selected(campaign_selector("other", studies=True)) == []
