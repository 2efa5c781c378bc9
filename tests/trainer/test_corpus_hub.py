"""Data sets of the Hugging Face hub: the asked revision, whole or not at all, and its commit in the manifest."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpus.card import Claim, read_claims
from corpus.errors import PrepareError
from corpus.hub import cache_folder, find_dataset, parse_name
from corpus.snapshot import missing_shards
from hypothesis import given
from hypothesis import strategies as st

from tests.trainer.hub_standin import COMMIT, serving
from tests.trainer.small_task import manifest_of, run_prepare

SHARDS = [f"data/train-{number:05}-of-00003.parquet" for number in range(3)]
CARD = """\
---
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*
dataset_info:
  splits:
  - name: train
    num_bytes: 99
    num_examples: 60
---
# Words
"""


@dataclass(frozen=True)
class Cache:
    """A cache folder as huggingface_hub lays it out, with one data set, someone/words."""

    folder: Path

    @property
    def storage(self) -> Path:
        return self.folder / "datasets--someone--words"

    def snapshot(self, revision: str) -> Path:
        return self.storage / "snapshots" / revision

    def add(self, revision: str, name: str, content: Sequence[str] | bytes) -> Path:
        """One file: parquet with a row for each text, or what the bytes say. Returns its blob."""
        link = self.snapshot(revision) / name
        blob = self.storage / "blobs" / f"{revision}-{link.stem}"
        for path in (link, blob):
            path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            blob.write_bytes(content)
        else:
            pq.write_table(pa.table({"text": content}), blob)
        link.symlink_to(blob)
        return blob

    def point(self, reference: str, revision: str) -> None:
        path = self.storage / "refs" / reference
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(revision)

    def list_files(self, revision: str, sizes: dict[str, int]) -> None:
        """What newer versions of huggingface_hub write down about a revision."""
        (self.storage / "trees").mkdir(exist_ok=True)
        files = {name: {"size": size, "blob_id": "0"} for name, size in sizes.items()}
        (self.storage / "trees" / f"{revision}.json").write_text(json.dumps({"format_version": 1, "files": files}))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    """An empty cache, and no way out."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return Cache(tmp_path / "cache")


@pytest.fixture
def words(cache: Cache, marked: tuple[Path, Path]) -> Cache:
    """The sixty marked documents in three shards, at revision bbb, which is main."""
    texts = [path.read_text() for path in sorted(marked[0].iterdir())]
    for number, name in enumerate(SHARDS):
        cache.add("bbb", name, texts[number::3])
    cache.point("main", "bbb")
    return cache


def test_a_whole_snapshot_needs_no_network_and_leaves_its_commit(
    words: Cache, marked: tuple[Path, Path], tmp_path: Path
) -> None:
    result = run_prepare(tmp_path / "data", "--vocabulary", "300", source="hf:someone/words")

    assert result.returncode == 0, result.stderr
    manifest = manifest_of(tmp_path / "data")
    assert manifest["identity"] == manifest_of(marked[1])["identity"]
    assert manifest["revision"] == "bbb"
    assert "source:     hf:someone/words, revision bbb\n" in result.stdout


def test_main_is_what_the_cache_calls_main_and_not_what_lies_first(
    words: Cache, marked: tuple[Path, Path], tmp_path: Path
) -> None:
    words.add("aaa", "data/train-00000-of-00001.parquet", ["an older revision, and much less of it"])

    run_prepare(tmp_path / "data", "--vocabulary", "300", source="hf:someone/words")

    assert manifest_of(tmp_path / "data")["identity"] == manifest_of(marked[1])["identity"]


@pytest.mark.parametrize("asked", ["bbb", "v1.0", "refs/pr/7"])
def test_a_commit_a_tag_or_a_pull_request_can_be_asked_for(words: Cache, asked: str) -> None:
    words.add("ccc", "data/train-00000-of-00001.parquet", ["newer"])
    words.point("main", "ccc")
    words.point("v1.0", "bbb")
    words.point("refs/pr/7", "bbb")

    found = find_dataset(f"hf:someone/words@{asked}/data/train-*.parquet")

    assert found.revision == "bbb"
    assert [path.name for path in found.files] == [Path(name).name for name in SHARDS]


