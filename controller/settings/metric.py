"""Checks how a task names its score, and knows what the name tells: which way is better, what is possible. Pure."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from controller.domain import LARGEST_SCORE
from controller.text.safe_text import safe_text

LARGEST_LOSS = 1e6
"""Beyond every loss in nats or bits that is meant: a larger one is an accident or an attack."""

LONGEST_NAME = 100
"""Characters of a metric's name: it stands in tables, commit messages and on pages."""

_DOWN_WORDS = (
    "loss losses err error errors bpb bpc bpt nll ppl perplexity xent mse rmse rmsle mae mape smape logloss "
    "cer wer brier regret latency fid eer misses mistakes failures"
)
_DOWN = frozenset(_DOWN_WORDS.split())
_UP_WORDS = (
    "acc accuracy auc auroc auprc aucpr ap map f1 fbeta precision recall sensitivity specificity ndcg mrr bleu chrf "
    "rouge r2 mcc kappa reward rewards throughput speedup psnr ssim iou miou dice elo pass solved winrate"
)
_UP = frozenset(_UP_WORDS.split())
_TURNS_WORDS = (
    "neg negative minus inv inverse inverted reciprocal reduction reduced improvement improved gain saved saving "
    "savings decrease increase delta diff change drop degradation gap ratio per to no not non without false missed "
    "wrong adversarial attack forgetting std stdev stddev var variance stderr sem step steps epoch epochs time size "
    "cost threshold target baseline"
)
_TURNS = frozenset(_TURNS_WORDS.split())
"""Words that can change the meaning of another one: a `loss` should be small, a `loss reduction` large, and whether an
`accuracy std` should be either is not the name's to tell."""

_COMPUTED = re.compile(r"^\s*[-\u2212]|(?<![\w.-])1\s*[-\u2212/]|\s[-\u2212]\s")
"""Names that are formulas: `-loss`, `1-accuracy`, `1/loss`, `train - test accuracy`."""


def fault_of_name(name: str) -> str:
    """One sentence that says why this cannot be the name of a metric; empty if it can."""
    if not name.strip():
        return "task.metric is empty: give the name that is printed in front of the score"
    if "\n" in name or "\t" in name or safe_text(name) != name:
        return (
            "task.metric holds a line end or another invisible character: give the name as one line of a log shows it"
        )
    if len(name) > LONGEST_NAME:
        return f"task.metric has {len(name)} characters, more than {LONGEST_NAME}: give a shorter name"
    return ""


def fault_of_expression(pattern: str) -> str:
    """The fault of a regular expression that cannot find a score, in words that follow its name; empty if it can."""
    try:
        groups = re.compile(pattern).groups
    except (re.error, OverflowError, RecursionError, MemoryError) as error:
        return f"is no regular expression ({error})"
    advice = "use (?:...) for others" if groups else "put the number into parentheses"
    return "" if groups == 1 else f"has {groups} groups, and one must hold the score: {advice}"


def fault_of_place(text: str) -> str:
    """The fault of a place that names no number in a file, in words that follow its name; else empty."""
    file, colon, keys = text.partition(":")
    if not file or (colon and not all(keys.split("."))) or not text.isprintable():
        return "must be a file, a colon, and keys with dots between them"
    if not colon and file.lower().endswith((".csv", ".tsv")):
        return f"must name a column of the table {file} behind a colon"
    if PurePosixPath(file).is_absolute() or ".." in PurePosixPath(file).parts:
        return f"names {file}, which is not in the task folder"
    return ""


def allowed_scores(name: str) -> tuple[float, float]:
    """Least and most that a score of this name can be, whoever measured it."""
    # No text that is worth testing on costs nothing at all: bits per byte are above 0.
    return (1e-9, LARGEST_LOSS) if name == "val_bpb" else (-LARGEST_SCORE, LARGEST_SCORE)


def range_text(name: str, least: float, most: float) -> str:
    """What a score of this name has to be, in words that follow a number that is none."""
    if name == "val_bpb" and least > 0:
        return f"val_bpb is above 0 and at most {most:g}"
    if least == -LARGEST_SCORE < most < LARGEST_SCORE:
        return f"it must be at most {most:g}"
    if -LARGEST_SCORE < least < most == LARGEST_SCORE:
        return f"it must be at least {least:g}"
    return f"it must lie between {least:g} and {most:g}"


def direction_of(name: str) -> str:
    """`minimize` or `maximize` where the name of the metric tells it, else nothing."""
    words = _words(name)
    down, up = bool(words & _DOWN), bool(words & _UP)
    if down == up or words & _TURNS or _COMPUTED.search(name):
        return ""
    return "minimize" if down else "maximize"


def _words(name: str) -> frozenset[str]:
    """The words in a name, in small letters: `valLoss`, `eval/loss` and `ndcg@10` have two each."""
    words = set()
    for piece in re.split(r"[\W_]+", name):
        words.add(piece.lower())
        words.update(part.lower() for part in re.findall(r"[A-Z]?[a-z]+[0-9]*|[A-Z]+(?![a-z])|[0-9]+", piece))
    return frozenset(filter(None, words))
