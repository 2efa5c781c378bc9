"""Byte-pair tokens: merges learnt by rustbpe, served by tiktoken, kept as JSON (no pickle: folders may be shared)."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from corpus.digestible import Indigestible, cut_blanks, name_panics

BYTES = 256  # the first tokens, which need no merge
TOKENIZER_CHARACTERS = 200_000_000  # merges hardly change with more text, and learning them takes time

# The GPT-4 pattern with digits in pairs rather than triples, as in nanochat: small vocabularies cannot afford triples.
PATTERN = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,2}"
    r"| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
)
SPECIAL_TOKENS = ("<|bos|>", "<|reserved_1|>", "<|reserved_2|>", "<|reserved_3|>")


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
    def train(cls, texts: Sequence[str], vocabulary_size: int) -> Tokenizer:
        """Learn merges from texts. May end with fewer tokens than asked when the texts hold too few pairs."""
        ranks = _learn(texts, vocabulary_size - len(SPECIAL_TOKENS))
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
        """Token ids of text; words that look like special tokens are ordinary text. Raises Indigestible."""
        with name_panics(text):
            parts = [self._encoding.encode_ordinary(part) for part in cut_blanks(text)]
        return parts[0] if len(parts) == 1 else list(chain.from_iterable(parts))

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, on all cores: the library leaves Python's lock while it works."""
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            return list(pool.map(self.encode, texts))

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of token ids; cut characters become the replacement character."""
        return self._encoding.decode(list(tokens))

    def byte_lengths(self) -> npt.NDArray[np.unsignedinteger[Any]]:
        """Bytes each token stands for, (V,), 0 for special tokens.

        From the raw token bytes: decoding a part of a UTF-8 character to text first would count 3 bytes for 1.
        """
        lengths = np.zeros(self.vocabulary_size, dtype=np.uint32)
        for token, rank in self.ranks.items():
            lengths[rank] = len(token)
        # One letter a million times over makes tokens of half a million bytes.
        return lengths if lengths.max() > np.iinfo(np.uint16).max else lengths.astype(np.uint16)


def _learn(texts: Sequence[str], size: int) -> dict[bytes, int]:
    """Merges with their ranks. Raises Indigestible with the text that the library cannot take."""
    import rustbpe

    def learn_from(texts: Iterable[str], size: int) -> dict[bytes, int]:
        trainer = rustbpe.Tokenizer()
        parts = chain.from_iterable(map(cut_blanks, _up_to(texts, TOKENIZER_CHARACTERS)))
        trainer.train_from_iterator(parts, size, pattern=PATTERN)
        return {bytes(token): rank for token, rank in trainer.get_mergeable_ranks()}

    try:
        with name_panics(None):
            return learn_from(texts, size)
    except Indigestible:
        for text in texts:  # all of them went in at once; alone, the one that it cannot take panics again
            with name_panics(text):
                learn_from([text], BYTES)
        raise
