"""Byte-pair tokens: merges learnt by rustbpe, served by tiktoken, kept as JSON (no pickle: folders may be shared)."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

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
