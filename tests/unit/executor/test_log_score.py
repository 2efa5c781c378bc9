"""The score that a training prints: read where it is one, refused where it cannot be, and told where it was missed."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.domain import LARGEST_SCORE
from controller.executor.log_score import LogScore, ScoreRule, printed_score, read_log_score, read_numbers, read_summary
from controller.executor.phase_output import read_tail
from controller.settings import TaskSettings
from controller.settings.metric import direction_of, fault_of_name

UPSTREAM = (
    "step 00001 (1.0%) | loss: 9.1\rstep 00002 (2.0%) | loss: 8.7\rstep 00953 | loss: 3.1\n"
    "---\n"
    "val_bpb:          0.997900\n"
    "training_seconds: 300.1\n"
    "peak_vram_mb:     45060.2\n"
    "mfu_percent:      39.80\n"
    "num_steps:        953\n"
    "note:             not a number\n"
)


def rule(metric: str) -> ScoreRule:
    return ScoreRule.of(TaskSettings.model_validate({"metric": metric, "direction": "minimize", "score": "log"}))


def read(log: str, metric: str = "val_bpb") -> LogScore:
    return read_log_score(read_tail(log.encode()), rule(metric))


def test_upstreams_summary_is_read_behind_its_rewritten_progress_line() -> None:
    assert read_summary(read_tail(UPSTREAM.encode())) == {
        "val_bpb": 0.9979,
        "training_seconds": 300.1,
        "peak_vram_mb": 45060.2,
        "mfu_percent": 39.8,
        "num_steps": 953.0,
    }
    assert read(UPSTREAM).value == 0.9979


@pytest.mark.parametrize(
    ("log", "score"),
    [
        pytest.param("val_bpb: 0.9\n", 0.9, id="no rule"),
        pytest.param("val_bpb: 0.9\n---\n", None, id="before the rule"),
        pytest.param("val_bpb: 0.9\n---\ndone\n", None, id="before the rule, news behind it"),
        pytest.param("---\nval_bpb: 0.9\n---\n", 0.9, id="between two rules"),
        pytest.param("---\nval_bpb: 0.9\n---\ndone\n", None, id="a later summary without it"),
        pytest.param("--- val_bpb: 0.9 ---\n", 0.9, id="in the rule"),
        pytest.param("val_bpb: 0.8\n---- table ----\nval_bpb: 0.9\n-------\n", 0.9, id="longer rules are ornaments"),
        pytest.param("val_bpb: 0.9\n--- Logging error ---\n", 0.9, id="another line with three hyphens"),
        pytest.param("---\nval_bpb: 0.9\n---\nval_bpb: 0.8\n", 0.8, id="after the last rule"),
        pytest.param("---\nval_bpb: 0.9\nval_bpb: 0.8\n", 0.8, id="last line"),
        pytest.param("---\nval_bpb: 0.9, val_bpb: 0.8\n", 0.8, id="last of a line"),
        pytest.param("---\nval_bpb: 0.9\nval_bpb: better than before\n", 0.9, id="news behind it"),
        pytest.param("---\nval_bpb: nan\n", None, id="NaN"),
        pytest.param("---\nval_bpb: 1e999\n", None, id="infinity"),
        pytest.param("---\r\nval_bpb: 0.9\r\n", 0.9, id="Windows line ends"),
        pytest.param("99%\r---\nnoise\rval_bpb: 0.9\n", 0.9, id="rewritten lines"),
        pytest.param("99%|###|---\nval_bpb: 0.9\n", 0.9, id="a bar without a line end"),
        pytest.param("10/10 [00:01<00:00,  9.9it/s]val_bpb: 0.9\n", 0.9, id="behind a bar"),
        pytest.param("---\n\x1b[1mval_bpb: 0.9\x1b[0m\n", 0.9, id="in colour"),
        pytest.param("---\nbest_val_bpb: 0.9\n", None, id="another name"),
        pytest.param("top-val_bpb: 0.9\nx/val_bpb: 0.8\nval_bpb.ema: 1\nval_bpb2: 1\n", None, id="longer names"),
        pytest.param("python train.py --val_bpb=0.9\n", None, id="an option"),
    ],
)
def test_log_score_is_the_last_number_behind_the_name(log: str, score: float | None) -> None:
    assert read(log).value == score


@pytest.mark.parametrize(
    "line",
    [
        *("score: 0.5", "score:0.5", "  score : +0.5", "score\t0.5", "score=0.5", "score = .5", "METRIC score=0.5"),
        *(
            '{"score": 0.5, "n": 3}',
            "{'score': np.float64(0.5)}",
            "**score**: 0.5",
            "`score`: 5e-1",
            "score: tensor(0.5)",
        ),
        *(
            "score: 0.5 (best)",
            "score: 0.5 ± 0.1",
            "score: 0.5s",
            "score: 0.5%",
            "score: 0.5, loss: 3",
            "score := 0.5.",
        ),
    ],
)
def test_what_is_plain_is_read(line: str) -> None:
    assert read(f"score: 7\n{line}\n", "score").value == 0.5


@pytest.mark.parametrize(
    "value",
    [
        *("147,734", "1_000", "9/10", "9 / 10", "1.2.3", "0x1F", "2026-01-01", "~0.5", "None"),
        *("1'234", "950k", "1.2M", "1.2 M", "3B"),
        *("1 234", "1 234 567", "12 000", "1.2 million", "3 thousand"),
        *("10^3", "2**3", "5 x 10^-3", "5×10⁻³", "10³", "1½", "5e", "1e", "5e\u22123", "5 e-3"),
        *(
            "1.#IND",
            "-1.#QNAN",
            "0.4..0.6",
            "0.6 -> 0.5",
            "0.6 → 0.5",
            "0.6 => 0.5",
            "0.6 to 0.5",
            "9 of 10",
            "9 out of 10",
        ),
        *("½", "٠.٥", "０.５", "\u22120.5", "~ 0.5", "$ 3", "| 3 |", "(best) 0.5", "[val]: 0.5"),
        *("-", "--", "—", "#N/A", "nil", "true", "infinite"),
        *("1 day, 0:00:03.21", "2 days 03:04:05", "0.5j", "0.51.Done", "0.5;0.6", "0.5\u20130.6", "0.5~0.6"),
        *("[-1.2% +0.1% +1.5%]", "501.2 ms \u2026 530.9 ms", "0.5 \u27f6 0.4", "0.5 \u279c 0.4", "[0.5; 0.6]"),
        *("[1] 0.5", "12 k tok/s", "1 hour and 30 minutes", "?", "\u221e", "[]", "''", "ERR", "failed!", "N.A."),
        *("<tf.Tensor: shape=(), numpy=0.5>", "Fraction(1, 2)", "{'a': 0.5, 'b': 0.6}", "Traced<float32[2]>"),
    ],
)
def test_what_is_not_one_plain_number_is_no_score_and_is_shown(value: str) -> None:
    score = read(f"score: 7\nscore: {value}\n", "score")

    assert score.value is None
    assert score.fault.startswith(f"printed 'score: {value}' last, which is no score: ")
    assert "is not one plain number" in score.fault


@pytest.mark.parametrize("value", ["[0.1, 0.5]", "(0.1, 0.5)", "np.array([0.1, 0.2, 0.5])", '{"score": [0.1, 0.5]}'])
def test_of_several_numbers_none_is_the_score(value: str) -> None:
    score = read(f"score: 7\nscore: {value}\n", "score")

    assert score.value is None
    assert "is not one plain number" in score.fault


@pytest.mark.parametrize(
    "news", ["better than before", "the best to date", "true to its name", "is rising (2 of 3 folds)"]
)
def test_words_behind_the_name_are_news_and_leave_the_score(news: str) -> None:
    assert read(f"score: 0.5\nscore: {news}\n", "score").value == 0.5


@pytest.mark.parametrize(
    "value",
    [
        *("0.5 k=3", "0.5 MB", "0.5ms", "0.5%", "0.5 Mean", "0.5 kept", "0.5 e", "0.5epochs", "0.5x", "0.5 (10 of 12)"),
        *("0.5 at step 900", "0.5, 3 folds", "0.5 - loss: 3", "0.5 0.6", "0.5 100", "0.5 |", "0.5 * best", "0.5 to go"),
    ],
)
def test_words_and_units_behind_a_number_change_nothing(value: str) -> None:
    assert read(f"score: {value}\n", "score").value == 0.5


@pytest.mark.parametrize(
    ("name", "line"),
    [
        pytest.param("val loss", "val   loss: 0.5", id="a column of blanks"),
        pytest.param("val loss", "val\u00a0loss\u00a0: \u202f0.5", id="blanks at which no line is broken"),
        pytest.param("gr\u00f6\u00dfe", "gro\u0308\u00dfe: 0.5", id="an accent of its own in the log"),
        pytest.param("gro\u0308\u00dfe", "gr\u00f6\u00dfe: 0.5", id="an accent of its own in the settings"),
        pytest.param("\u635f\u5931", "\u635f\u5931\uff1a0.5", id="a wide colon"),
    ],
)
def test_what_reads_alike_is_alike(name: str, line: str) -> None:
    assert read(f"{line}\n", name).value == 0.5


def test_name_in_other_capitals_is_no_score_and_is_told() -> None:
    assert read("Val_Loss: 0.5\n", "val_loss").fault == (
        "printed no val_loss: found 'Val_Loss: 0.5', and capitals count: set task.metric to Val_Loss"
    )


@pytest.mark.parametrize("name", ["ndcg@10", "eval/loss", "f1-macro", "val loss", "CYCLES", "P(y|x)", "R²", "a=b", "*"])
def test_any_text_on_one_line_can_be_the_name(name: str) -> None:
    assert not fault_of_name(name)
    assert read(f"x{name}: 7\n---\n{name}: 0.25\nMETRIC {name}=0.5\n{name}x: 3\n", name).value == 0.5


@pytest.mark.parametrize("value", ["nan", "NaN", "inf", "-inf", "Infinity", "1e400", "-1e400"])
def test_last_value_that_is_not_finite_is_no_score_whatever_was_printed_before(value: str) -> None:
    score = read(f"---\nval_bpb: 0.9\nval_bpb: {value}\n")

    assert score.value is None
    assert score.fault == f"printed 'val_bpb: {value}' last, which is no score: it is not finite"
    assert read_summary(f"---\nval_bpb: 0.9\nval_bpb: {value}\n") == {}


@pytest.mark.parametrize(
    ("metric", "value"),
    [("val_bpb", "0.000000"), ("val_bpb", "-1"), ("val_bpb", "1e9"), ("loss", "-1e300"), ("loss", "1e101")],
)
def test_value_that_the_metric_cannot_have_is_refused_with_its_range(metric: str, value: str) -> None:
    score = read(f"---\n{metric}: {value}\n", metric)

    assert score.value is None
    assert score.fault.startswith(f"printed '{metric}: {value}' last, which is no score: ")


@pytest.mark.parametrize(("value", "score"), [("0", 0.0), ("1", 1.0), ("1.01", None), ("-0.1", None)])
def test_task_may_bound_its_metric(value: str, score: float | None) -> None:
    task = TaskSettings.model_validate({"metric": "accuracy", "least": 0, "most": 1})
    said = read_log_score(f"accuracy: 0.5\naccuracy: {value}\n", ScoreRule.of(task))

    assert said.value == score
    assert score is not None or said.fault.endswith("it must lie between 0 and 1")


@pytest.mark.parametrize(
    ("bounds", "fault"),
    [({"most": 1}, "it must be at most 1"), ({"least": 5}, "it must be at least 5"), ({}, "and 1e+100")],
)
def test_bound_that_was_not_given_is_not_told(bounds: dict[str, float], fault: str) -> None:
    task = TaskSettings.model_validate({"metric": "accuracy"} | bounds)

    assert read_log_score(f"accuracy: {3 if bounds else 1e101}\n", ScoreRule.of(task)).fault.endswith(fault)


def test_bounds_of_a_number_with_a_unit_are_left_to_whoever_knows_the_unit_of_the_scores() -> None:
    task = TaskSettings.model_validate({"metric": "time", "direction": "minimize", "most": 10})
    said = read_log_score("time 980 ms\n", ScoreRule.of(task))

    assert (said.value, said.unit) == (980.0, "ms")


@pytest.mark.parametrize("value", [0.0, -5.5, 147734.0, 1e9, -1e12])
def test_metric_of_ones_own_may_be_zero_negative_or_large(value: float) -> None:
    assert read(f"---\ncycles: {value}\n", "cycles").value == value


@pytest.mark.parametrize(
    ("log", "fault"),
    [
        ("avg_score: 0.5\n---\ndone\n", "found 'avg_score: 0.5', but not after the last line ---"),
        (
            "Avg_Score: 0.5\n",
            "found 'Avg_Score: 0.5', and capitals count: set task.metric to Avg_Score",
        ),
        ("avg_score -> 0.5\n", "found 'avg_score -> 0.5', but not in a form such as 'avg_score: 0.5' (else set"),
        ("loss: 3\nbest score = 2\n", "there are numbers behind loss, best score; set task.metric to the one that is"),
    ],
)
def test_what_looks_like_a_score_is_shown_with_what_it_lacks(log: str, fault: str) -> None:
    score = read(log, "avg_score")

    assert score.value is None
    assert score.fault.startswith("printed no avg_score")
    assert fault in score.fault


@pytest.mark.parametrize("log", ["", "\n \n"])
def test_that_nothing_was_printed_is_told(log: str) -> None:
    assert read(log, "avg_score").fault == "printed nothing, and avg_score is looked for in what it prints"


@pytest.mark.parametrize("line", ["step,avg_score", "| step | avg_score |", "avg_score:", "AVG_SCORE"])
def test_a_name_without_a_number_behind_it_is_shown_with_what_to_do(line: str) -> None:
    assert read(f"{line}\n1,0.5\n", "avg_score").fault == (
        f"printed no avg_score: found '{line}', with no number behind the name: print a line such as 'avg_score: 0.5', "
        "or set task.score_line or task.score_file"
    )


@pytest.mark.parametrize("log", ["done\n", "avg_score is a fine thing\n"])
def test_what_is_no_score_is_not_shown_as_one(log: str) -> None:
    score = read(log, "avg_score")

    assert (score.fault, score.printed) == ("printed no avg_score", False)


@given(st.text(max_size=300))
def test_any_log_gives_a_score_that_is_finite_and_in_range_or_a_reason(log: str) -> None:
    for text in (log, f"---\nval_bpb: {log}", f"val_bpb={log}"):
        score = read(text)

        assert (score.value is None) == bool(score.fault)
        assert score.value is None or 0 < score.value <= LARGEST_SCORE
        assert all(math.isfinite(value) for value in read_summary(text).values())


SIGNS = st.characters(categories=("L", "N", "P", "S", "Zs"))
NAMES = st.text(SIGNS, min_size=1, max_size=20).map(str.strip).filter(lambda name: not fault_of_name(name))


@given(
    NAMES, st.floats(-1e9, 1e9), st.sampled_from([": ", "=", " = ", ":", "   "]), st.sampled_from(["", "METRIC ", "| "])
)
def test_any_name_is_found_in_front_of_its_number(name: str, value: float, sign: str, before: str) -> None:
    log = f"{before}{name}{sign}7\n{before}{name}{sign}{value!r}\ndone\n"

    assert read(log, name).value == value


@given(
    NAMES, st.lists(st.sampled_from([": nan", "=inf", ": 1e999", " 0.5", ": 3 ", "\n", "---\n", "x", "="]), max_size=8)
)
def test_a_score_is_never_older_than_what_is_not_finite(name: str, parts: list[str]) -> None:
    assert read(f"{name}: 3\n{''.join(parts)}\n{name}: nan\n", name).value is None


@pytest.mark.parametrize(
    "part",
    [
        "a",
        "a ",
        "a=",
        'a"""',
        "a:0",
        "0",
        " ",
        "a:" + "0" * 50,
        "-",
        "---\n",
        "a@",
        "((",
        "|a",
        "|a|0",
        "b a:0",
        "a=0.x",
        "a:0~",
        "a:0,0 ",
        "{'b': {'a':",
    ],
)
def test_no_log_takes_long_to_read(part: str) -> None:
    log = part * (65_536 // len(part))

    for end in ("", "x", "_", "=", "\na: 1"):
        read(log + end, "a")
        read(log + end, part.strip() or "b")


@pytest.mark.parametrize("metric", ["val_bpb", "accuracy", "m" * 80])
@given(st.floats(min_value=1e-3, max_value=1e3))
def test_printed_score_is_read_as_printed(metric: str, value: float) -> None:
    assert read(f"---\n{metric}: {value!r}\n", metric).value == value
    assert printed_score(f"{metric}: {value!r}\n", rule(metric)) == f"{metric} {value!r}"


@pytest.mark.parametrize(
    ("name", "direction"),
    [
        *(
            (name, "maximize")
            for name in ("accuracy", "val_acc", "ndcg@10", "f1-macro", "mAP@50", "top1Accuracy", "AUC")
        ),
        *((name, "minimize") for name in ("val_bpb", "eval/loss", "valLoss", "RMSE", "word error rate", "regret")),
        *(
            (name, "")
            for name in ("CYCLES", "avg_score", "loss reduction", "neg_log_loss", "accuracy_loss", "lossless", "x")
        ),
        ("1-accuracy", ""),
        ("1 - f1", ""),
        ("1/loss", ""),
        ("-loss", ""),
        ("\u2212log_loss", ""),
        ("accuracy_std", ""),
        ("reward_variance", ""),
        ("best_loss_step", ""),
        ("f1-macro", "maximize"),
        ("fold1/loss", "minimize"),
        ("top-1/acc", "maximize"),
    ],
)
def test_name_of_a_metric_tells_its_direction_or_is_asked_about(name: str, direction: str) -> None:
    assert direction_of(name) == direction


@pytest.mark.parametrize(("name", "value"), [("ns/op", 12345.0), ("val_loss", 3.2), ("tok/s", 17.0)])
def test_benchmarks_of_go_have_each_name_behind_its_number(name: str, value: float) -> None:
    line = (
        "goos: linux\nBenchmarkEvalLoss-8   \t     100\t     12345 ns/op\t       3.2 val_loss\t        17 tok/s\nPASS\n"
    )

    assert read(line, name).value == value


@pytest.mark.parametrize("line", ["3.5 loss 4.5 acc", "10 loss 0.5 lr"])
def test_name_between_two_numbers_belongs_to_neither(line: str) -> None:
    score = read(f"{line}\n", "loss")

    assert score.value is None
    assert f"'{line}' is not one plain number" in score.fault


@pytest.mark.parametrize("value", ["[0.5 0.6]", "[2.70 ms 2.75 ms 2.80 ms]", "(0.5 0.6)", "1 m 23 s", "1h 2m"])
def test_numbers_without_commas_between_them_are_several_too(value: str) -> None:
    assert read(f"score: {value}\n", "score").value is None


@pytest.mark.parametrize(
    ("line", "unit"),
    [
        ("score: 12.5 ms", "ms"),
        ("score = 12.5ms (best)", "ms"),
        ("score 12.5 \u00b5s", "us"),
        ("score: 12.5 seconds", "s"),
        ("score: 1.2 MB", "MB"),
        ("score: 12 tok/s", "tok/s"),
        ("score: 12 points", ""),
        ("score: 91%", ""),
        ("score: 12", ""),
    ],
)
def test_unit_that_programs_scale_is_read_with_the_number(line: str, unit: str) -> None:
    assert read(f"{line}\n", "score").unit == unit


def test_numbers_of_guards_are_read_wherever_a_score_would_be() -> None:
    log = 'latency: 12.5 ms\n{"size": 3}\nparams=1,234\nlatency: 20.0 ms (p99)\nrate: nan\n'

    assert read_numbers(log, ("latency", "size", "params", "rate", "absent")) == {"latency": 20.0, "size": 3.0}
    assert read_numbers(f"{log}---\nsize: 4\n", ("latency", "size")) == {"size": 4.0}


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("\u2502   val_loss   \u2502   0.5   \u2502", "val_loss"),
        ("| **val_loss** | 0.5 s |", "val_loss"),
        ("|    ep_rew_mean     | 5e-1      |", "ep_rew_mean"),
        ("val_loss | 0.5", "val_loss"),
    ],
)
def test_row_of_a_table_that_holds_one_number_is_read(line: str, name: str) -> None:
    table = f"| metric | value |\n|---|---|\n{line}\n| epoch | 3 |\n"

    assert read(f"{name}: 7\n{table}", name).value == 0.5


