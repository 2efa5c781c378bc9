"""Make the sealed data folder of a task, and read it from train.py. Fixed: agents never edit this file.

The first half turns text into tokens, splits and probe sets, and writes the manifest last: a folder
without one is unfinished. The second half (`Tokenizer`, `make_dataloader`) is all that train.py may
import. Nothing here unpickles, and nothing but an `hf:` source ever touches the network.

    python prepare.py --data DIR                      the running interpreter's own sources, no download
    python prepare.py --data DIR --source FOLDER      every text file below a folder
    python prepare.py --data DIR --source a.parquet b.parquet
    python prepare.py --data DIR --source hf:ORG/NAME[/GLOB] --preset gpu
    python prepare.py --data DIR --check              verify a folder against its manifest
"""

from __future__ import annotations

import argparse
import base64
import fcntl
import fnmatch
import hashlib
import heapq
import json
import os
import platform
import shutil
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

Tokens = npt.NDArray[np.unsignedinteger[Any]]

# ---------------------------------------------------------------------------
# Sizes. A preset is a starting point: every number has its own option.

PRESETS = {
    # Two cores and twenty seconds: small enough that probe and exam take a few seconds.
    "cpu": {"vocabulary": 2048, "sequence_length": 128, "sequences": 512, "probes": 512},
    # One modern GPU and five minutes: upstream's vocabulary and context length.
    "gpu": {"vocabulary": 8192, "sequence_length": 2048, "sequences": 2048, "probes": 2048},
}
PROBE_SETS = 64  # the controller draws one for every attempt, so a retry meets fresh cuts
EXAM_SHARE = 4  # validation and holdout may each draw on at most one document in four
TOKENIZER_CHARACTERS = 200_000_000  # merges hardly change with more text, and learning them takes time
BATCH_DOCUMENTS = 1024  # tokenised at a time, on all cores

# The GPT-4 pattern with digits in pairs rather than triples, as in nanochat: small vocabularies cannot afford triples.
PATTERN = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,2}"
    r"| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
)
SPECIAL_TOKENS = ("<|bos|>", "<|reserved_1|>", "<|reserved_2|>", "<|reserved_3|>")
FOLDER_ENTRIES = {"manifest.json", "tokenizer", "train", "validation", "holdout", "probes"}


class PrepareError(Exception):
    """What stands in the way and what to do about it, in one sentence for the user; exit code 2."""


class Damaged(PrepareError):
    """A data folder is unfinished or differs from its manifest: making it again helps."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a data folder is made from: equal recipes over equal text make equal folders."""

    source: str
    vocabulary_size: int
    sequence_length: int
    sequences: int
    probe_count: int
    probe_sets: int
    seed: int

    def complaint(self) -> str | None:
        """The first thing that makes this recipe impossible, or None."""
        if self.vocabulary_size < 256 + len(SPECIAL_TOKENS):
            return f"--vocabulary must be at least {256 + len(SPECIAL_TOKENS)}: all bytes and the special tokens"
        if min(self.sequence_length, self.sequences, self.probe_count, self.probe_sets) < 1 or self.seed < 0:
            return "sizes must be at least 1 and --seed at least 0"
        if self.probe_count > self.sequences:
            return (
                f"--probes {self.probe_count} exceeds --sequences {self.sequences}: a probe set asks each sequence once"
            )
        return None


# ---------------------------------------------------------------------------
# Sources of text


def _files_below(folder: Path, *, suffix: str = "", skip: Sequence[str] = ()) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in skip and not name.startswith(".")]
        yield from (Path(root, name) for name in names if name.endswith(suffix) and not name.startswith("."))


def _text_of(path: Path) -> str | None:
    """A file's text, or None for what is binary: text that does not round-trip has no byte length to score by."""
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        return None