def test_a_folder_made_from_an_older_revision_is_kept_and_says_so(words: Cache, tmp_path: Path) -> None:
    run_prepare(tmp_path / "data", "--vocabulary", "300", source="hf:someone/words")
    shutil.copytree(words.snapshot("bbb"), words.snapshot("ccc"), symlinks=True)
    words.point("main", "ccc")

    result = run_prepare(tmp_path / "data", "--vocabulary", "300", source="hf:someone/words")

    assert result.returncode == 0
    assert "older: hf:someone/words means revision ccc by now (delete the data folder to take that)\n" in result.stdout
    assert "source:     hf:someone/words, revision bbb\n" in result.stdout


def without_reference(cache: Cache) -> str:
    (cache.storage / "refs" / "main").unlink()
    return f"is not in the cache {cache.folder}, which holds bbb only"


def without_snapshot(cache: Cache) -> str:
    cache.point("main", "ddd")
    return f"is not in the cache {cache.folder}, which holds bbb only"


def without_a_shard(cache: Cache) -> str:
    (cache.snapshot("bbb") / SHARDS[1]).unlink()
    return f"revision bbb lacks {SHARDS[1]}"


def without_two_shards(cache: Cache) -> str:
    for name in SHARDS[:2]:
        (cache.snapshot("bbb") / name).unlink()
    return f"revision bbb lacks {SHARDS[0]} and 1 more"


def without_any_file(cache: Cache) -> str:
    shutil.rmtree(cache.snapshot("bbb") / "data")
    return "revision bbb has no parquet files for *.parquet"


def without_a_blob(cache: Cache) -> str:
    (cache.snapshot("bbb") / SHARDS[2]).resolve().unlink()
    return f"revision bbb lacks {SHARDS[2]}"


def with_an_unfinished_blob(cache: Cache) -> str:
    path = cache.storage / "blobs" / "0123abcd.89ab.incomplete"
    path.write_bytes(b"PAR1")
    return f"may lack a file whose download did not end ({path}; "


def with_a_list_of_more(cache: Cache) -> str:
    cache.list_files("bbb", dict.fromkeys([*SHARDS, "data/test-00000-of-00001.parquet"], 1) | sizes_of(cache))
    return "revision bbb lacks data/test-00000-of-00001.parquet"


def with_a_list_of_larger_ones(cache: Cache) -> str:
    cache.list_files("bbb", sizes_of(cache) | {SHARDS[0]: 1 << 40})
    return f"revision bbb lacks {SHARDS[0]}"


def with_a_card_of_more_files(cache: Cache) -> str:
    cache.add("bbb", "README.md", CARD.replace("train-*", "train-*\n  - split: test\n    path: data/test-*").encode())
    return "revision bbb lacks data/test-*, which its README.md lists"


def with_a_card_of_more_rows(cache: Cache) -> str:
    cache.add("bbb", "README.md", CARD.replace("60", "480").encode())
    return "revision bbb has 60 rows in data/train-* where its README.md counts 480"


def sizes_of(cache: Cache) -> dict[str, int]:
    return {name: (cache.snapshot("bbb") / name).stat().st_size for name in SHARDS}


@pytest.mark.parametrize(
    "spoil",
    [
        without_reference,
        without_snapshot,
        without_a_shard,
        without_two_shards,
        without_any_file,
        without_a_blob,
        with_an_unfinished_blob,
        with_a_list_of_more,
        with_a_list_of_larger_ones,
        with_a_card_of_more_files,
        with_a_card_of_more_rows,
    ],
)
def test_half_a_snapshot_is_never_used(words: Cache, spoil: Callable[[Cache], str]) -> None:
    sentence = spoil(words)

    with pytest.raises(PrepareError) as told:
        find_dataset("hf:someone/words")

    assert sentence in str(told.value)
    assert str(told.value).startswith("hf:someone/words is not ")
    assert "or ask for what is there with hf:ORG/NAME@REVISION/GLOB" in str(told.value)
    assert "\n" not in str(told.value)


