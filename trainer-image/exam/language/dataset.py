"""Read the examiner's part of a data folder and verify each file against the manifest.

Every file is read once, hashed, and parsed from the bytes that were hashed, so that it cannot change in between.
Pickles, wrong shapes and files whose hash differs from the manifest raise DataError: the operator has to prepare the
data again.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from exam.kit.errors import DataError
from exam.kit.manifest import ADVICE, read_bytes, read_manifest, read_verified
from exam.language.protocol import Tokens

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class ExamData:
    """The data that only the examiner sees."""

    token_bytes: npt.NDArray[np.integer]
    """Raw bytes that each token stands for, (V,); 0 for a token that is never scored."""
    validation: Tokens
    """Sequences of the validation set, (S_v, T+1)."""
    fresh: Tokens
    """Sequences of the reserve that no candidate was asked before, (S_f, T+1); without rows where there are none."""
    holdout: Tokens
    """Sequences of the holdout, (S_h, T+1); without rows unless the exam is one for a claim."""
    validation_nll: Floats
    """Mean nll of the reference models in each sequence of the validation set, (S_v, K), in nats."""
    fresh_nll: Floats
    """The same of `fresh`, (S_f, K)."""
    spliced: Tokens
    """Probes: sequences of the validation set up to their cut, and other text behind it, (N, T)."""
    probed: npt.NDArray[np.integer]
    """Index of the validation sequence of each probe, (N,)."""
    cuts: npt.NDArray[np.integer]
    """Position in that sequence at which the probe asks for logits, (N,)."""
    weights: Floats
    """Weight of each probe, (N,): the weighted mean over the probes estimates the mean over all scored positions."""
    identity: str
    """Hash of the folder's table of files; the result line names it."""

    @property
    def vocabulary(self) -> int:
        """Number of logits that each token must be answered with."""
        return len(self.token_bytes)

    @property
    def length(self) -> int:
        """Tokens in one question, T."""
        return int(self.validation.shape[1]) - 1

    @property
    def sequences(self) -> Tokens:
        """All that is asked as one pool, (S_v + S_f + S_h, T+1): validation, fresh text, holdout."""
        return np.concatenate([self.validation, self.fresh, self.holdout])

    @property
    def parts(self) -> tuple[slice, slice, slice]:
        """Where validation, fresh text and holdout lie in the pool."""
        asked, fresh = len(self.validation), len(self.validation) + len(self.fresh)
        return slice(0, asked), slice(asked, fresh), slice(fresh, None)

    @property
    def labels(self) -> Tokens:
        """The true next token at each cut, (N,). It is in no input of the probe round."""
        labels: Tokens = self.validation[self.probed, self.cuts + 1]
        return labels


def load(folder: Path, *, reserve: str | None = None, holdout: bool = False) -> ExamData:
    """Read and verify the folder that the examine phase sees; raises DataError with the first fault.

    reserve: name of the slice of the reserve that lies in `reserve`; None to ask none. holdout: ask the holdout too.
    """
    files, identity = read_manifest(folder / "manifest.json")
    probe_set = _find_probe_set(folder, files)

    def read(place: str, name: str, kind: type[np.generic] = np.integer) -> npt.NDArray[Any]:
        return _read_array(folder / f"{place}.npy", files, f"{name}.npy", kind)

    validation = read("validation/sequences", "validation/sequences")
    validation_nll = read("validation/reference", "validation/reference", np.floating)
    fresh, fresh_nll = validation[:0], validation_nll[:0]
    if reserve is not None:
        fresh = read("reserve/sequences", f"reserve/{reserve}/sequences")
        fresh_nll = read("reserve/reference", f"reserve/{reserve}/reference", np.floating)
    data = ExamData(
        token_bytes=read("tokenizer/token_bytes", "tokenizer/token_bytes"),
        validation=validation,
        fresh=fresh,
        holdout=read("holdout/sequences", "holdout/sequences") if holdout else validation[:0],
        validation_nll=validation_nll,
        fresh_nll=fresh_nll,
        spliced=read("probe/questions/tokens", f"{probe_set}/questions/tokens"),
        probed=read("probe/answers/sequences", f"{probe_set}/answers/sequences"),
        cuts=read("probe/answers/cuts", f"{probe_set}/answers/cuts"),
        weights=read("probe/answers/weights", f"{probe_set}/answers/weights", np.floating),
        identity=identity,
    )
    fault = _find_fault(data)
    if fault:
        raise DataError(f"{folder}: {fault}; {ADVICE}")
    return data


def _find_probe_set(folder: Path, files: Mapping[str, Any]) -> str:
    """Return the manifest's name of the probe set that is mounted as probe/, found by the hash of its cuts."""
    digest = hashlib.sha256(read_bytes(folder / "probe/answers/cuts.npy")).hexdigest()
    names = [name for name, entry in files.items() if name.startswith("probes/") and name.endswith("/answers/cuts.npy")]
    for name in names:
        if files[name]["sha256"] == digest:
            return name.removesuffix("/answers/cuts.npy")
    raise DataError(f"{folder / 'probe'} is none of the {len(names)} probe sets of the manifest; {ADVICE}")


def _read_array(path: Path, files: Mapping[str, Any], name: str, kind: type[np.generic]) -> npt.NDArray[Any]:
    content = read_verified(path, files, name)
    try:
        array: npt.NDArray[Any] = np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise DataError(f"{path} is no array ({error}); {ADVICE}") from error
    if not np.issubdtype(array.dtype, kind):
        wanted = "integers belong" if kind is np.integer else "fractions belong"
        raise DataError(f"{path} holds {array.dtype} where {wanted}; {ADVICE}")
    return array


def _find_fault(data: ExamData) -> str | None:
    """The first way in which the arrays do not fit together, or None."""
    if data.validation.ndim != 2 or data.validation.shape[1] < 2 or data.token_bytes.ndim != 1:
        return "validation must be (S, T+1) and token_bytes (V,)"
    for name, split in (("holdout", data.holdout), ("the reserve", data.fresh)):
        if split.ndim != 2 or split.shape[1] != data.validation.shape[1]:
            return f"{name} must have the sequence length of validation"
    if data.spliced.shape != (len(data.cuts), data.length):
        return "the probes' tokens must be (N, T), a row for each cut"
    if max(data.sequences.max(initial=0), data.spliced.max(initial=0)) >= data.vocabulary:
        return "a token id lies outside the vocabulary"
    for nll, split in ((data.validation_nll, data.validation), (data.fresh_nll, data.fresh)):
        if nll.ndim != 2 or len(nll) != len(split) or not np.isfinite(nll).all():
            return "the reference models' nll must be finite, a row for each sequence"
    if data.probed.shape != data.cuts.shape or data.probed.ndim != 1 or len(data.probed) < 2:
        return "a probe set needs at least two probes, each with a sequence and a cut"
    if data.probed.min() < 0 or data.probed.max() >= len(data.validation):
        return "a probe names a sequence that is not there"
    if len(np.unique(data.probed)) != len(data.probed):
        return "a probe set asks a sequence twice, so that its longer question holds the shorter one's label"
    if data.cuts.min() < 0 or data.cuts.max() >= data.validation.shape[1] - 1:
        return "a probe's cut lies outside its sequence"
    if data.weights.shape != data.cuts.shape or not (np.isfinite(data.weights) & (data.weights > 0)).all():
        return "a probe's weight must be finite and above 0, one for each probe"
    if not data.token_bytes[data.labels].all():
        return "a probe's label is a token that is never scored"
    return None