def _parquet_documents(files: Sequence[Path]) -> Iterator[str]:
    from pyarrow import ArrowInvalid, parquet

    for path in files:
        try:
            table = parquet.ParquetFile(path)
        except (OSError, ArrowInvalid) as error:
            raise PrepareError(f"{path} is not a readable parquet file ({error}): give other files") from error
        if "text" not in table.schema_arrow.names:
            raise PrepareError(f"{path} has no column 'text', only {table.schema_arrow.names}: rename one of them")
        for batch in table.iter_batches(columns=["text"]):
            yield from (text for text in batch.column(0).to_pylist() if text)


def _hub_files(name: str) -> list[Path]:
    """Parquet files of a dataset: from the local Hugging Face cache, else fetched by huggingface_hub."""
    owner, _, rest = name.partition("/")
    repository, _, pattern = rest.partition("/")
    pattern = pattern or "*.parquet"
    home = Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface"))
    cache = Path(os.environ.get("HF_HUB_CACHE", home / "hub"))
    snapshots = sorted((cache / f"datasets--{owner}--{repository}" / "snapshots").glob("*"))
    for snapshot in snapshots:
        files = sorted(
            path for path in snapshot.rglob("*.parquet") if fnmatch.fnmatch(str(path.relative_to(snapshot)), pattern)
        )
        if files:
            return files
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise PrepareError(
            f"hf:{name} is not in the cache {cache} and huggingface_hub is not installed: "
            "install it, set HF_HUB_CACHE, or give parquet files by path"
        ) from error
    try:
        snapshot = Path(snapshot_download(f"{owner}/{repository}", repo_type="dataset", allow_patterns=[pattern]))
    except (OSError, ValueError) as error:
        raise PrepareError(f"hf:{name} could not be fetched ({error}): check the name and the network") from error
    files = sorted(snapshot.rglob("*.parquet"))
    if not files:
        raise PrepareError(f"hf:{name} holds no parquet files: try a pattern, as in hf:ORG/NAME/data/*.parquet")
    return files


def _folder_documents(folder: Path) -> Iterable[str]:
    """A folder of parquet files is read as such, any other as one document per text file."""
    parquet_files = sorted(_files_below(folder, suffix=".parquet"))
    return _parquet_documents(parquet_files) if parquet_files else filter(None, map(_text_of, _files_below(folder)))


def read_documents(sources: Sequence[str]) -> Iterable[str]:
    """Every document of the sources, in no particular order. Raises PrepareError for what is no source."""
    first = sources[0]
    if first == "stdlib":
        library = Path(sysconfig.get_path("stdlib"))
        files = _files_below(library, suffix=".py", skip=("site-packages", "dist-packages", "__pycache__"))
        return filter(None, map(_text_of, files))
    if first.startswith("hf:"):
        return _parquet_documents(_hub_files(first.removeprefix("hf:")))
    if len(sources) == 1 and Path(first).is_dir():
        return _folder_documents(Path(first))
    for name in sources:
        if not (name.endswith(".parquet") and Path(name).is_file()):
            raise PrepareError(
                f"source {name} is no folder and no .parquet file: give stdlib, a folder, hf:ORG/NAME or parquet files"
            )
    return _parquet_documents([Path(name) for name in sources])


def describe_source(sources: Sequence[str]) -> str:
    """How the manifest names a source; the interpreter's version is part of what `stdlib` means."""
    if sources == ["stdlib"]:
        return f"stdlib ({platform.python_implementation()} {platform.python_version()})"
    return " ".join(sources)


def distinct_documents(documents: Iterable[str], seed: int) -> list[str]:
    """Exact duplicates dropped, then ordered by a hash of seed and content: never by path, time or arrival."""
    salt = seed.to_bytes(8, "little")
    by_digest = {hashlib.sha256(salt + text.encode()).digest(): text for text in documents}
    return [by_digest[digest] for digest in sorted(by_digest)]


# ---------------------------------------------------------------------------
# Tokenizer


def _up_to(texts: Iterable[str], characters: int) -> Iterator[str]:
    for text in texts:
        yield text
        characters -= len(text)
        if characters <= 0:
            return