@pytest.mark.parametrize("row", ["| score | 0.5 | 0.6 |", "| best of 3 score | 0.5 |", "| 3 | score | acc |"])
def test_row_of_a_table_that_holds_several_numbers_is_no_score(row: str) -> None:
    assert read(f"{row}\n", "score").value is None
    assert read(f"score: 7\n{row}\n", "score").value == 7


def test_row_of_a_table_without_a_number_is_never_passed_over_for_an_older_score() -> None:
    assert read("score: 7\n| score | nan |\n", "score").value is None
    assert read("score: 7\n| score | - |\n", "score").value is None


@pytest.mark.parametrize(
    "line",
    [
        "val_loss: 0.5 (best val_loss: 0.4)",
        "best val_loss: 0.4, val_loss: 0.5",
        "val_loss=0.5 [ema] val_loss=0.4",
        '{"val_loss": 0.5, "ema": {"val_loss": 0.4}}',
        "val_loss: 0.9, final val_loss: 0.5",
        "val_loss: 0.9 val_loss: 0.5",
        "train val_loss: 0.5",
        "val_loss: 0.9 (old), val_loss: 0.5",
        "**val_loss:** 0.5",
    ],
)
def test_name_alone_comes_before_the_same_name_behind_another_word(line: str) -> None:
    assert read(f"{line}\n", "val_loss").value == 0.5


