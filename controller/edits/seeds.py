"""Finds the seeds of a Python program: what gives a random source its state, under whatever name. Pure.

A seed is known by the name that it goes to (`SEED`, `random_state`, an entry `"seed"`, an option `--seed`) or by the
source that it is given to (`default_rng`, `PCG64`, `jax.random.key`).
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator

from controller.edits.seed_values import INJECTED_SEED, find_fixed_names, is_fixed, pair_targets

RANDOM_SOURCES = frozenset(
    {
        "default_rng",
        "RandomState",
        "PRNGKey",
        "set_rng_state",
        "setstate",
        "random_state",
        "PCG64",
        "PCG64DXSM",
        "MT19937",
        "Philox",
        "SFC64",
        "Random",
    }
)
"""Names of Python, numpy, JAX, scikit-learn and torch that take a seed or a state without saying "seed"."""

KEY_MODULES = frozenset({"random", "jrandom", "jr", "jax_random"})
"""Names by which JAX's random numbers are imported; their `key` takes a seed."""

RANDOM_KEYWORDS = frozenset({"rng"})
"""Keywords that take a seed where they are given a number."""


def speaks_of_seed(name: str) -> bool:
    """True if a name is a seed's or a random source's, such as SEED, manual_seed, random_state or PCG64."""
    return "seed" in name.lower() or name in RANDOM_SOURCES


def find_seeds(tree: ast.Module, fixed_names: Collection[str]) -> Iterator[tuple[str, ast.expr]]:
    """Every expression that gives a seed its value, with the name that it goes to.

    A constant that is given to a seed by its name is one as well: `PIN = 137` before `manual_seed(PIN)`.
    """
    pinned: set[str] = set()
    for name, value in _find_direct_seeds(tree):
        yield name, value
        if isinstance(value, ast.Name) and value.id in fixed_names:
            pinned.add(value.id)
    for name, value in _find_assignments(tree):
        if name in pinned and not speaks_of_seed(name):
            yield name, value


def find_fixed_seeds(trees: Collection[ast.Module]) -> Iterator[tuple[str, ast.expr]]:
    """Seeds that constants alone decide, with the name that each goes to."""
    fixed_names = find_fixed_names(trees)
    for tree in trees:
        for name, value in find_seeds(tree, fixed_names):
            if is_fixed(value, fixed_names):
                yield name, value


def find_seed_statements(tree: ast.AST) -> Iterator[ast.stmt]:
    """Statements that only seed, so that adding or removing one changes only a seed too."""
    for node in ast.walk(tree):
        match node:
            case ast.Expr(value=ast.Call(func=function) as call) if _names_seed(function) or _makes_key(call):
                yield node
            case ast.Assign(targets=[target]) | ast.AnnAssign(target=target) | ast.AugAssign(target=target):
                if _names_seed(target):
                    yield node


def _find_direct_seeds(tree: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    yield from _find_in_target(target, value)
            case (
                ast.AnnAssign(target=target, value=ast.expr() as value)
                | ast.AugAssign(target=target, value=value)
                | ast.NamedExpr(target=target, value=value)
            ) if _names_seed(target):
                yield ast.unparse(target), value
            case ast.keyword(arg=str(name), value=value) if speaks_of_seed(name) or _is_number_for(name, value):
                yield name, value
            case ast.Call():
                yield from _find_in_call(node)
            case ast.arguments():
                yield from _find_in_defaults(node)
            case ast.Dict(keys=keys, values=values):
                for key, value in zip(keys, values, strict=True):
                    if key and _names_seed(key):
                        yield ast.unparse(key), value


def _find_in_target(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(target, ast.Tuple | ast.List):
        for name, its_value in pair_targets(target, value):
            if its_value is not None and speaks_of_seed(name):
                yield name, its_value
    elif _names_seed(target):
        yield ast.unparse(target), value


def _find_in_call(call: ast.Call) -> Iterator[tuple[str, ast.expr]]:
    if _names_seed(call.func) or _makes_key(call):
        for value in (*call.args, *(keyword.value for keyword in call.keywords)):
            yield ast.unparse(call.func), value
        return
    # `add_argument("--seed", default=3)`, `config.get("seed", 3)`, `getattr(options, "seed", 3)`.
    named = [place for place, value in enumerate(call.args) if isinstance(value, ast.Constant) and _names_seed(value)]
    if named:
        defaults = [keyword.value for keyword in call.keywords if keyword.arg == "default"]
        for value in (*call.args[named[0] + 1 :], *defaults):
            if not _names_seed(value):
                yield ast.unparse(call.args[named[0]]), value


def _find_in_defaults(arguments: ast.arguments) -> Iterator[tuple[str, ast.expr]]:
    """Defaults of parameters. Python keeps those of positional ones in one list, which belongs to the last of them."""
    positional = [*arguments.posonlyargs, *arguments.args]
    with_default = positional[len(positional) - len(arguments.defaults) :]
    pairs = [
        *zip(with_default, arguments.defaults, strict=True),
        *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
    ]
    for argument, value in pairs:
        if value is not None and speaks_of_seed(argument.arg):
            yield argument.arg, value


def _find_assignments(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    for name, its_value in pair_targets(target, value):
                        if its_value is not None:
                            yield name, its_value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                yield name, value


def _names_seed(node: ast.expr | None) -> bool:
    """True if an assigned, called or looked-up name speaks of a seed. The injected one's name is no seed's value."""
    match node:
        case ast.Constant(value=str(name)) if name == INJECTED_SEED:
            return False
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.Constant(value=str(name)):
            return speaks_of_seed(name)
        case ast.Subscript(slice=ast.Constant(value=str(name))):
            return speaks_of_seed(name) and name != INJECTED_SEED
    return False


def _makes_key(call: ast.Call) -> bool:
    """True for JAX's `random.key(0)`; also for a bare `key(0)`, because nothing else of this name takes a number."""
    match call:
        case ast.Call(func=ast.Attribute(attr="key", value=ast.Name(id=owner) | ast.Attribute(attr=owner))):
            return owner in KEY_MODULES
        case ast.Call(func=ast.Name(id="key"), args=[ast.Constant(value=int())]):
            return True
    return False


def _is_number_for(name: str, value: ast.expr) -> bool:
    return name in RANDOM_KEYWORDS and isinstance(value, ast.Constant) and isinstance(value.value, int)