class Tokenizer:
    """Byte-pair tokens for text, served by tiktoken from a JSON file (no pickle: the folder may be shared).

    The special tokens take the last ids; `bos` starts every document and is never scored.
    """

    def __init__(self, *, pattern: str, ranks: dict[bytes, int], special_tokens: dict[str, int]) -> None:
        import tiktoken

        self.pattern, self.ranks, self.special_tokens = pattern, ranks, special_tokens
        self.vocabulary_size = len(ranks) + len(special_tokens)
        self.bos = special_tokens[SPECIAL_TOKENS[0]]
        self._encoding = tiktoken.Encoding(
            "task",
            pat_str=pattern,
            mergeable_ranks=ranks,
            special_tokens=special_tokens,
            explicit_n_vocab=self.vocabulary_size,
        )

    @classmethod
    def train(cls, texts: Iterable[str], vocabulary_size: int) -> Tokenizer:
        """Learn merges from texts. May end with fewer tokens than asked when the texts hold too few pairs."""
        import rustbpe

        trainer = rustbpe.Tokenizer()
        trainer.train_from_iterator(
            _up_to(texts, TOKENIZER_CHARACTERS), vocabulary_size - len(SPECIAL_TOKENS), pattern=PATTERN
        )
        ranks = {bytes(token): rank for token, rank in trainer.get_mergeable_ranks()}
        return cls(
            pattern=PATTERN, ranks=ranks, special_tokens={name: len(ranks) + i for i, name in enumerate(SPECIAL_TOKENS)}
        )

    @classmethod
    def load(cls, data: str | Path) -> Tokenizer:
        """Read DATA/tokenizer/tokenizer.json."""
        fields = json.loads(Path(data, "tokenizer", "tokenizer.json").read_text())
        ranks = {base64.b64decode(token): rank for token, rank in fields["ranks"].items()}
        return cls(pattern=fields["pattern"], ranks=ranks, special_tokens=fields["special_tokens"])

    def save(self, data: Path) -> None:
        """Write tokenizer.json and token_bytes.npy below DATA/tokenizer."""
        folder = data / "tokenizer"
        folder.mkdir(parents=True)
        ranks = {base64.b64encode(token).decode(): rank for token, rank in self.ranks.items()}
        fields = {"pattern": self.pattern, "special_tokens": self.special_tokens, "ranks": ranks}
        (folder / "tokenizer.json").write_text(json.dumps(fields, indent=0))
        np.save(folder / "token_bytes.npy", self.byte_lengths())

    def encode(self, text: str) -> list[int]:
        """Token ids of text; words that look like special tokens are ordinary text."""
        return self._encoding.encode_ordinary(text)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, on all cores."""
        return self._encoding.encode_ordinary_batch(list(texts), num_threads=os.cpu_count() or 1)

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of token ids; cut characters become the replacement character."""
        return self._encoding.decode(list(tokens))

    def byte_lengths(self) -> npt.NDArray[np.uint16]:
        """Bytes each token stands for, (V,), 0 for special tokens.

        From the raw token bytes: decoding a part of a UTF-8 character to text first would count 3 bytes for 1.
        """
        lengths = np.zeros(self.vocabulary_size, dtype=np.uint16)
        for token in self.ranks.values():
            lengths[token] = len(self._encoding.decode_single_token_bytes(token))
        return lengths


# ---------------------------------------------------------------------------
# Splits


def share_windows(lengths: Sequence[int], *, window: int, count: int) -> list[int]:
    """How many windows to cut from each document so that neighbours lie as far apart as possible.

    One each; further ones go, one by one, to the document where the gap they leave is widest. lengths: tokens
    of each document, none shorter than window. Raises PrepareError when count windows would overlap.
    """
    shares = [1] * min(count, len(lengths))

    def gap(index: int) -> int:
        return (lengths[index] - window) // shares[index] - window  # if one more were cut here

    widest = [(-gap(index), index) for index in range(len(shares))]
    heapq.heapify(widest)
    for _ in range(count - len(shares)):
        if not widest or widest[0][0] > 0:
            raise PrepareError(
                f"the source is too small for {count} sequences of {window} tokens in each of validation and holdout: "
                "add text, or ask for fewer --sequences or a shorter --sequence-length"
            )
        _, index = heapq.heappop(widest)
        shares[index] += 1
        heapq.heappush(widest, (-gap(index), index))
    return shares


