"""Finds edits that touch a program's seeds. The controller draws every seed, so that no edit can choose a lucky one.

The checks find another seed, a fixed one, and seeding removed, in Python and in settings files. A task that reads no
seed may begin to read the injected one. Against a program that hides a seed on purpose the judge helps: every rerun
gets a fresh seed.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from controller.edits.seed_values import INJECTED_SEED, find_fixed_names
from controller.edits.seeds import find_fixed_seeds, find_seed_statements, find_seeds, speaks_of_seed
from controller.edits.syntax import tokens

PINNED = f"a seed is fixed by a constant of its own: derive every seed from {INJECTED_SEED} alone"

_SETTING = re.compile(
    r"""^\s*(?:export\s+)?["']?([A-Za-z_][\w.\- ]*?)["']?\s*[:=]\s*(.+?)\s*,?\s*$"""  # TOML, YAML, JSON, INI, shell
)
_OPTION = re.compile(r"(--[\w-]*seed[\w-]*)(?:=|\s+)(\S+)", re.IGNORECASE)
"""An option of a command line."""

_CALL = re.compile(
    r"""((?:[\w.:]*seed\w*|\bsrand\w*|\bmt19937(?:_64)?|\bminstd_rand0?|\bdefault_random_engine|\bNewSource"""
    r"""|\bNewPCG|\bnew\s+Random|\bRandomState)!?)(?:\s+\w+)?\s*[({]\s*([-+]?\d\w*|"[^"]*"|'[^']*')\s*[)},]""",
    re.IGNORECASE,
)
"""A call that seeds in C, C++, Rust, Go, Java, C#, JavaScript, Julia or R, by a number or a text written out."""

_MACRO = re.compile(r"#\s*define\s+(\w+)\s+(\S+)")


def find_altered_seeding(before: Collection[ast.Module], after: Collection[ast.Module]) -> str | None:
    """One sentence that says how the edit changes seeding; None if it does not.

    before, after: the modules of the program before and after the edit.
    """
    old, new = _count_injections(before), _count_injections(after)
    if old and old != new:
        return f"{INJECTED_SEED} must be read exactly as the incumbent reads it: leave that statement alone"
    if any(_sets_injection(tree) for tree in after):
        return f"{INJECTED_SEED} is set by the program: the controller sets it, read it only"
    lost = _count_seeding_calls(before) - _count_seeding_calls(after)
    if lost and not new - old:
        return f"the program no longer calls {min(lost)}(...): keep it seeded by {INJECTED_SEED}"
    if _count_fixed_seeds(after) - _count_fixed_seeds(before):
        return PINNED
    return None


def begins_to_read_seed(before: Collection[ast.Module], after: Collection[ast.Module]) -> bool:
    """True if the program reads the injected seed and did not before."""
    return not _count_injections(before) and bool(_count_injections(after))


def tokens_without_seeds(tree: ast.Module) -> Sequence[str]:
    """The program's tokens without its seeds: equal for two programs that differ in seeds only."""
    left_out = {id(value) for _, value in find_seeds(tree, find_fixed_names([tree]))}
    left_out |= {id(statement) for statement in find_seed_statements(tree)}
    return tuple(tokens(tree, without=left_out))


def changes_only_text_seeds(before: str, after: str) -> bool:
    """True if two texts of a settings file differ in seeds, and beside them at most in comments and blank lines."""
    return _count_text_seeds(before) != _count_text_seeds(after) and _rest_of(before) == _rest_of(after)


def _rest_of(text: str) -> Sequence[str]:
    """The lines of a settings file without its seeds, and without blank lines and comments."""
    kept = []
    for line in text.splitlines():
        plain = _strip_comment(line)
        if plain and not list(_find_seeds_of_line(plain)):
            kept.append(plain)
    return kept


def find_pinned_in_text(before: str, after: str) -> str | None:
    """One sentence if a settings file pins a seed that it did not pin before; else None."""
    if _count_text_seeds(after) - _count_text_seeds(before):
        return PINNED
    return None


def _count_text_seeds(text: str) -> Counter[tuple[str, str]]:
    counts: Counter[tuple[str, str]] = Counter()
    for line in text.splitlines():
        for name, value in _find_seeds_of_line(_strip_comment(line)):
            if INJECTED_SEED not in value:
                counts[name, value] += 1
    return counts


def _find_seeds_of_line(line: str) -> Iterator[tuple[str, str]]:
    """Name and value of each seed in one line of a settings file or a script."""
    setting = _SETTING.match(line)
    if setting and setting[1] != INJECTED_SEED and speaks_of_seed(setting[1].rpartition(".")[2]):
        yield setting[1], setting[2]
    for option in _OPTION.finditer(line):
        yield option[1], option[2]
    for call in _CALL.finditer(line):
        yield call[1], call[2]
    macro = _MACRO.match(line)
    if macro and speaks_of_seed(macro[1]):
        yield macro[1], macro[2]
    # Of an inline table, such as {seed = 1, depth = 2} or {"seed": 1}.
    for inline in re.finditer(r"""[{,]\s*["']?([A-Za-z_][\w.-]*)["']?\s*[:=]\s*([^,{}]+)""", line):
        if speaks_of_seed(inline[1]):
            yield inline[1], inline[2].strip()


def _strip_comment(line: str) -> str:
    return re.sub(r"(^|\s)(#(?!\s*define\b)|//|;).*$", "", line).strip()


def _count_injections(trees: Collection[ast.Module]) -> Counter[str]:
    """Texts of the statements that name the injected seed, without the statements inside them."""
    counts: Counter[str] = Counter()
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.stmt):
                inner = {id(child) for child in ast.walk(node) if isinstance(child, ast.stmt) and child is not node}
                own = "\n".join(tokens(node, inner))
                if INJECTED_SEED in own:
                    counts[own] += 1
    return counts


def _sets_injection(tree: ast.Module) -> bool:
    """True if the program gives the environment's variable a value of its own."""
    for node in ast.walk(tree):
        match node:
            case ast.Subscript(slice=ast.Constant(value=str(name)), ctx=ast.Store()) if name == INJECTED_SEED:
                return True
            case ast.Call(func=ast.Attribute(attr="putenv" | "setdefault" | "update"), args=arguments):
                if any(INJECTED_SEED in ast.dump(argument) for argument in arguments):
                    return True
    return False


def _count_seeding_calls(trees: Collection[ast.Module]) -> Counter[str]:
    """Names of functions that are called to seed: without torch.manual_seed torch uses the same default seed always."""
    counts: Counter[str] = Counter()
    for tree in trees:
        for statement in find_seed_statements(tree):
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
                counts[ast.unparse(statement.value.func)] += 1
    return counts


def _count_fixed_seeds(trees: Collection[ast.Module]) -> Counter[str]:
    """Seeds that constants decide. An edit may keep those that the program always had, and add none."""
    counts: Counter[str] = Counter()
    for name, value in find_fixed_seeds(trees):
        counts["\n".join((name, *tokens(value)))] += 1
    return counts