@pytest.mark.parametrize(
    ("line", "labels"),
    [
        ("step 100: train loss 0.5, val loss 0.6", "train, val"),
        ("[train] acc 0.9 loss 0.5 [val] acc 0.8 loss 0.6", "train, val"),
        ("train: loss=0.5 acc=0.9 | val: loss=0.6 acc=0.8", "train, val"),
        ("{'train': {'loss': 0.5, 'n': 3}, 'val': {'loss': 0.6}}", "train, val"),
        ("[100]\tvalid_0's loss: 0.45\tvalid_1's loss: 0.51", "valid_0's, valid_1's"),
        ("loss 0.5 (train), loss 0.6 (val)", "train, val"),
    ],
)
def test_of_two_numbers_with_one_name_on_a_line_none_is_the_score(line: str, labels: str) -> None:
    score = read(f"loss: 7\n{line}\n", "loss")

    assert score.value is None
    assert score.fault.endswith(f"it tells that of {labels}: set task.metric to the longer name, or task.score_line")


def test_longer_name_tells_which_of_two_numbers_is_meant() -> None:
    assert read("step 100: train loss 0.5, val loss 0.6\n", "train loss").value == 0.5


@pytest.mark.parametrize(
    "name", ["val_loss=0.51.ckpt", "val_loss=0.51-epoch=3.ckpt", "val_loss=0.51_last.pt", "val_loss=0.51.tar.gz"]
)
def test_name_of_a_file_is_no_score(name: str) -> None:
    assert read(f"val_loss: 0.5123\nsaving {name}\n", "val_loss").value == 0.5123