def cut_windows(documents: Sequence[Sequence[int]], *, window: int, count: int, seed: int) -> list[Sequence[int]]:
    """Cut count windows, in the documents' order.

    A single window lies anywhere in its document (seeded); several are spread from its start to its end.
    """
    generator = np.random.default_rng([seed, 1])
    shares = share_windows([len(document) for document in documents], window=window, count=count)
    windows: list[Sequence[int]] = []
    for document, share in zip(documents, shares, strict=False):
        room = len(document) - window
        starts = [int(generator.integers(room + 1))] if share == 1 else np.linspace(0, room, share).astype(int).tolist()
        windows += [document[start : start + window] for start in starts]
    return windows


def choose_documents(
    pool: Sequence[str], tokenizer: Tokenizer, *, window: int, count: int
) -> tuple[list[list[int]], list[str]]:
    """The first count documents of the pool that hold a whole window, as tokens; and the texts of all others."""
    chosen: list[list[int]] = []
    spare: list[str] = []
    for at in range(0, len(pool), BATCH_DOCUMENTS):
        texts = pool[at : at + BATCH_DOCUMENTS]
        if len(chosen) == count:
            spare += texts
            continue
        for text, tokens in zip(texts, tokenizer.encode_batch(texts), strict=True):
            if len(tokens) >= window and len(chosen) < count:
                chosen.append(tokens)
            else:
                spare.append(text)
    return chosen, spare


def token_type(vocabulary_size: int) -> type[np.uint16] | type[np.uint32]:
    """The smallest little-endian type that holds every id."""
    return np.uint16 if vocabulary_size <= 65_536 else np.uint32


# ---------------------------------------------------------------------------
# Probes


def draw_probe_set(
    sequences: Tokens, train: Tokens, *, token_bytes: npt.NDArray[np.uint16], count: int, generator: np.random.Generator
) -> dict[str, Tokens | npt.NDArray[np.int32]]:
    """Splice count distinct validation sequences, each at a cut drawn from its scored positions.

    Question: s[0..c], then a tail of training text. Its first token differs from the label s[c+1], so the
    label is never where a model that looks ahead would find it. sequences (S, T+1); train: one long stream.
    """
    length = sequences.shape[1] - 1
    chosen = generator.permutation(len(sequences))[:count]
    cuts = np.array([generator.choice(np.flatnonzero(token_bytes[sequences[s, 1:]])) for s in chosen])
    questions = sequences[chosen, :length].copy()
    for row, (s, cut) in enumerate(zip(chosen, cuts, strict=True)):
        size = length - cut - 1
        if size:
            starts = generator.integers(len(train) - size, size=1000)
            unlike = starts[train[starts] != sequences[s, cut + 1]]
            if not unlike.size:
                raise PrepareError("the training text is nearly one token over and over: give another --source")
            questions[row, cut + 1 :] = train[unlike[0] : unlike[0] + size]
    return {
        "questions/tokens": questions,
        "questions/cuts": cuts.astype(np.int32),
        "answers/sequences": chosen.astype(np.int32),
        "answers/cuts": cuts.astype(np.int32),
    }


# ---------------------------------------------------------------------------
# The folder


def _save(path: Path, array: npt.NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)


