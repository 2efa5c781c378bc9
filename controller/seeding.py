"""Whether an edit touches where a program's randomness starts: seeds are drawn by the controller, never chosen.

Reads names, not values: it stops the plain forms (another seed, a pinned one, seeding removed). A program that
hides a seed on purpose is met by fresh seeds in every confirmation instead.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence

from controller.syntax import tokens

INJECTED_SEED = "AUTORESEARCH_SEED"
RANDOM_SOURCES = frozenset({"default_rng", "RandomState", "PRNGKey", "set_rng_state"})

Finder = Callable[[ast.AST], Iterator[str]]


def altered(before: Collection[ast.Module], after: Collection[ast.Module]) -> str | None:
    """One sentence when seeding is not what it was, None when it is; the modules of the program before and after."""
    if _counted(_injections, before) != _counted(_injections, after):
        return f"{INJECTED_SEED} must be read exactly as the incumbent reads it: leave that statement alone"
    lost = _counted(_seeding_calls, before) - _counted(_seeding_calls, after)
    if lost:
        return f"the program no longer calls {min(lost)}(...): keep it seeded by {INJECTED_SEED}"
    if _counted(_pinned_seeds, after) - _counted(_pinned_seeds, before):
        return f"a seed is fixed by a constant of its own: derive every seed from {INJECTED_SEED} alone"
    return None


def unseeded(tree: ast.Module) -> Sequence[str]:
    """The program's tokens without its seeds: equal for two programs that differ in seeds only."""
    seeds = {id(value) for _, value in _seeds(tree)}
    return tuple(tokens(tree, without=seeds | {id(statement) for statement in _seed_statements(tree)}))


def speaks_of_seed(name: str) -> bool:
    """Whether a name is a seed's or a random source's: SEED, manual_seed, default_rng."""
    return "seed" in name.lower() or name in RANDOM_SOURCES


def _for_seed(node: ast.expr | None) -> bool:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.Constant(value=str(name)):
            return speaks_of_seed(name)
    return False


def _seeds(tree: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Every expression that gives a seed its value, with the name that it goes to."""
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[*_, target], value=value) if _for_seed(target):
                yield ast.unparse(target), value
            case (
                ast.AnnAssign(target=target, value=ast.expr() as value)
                | ast.AugAssign(target=target, value=value)
                | ast.NamedExpr(target=target, value=value)
            ) if _for_seed(target):
                yield ast.unparse(target), value
            case ast.keyword(arg=str(name), value=value) if speaks_of_seed(name):
                yield name, value
            case ast.Call(func=function, args=arguments, keywords=keywords) if _for_seed(function):
                yield from ((ast.unparse(function), value) for value in (*arguments, *(k.value for k in keywords)))
            case ast.arguments(posonlyargs=first, args=second, defaults=defaults) if defaults:
                pairs = zip([*first, *second][-len(defaults) :], defaults, strict=True)
                yield from ((argument.arg, value) for argument, value in pairs if speaks_of_seed(argument.arg))
            case ast.Dict(keys=keys, values=values):
                yield from ((ast.unparse(k), v) for k, v in zip(keys, values, strict=True) if k and _for_seed(k))


def _seed_statements(tree: ast.AST) -> Iterator[ast.stmt]:
    """Statements that only seed, so that adding or removing one changes only a seed too."""
    for node in ast.walk(tree):
        match node:
            case ast.Expr(value=ast.Call(func=function)) if _for_seed(function):
                yield node
            case ast.Assign(targets=[target]) | ast.AnnAssign(target=target) | ast.AugAssign(target=target):
                if _for_seed(target):
                    yield node


def _injections(tree: ast.AST) -> Iterator[str]:
    """Statements that name the injected seed, without the statements inside them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt):
            inner = {id(child) for child in ast.walk(node) if isinstance(child, ast.stmt) and child is not node}
            own = "\n".join(tokens(node, inner))
            if INJECTED_SEED in own:
                yield own


def _seeding_calls(tree: ast.AST) -> Iterator[str]:
    """Calls for their effect: without torch.manual_seed every run would start from torch's one default seed."""
    for statement in _seed_statements(tree):
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
            yield ast.unparse(statement.value.func)


def _pinned_seeds(tree: ast.AST) -> Iterator[str]:
    """Seeds with a constant in them; the program keeps those that it always had."""
    for name, value in _seeds(tree):
        if any(isinstance(node, ast.Constant) for node in ast.walk(value)):
            yield "\n".join((name, *tokens(value)))


def _counted(found: Finder, trees: Collection[ast.Module]) -> Counter[str]:
    return Counter(item for tree in trees for item in found(tree))
