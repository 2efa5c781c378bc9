"""Plans the studies that a person asks for: which programs, how many seeds, on which text."""

from __future__ import annotations

import json
from collections.abc import Sequence

from controller.costs.slots import SlotPrices
from controller.domain import BASELINE, Experiment
from controller.errors import LabError, SettingsError
from controller.folder import CampaignFolder
from controller.judge import make_judge
from controller.lab import Lab
from controller.planning.campaign_state import CampaignState
from controller.run.study import Asked, Planner
from controller.settings import Settings
from controller.studies import ablation, portability, rerun
from controller.studies.claim import default_seeds, plan_claim
from controller.studies.study import Arm, Study, StudyRecord, find_answered, find_unfinished
from controller.studies.wording import sign_of

HEAD, FIRST = "head", "baseline"


def claim_planner(one: str, other: str, *, seeds: int | None, validation: bool) -> Planner:
    """Plans a claim that the program called `one` is better than the one called `other`."""

    def make_plan(asked: Asked) -> Study:
        wanted = seeds or default_seeds()
        first, second = find_arm(asked, one, seeds=wanted), find_arm(asked, other, seeds=wanted)
        _require_difference(first, second)
        holdout = _asks_holdout(asked.settings, validation=validation)
        return plan_claim(first, second, holdout=holdout, number=asked.number, at=asked.at)

    return make_plan


def rerun_planner(number: int, *, seeds: int | None) -> Planner:
    """Plans runs of an experiment again."""

    def make_plan(asked: Asked) -> Study:
        arm = find_arm(asked, str(number), seeds=seeds or rerun.RERUN_SEEDS)
        return rerun.plan_rerun(arm, number=asked.number, at=asked.at)

    return make_plan


def aa_planner(*, seeds: int | None) -> Planner:
    """Plans runs of the unchanged program against itself."""

    def make_plan(asked: Asked) -> Study:
        needed = asked.settings.judge.baseline_runs
        wanted = seeds or max(rerun.AA_SEEDS, 2 * needed)
        if wanted <= needed:
            raise SettingsError(
                f"--seeds {wanted} leaves nothing to judge: the baseline alone takes {needed} (judge.baseline_runs)"
            )
        return rerun.plan_aa(find_arm(asked, FIRST, seeds=wanted), number=asked.number, at=asked.at)

    return make_plan


def portability_planner(places: Sequence[portability.Place], *, seeds: int | None, validation: bool) -> Planner:
    """Plans runs of the head and the baseline at every place."""

    def make_plan(asked: Asked) -> Study:
        wanted = seeds or default_seeds()
        head, baseline = find_arm(asked, HEAD, seeds=wanted), find_arm(asked, FIRST, seeds=wanted)
        _require_difference(head, baseline)
        holdout = _asks_holdout(asked.settings, validation=validation)
        return portability.plan_portability(head, baseline, places, holdout=holdout, number=asked.number, at=asked.at)

    return make_plan


def place_of_pool(pool: str, settings: Settings, *, label: str) -> portability.Place:
    """A cluster's node pool: what else the campaign asks of its nodes is asked there too."""
    selector = {**settings.executor.kubernetes.node_selector, label: pool}
    return portability.Place(pool, (f"executor.kubernetes.node_selector={json.dumps(selector)}",))


def place_of_preset(preset: str, settings: Settings) -> portability.Place:
    """A preset of the task. On a cluster its data are a folder of their own on the claim, unless the campaign has it.

    On one machine they are a folder beside the campaign's, which is looked for when the place is opened.
    """
    overrides = [f"task.preset={preset}"]
    if settings.executor.kind == "kubernetes" and preset != settings.task.preset:
        overrides.append(f"executor.kubernetes.data_folder=data-{preset}")
    return portability.Place(preset, tuple(overrides))


def require_different_places(folder: CampaignFolder, places: Sequence[portability.Place]) -> None:
    """Raises SettingsError where two places have the same settings and the same data: there is nothing to compare."""
    seen: dict[tuple[tuple[str, ...], bool, str], str] = {}
    for place in places:
        own = (folder.path / f"data-{place.name}").exists()
        other = seen.setdefault((place.overrides, own, place.name if own else ""), place.name)
        if other != place.name:
            raise SettingsError(
                f"places {other} and {place.name} have the same settings and the same data, so that they are one: give "
                f"each what differs there, as in --place '{place.name}:executor.limits.cpus=1'"
            )


