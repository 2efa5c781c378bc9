"""Finds what an edit uses and nobody has: names, packages, arguments of the file's own functions. Pure.

Such an edit parses and crashes in its training, minutes later. What is found is told and not refused: a program may
define names in ways that no reader of its text can follow. What the program had before the edit is left alone.
"""

from __future__ import annotations

import ast
import builtins
import symtable
from collections.abc import Iterator

from controller.edits import syntax

_KNOWN = frozenset(dir(builtins)) | {"__file__", "__path__", "__class__", "__annotations__", "__builtins__"}


def find_new_faults(before: str, after: str) -> list[str]:
    """One sentence for each fault of the new program that the old one did not have."""
    old = {sentence for _, sentence in _find_faults(before)}
    return [f"line {line}: {sentence}" for line, sentence in _find_faults(after) if sentence not in old]


def find_new_imports(before: str, after: str, *, importable: frozenset[str]) -> list[str]:
    """One sentence for each package that the new program imports, the old one did not, and nobody has installed.

    importable: names of all modules at the top level. An import that the program itself guards by `try` is no fault.
    """
    old = {name for _, name in _find_imports(before)}
    found: dict[str, int] = {}
    for line, name in _find_imports(after):
        if name not in old and name not in importable:
            found.setdefault(name, line)
    return [f"line {line}: there is no package {name}" for name, line in found.items()]


def _find_imports(text: str) -> list[tuple[int, str]]:
    """Line and top-level name of each absolute import outside of a `try`."""
    tree = syntax.parse(text)
    if tree is None:
        return []
    guarded = {id(inner) for node in ast.walk(tree) if isinstance(node, ast.Try) for inner in ast.walk(node)}
    found = []
    for node in ast.walk(tree):
        if id(node) in guarded:
            continue
        if isinstance(node, ast.Import):
            found += [(node.lineno, each.name.partition(".")[0]) for each in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.append((node.lineno, node.module.partition(".")[0]))
    return sorted(found)


def _find_faults(text: str) -> list[tuple[int, str]]:
    """Line and sentence of each fault, in the order of lines, each sentence once."""
    tree = syntax.parse(text)
    if tree is None:
        return []
    found: dict[str, int] = {}
    for line, sentence in (*_find_undefined(tree, text), *_find_wrong_calls(tree)):
        found.setdefault(sentence, line)
    return sorted((line, sentence) for sentence, line in found.items())


def _find_undefined(tree: ast.Module, text: str) -> Iterator[tuple[int, str]]:
    if any(isinstance(node, ast.ImportFrom) and node.names[0].name == "*" for node in ast.walk(tree)):
        return
    try:
        scopes = [*_walk_scopes(symtable.symtable(text, "<program>", "exec"))]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    defined = set(_KNOWN)
    used: set[str] = set()
    for scope in scopes:
        is_module = scope.get_type() == "module"
        for symbol in scope.get_symbols():
            binds = symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace() or symbol.is_annotated()
            if (is_module or symbol.is_declared_global()) and binds:
                defined.add(symbol.get_name())
            # In a function that is called top, symtable takes its own names for the module's.
            elif (is_module or (symbol.is_global() and not symbol.is_local())) and symbol.is_referenced():
                used.add(symbol.get_name())
    missing = used - defined
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in missing:
            yield node.lineno, f"{node.id} is not defined"


def _walk_scopes(scope: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield scope
    for inner in scope.get_children():
        yield from _walk_scopes(inner)


def _find_wrong_calls(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Calls of the file's own functions, and of classes with a constructor, that do not fit their parameters."""
    signatures = _find_signatures(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in signatures:
            name, parameters = node.func.id, signatures[node.func.id]
            known = {each.arg for each in (*parameters.args, *parameters.kwonlyargs)}
            for keyword in node.keywords:
                if keyword.arg is not None and keyword.arg not in known and parameters.kwarg is None:
                    yield node.lineno, f"{name}() takes no argument {keyword.arg}"
            most = len(parameters.posonlyargs) + len(parameters.args)
            starred = any(isinstance(argument, ast.Starred) for argument in node.args)
            if not starred and parameters.vararg is None and len(node.args) > most:
                yield node.lineno, f"{name}() takes at most {most} positional arguments, not {len(node.args)}"


def _find_signatures(tree: ast.Module) -> dict[str, ast.arguments]:
    """Parameters of functions and constructors that are defined once, at the top, and without a decorator."""
    found: dict[str, ast.arguments] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.decorator_list:
            found[node.name] = node.args
        elif isinstance(node, ast.ClassDef) and not node.decorator_list and not node.keywords:
            constructors = [each for each in node.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"]
            if len(constructors) == 1 and not constructors[0].decorator_list:
                found[node.name] = _without_self(constructors[0].args)
    for name in _find_rebound(tree):
        found.pop(name, None)
    return found


def _find_rebound(tree: ast.Module) -> Iterator[str]:
    """Names that are bound more than once anywhere, so that a call may mean something else."""
    counts: dict[str, int] = {}
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name) | ast.alias(asname=str(name)):
                counts[name] = counts.get(name, 0) + 1
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                counts[name] = counts.get(name, 0) + 1
    return (name for name, count in counts.items() if count > 1)


def _without_self(parameters: ast.arguments) -> ast.arguments:
    first = parameters.posonlyargs or parameters.args
    if not first:
        return parameters
    if parameters.posonlyargs:
        return ast.arguments(**{**vars(parameters), "posonlyargs": parameters.posonlyargs[1:]})
    return ast.arguments(**{**vars(parameters), "args": parameters.args[1:]})
