"""What a data folder is made from, the sizes that a preset suggests, and what an exam of such sizes costs."""

from __future__ import annotations

from dataclasses import dataclass, field

from corpus.tokenizer import SPECIAL_TOKENS

PRESETS = {
    # Two cores and twenty seconds: small enough that an exam takes a few seconds.
    "cpu": {"vocabulary": 2048, "sequence_length": 128, "sequences": 512, "probes": 512, "reserve_sequences": 48},
    # One modern GPU and five minutes: upstream's vocabulary and context length. As many sequences as two cores
    # can score in 15 % of an attempt: the arithmetic is in docs/exam.md.
    "gpu": {"vocabulary": 8192, "sequence_length": 2048, "sequences": 512, "probes": 512, "reserve_sequences": 64},
}
RESERVE_SLICES = 128  # exams that can ask text that was never asked before: the controller counts them
PROBE_SETS = 64  # the controller draws one for every try, so that a retry meets fresh cuts
REPEATS = 512  # as in exam/kit/rounds.py: asked again of a fresh process, or a quarter of all where that is less
LOGITS_PER_SECOND = 0.65e9  # streamed over a socket and scored, by two shared cores: docs/benchmarks.md


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a data folder is made from: equal recipes over equal text make equal folders.

    preset: the name by which the sizes were asked for. It is written down, and decides nothing.
    """

    source: str
    vocabulary_size: int
    sequence_length: int
    sequences: int
    probe_count: int
    probe_sets: int
    reserve_slices: int
    reserve_sequences: int
    """Most sequences in one slice; a small text has room for fewer."""
    seed: int
    preset: str = field(default="", compare=False)

    @property
    def exam_logits(self) -> int:
        """Logits of one exam: validation and a slice of the reserve once, and a part of them again."""
        pool = self.sequences + (self.reserve_sequences if self.reserve_slices else 0)
        return (pool + min(pool, max(2, min(REPEATS, pool // 4)))) * self.sequence_length * self.vocabulary_size

    @property
    def exam_seconds(self) -> float:
        """Seconds that two cores take to receive and score them; process starts and the model itself come on top."""
        return self.exam_logits / LOGITS_PER_SECOND

    def complaint(self) -> str | None:
        """The first thing that makes this recipe impossible, or None."""
        if self.vocabulary_size < 256 + len(SPECIAL_TOKENS):
            return f"--vocabulary must be at least {256 + len(SPECIAL_TOKENS)}: all bytes and the special tokens"
        sizes = (self.sequence_length, self.sequences, self.probe_count, self.probe_sets, self.reserve_sequences)
        if min(sizes) < 1 or min(self.seed, self.reserve_slices) < 0:
            return "sizes must be at least 1, --seed and --reserve-slices at least 0"
        if self.probe_count > self.sequences:
            return (
                f"--probes {self.probe_count} exceeds --sequences {self.sequences}: a probe set asks each sequence once"
            )
        return None