def require_places(folder: CampaignFolder, settings: Settings, pools: Sequence[str], presets: Sequence[str]) -> None:
    """Refuse places that would be one and the same: their names alone would differ. Raises SettingsError."""
    if settings.executor.kind != "local":
        return
    if pools:
        raise SettingsError(
            f"--pool {pools[0]} names nodes of a cluster, and this campaign runs on one machine: give each place by "
            "--place with the settings that differ there"
        )
    for preset in presets:
        own = folder.path / f"data-{preset}"
        if preset != settings.task.preset and not own.exists():
            raise SettingsError(
                f"--preset {preset} has no data at {own}: prepare some in another campaign with --set "
                f"task.preset={preset}, and move them there"
            )


def ablation_planner(*, seeds: int | None) -> Planner:
    """Plans runs of the head without each of its edits."""

    def make_plan(asked: Asked) -> Study:
        wanted = seeds or ablation.SEEDS
        head = find_arm(asked, HEAD, seeds=wanted)
        if known := asked.find(ablation.ask_ablation(head.commit, seeds=wanted)):
            return known.study
        arms, notes = _leave_each_out(asked, head)
        if not arms:
            why = " ".join(notes) or "nothing was kept"
            raise SettingsError(f"no edit can be left out of the head: {why}")
        return ablation.plan_ablation(head, arms, seeds=wanted, notes=notes, number=asked.number, at=asked.at)

    return make_plan


def prune_planner(ablated: StudyRecord, *, seeds: int | None, validation: bool) -> Planner:
    """Plans a claim that the head without what an ablation found to be worth nothing is better than the baseline."""

    def make_plan(asked: Asked) -> Study:
        wanted = seeds or default_seeds()
        head, baseline = ablated.study.arms[0], find_arm(asked, FIRST, seeds=wanted)
        holdout = _asks_holdout(asked.settings, validation=validation)
        question = _ask_pruning(ablated, asked.settings, seeds=seeds, validation=validation)
        if known := asked.find(question):
            return known.study
        commit, notes = _leave_all_out(asked, head.commit, _choose_pruned(ablated, asked.settings))
        branch = asked.lab.propose_head(asked.settings.tag, f"claim-{asked.number}", commit)
        pruned = Arm(name="pruned", commit=commit, seeds=wanted)
        plan = plan_claim(pruned, baseline, holdout=holdout, number=asked.number, at=asked.at)
        return ablation.extend_to_prune(plan, head, question=question, notes=(f"the branch {branch}", *notes))

    return make_plan


def is_pruning_open(
    folder: CampaignFolder, settings: Settings, *, seeds: int | None, claim_seeds: int | None, validation: bool
) -> bool:
    """True if a pruning of the head was begun and has not ended, so that its ablation is not to be asked anew."""
    lab = Lab.open(folder.lab)
    studies = lab.studies(settings.tag)
    if not studies:
        return False
    question = ablation.ask_ablation(lab.incumbent(settings.tag), seeds=seeds or ablation.SEEDS)
    ablated = find_answered(studies, question)
    if ablated is None:
        return False
    pruning = _ask_pruning(ablated, settings, seeds=claim_seeds, validation=validation)
    return find_unfinished(studies, pruning) is not None


def find_arm(asked: Asked, name: str, *, seeds: int) -> Arm:
    """The program that a person means: head, baseline, an experiment's number, or a commit of the lab."""
    lab, tag = asked.lab, asked.settings.tag
    if name == HEAD:
        return Arm(name=HEAD, commit=lab.incumbent(tag), seeds=seeds)
    if name == FIRST:
        return Arm(name=FIRST, commit=asked.experiments[BASELINE].commit, seeds=seeds, experiment=BASELINE)
    if name.isascii() and name.isdecimal() and len(name) < 7:
        found = find_experiment(asked.experiments, int(name))
        return Arm(name=f"experiment {found.number}", commit=found.commit, seeds=seeds, experiment=found.number)
    commit = lab.find_commit(name)
    if commit is None or not lab.files(commit, asked.settings.task.editable):
        raise LabError(f"the lab has no program {name!r}: give head, baseline, an experiment's number or a commit")
    return Arm(name="commit", commit=commit, seeds=seeds)


