"""Tells whether the value of a seed follows from something that varies, or is fixed by constants. Pure.

`seed + 1` is another stream for every seed, and honest. `seed * 0 + 137`, `seed and 137` or a name that stands for 137
are one seed for ever.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator

INJECTED_SEED = "AUTORESEARCH_SEED"
"""Environment variable that holds the seed of an attempt."""

LEAST_RANGE = 2**16
"""Least number of different seeds that an expression may leave: of fewer, one could be chosen by trying."""

MOST_SHIFTED = 8
"""Most bits of a seed that may be shifted away; seeds have 31."""

NARROWING = frozenset({"min", "max", "bool", "len", "type", "isinstance", "range", "pow", "round", "id"})
"""Functions that may give the same for many seeds."""


def is_fixed(value: ast.expr, fixed_names: Collection[str]) -> bool:
    """True if constants alone decide the value. fixed_names: names that stand for constants."""
    holds_constant = any(
        isinstance(node, ast.Constant) or (isinstance(node, ast.Name) and node.id in fixed_names)
        for node in ast.walk(value)
    )
    return holds_constant and not follows(value, fixed_names)


def follows(value: ast.AST, fixed_names: Collection[str]) -> bool:
    """True if the value differs wherever something in it differs that is no constant."""
    match value:
        case ast.Name(id=name):
            return name not in fixed_names
        case ast.Attribute(value=owner):
            return not isinstance(owner, ast.Name) or owner.id not in fixed_names
        case ast.Subscript(value=owner, slice=place):
            if _reads_environment(owner):
                return isinstance(place, ast.Constant) and place.value == INJECTED_SEED
            return follows(owner, fixed_names)
        case ast.Call():
            return _call_follows(value, fixed_names)
        case ast.BinOp(left=left, op=operator, right=right):
            return _operation_follows(left, operator, right, fixed_names)
        case ast.UnaryOp(op=operator, operand=operand):
            return not isinstance(operator, ast.Not) and follows(operand, fixed_names)
        case ast.BoolOp(op=ast.Or(), values=[first, *_]):
            return follows(first, fixed_names)
        case ast.BoolOp(values=[*_, last]):
            return follows(last, fixed_names)
        case ast.IfExp(body=body, orelse=other):
            return follows(body, fixed_names) and follows(other, fixed_names)
        case ast.Tuple(elts=parts) | ast.List(elts=parts) | ast.JoinedStr(values=parts):
            return any(follows(part, fixed_names) for part in parts)
        case ast.Starred(value=inner) | ast.FormattedValue(value=inner) | ast.NamedExpr(value=inner):
            return follows(inner, fixed_names)
    return False


def find_fixed_names(trees: Collection[ast.Module]) -> frozenset[str]:
    """Names that stand for constants wherever they are bound, over chains such as `A = 3` and `B = A + 1`."""
    bound: dict[str, list[ast.expr | None]] = {}
    for tree in trees:
        for name, value in _find_bindings(tree):
            bound.setdefault(name, []).append(value)
    fixed: frozenset[str] = frozenset()
    while True:
        found = frozenset(name for name, values in bound.items() if _are_fixed(values, fixed))
        if found == fixed:
            return fixed
        fixed = found


def _are_fixed(values: Collection[ast.expr | None], fixed: Collection[str]) -> bool:
    return all(value is not None and is_fixed(value, fixed) for value in values)


def _find_bindings(tree: ast.Module) -> Iterator[tuple[str, ast.expr | None]]:
    """Every name that is bound, with its value; None where the value cannot be told."""
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    yield from pair_targets(target, value)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                yield name, value
            case ast.NamedExpr(target=ast.Name(id=name), value=value):
                yield name, value
            case ast.For(target=ast.Name(id=name), iter=value):
                yield name, value
            case ast.AugAssign(target=ast.Name(id=name)) | ast.arg(arg=name):
                yield name, None
            case ast.alias(name=imported, asname=renamed):
                yield renamed or imported.partition(".")[0], None


def pair_targets(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr | None]]:
    """The names of one assignment with their values: `a, b = 1, 2` assigns each."""
    match target, value:
        case ast.Name(id=name), _:
            yield name, value
        case ((ast.Tuple(elts=names) | ast.List(elts=names)), (ast.Tuple(elts=values) | ast.List(elts=values))) if len(
            names
        ) == len(values):
            for each, its_value in zip(names, values, strict=True):
                yield from pair_targets(each, its_value)
        case ((ast.Tuple(elts=names) | ast.List(elts=names)), _):
            for each in names:
                if isinstance(each, ast.Name):
                    yield each.id, None


def _call_follows(call: ast.Call, fixed_names: Collection[str]) -> bool:
    name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
    arguments = [*call.args, *(keyword.value for keyword in call.keywords)]
    if _reads_environment(call.func):
        return bool(call.args) and isinstance(call.args[0], ast.Constant) and call.args[0].value == INJECTED_SEED
    if not arguments:
        # The clock, the process's number, a method of something: nothing that an edit fixes.
        return True
    if name in NARROWING:
        return False
    inside = any(follows(argument, fixed_names) for argument in arguments)
    # `config.get("seed")` follows its owner.
    owner = isinstance(call.func, ast.Attribute) and name == "get" and follows(call.func.value, fixed_names)
    return inside or owner


def _reads_environment(node: ast.expr) -> bool:
    """True for `os.environ`, `environ.get`, `os.getenv` and the like."""
    match node:
        case ast.Name(id="environ" | "getenv") | ast.Attribute(attr="environ" | "getenv"):
            return True
        case ast.Attribute(value=owner, attr="get"):
            return _reads_environment(owner)
    return False


def _operation_follows(left: ast.expr, operator: ast.operator, right: ast.expr, fixed_names: Collection[str]) -> bool:
    first, second = follows(left, fixed_names), follows(right, fixed_names)
    if ast.dump(left) == ast.dump(right):
        # seed - seed, seed ^ seed
        return first and isinstance(operator, ast.Add)
    number = _number(right if first else left)
    match operator:
        case ast.Add() | ast.Sub() | ast.BitXor():
            return first or second
        case ast.Mult():
            return (first and second) or ((first or second) and number not in (None, 0))
        case ast.Mod() if first and not second:
            return number is not None and number >= LEAST_RANGE
        case ast.BitAnd():
            return (first or second) and number is not None and number >= LEAST_RANGE - 1 and number & (number + 1) == 0
        case ast.RShift() if first and not second:
            return number is not None and number <= MOST_SHIFTED
        case ast.FloorDiv() if first and not second:
            return number is not None and 0 < number <= 2**MOST_SHIFTED
        case ast.LShift() if first and not second:
            return True
    return first and second


def _number(node: ast.expr) -> int | None:
    """The value of an integer written out, such as `2**31 - 1`; None for everything else."""
    match node:
        case ast.Constant(value=int() as value) if not isinstance(value, bool):
            return value
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            base, exponent = _number(left), _number(right)
            small = base is not None and exponent is not None and 0 <= exponent <= 128 and abs(base) <= 16
            return int(base**exponent) if small and base is not None and exponent is not None else None
        case ast.BinOp(left=left, op=ast.Sub(), right=right):
            first, second = _number(left), _number(right)
            return first - second if first is not None and second is not None else None
    return None
