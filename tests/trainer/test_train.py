"""train.py keeps the executor's contract: inside its budget, seeded, causal, and quick to admit failure."""

from __future__ import annotations

import ast
import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise, takewhile
from pathlib import Path

import pytest
import torch
import train
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.waiting import PATIENCE_S
from tests.trainer.small_task import TASK, Training, losses, run_train

CONFIG = train.Config(vocabulary_size=512)
SUMMARY = [
    "training_seconds",
    "total_seconds",
    "peak_vram_mb",
    "mfu_percent",
    "total_tokens_M",
    "num_steps",
    "num_params_M",
    "depth",
]


def steps_at_full_rate(training: Training) -> int:
    """Steps before the first one for which the schedule, which follows the clock, may lower the rate."""
    progress = map(float, re.findall(r"step \d+ \(([\d.]+)%\)", training.output))
    return sum(1 for _ in takewhile(lambda percent: percent < 100 * (1 - train.WARMDOWN_RATIO) - 1, progress))


def edited_task(tmp_path: Path, old: str, new: str) -> Path:
    """A task folder whose train.py differs in one place."""
    source = (TASK / "train.py").read_text()
    assert old in source
    (tmp_path / "train.py").write_text(source.replace(old, new))
    (tmp_path / "prepare.py").symlink_to(TASK / "prepare.py")
    (tmp_path / "corpus").symlink_to(TASK / "corpus")
    return tmp_path


# The run ----------------------------------------------------------------------------------------


def test_the_artifact_is_there_before_the_budget_ends(training: Training) -> None:
    assert training.returncode == 0, training.output
    assert training.kept_its_budget
    assert sorted(path.name for path in training.artifact.iterdir()) == ["config.json", "weights.pt"]


def test_a_budget_too_short_for_the_imports_still_leaves_a_model(data_folder: Path, tmp_path: Path) -> None:
    result = run_train(TASK, data_folder, tmp_path / "artifact", seconds=0.5, seed=1)

    assert result.returncode == 0, result.output
    assert len(losses(result)) == 1
    assert train.load_model(result.artifact)


def test_the_same_seed_gives_the_same_first_losses(training: Training, data_folder: Path, tmp_path: Path) -> None:
    again = run_train(TASK, data_folder, tmp_path / "again", seconds=training.budget / 2, seed=1)
    other = run_train(TASK, data_folder, tmp_path / "other", seconds=0.5, seed=2)

    shared = max(1, min(3, steps_at_full_rate(training), steps_at_full_rate(again)))
    assert losses(training)[:shared] == losses(again)[:shared]
    assert losses(training)[0] != losses(other)[0]


def test_the_summary_is_upstreams_block_without_a_score(training: Training) -> None:
    block = training.output.rpartition("---\n")[2]
    rows = dict(re.findall(r"^(\w+): +([\d.]+)$", block, flags=re.MULTILINE))

    assert list(rows) == SUMMARY
    assert len({len(re.match(r"\w+: +", line).group()) for line in block.splitlines()}) == 1  # type: ignore[union-attr]
    assert 0 < float(rows["training_seconds"]) < float(rows["total_seconds"]) <= training.budget
    assert int(rows["num_steps"]) == len(losses(training))
    assert "val_bpb" not in training.output


def test_progress_is_one_line_rewritten(training: Training) -> None:
    progress = training.output.partition("---\n")[0]

    assert progress.count("\n") == 1
    assert progress.count("\r") == len(losses(training))


@pytest.mark.parametrize(
    ("rate", "factor"),
    [
        pytest.param("UNEMBEDDING_LR", "1e38", id="a loss beyond reason"),
        pytest.param("MATRIX_LR", "float('inf')", id="a loss that is no number"),
    ],
)
def test_a_run_that_diverges_fails_at_once(data_folder: Path, tmp_path: Path, rate: str, factor: str) -> None:
    task = edited_task(tmp_path, f"    {rate} = ", f"    {rate} = {factor} * ")

    result = run_train(task, data_folder, tmp_path / "artifact", seconds=120, seed=1)

    assert result.returncode == 1
    assert re.search(r"\nThe training diverged: the loss of step \d+ is \S+ \(limit 100\)\.\nFAIL\n\Z", result.output)
    assert len(losses(result)) < 10
    assert not (tmp_path / "artifact").exists()


def test_a_missing_setting_is_one_clear_sentence(task_folder: Path) -> None:
    result = subprocess.run([sys.executable, "train.py"], cwd=task_folder, env={}, capture_output=True, text=True)

    assert result.returncode == 2
    assert re.fullmatch(r"train\.py: AUTORESEARCH_DATA is not set: .*\n", result.stderr)


def test_importing_does_no_work(task_folder: Path) -> None:
    program = """
import sys, torch, numpy
sys.dont_write_bytecode = True
def watch(event, arguments):
    writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    if writes or event.split(".")[0] in ("socket", "subprocess") or event in ("os.system", "os.fork", "os.mkdir"):
        print(event, arguments)
sys.addaudithook(watch)
import train
print(torch.initial_seed() == torch.random.default_generator.initial_seed(), torch.cuda.is_initialized())
"""
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=task_folder, env={}, capture_output=True, text=True, timeout=PATIENCE_S
    )

    assert (result.stdout, result.stderr) == ("True False\n", "")