def find_experiment(experiments: Sequence[Experiment], number: int) -> Experiment:
    """The experiment of this number. Raises LabError where there is none."""
    found = next((experiment for experiment in experiments if experiment.number == number), None)
    if found is None:
        last = experiments[-1].number
        raise LabError(f"no experiment {number}: this campaign has {BASELINE} to {last} (`autoresearch log`)")
    return found


def _require_difference(one: Arm, other: Arm) -> None:
    if one.commit == other.commit:
        raise SettingsError(
            f"{one.name} and {other.name} are the same program ({one.commit[:7]}): nothing was kept, or name two "
            "others, as in `autoresearch claim DIR 7 3`"
        )


def _asks_holdout(settings: Settings, *, validation: bool) -> bool:
    return settings.task.score == "exam" and not validation


def _choose_pruned(ablated: StudyRecord, settings: Settings) -> list[int]:
    return ablation.choose_pruned(ablation.weigh_edits(ablated, sign=sign_of(settings.task)))


def _ask_pruning(ablated: StudyRecord, settings: Settings, *, seeds: int | None, validation: bool) -> str:
    """The question of the claim that prunes by this ablation."""
    head, leaves = ablated.study.arms[0].commit, _choose_pruned(ablated, settings)
    runs, holdout = seeds or default_seeds(), _asks_holdout(settings, validation=validation)
    return f"prune {head} without {leaves} by {ablated.study.name}, {runs} seeds, holdout {holdout}"


def _steps_to(asked: Asked, head: str) -> list[tuple[Experiment, str, str]]:
    """The edits in the head, the oldest first, with the commits before and after; none that was taken back."""
    judge = make_judge(asked.settings.judge, minimize=asked.settings.task.direction == "minimize")
    state = CampaignState(judge, asked.experiments, SlotPrices.of(asked.settings))
    left = state.edits_left(head)
    edits = [step for step in state.steps_to(head) if step[0].number in left]
    return edits[::-1]


def _leave_each_out(asked: Asked, head: Arm) -> tuple[list[Arm], list[str]]:
    """The head without each of its edits as a program of its own, and a sentence for each that cannot be left out."""
    lab, settings, arms, notes = asked.lab, asked.settings, [], []
    whole = lab.files(head.commit, settings.task.editable)
    for experiment, before, after in _steps_to(asked, head.commit):
        number = experiment.number
        files = lab.merge(base=after, ours=head.commit, theirs=before, paths=settings.task.editable)
        if files is None:
            notes.append(f"{number} cannot be left out: what was kept after it changes the same lines.")
        elif files == whole:
            notes.append(f"{number} is not in the head any more: what was kept after it replaced its lines.")
        else:
            message = f"{settings.tag} without {number}: {experiment.title}\n"
            commit = lab.write_program(files, parent=head.commit, message=message, at=asked.at)
            lab.show_program(settings.tag, f"ablate-{asked.number}", f"without-{number}", commit)
            arms.append(Arm(name=f"without {number}", commit=commit, seeds=head.seeds, experiment=number))
    return arms, notes


def _leave_all_out(asked: Asked, head: str, leaves: Sequence[int]) -> tuple[str, list[str]]:
    """The head without several edits, and a sentence for each that could not be left out together with the others."""
    lab, settings, notes, left_out = asked.lab, asked.settings, [], []
    steps = {experiment.number: (before, after) for experiment, before, after in _steps_to(asked, head)}
    program = head
    for number in leaves:
        before, after = steps[number]
        files = lab.merge(base=after, ours=program, theirs=before, paths=settings.task.editable)
        if files is None:
            notes.append(f"{number} stays: without the others it cannot be left out of the same lines.")
            continue
        left_out.append(number)
        numbers = ", ".join(map(str, left_out))
        message = f"{settings.tag} without {numbers}: they are worth nothing\n"
        program = lab.write_program(files, parent=head, message=message, at=asked.at)
    if not left_out:
        raise SettingsError("nothing can be pruned: every edit that is worth nothing shares lines with others")
    return program, [f"without {', '.join(map(str, left_out))}", *notes]