@pytest.mark.parametrize("value", ["tensor([[0.5]])", "tf.Tensor(0.5, shape=())", "Decimal('0.5')", "MSELoss()"])
def test_numbers_of_libraries_are_read(value: str) -> None:
    assert read(f"score: 0.5\nscore: {value}\n", "score").value == 0.5


def test_number_and_the_unit_behind_it_are_shown_whole() -> None:
    assert "'91 / 100' is not one plain number" in read("acc: 91 / 100 (91.0%)\n", "acc").fault
    assert "'5 k' is not one plain number" in read("acc: 5 k\n", "acc").fault


@pytest.mark.parametrize("unit", ["us", "ms"])
def test_unit_in_the_head_of_a_table_of_pytest_benchmark_counts(unit: str) -> None:
    log = f"Name (time in {unit})   Min   Max\n------\ntest_sort   12.5 (1.0)   15.2 (1.0)\n------\n"

    assert read(log, "test_sort") == LogScore(value=12.5, unit=unit)
    assert read(log.replace("test_sort", "acc: 3 test_sort"), "acc").unit == ""
    assert read(f"{log}acc 3\n", "acc").unit == ""


@pytest.mark.parametrize(
    "head", ["  epoch  score  acc", "| Method | score | Error |", "Benchmark  Cnt  score  Error", "R  mAP50  score):"]
)
def test_head_of_a_table_with_columns_of_blanks_is_shown(head: str) -> None:
    assert read(f"{head}\n 3  0.5  0.9\n", "score").fault.startswith(
        f"printed no score: found '{' '.join(head.split())}', with no number behind the name"
    )
