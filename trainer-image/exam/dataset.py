"""The examiner's view of a data folder, checked against its manifest byte by byte.

Every file is read once, hashed, and parsed from the bytes that were hashed. Refuses pickles, wrong shapes,
and any file that the manifest does not vouch for; each is a DataError, the operator's to mend.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from exam.errors import DataError
from exam.protocol import Tokens

ADVICE = "prepare the data folder again"


@dataclass(frozen=True, slots=True)
class ExamData:
    """Everything that only the examiner sees.

    token_bytes (V,): raw bytes of each token, 0 where it is never scored. validation, holdout (S, T+1).
    probed, cuts (N,): the validation sequence of each probe and the position whose logits were asked.
    """

    token_bytes: npt.NDArray[np.integer]
    validation: Tokens
    holdout: Tokens
    probed: npt.NDArray[np.integer]
    cuts: npt.NDArray[np.integer]
    identity: str

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
        """Validation and holdout as one pool (S_v + S_h, T+1), validation first."""
        return np.concatenate([self.validation, self.holdout])

    @property
    def labels(self) -> Tokens:
        """The true next token at each cut, (N,); in no input that the probe phase ever saw."""
        labels: Tokens = self.validation[self.probed, self.cuts + 1]
        return labels


def load(folder: Path) -> ExamData:
    """Read and verify what the examine phase is given. Raises DataError with the first thing that is wrong."""
    files, identity = _manifest(folder / "manifest.json")
    probe_set = _probe_set(folder, files)
    data = ExamData(
        token_bytes=_array(folder / "tokenizer/token_bytes.npy", files, "tokenizer/token_bytes.npy"),
        validation=_array(folder / "validation/sequences.npy", files, "validation/sequences.npy"),
        holdout=_array(folder / "holdout/sequences.npy", files, "holdout/sequences.npy"),
        probed=_array(folder / "probe/answers/sequences.npy", files, f"{probe_set}/answers/sequences.npy"),
        cuts=_array(folder / "probe/answers/cuts.npy", files, f"{probe_set}/answers/cuts.npy"),
        identity=identity,
    )
    complaint = _complaint(data)
    if complaint:
        raise DataError(f"{folder}: {complaint}; {ADVICE}")
    return data


def _manifest(path: Path) -> tuple[Mapping[str, Any], str]:
    try:
        manifest = json.loads(path.read_bytes())
        version, files, identity = manifest["version"], manifest["files"], manifest["identity"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is missing or unreadable ({error!r}); {ADVICE}") from error
    if version != 1 or not isinstance(files, dict) or identity != identity_of(files):
        raise DataError(f"{path} is no intact manifest of version 1; {ADVICE}")
    return files, identity


def identity_of(files: Mapping[str, Any]) -> str:
    """One hash for the folder: over the table of its files, as prepare.py writes it."""
    return hashlib.sha256(json.dumps(files, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _probe_set(folder: Path, files: Mapping[str, Any]) -> str:
    """The manifest's name of the probe set that is mounted as probe/: the one whose cuts these are."""
    digest = hashlib.sha256(_read(folder / "probe/answers/cuts.npy")).hexdigest()
    names = [name for name, entry in files.items() if name.startswith("probes/") and name.endswith("/answers/cuts.npy")]
    for name in names:
        if files[name]["sha256"] == digest:
            return name.removesuffix("/answers/cuts.npy")
    raise DataError(f"{folder / 'probe'} is none of the {len(names)} probe sets of the manifest; {ADVICE}")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); {ADVICE}") from error


def _array(path: Path, files: Mapping[str, Any], name: str) -> npt.NDArray[np.integer]:
    content = _read(path)
    if name not in files or hashlib.sha256(content).hexdigest() != files[name]["sha256"]:
        raise DataError(f"{path} does not match the manifest; {ADVICE}")
    try:
        array: npt.NDArray[np.integer] = np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise DataError(f"{path} is no array ({error}); {ADVICE}") from error
    if not np.issubdtype(array.dtype, np.integer):
        raise DataError(f"{path} holds {array.dtype} where integers belong; {ADVICE}")
    return array


def _complaint(data: ExamData) -> str | None:
    """The first way in which the arrays do not fit together, or None."""
    if data.validation.ndim != 2 or data.validation.shape[1] < 2 or data.token_bytes.ndim != 1:
        return "validation must be (S, T+1) and token_bytes (V,)"
    if data.holdout.ndim != 2 or data.holdout.shape[1] != data.validation.shape[1]:
        return "holdout must have the sequence length of validation"
    if max(data.validation.max(initial=0), data.holdout.max(initial=0)) >= data.vocabulary:
        return "a token id lies outside the vocabulary"
    if data.probed.shape != data.cuts.shape or data.probed.ndim != 1 or len(data.probed) < 2:
        return "a probe set needs at least two probes, each with a sequence and a cut"
    if data.probed.min() < 0 or data.probed.max() >= len(data.validation):
        return "a probe names a sequence that is not there"
    if len(np.unique(data.probed)) != len(data.probed):
        return "a probe set asks a sequence twice, so that its longer question holds the shorter one's label"
    if data.cuts.min() < 0 or data.cuts.max() >= data.validation.shape[1] - 1:
        return "a probe's cut lies outside its sequence"
    if not data.token_bytes[data.labels].all():
        return "a probe's label is a token that is never scored"
    return None
