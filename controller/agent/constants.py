"""The named constants of a program: where their literals stand, what their comments say, how to replace one.

Finds by syntax tree and edits by exact span, so that comments and formatting survive and a change is one line.
Does not know which other value would be sensible: that is `steps`.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from controller.syntax import parse

Scalar = bool | int | float | str

LARGEST = 1e18
"""Numbers beyond this are masks and sentinels, not sizes or rates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """One literal below an upper-case name of a module, on one line of it.

    label: the name as a reader would point at it, such as EMBEDDING_LR, ADAM_BETAS[0] or PRESETS[gpu].depth;
    text: the literal as written; comment: the rest of its line; start, end: byte columns, line: from 1.
    """

    path: str
    label: str
    value: Scalar
    text: str
    comment: str
    line: int
    start: int
    end: int


def find_constants(path: str, source: str, *, accelerator: bool) -> tuple[Constant, ...]:
    """Constants that matter on the device in use, in order of the text; without those that the program never reads.

    accelerator: which branch of `if DEVICE == "cuda": ... else: ...`, and which of GPU_DEPTH and CPU_DEPTH, is live.
    """
    tree = parse(source)
    if tree is None:
        return ()
    data = source.encode()
    lines, comments, read = data.splitlines(), _comments(data), _names_read(tree)
    found: dict[str, Constant] = {}
    for label, node in _literals(tree.body, accelerator):
        value = fold(node)
        live = _device(label) in (None, accelerator)
        if value is None or not live or re.split(r"[.\[]", label)[0] not in read or node.lineno != node.end_lineno:
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
    """`source` with the literal of each constant replaced, nothing else touched."""
    lines = source.encode().splitlines(keepends=True)
    for constant, text in sorted(texts.items(), key=lambda item: item[0].start, reverse=True):
        row = lines[constant.line - 1]
        lines[constant.line - 1] = row[: constant.start] + text.encode() + row[constant.end :]
    return b"".join(lines).decode()


def fold(node: ast.expr) -> Scalar | None:
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
            return _folded(_number(left), operator, _number(right))
    return None


def read_number(text: str) -> int | float | None:
    """The number that `text` writes, as `fold` understands it, or None."""
    try:
        return _number(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError):
        return None


def _number(node: ast.expr) -> int | float | None:
    value = fold(node)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _folded(left: float | None, operator: ast.operator, right: float | None) -> int | float | None:
    if left is None or right is None:
        return None
    if isinstance(operator, ast.Mult):
        return left * right
    return int(left**right) if left in (2, 10) and right in range(60) else None


def _literals(body: list[ast.stmt], accelerator: bool) -> Iterator[tuple[str, ast.expr]]:
    """What is assigned to upper-case names; of two branches that may both be live, the first one last: it wins."""
    for statement in body:
        match statement:
            case ast.If(test=test, body=then, orelse=otherwise):
                live = _holds(test, accelerator)
                yield from _literals(otherwise, accelerator) if live is not True else ()
                yield from _literals(then, accelerator) if live is not False else ()
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    yield from _assigned(target, value, accelerator)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                yield from _assigned(target, value, accelerator)


def _assigned(target: ast.expr, value: ast.expr, accelerator: bool) -> Iterator[tuple[str, ast.expr]]:
    match target, value:
        case ast.Tuple(elts=names), ast.Tuple(elts=values) if len(names) == len(values):
            for name, part in zip(names, values, strict=True):
                yield from _assigned(name, part, accelerator)
        case ast.Name(id=name), _ if name.isupper():
            yield from _parts(name, value, accelerator)


def _parts(label: str, node: ast.expr, accelerator: bool) -> Iterator[tuple[str, ast.expr]]:
    match node:
        case ast.IfExp(test=test, body=then, orelse=otherwise):
            yield from _parts(label, otherwise if _holds(test, accelerator) is False else then, accelerator)
        case ast.Tuple(elts=elements) | ast.List(elts=elements):
            for index, element in enumerate(elements):
                yield from _parts(f"{label}[{index}]", element, accelerator)
        case ast.Dict(keys=keys, values=values):
            for key, value in zip(keys, values, strict=True):
                if isinstance(key, ast.Constant):
                    yield from _parts(f"{label}[{key.value!s}]", value, accelerator)
        case ast.Call(keywords=keywords):
            for keyword in keywords:
                if keyword.arg:
                    yield from _parts(f"{label}.{keyword.arg}", keyword.value, accelerator)
        case _:
            yield label, node


def _holds(test: ast.expr, accelerator: bool) -> bool | None:
    """Whether a condition on the device holds; None for conditions on anything else."""
    text = ast.unparse(test)
    device = _device(text)
    negated = text.startswith("not ") or " not " in text or "!=" in text
    return None if device is None else (device == accelerator) != negated


def _device(text: str) -> bool | None:
    """True for words about an accelerator, False for words about the CPU, None for neither or both."""
    gpu, cpu = re.search("cuda|gpu|accelerator", text, re.I), re.search("cpu", text, re.I)
    return None if bool(gpu) == bool(cpu) else bool(gpu)


def _names_read(tree: ast.AST) -> frozenset[str]:
    names = (node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load))
    attributes = (node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    return frozenset((*names, *attributes))


def _comments(data: bytes) -> dict[int, str]:
    found = tokenize.tokenize(io.BytesIO(data).readline)
    return {token.start[0]: token.string.lstrip("# ") for token in found if token.type == tokenize.COMMENT}