def write_exam_split(
    data: Path, name: str, pool: Sequence[str], tokenizer: Tokenizer, recipe: Recipe
) -> tuple[Tokens, dict[str, int], list[str]]:
    """Write validation or holdout, each sequence a BOS and one window. Returns it, its counts, and unused texts."""
    window, count = recipe.sequence_length, recipe.sequences
    documents, spare = choose_documents(pool, tokenizer, window=window, count=count)
    windows = np.array(cut_windows(documents, window=window, count=count, seed=recipe.seed))
    rows = np.pad(windows, ((0, 0), (1, 0)), constant_values=tokenizer.bos)
    sequences: Tokens = rows.astype(token_type(recipe.vocabulary_size))
    _save(data / name / "sequences.npy", sequences)
    scored_bytes = int(tokenizer.byte_lengths()[windows].sum(dtype=np.int64))
    counts = {"documents": len(documents), "sequences": count, "tokens": windows.size, "bytes": scored_bytes}
    return sequences, counts, spare


def write_train_split(data: Path, texts: Sequence[str], tokenizer: Tokenizer) -> tuple[Tokens, dict[str, int]]:
    """Write the training stream, every document after a BOS, and where each starts. Returns it and its counts."""
    (data / "train").mkdir()
    kind, lengths = token_type(tokenizer.vocabulary_size), []
    with (data / "train" / "tokens.bin").open("wb") as file:
        for at in range(0, len(texts), BATCH_DOCUMENTS):
            for tokens in tokenizer.encode_batch(texts[at : at + BATCH_DOCUMENTS]):
                file.write(np.array([tokenizer.bos, *tokens], dtype=kind).tobytes())
                lengths.append(len(tokens) + 1)
    offsets = np.cumsum([0, *lengths[:-1]], dtype=np.int64)
    _save(data / "train" / "documents.npy", offsets)
    counts = {"documents": len(texts), "tokens": sum(lengths), "bytes": sum(len(text.encode()) for text in texts)}
    return np.memmap(data / "train" / "tokens.bin", dtype=kind, mode="r"), counts