def test_the_command_ends_with_one_line_for_half_a_snapshot(words: Cache, tmp_path: Path) -> None:
    without_a_shard(words)

    result = run_prepare(tmp_path / "data", source="hf:someone/words")

    assert result.returncode == 2
    assert result.stderr.startswith(
        f"prepare.py: hf:someone/words is not whole in the cache {words.folder}: revision bbb"
    )
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("spoil", [without_a_shard, with_a_card_of_more_files, with_a_card_of_more_rows])
def test_a_part_can_be_asked_for_by_its_name(words: Cache, spoil: Callable[[Cache], str]) -> None:
    spoil(words)

    found = find_dataset("hf:someone/words/data/train-00000-*.parquet")

    assert [path.name for path in found.files] == ["train-00000-of-00003.parquet"]
    assert found.doubt is None


def test_a_blob_that_was_fetched_again_after_a_kill_counts_as_there(words: Cache) -> None:
    blob = (words.snapshot("bbb") / SHARDS[0]).resolve()
    blob.with_name(f"{blob.name}.89ab.incomplete").write_bytes(b"PAR1")

    assert find_dataset("hf:someone/words").revision == "bbb"


def test_what_nothing_proves_is_used_and_told(words: Cache, tmp_path: Path) -> None:
    doubted = run_prepare(tmp_path / "data", "--vocabulary", "300", source="hf:someone/words")
    words.add("bbb", "README.md", CARD.encode())
    proven = find_dataset("hf:someone/words")

    sentence = "not known: nothing in the cache tells whether revision bbb has more files than these\n"
    assert sentence in doubted.stdout
    assert proven.doubt is None


def test_the_list_of_files_settles_what_the_card_puts_in_doubt(words: Cache) -> None:
    with_a_card_of_more_rows(words)
    words.list_files("bbb", sizes_of(words))

    assert find_dataset("hf:someone/words").doubt is None


@pytest.mark.parametrize(
    "source", ["hf:", "hf:words", "hf:a/b/", "hf:../../etc/passwd", "hf:a/b@", "hf:a/b@../c", "hf:a b/c"]
)
def test_what_names_no_data_set_is_told_how_to_name_one(source: str) -> None:
    with pytest.raises(PrepareError, match=r"names no data set: write hf:ORG/NAME"):
        parse_name(source)


def test_a_data_set_that_cannot_be_had_is_one_clear_sentence(cache: Cache, tmp_path: Path) -> None:
    result = run_prepare(tmp_path / "data", source="hf:someone/missing")

    assert result.returncode == 2
    assert result.stderr.startswith(f"prepare.py: hf:someone/missing is not in the cache {cache.folder}, and ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({}, Path.home() / ".cache/huggingface/hub"),
        ({"XDG_CACHE_HOME": "/caches"}, Path("/caches/huggingface/hub")),
        ({"HF_HOME": "~/models"}, Path.home() / "models/hub"),
        ({"HF_HOME": "/models", "HUGGINGFACE_HUB_CACHE": "/old"}, Path("/old")),
        ({"HUGGINGFACE_HUB_CACHE": "/old", "HF_HUB_CACHE": "/new"}, Path("/new")),
    ],
)
def test_the_cache_is_where_huggingface_hub_keeps_it(environment: dict[str, str], folder: Path) -> None:
    assert cache_folder(environment) == folder


@given(st.integers(1, 12), st.sets(st.integers(0, 11)), st.integers(0, 1))
def test_missing_shards_are_those_that_are_not_there(total: int, chosen: set[int], first: int) -> None:
    everything = [f"train-{number:02}-of-{total:02}-{number * 7}.parquet" for number in range(first, total + first)]
    there = [name for number, name in enumerate(everything, first) if number in chosen]
    if first and everything[-1] not in there:  # then nothing tells that the numbers begin at 1
        return

    missing = missing_shards(there, "*.parquet")

    assert len(missing) == (len(everything) - len(there) if there else 0)
    assert not {name[:14] for name in missing} & {name[:14] for name in there}


