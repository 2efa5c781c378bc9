"""Programs as syntax trees without what does not run: comments, formatting, docstrings, bare constants, `pass`.

Reads text that nobody vouches for: never executes it, and survives code that is nested too deeply for Python.
"""

from __future__ import annotations

import ast
import threading
import warnings
from collections.abc import Collection, Iterator

# Swapping the filters of `warnings` is not safe between threads, and agents check programs from their own.
_warning_filters = threading.Lock()


def problem(path: str, text: str) -> str | None:
    """Why Python cannot run `text`, or None. Compiles, because "return outside function" shows only then."""
    try:
        _compiled(text)
    except SyntaxError as error:
        return f"{path} line {error.lineno or 1} does not parse: {error.msg}"
    except (ValueError, RecursionError, MemoryError) as error:
        return f"{path} does not parse: {' '.join(str(error).split())[:200] or 'it is nested too deeply'}"
    return None


def parse(text: str) -> ast.Module | None:
    """The syntax tree, or None where there is a `problem`."""
    try:
        tree = _compiled(text, ast.PyCF_ONLY_AST)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return tree if isinstance(tree, ast.Module) else None


def _compiled(text: str, flags: int = 0) -> object:
    with _warning_filters, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Bytes, because only then does an encoding declaration count as it will for the interpreter.
        return compile(text.encode(), "<program>", "exec", flags=flags, dont_inherit=True)


def tokens(root: ast.AST, without: Collection[int] = ()) -> Iterator[str]:
    """The tree in prefix order, equal for two trees only if they do the same; `without`: ids of nodes to leave out.

    Nodes name their fields and lists their length, so that the sequence has one reading. Empty fields do not
    count, so that a later Python, whose trees have more of them, gives the same tokens.
    """
    stack: list[object] = [root]  # instead of recursion, whose limit a long chain of operators exceeds
    while stack:
        match stack.pop():
            case ast.AST() as node:
                fields = [(name, _kept(value, without)) for name, value in ast.iter_fields(node) if name != "kind"]
                fields = [(name, value) for name, value in fields if value is not None and value != []]
                yield f"{type(node).__name__} {' '.join(name for name, _ in fields)}"
                stack.extend(value for _, value in reversed(fields))
            case list() as items:
                yield f"[{len(items)}]"
                stack.extend(reversed(items))
            case int() as number if not isinstance(number, bool):
                yield f"int {number:x}"  # Python refuses to write huge integers in decimal
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


def _kept(value: object, without: Collection[int]) -> object:
    if isinstance(value, list):
        return [item for item in value if not _is_idle(item) and id(item) not in without]
    return None if id(value) in without else value


def _is_idle(statement: object) -> bool:
    return isinstance(statement, ast.Pass) or (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    )
