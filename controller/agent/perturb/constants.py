"""Finds the named constants of a program, with their comments, and replaces their values.

The syntax tree gives the exact place of each literal, so that a replacement changes one line and keeps comments and
formatting. `steps` finds other values that are sensible.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from controller.edits.syntax import parse

Scalar = bool | int | float | str

LARGEST = 1e18
"""Numbers from this size on are masks and sentinels, not sizes or rates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """One literal that is assigned to an upper-case name of a module, or a part of what is assigned."""

    path: str
    """File, relative to the task folder."""

    label: str
    """The name as a reader would write it, such as EMBEDDING_LR, ADAM_BETAS[0] or PRESETS[gpu].depth."""

    value: Scalar

    text: str
    """The literal as written."""

    comment: str
    """The comment on its line, without the sign #; empty if there is none."""

    line: int
    """Its only line, counted from 1."""

    start: int
    """First byte of the literal in its line, counted from 0."""

    end: int
    """Byte after the literal."""


def find_constants(path: str, source: str, *, accelerator: bool) -> tuple[Constant, ...]:
    """Constants that matter on the device in use, in order of the text, without those that the program never reads.

    accelerator: true for a GPU. It decides which branch of `if DEVICE == "cuda": ... else: ...`, and which of GPU_DEPTH
    and CPU_DEPTH, is live.
    """
    tree = parse(source)
    if tree is None:
        return ()
    data = source.encode()
    # The syntax tree counts columns in bytes of UTF-8, so lines are cut as bytes.
    lines = data.splitlines()
    comments = _find_comments(data)
    names_read, of_settings = _find_names_read(tree), _is_of_settings(tree)
    found: dict[str, Constant] = {}
    for label, node in _find_literals(tree.body, accelerator):
        value = evaluate_literal(node)
        is_live = _find_device(label) in (None, accelerator)
        name = re.split(r"[.\[]", label)[0]
        is_read = of_settings or name in names_read
        if value is None or not is_live or not is_read or node.lineno != node.end_lineno:
            continue
        text = lines[node.lineno - 1][node.col_offset : node.end_col_offset].decode()
        found[label] = Constant(
            path=path,
            label=label,
            value=value,
            text=text,
            comment=comments.get(node.lineno, ""),
            line=node.lineno,
            start=node.col_offset,
            end=node.end_col_offset or 0,
        )
    return tuple(sorted(found.values(), key=lambda constant: (constant.line, constant.start)))


def replace_literals(source: str, texts: Mapping[Constant, str]) -> str:
    """`source` with the literal of each constant replaced and everything else as it was."""
    lines = source.encode().splitlines(keepends=True)
    # From the right to the left, so that a replacement does not move the literals that are still to come.
    for constant, text in sorted(texts.items(), key=lambda item: item[0].start, reverse=True):
        row = lines[constant.line - 1]
        lines[constant.line - 1] = row[: constant.start] + text.encode() + row[constant.end :]
    return b"".join(lines).decode()


def evaluate_literal(node: ast.expr) -> Scalar | None:
    """The value of a literal such as `0.2`, `-1`, `2**16` or `64 * 1024`; None for anything else."""
    match node:
        case ast.Constant(value=bool() | str() as value):
            return value
        case ast.Constant(value=int() | float() as number) if abs(number) < LARGEST:
            return number
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            negated = _number(operand)
            return None if negated is None else -negated
        case ast.BinOp(left=left, op=ast.Mult() | ast.Pow() as operator, right=right):
            return _evaluate_operation(_number(left), operator, _number(right))
    return None


def read_number(text: str) -> int | float | None:
    """The number that `text` writes, as `evaluate_literal` understands it; None if it is no such number."""
    try:
        return _number(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError):
        return None


def _number(node: ast.expr) -> int | float | None:
    value = evaluate_literal(node)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _evaluate_operation(left: float | None, operator: ast.operator, right: float | None) -> int | float | None:
    if left is None or right is None:
        return None
    if isinstance(operator, ast.Mult):
        return left * right
    # Only powers as people write sizes: a huge exponent would take all memory.
    return int(left**right) if left in (2, 10) and right in range(60) else None


