"""The examiner takes no file that its manifest does not vouch for, and says which one in one sentence."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from exam.kit.errors import DataError
from exam.kit.manifest import identity_of
from exam.language import dataset
from exam.language.rehearsal import Language, make_data


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sealed")
    make_data(folder, Language.draw(16, seed=0), length=8, sequences=12, probes=6, probe_sets=3, fresh=4)
    return folder


@pytest.fixture
def folder(sealed: Path, tmp_path: Path) -> Path:
    """A copy as the examine phase of a claim sees it, with probe set 01 and slice 001 of the reserve."""
    for name in ("tokenizer", "validation", "holdout"):
        shutil.copytree(sealed / name, tmp_path / name)
    shutil.copytree(sealed / "reserve/001", tmp_path / "reserve")
    shutil.copytree(sealed / "probes/01", tmp_path / "probe")
    shutil.copy(sealed / "manifest.json", tmp_path)
    return tmp_path


def load(folder: Path) -> dataset.ExamData:
    """Load all that a claim asks."""
    return dataset.load(folder, reserve="001", holdout=True)


def reseal(folder: Path, name: str, path: Path) -> None:
    """Have the manifest vouch for a changed file, as a broken prepare.py would."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name]["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    manifest["identity"] = identity_of(manifest["files"])
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_an_intact_folder_loads_with_its_own_probe_set(folder: Path, sealed: Path) -> None:
    data = load(folder)

    np.testing.assert_array_equal(data.cuts, np.load(sealed / "probes/01/answers/cuts.npy"))
    np.testing.assert_array_equal(data.fresh, np.load(sealed / "reserve/001/sequences.npy"))
    assert data.sequences.shape == (12 + 4 + 12, 9)
    assert [len(data.sequences[part]) for part in data.parts] == [12, 4, 12]
    assert data.vocabulary == 16
    assert data.identity == json.loads((sealed / "manifest.json").read_text())["identity"]


def test_the_label_is_in_no_probe_question(folder: Path) -> None:
    data = dataset.load(folder)
    questions = np.load(folder / "probe/questions/tokens.npy")
    for row, (sequence, cut) in enumerate(zip(data.probed, data.cuts, strict=True)):
        np.testing.assert_array_equal(questions[row, : cut + 1], data.validation[sequence, : cut + 1])
        assert cut + 1 == questions.shape[1] or questions[row, cut + 1] != data.labels[row]


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "name",
    [
        "tokenizer/token_bytes.npy",
        "validation/sequences.npy",
        "validation/reference.npy",
        "holdout/sequences.npy",
        "reserve/sequences.npy",
        "reserve/reference.npy",
        "probe/answers/weights.npy",
        "probe/answers/sequences.npy",
        "probe/answers/cuts.npy",
        "manifest.json",
    ],
)
@pytest.mark.parametrize("harm", [flip_a_byte, Path.unlink], ids=["one flipped byte", "missing"])
def test_every_file_is_needed_and_checked(folder: Path, name: str, harm: Callable[[Path], None]) -> None:
    harm(folder / name)
    with pytest.raises(DataError, match="prepare the data folder again") as caught:
        load(folder)
    assert str(folder) in str(caught.value)


def test_a_campaigns_exam_needs_no_holdout_and_asks_the_slice_that_it_was_given(folder: Path, sealed: Path) -> None:
    shutil.rmtree(folder / "holdout")

    assert len(dataset.load(folder, reserve="001").sequences) == 12 + 4
    with pytest.raises(DataError, match=r"reserve/sequences.npy does not match the manifest"):
        dataset.load(folder, reserve="000")
    shutil.rmtree(folder / "reserve")
    assert len(dataset.load(folder).sequences) == 12


def test_a_folder_of_an_earlier_version_is_named_as_such(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"version": 1}))
    with pytest.raises(DataError, match="has layout 1, and this examiner needs layout 2: prepare a new data folder"):
        load(folder)


def test_answers_of_two_probe_sets_do_not_mix(folder: Path, sealed: Path) -> None:
    shutil.copy(sealed / "probes/02/answers/sequences.npy", folder / "probe/answers/sequences.npy")
    with pytest.raises(DataError, match=r"answers/sequences.npy does not match the manifest"):
        load(folder)


def test_a_pickle_is_never_opened_even_when_the_manifest_vouches_for_it(folder: Path) -> None:
    path = folder / "holdout/sequences.npy"
    path.write_bytes(pickle.dumps(np.zeros((2, 9), np.uint16)))
    reseal(folder, "holdout/sequences.npy", path)
    with pytest.raises(DataError, match="is no array"):
        load(folder)


@pytest.mark.parametrize(
    ("name", "path", "array", "sentence"),
    [
        pytest.param("holdout/sequences.npy", "", np.zeros((3, 7), np.uint16), "sequence length", id="other length"),
        pytest.param("holdout/sequences.npy", "", np.full((3, 9), 16, np.uint16), "outside the voc", id="token id"),
        pytest.param("holdout/sequences.npy", "", np.zeros((3, 9)), "float64", id="floats"),
        pytest.param(
            "reserve/001/sequences.npy", "reserve/sequences.npy", np.zeros((4, 7), np.uint16), "length", id="reserve"
        ),
        pytest.param("validation/reference.npy", "", np.full((12, 2), np.nan), "must be finite", id="nll"),
        pytest.param("validation/reference.npy", "", np.zeros((12, 2), int), "fractions", id="whole nll"),
        pytest.param("probes/01/answers/weights.npy", "probe/answers/weights.npy", np.zeros(6), "above 0", id="weight"),
        pytest.param("tokenizer/token_bytes.npy", "", np.zeros(16, np.uint16), "never scored", id="no bytes"),
        pytest.param(
            "probes/01/answers/cuts.npy", "probe/answers/cuts.npy", np.full(6, 8, np.int32), "outside its", id="cut"
        ),
        pytest.param(
            "probes/01/answers/sequences.npy",
            "probe/answers/sequences.npy",
            np.full(6, 12, np.int32),
            "not there",
            id="sequence",
        ),
        pytest.param(
            "probes/01/answers/sequences.npy",
            "probe/answers/sequences.npy",
            np.zeros(6, np.int32),
            "asks a sequence twice",
            id="sequence twice",
        ),
    ],
)
def test_arrays_that_do_not_fit_together_are_named(
    folder: Path, name: str, path: str, array: np.ndarray[tuple[int, ...], np.dtype[np.generic]], sentence: str
) -> None:
    target = folder / (path or name)
    np.save(target, array)
    reseal(folder, name, target)
    with pytest.raises(DataError, match=sentence):
        load(folder)