def write_probes(data: Path, validation: Tokens, train: Tokens, tokenizer: Tokenizer, recipe: Recipe) -> None:
    """Write every probe set, each drawn by a generator of its own."""
    token_bytes = tokenizer.byte_lengths()
    for number in range(recipe.probe_sets):
        generator = np.random.default_rng([recipe.seed, 2, number])
        probes = draw_probe_set(
            validation, train, token_bytes=token_bytes, count=recipe.probe_count, generator=generator
        )
        for name, array in probes.items():
            _save(data / "probes" / f"{number:02}" / f"{name}.npy", array)


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def identity_of(files: dict[str, dict[str, str | int]]) -> str:
    """One hash for the whole folder: over the table of its files, so it names the data in every score."""
    return hashlib.sha256(json.dumps(files, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def write_manifest(data: Path, recipe: Recipe, splits: dict[str, dict[str, int]]) -> None:
    """Seal the folder: written last and flushed, so a folder with a manifest is a finished one."""
    paths = sorted(path for path in data.rglob("*") if path.is_file())
    files: dict[str, dict[str, str | int]] = {
        path.relative_to(data).as_posix(): {"sha256": _hash_file(path), "bytes": path.stat().st_size} for path in paths
    }
    manifest = {"version": 1, **asdict(recipe), "splits": splits, "identity": identity_of(files), "files": files}
    with (data / "manifest.json").open("w") as file:
        json.dump(manifest, file, indent=1)
        file.flush()
        os.fsync(file.fileno())


def build(data: Path, documents: Sequence[str], recipe: Recipe) -> None:
    """Fill an empty folder. The tokenizer learns from documents that neither exam split can draw on."""
    pool = len(documents) // EXAM_SHARE
    tokenizer = Tokenizer.train(documents[2 * pool :], recipe.vocabulary_size)
    if tokenizer.vocabulary_size != recipe.vocabulary_size:
        raise PrepareError(
            f"the source has text for {tokenizer.vocabulary_size} tokens only: add text or lower --vocabulary"
        )
    tokenizer.save(data)
    validation, validation_counts, spare = write_exam_split(data, "validation", documents[:pool], tokenizer, recipe)
    _, holdout_counts, more = write_exam_split(data, "holdout", documents[pool : 2 * pool], tokenizer, recipe)
    train, train_counts = write_train_split(data, [*documents[2 * pool :], *spare, *more], tokenizer)
    if len(train) < 2 * recipe.sequence_length:
        raise PrepareError(f"the source leaves {len(train)} tokens to train on: add text or shorten --sequence-length")
    write_probes(data, validation, train, tokenizer, recipe)
    write_manifest(data, recipe, {"train": train_counts, "validation": validation_counts, "holdout": holdout_counts})


def find_mismatch(data: Path, manifest: dict[str, Any]) -> str | None:
    """The first way in which a folder differs from its manifest, or None."""
    present = {path.relative_to(data).as_posix() for path in data.rglob("*") if not path.is_dir()} - {"manifest.json"}
    for name in sorted(present | manifest["files"].keys()):
        if name not in manifest["files"]:
            return f"{data / name} is not in the manifest"
        if name not in present:
            return f"{data / name} is missing"
        expected, path = manifest["files"][name], data / name
        if path.stat().st_size != expected["bytes"] or _hash_file(path) != expected["sha256"]:
            return f"{path} does not match the manifest"
    if identity_of(manifest["files"]) != manifest.get("identity"):
        return f"{data / 'manifest.json'} does not match its own identity"
    return None


def read_manifest(data: Path) -> dict[str, Any]:
    """The manifest of a finished and intact folder; raises Damaged with the first thing that is wrong."""
    try:
        manifest = json.loads((data / "manifest.json").read_text())
    except FileNotFoundError as error:
        raise Damaged(f"{data} has no manifest.json, so it is no finished data folder") from error
    except ValueError as error:
        raise Damaged(f"{data / 'manifest.json'} is no JSON") from error
    if not isinstance(manifest, dict) or manifest.get("version") != 1 or not isinstance(manifest.get("files"), dict):
        raise Damaged(f"{data / 'manifest.json'} is no version 1 manifest")
    mismatch = find_mismatch(data, manifest)
    if mismatch:
        raise Damaged(mismatch)
    return manifest


def keeps(data: Path, recipe: Recipe) -> bool:
    """Whether a folder is there, intact and of this recipe; raises PrepareError rather than give up another's."""
    if not data.exists():
        return False
    foreign = sorted({entry.name for entry in data.iterdir()} - FOLDER_ENTRIES) if data.is_dir() else [data.name]
    if foreign:
        raise PrepareError(f"{data} holds something else ({foreign[0]}): choose another --data folder")
    try:
        manifest = read_manifest(data)
    except Damaged as error:
        print(f"rebuilding: {error}", file=sys.stderr)
        return False
    for name, value in asdict(recipe).items():
        if manifest.get(name) != value:
            raise PrepareError(
                f"{data} was made with {name} {manifest.get(name)}, not {value}: "
                "choose another --data folder or delete this one"
            )
    return True


def prepare(data: Path, sources: Sequence[str], recipe: Recipe) -> str:
    """Make the folder, or keep an intact one of the same recipe. Returns one sentence that says which.

    Built in a sibling folder and renamed when complete, so nobody ever sees half of it.
    """
    if keeps(data, recipe):
        return f"kept {data}: intact and made with these parameters (delete it to rebuild)"
    data.parent.mkdir(parents=True, exist_ok=True)
    building = data.parent / f".{data.name}.building"
    building.mkdir(exist_ok=True)
    lock = os.open(building, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for leftover in building.iterdir():
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        build(building, distinct_documents(read_documents(sources), recipe.seed), recipe)
        if data.exists():
            shutil.rmtree(data)
        building.rename(data)
    except BlockingIOError as error:
        raise PrepareError(f"another prepare.py is building {data}: wait for it to end") from error
    finally:
        os.close(lock)
    return f"made {data}"


# ---------------------------------------------------------------------------
# What train.py reads


def make_dataloader(
    data: str | Path, *, batch_size: int, sequence_length: int, seed: int, device: str = "cpu"
) -> Iterator[tuple[torch.Tensor, torch.Tensor, int]]:
    """Endless training batches: inputs (B, T), targets (B, T), both int64 on device, and the epoch from 0.

    Rows look as the exam's sequences do: BOS, then a window of text. The stream is cut into windows at a
    phase drawn anew for every epoch and served in random order, so an epoch shows every token once.
    """
    import torch

    vocabulary_size = len(np.load(Path(data, "tokenizer", "token_bytes.npy")))
    bos = Tokenizer.load(data).bos
    stream = np.memmap(Path(data, "train", "tokens.bin"), dtype=token_type(vocabulary_size), mode="r")
    generator, epoch = np.random.default_rng(seed), 0
    while True:
        phase = generator.integers(sequence_length)
        starts = generator.permutation(np.arange(phase, len(stream) - sequence_length, sequence_length))
        for at in range(0, len(starts) - batch_size + 1, batch_size):
            windows = stream[starts[at : at + batch_size, None] + np.arange(sequence_length)]
            rows = np.pad(windows.astype(np.int64), ((0, 0), (1, 0)), constant_values=bos)
            batch = torch.from_numpy(rows)
            if device != "cpu":
                batch = batch.pin_memory().to(device, non_blocking=True)
            yield batch[:, :-1], batch[:, 1:], epoch
        epoch += 1


# ---------------------------------------------------------------------------
# Command line


def parse_arguments(arguments: Sequence[str] | None) -> tuple[argparse.Namespace, Recipe]:
    """Options, with the preset filling what was not given."""
    parser = argparse.ArgumentParser(description="Make or check the sealed data folder of a task.")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="the folder to make or to check")
    parser.add_argument(
        "--source", nargs="+", default=["stdlib"], help="stdlib, FOLDER, hf:ORG/NAME[/GLOB] or parquet files"
    )
    parser.add_argument("--preset", choices=sorted(PRESETS), default="cpu", help="sizes not given otherwise")
    parser.add_argument("--vocabulary", type=int, metavar="V", help="tokens, specials included")
    parser.add_argument("--sequence-length", type=int, metavar="T", help="tokens scored in one exam sequence")
    parser.add_argument("--sequences", type=int, metavar="S", help="exam sequences in each of validation and holdout")
    parser.add_argument("--probes", type=int, metavar="N", help="probes in one set, at most S")
    parser.add_argument("--probe-sets", type=int, default=PROBE_SETS, metavar="K")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--check", action="store_true", help="only verify DIR against its manifest")
    options = parser.parse_args(arguments)
    for name, value in PRESETS[options.preset].items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    recipe = Recipe(
        source=describe_source(options.source),
        vocabulary_size=options.vocabulary,
        sequence_length=options.sequence_length,
        sequences=options.sequences,
        probe_count=options.probes,
        probe_sets=options.probe_sets,
        seed=options.seed,
    )
    return options, recipe


def run(options: argparse.Namespace, recipe: Recipe) -> None:
    """Check or make the folder and say what it holds; raises PrepareError."""
    if options.check:
        try:
            print(f"{options.data} matches its manifest, identity {read_manifest(options.data)['identity']}")
        except Damaged as error:
            raise PrepareError(f"{error}: delete the folder and run prepare.py --data {options.data} again") from error
        return
    complaint = recipe.complaint()
    if complaint:
        raise PrepareError(complaint)
    print(prepare(options.data, options.source, recipe))
    manifest = read_manifest(options.data)
    for split, counts in manifest["splits"].items():
        print(f"{split + ':':<12}" + ", ".join(f"{count:,} {name}" for name, count in counts.items()))
    print(f"{'identity:':<12}{manifest['identity']}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    options, recipe = parse_arguments(arguments)
    try:
        run(options, recipe)
    except (PrepareError, OSError) as error:
        print(f"prepare.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