def _find_literals(body: list[ast.stmt], accelerator: bool) -> Iterator[tuple[str, ast.expr]]:
    """Labels and values of all that is assigned to upper-case names.

    The later one of equal labels counts. So of two branches that may both be live, the first comes last.
    """
    for statement in body:
        match statement:
            case ast.If(test=test, body=then, orelse=otherwise):
                holds = _find_truth(test, accelerator)
                if holds is not True:
                    yield from _find_literals(otherwise, accelerator)
                if holds is not False:
                    yield from _find_literals(then, accelerator)
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    yield from _split_assignment(target, value, accelerator)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                yield from _split_assignment(target, value, accelerator)


def _split_assignment(target: ast.expr, value: ast.expr, accelerator: bool) -> Iterator[tuple[str, ast.expr]]:
    """Labels and values of one assignment; `A, B = 1, 2` has two."""
    match target, value:
        case ast.Tuple(elts=names), ast.Tuple(elts=values) if len(names) == len(values):
            for name, part in zip(names, values, strict=True):
                yield from _split_assignment(name, part, accelerator)
        case ast.Name(id=name), _ if name.isupper():
            yield from _split_value(name, value, accelerator)


def _split_value(label: str, node: ast.expr, accelerator: bool) -> Iterator[tuple[str, ast.expr]]:
    """Labels and values of the parts of a tuple, list, dict or call; another value is its own part."""
    match node:
        case ast.IfExp(test=test, body=then, orelse=otherwise):
            live = otherwise if _find_truth(test, accelerator) is False else then
            yield from _split_value(label, live, accelerator)
        case ast.Tuple(elts=elements) | ast.List(elts=elements):
            for index, element in enumerate(elements):
                yield from _split_value(f"{label}[{index}]", element, accelerator)
        case ast.Dict(keys=keys, values=values):
            for key, value in zip(keys, values, strict=True):
                if isinstance(key, ast.Constant):
                    yield from _split_value(f"{label}[{key.value!s}]", value, accelerator)
        case ast.Call(keywords=keywords):
            for keyword in keywords:
                if keyword.arg:
                    yield from _split_value(f"{label}.{keyword.arg}", keyword.value, accelerator)
        case _:
            yield label, node


def _find_truth(test: ast.expr, accelerator: bool) -> bool | None:
    """True or false for a condition on the device; None for a condition on anything else."""
    text = ast.unparse(test)
    device = _find_device(text)
    if device is None:
        return None
    negated = text.startswith("not ") or " not " in text or "!=" in text
    return (device == accelerator) != negated


def _find_device(text: str) -> bool | None:
    """True for words about an accelerator, false for words about the CPU, None for neither or both."""
    names_gpu = re.search("cuda|gpu|accelerator", text, re.I) is not None
    names_cpu = re.search("cpu", text, re.I) is not None
    return None if names_gpu == names_cpu else names_gpu


def _find_names_read(tree: ast.AST) -> frozenset[str]:
    """Names that the program reads; an attribute counts, because a module may be read from another."""
    names = set()
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Load()) | ast.Attribute(attr=name):
                names.add(name)
    return frozenset(names)


def _is_of_settings(tree: ast.Module) -> bool:
    """True for a file that does nothing but give names to values: other files read them."""
    return all(
        isinstance(statement, (ast.Assign, ast.AnnAssign, ast.Import, ast.ImportFrom))
        or (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
        for statement in tree.body
    )


def _find_comments(data: bytes) -> dict[int, str]:
    """Comments by line, without the sign #. The syntax tree has none, so the tokenizer finds them."""
    comments = {}
    for token in tokenize.tokenize(io.BytesIO(data).readline):
        if token.type == tokenize.COMMENT:
            comments[token.start[0]] = token.string.lstrip("# ")
    return comments
