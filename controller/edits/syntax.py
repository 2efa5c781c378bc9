"""Reads programs as syntax trees without the parts that do not run.

Comments, formatting, docstrings, bare constants and `pass` do not run. The text is untrusted: it is parsed and never
executed, and code that is nested too deeply for Python's parser is a refusal, not a crash.
"""

from __future__ import annotations

import ast
import threading
import warnings
from collections.abc import Collection, Iterator

# `warnings.catch_warnings` swaps a global list, so it is not safe between threads; agents check programs in several.
_warning_filters = threading.Lock()


def find_problem(path: str, text: str) -> str | None:
    """One sentence that says why Python cannot run `text`; None if it can.

    The text is compiled, because the parser alone accepts a return outside of a function.
    """
    try:
        _compile(text)
    except SyntaxError as error:
        return f"{path} line {error.lineno or 1} does not parse: {error.msg}"
    except (ValueError, RecursionError, MemoryError) as error:
        return f"{path} does not parse: {' '.join(str(error).split())[:200] or 'it is nested too deeply'}"
    return None


def parse(text: str) -> ast.Module | None:
    """The syntax tree; None if Python cannot parse the text."""
    try:
        tree = _compile(text, ast.PyCF_ONLY_AST)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return tree if isinstance(tree, ast.Module) else None


def _compile(text: str, flags: int = 0) -> object:
    """Compile without the warnings that the text may cause, such as an invalid escape in a string."""
    with _warning_filters, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Python obeys an encoding declaration in bytes, as it does when it runs the file, and ignores it in a str.
        return compile(text.encode(), "<program>", "exec", flags=flags, dont_inherit=True)


def tokens(root: ast.AST, without: Collection[int] = ()) -> Iterator[str]:
    """The tree in prefix order; two trees give the same tokens only if they do the same.

    without: ids of nodes to leave out. Nodes name their fields and lists their length, so that only one tree fits a
    sequence of tokens. Empty fields are left out, so that a later Python, whose trees have more of them, gives the same
    tokens.
    """
    # A stack instead of recursion: a long chain of operators is a tree deeper than Python's recursion limit.
    stack: list[object] = [root]
    while stack:
        match stack.pop():
            case ast.AST() as node:
                fields = _fields_that_count(node, without)
                yield f"{type(node).__name__} {' '.join(fields)}"
                stack.extend(reversed(fields.values()))
            case list() as items:
                yield f"[{len(items)}]"
                stack.extend(reversed(items))
            case int() as number if not isinstance(number, bool):
                # Python refuses to write an integer of more than 4,300 digits in decimal; hexadecimal has no limit.
                yield f"int {number:x}"
            case leaf:
                yield f"{type(leaf).__name__} {leaf!r}"


def top_level_names(body: list[ast.stmt]) -> Iterator[str]:
    """Names that a module binds when it is imported, the branches of its `if` and `try` included."""
    for statement in body:
        match statement:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Assign(targets=targets):
                yield from (target.id for target in targets if isinstance(target, ast.Name))
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                yield from (alias.asname or alias.name for alias in names)
            case ast.If(body=inner, orelse=otherwise) | ast.Try(body=inner, orelse=otherwise):
                yield from top_level_names([*inner, *otherwise])


def _fields_that_count(node: ast.AST, without: Collection[int]) -> dict[str, object]:
    """The node's fields by name, without empty ones, idle statements and the nodes to leave out."""
    fields: dict[str, object] = {}
    for name, value in ast.iter_fields(node):
        # `kind` tells u"text" from "text", which are the same string.
        if name == "kind" or id(value) in without:
            continue
        if isinstance(value, list):
            value = [item for item in value if not _is_idle(item) and id(item) not in without]
        if value is not None and value != []:
            fields[name] = value
    return fields


def _is_idle(statement: object) -> bool:
    """True if a statement does nothing: `pass`, a docstring or another bare constant."""
    if isinstance(statement, ast.Pass):
        return True
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
