"""Make or check the sealed data folder of a task; and the two names that train.py imports. Agents never edit it.

The work is in corpus/, a room for each step. A folder without a manifest is unfinished.

    python prepare.py --data DIR                      the running interpreter's own sources, no download
    python prepare.py --data DIR --source FOLDER      every text file below a folder
    python prepare.py --data DIR --source a.parquet b.parquet
    python prepare.py --data DIR --source hf:ORG/NAME[@REVISION][/GLOB] --preset gpu
    python prepare.py --data DIR --check              verify a folder against its manifest

A controller names the preset in AUTORESEARCH_PRESET; --preset wins over it, and a size that is given over both.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from corpus.batches import make_dataloader
from corpus.errors import Damaged, OlderLayout, PrepareError
from corpus.folder import prepare
from corpus.manifest import read_manifest
from corpus.recipe import PRESETS, PROBE_SETS, RESERVE_SLICES, Recipe
from corpus.sources import describe_source
from corpus.tokenizer import Tokenizer

__all__ = ["Tokenizer", "make_dataloader"]


def parse_arguments(arguments: Sequence[str] | None) -> tuple[argparse.Namespace, Recipe]:
    """Options, with the preset filling what was not given."""
    parser = argparse.ArgumentParser(description="Make or check the sealed data folder of a task.")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="the folder to make or to check")
    parser.add_argument(
        "--source", nargs="+", default=["stdlib"], help="stdlib, FOLDER, hf:ORG/NAME[@REVISION][/GLOB] or parquet files"
    )
    parser.add_argument(
        "--preset",
        choices=sorted(PRESETS),
        default=os.environ.get("AUTORESEARCH_PRESET") or "cpu",
        help="sizes not given otherwise; default: $AUTORESEARCH_PRESET, else cpu",
    )
    parser.add_argument("--vocabulary", type=int, metavar="V", help="tokens, specials included")
    parser.add_argument("--sequence-length", type=int, metavar="T", help="tokens scored in one exam sequence")
    parser.add_argument("--sequences", type=int, metavar="S", help="exam sequences in each of validation and holdout")
    parser.add_argument("--probes", type=int, metavar="N", help="probes in one set, at most S")
    parser.add_argument("--probe-sets", type=int, default=PROBE_SETS, metavar="K")
    parser.add_argument("--reserve-slices", type=int, default=RESERVE_SLICES, metavar="K", help="0 for no reserve")
    parser.add_argument("--reserve-sequences", type=int, metavar="R", help="most exam sequences in one slice")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--check", action="store_true", help="only verify DIR against its manifest")
    options = parser.parse_args(arguments)
    if options.preset not in PRESETS:  # argparse checks what is given, and not a default
        parser.error(f"AUTORESEARCH_PRESET {options.preset!r} is no preset: choose from {', '.join(sorted(PRESETS))}")
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
        reserve_slices=options.reserve_slices,
        reserve_sequences=options.reserve_sequences,
        seed=options.seed,
        preset=options.preset,
    )
    return options, recipe


def run(options: argparse.Namespace, recipe: Recipe) -> None:
    """Check or make the folder and say what it holds; raises PrepareError."""
    if options.check:
        try:
            print(f"{options.data} matches its manifest, identity {read_manifest(options.data)['identity']}")
        except OlderLayout as error:
            raise PrepareError(f"{error}: make one in another folder, for a campaign of its own") from error
        except Damaged as error:
            raise PrepareError(f"{error}: delete the folder and run prepare.py --data {options.data} again") from error
        return
    complaint = recipe.complaint()
    if complaint:
        raise PrepareError(complaint)
    print("\n".join(prepare(options.data, options.source, recipe)))
    manifest = read_manifest(options.data)
    if "revision" in manifest:
        print(f"{'source:':<12}{manifest['source']}, revision {manifest['revision']}")
    for split, counts in manifest["splits"].items():
        print(f"{split + ':':<12}" + ", ".join(f"{count:,} {name}" for name, count in counts.items()))
    print(f"{'exam:':<12}{recipe.exam_logits / 1e9:.3g} G logits, about {recipe.exam_seconds:.3g} s on two cores")
    print(f"{'identity:':<12}{manifest['identity']}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    options, recipe = parse_arguments(arguments)
    try:
        run(options, recipe)
    except (PrepareError, OSError) as error:
        print(f"prepare.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("prepare.py: interrupted; run it again, it begins anew", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