@pytest.mark.parametrize(
    ("card", "claims"),
    [
        ("no head at all", []),
        ("---\nconfigs: [\n---\n", []),
        ("---\n- a list\n---\n", []),
        ("---\ndataset_info: {splits: [{num_examples: many}]}\n---\n", [Claim(("*",), None)]),
        ("---\ndataset_info: {splits: [{name: a, num_examples: 2}, {name: b, num_examples: 3}]}\n---\n",
         [Claim(("*",), 5)]),
        ("---\nconfigs: [{data_files: data/*.csv}, {data_files: [a.parquet, b-*]}]\n---\n",
         [Claim(("a.parquet",), None), Claim(("b-*",), None)]),
        ("---\nconfigs: [{config_name: en, data_files: [{split: train, path: [a, b]}]}]\ndataset_info:\n"
         "- {config_name: de, splits: [{name: train, num_examples: 1}]}\n"
         "- {config_name: en, splits: [{name: train, num_examples: 2}]}\n---\n", [Claim(("a", "b"), 2)]),
    ],
)  # fmt: skip
def test_a_card_claims_what_it_says_of_its_files(card: str, claims: list[Claim]) -> None:
    assert read_claims(card) == claims


def test_without_huggingface_hub_the_sentence_says_what_would_fetch_it(
    words: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_a_shard(words)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)  # as if it were not installed

    with pytest.raises(PrepareError, match="and huggingface_hub is not installed to fetch it: install it"):
        find_dataset("hf:someone/words")


def parquet_of(texts: Sequence[str]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"text": texts}), buffer)
    return buffer.getvalue()


@pytest.fixture
def online(cache: Cache, marked: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Cache]:
    """A hub with the sixty marked documents in three shards, and a cache whose main is an older commit."""
    texts = [path.read_text() for path in sorted(marked[0].iterdir())]
    cache.add("aaa", SHARDS[0], ["an older revision"])
    cache.point("main", "bbb")
    with serving(
        "someone/words", {name: parquet_of(texts[number::3]) for number, name in enumerate(SHARDS)}
    ) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        for name in ("HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT"):
            monkeypatch.setenv(name, "120")
        yield cache


def test_what_is_not_whole_is_fetched_and_then_needs_no_network(
    online: Cache, marked: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run_prepare(tmp_path / "data", "--vocabulary", "300", source="hf:someone/words")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    second = run_prepare(tmp_path / "again", "--vocabulary", "300", source="hf:someone/words")

    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    for folder in ("data", "again"):
        manifest = manifest_of(tmp_path / folder)
        assert manifest["identity"] == manifest_of(marked[1])["identity"]
        assert manifest["revision"] == COMMIT


def test_a_shard_that_was_lost_is_fetched_alone(online: Cache, tmp_path: Path) -> None:
    run_prepare(tmp_path / "data", "--vocabulary", "300", source="hf:someone/words")
    kept, lost = (online.snapshot(COMMIT) / name for name in SHARDS[:2])
    before = kept.stat()
    lost.resolve().unlink()

    result = run_prepare(tmp_path / "again", "--vocabulary", "300", source="hf:someone/words")

    assert result.returncode == 0, result.stderr
    assert lost.is_file()
    assert kept.stat() == before


def test_a_pattern_that_the_hub_has_nothing_for_is_told(online: Cache, tmp_path: Path) -> None:
    result = run_prepare(tmp_path / "data", source="hf:someone/words/data/dev-*")

    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith(
        "prepare.py: hf:someone/words/data/dev-* holds no parquet files: try"
    )


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param({"HF_ENDPOINT": "http://127.0.0.1:9"}, id="nobody there"),
        pytest.param({"HF_ENDPOINT": "http://hub.invalid"}, id="no such name"),
        pytest.param({"HF_ENDPOINT": "http://hub.invalid", "HTTP_PROXY": "http://127.0.0.1:9"}, id="no proxy there"),
        pytest.param({"HF_ENDPOINT": "nonsense"}, id="no address"),
    ],
)
def test_a_hub_that_does_not_answer_is_one_clear_sentence(
    words: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    without_a_shard(words)
    for name, value in {**environment, "HF_HUB_OFFLINE": "0"}.items():
        monkeypatch.setenv(name, value)

    result = run_prepare(tmp_path / "data", source="hf:someone/words")

    assert result.returncode == 2
    assert "could not be fetched (" in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stderr.count("\n") == 1