# The model --------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [2, 31, 32, 100])
def test_no_logit_depends_on_what_follows(artifact: Path, length: int) -> None:
    model = train.load_model(artifact)
    tokens = torch.randint(0, 512, (4, length), generator=torch.Generator().manual_seed(length))
    with torch.inference_mode():
        before = model(tokens)
        for prefix in sorted({1, length // 2, length - 1}):
            changed = tokens.clone()
            changed[:, prefix:] = (changed[:, prefix:] + 1) % 512
            after = model(changed)

            torch.testing.assert_close(before[:, :prefix], after[:, :prefix])
            assert not torch.allclose(before[:, prefix:], after[:, prefix:])


def test_a_reload_answers_the_same_and_rows_do_not_meet(artifact: Path) -> None:
    first, second = train.load_model(artifact), train.load_model(artifact)
    tokens = torch.randint(0, 512, (8, 32), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        logits = first(tokens)

        assert not first.training
        assert logits.shape == (8, 32, 512)
        assert logits.dtype == torch.float32
        assert torch.equal(logits, first(tokens))
        assert torch.equal(logits, second(tokens))
        torch.testing.assert_close(logits[3:4], second(tokens[3:4]))


def test_training_beat_a_guess(artifact: Path, data_folder: Path) -> None:
    from prepare import make_dataloader

    tokens, targets, _ = next(make_dataloader(data_folder, batch_size=64, sequence_length=32, seed=7))
    with torch.inference_mode():
        nats = train.load_model(artifact)(tokens, targets).item()

    assert nats < math.log(512) - 0.05


def test_the_artifact_is_plain_data(artifact: Path) -> None:
    assert train.Config(**json.loads((artifact / "config.json").read_text())) == CONFIG
    assert torch.load(artifact / "weights.pt", weights_only=True)


options = pytest.mark.parametrize(
    "option",
    [
        {"activation": "relu2"},
        {"activation": "gelu"},
        {"activation": "swiglu"},
        {"value_embeddings": "none"},
        {"value_embeddings": "alternate"},
        {"value_embeddings": "all"},
        {"tie_embeddings": not CONFIG.tie_embeddings},
        {"qk_norm": not CONFIG.qk_norm},
        {"logit_softcap": 15.0},
        {"precision": "bfloat16"},
        {"depth": 1},
    ],
    ids=str,
)


@options
def test_every_documented_option_learns(option: dict[str, object]) -> None:
    torch.manual_seed(0)
    model = train.GPT(replace(CONFIG, **option))  # type: ignore[arg-type]
    optimizers = train.make_optimizers(model)
    tokens = torch.randint(0, 512, (4, 17), generator=torch.Generator().manual_seed(0))
    seen = []
    for _ in range(8):
        loss = model(tokens[:, :-1], tokens[:, 1:])
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        model.zero_grad()
        seen.append(loss.item())

    assert seen[0] == pytest.approx(math.log(512), abs=0.6)
    assert seen[-1] < seen[0] - 0.5


def test_an_option_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="'relu3' is none of relu2, gelu, swiglu"):
        train.GPT(replace(CONFIG, activation="relu3"))


# Optimiser and schedule -------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 32, 64), (2, 48, 192), (2, 192, 48)])
def test_orthogonalised_updates_move_every_direction_alike(shape: tuple[int, int, int]) -> None:
    gradients = torch.randn(shape, generator=torch.Generator().manual_seed(0))

    sizes = torch.linalg.svdvals(train.orthogonalise(gradients, steps=5))

    assert sizes.min() > 0.3
    assert sizes.max() < 1.3


def test_every_weight_has_exactly_one_optimizer() -> None:
    model = train.GPT(CONFIG)

    held = [id(p) for optimizer in train.make_optimizers(model) for g in optimizer.param_groups for p in g["params"]]

    assert sorted(held) == sorted(id(parameter) for parameter in model.parameters())


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=2))
def test_the_rate_stays_within_its_peak_and_ends_low(progress: list[float]) -> None:
    late = sorted(p for p in progress if p >= train.WARMUP_RATIO)
    fractions = [train.learning_rate_fraction(p) for p in late]

    assert all(0 <= train.learning_rate_fraction(p) <= 1 for p in progress)
    assert all(a >= b for a, b in pairwise(fractions))
    assert train.learning_rate_fraction(1.0) == pytest.approx(train.FINAL_LR_FRACTION)


# The file ---------------------------------------------------------------------------------------


def test_one_file_of_at_most_630_lines(task_folder: Path) -> None:
    assert len((task_folder / "train.py").read_text().splitlines()) <= 630


def constants(task_folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """The constants of the GPU's and of the CPU's block, each with its trailing comment."""
    lines = (task_folder / "train.py").read_text().splitlines()
    tree = ast.parse("\n".join(lines))
    branch = next(node for node in tree.body if isinstance(node, ast.If) and "DEVICE" in ast.unparse(node.test))

    def block(body: list[ast.stmt]) -> dict[str, str]:
        found = {}
        for node in body:
            assert isinstance(node, ast.Assign)
            ast.literal_eval(node.value)
            found[ast.unparse(node.targets[0])] = lines[node.lineno - 1].partition("#")[2]
        return found

    return block(branch.body), block(branch.orelse)


def test_both_devices_name_the_same_constants_and_say_what_they_mean(task_folder: Path) -> None:
    gpu, cpu = constants(task_folder)

    assert list(gpu) == list(cpu)
    assert all(name.isupper() and comment.strip() for name, comment in [*gpu.items(), *cpu.items()])
