"""Defines what groups of settings are built from: a frozen section that refuses unknown keys, and kinds of values."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from controller.domain import LARGEST_SCORE

Positive = Annotated[float, Field(gt=0)]
Price = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Bound = Annotated[float, Field(ge=-LARGEST_SCORE, le=LARGEST_SCORE, allow_inf_nan=False)]


class Section(BaseModel):
    """A frozen group of settings that refuses keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), use_attribute_docstrings=True)


def _split_line(command: Any) -> Any:
    """The words of a command that was given as one line, or a shell that runs it where only a shell understands it.

    Anything else is left to the type. Raises ValueError where a quotation mark is open.
    """
    if not isinstance(command, str):
        return command
    if re.search(r"[|&;<>$`\n]|^\w+=", command):
        return ("sh", "-c", command)
    return tuple(shlex.split(command))


def _take_one_alone(names: Any) -> Any:
    return (names,) if isinstance(names, str) and names else names


def _write_numbers_as_text(variables: Any) -> Any:
    if not isinstance(variables, Mapping):
        return variables
    return {str(name): str(value) if type(value) in (int, float) else value for name, value in variables.items()}


Item = TypeVar("Item")

Command = Annotated[tuple[str, ...], BeforeValidator(_split_line)]
"""A program and its arguments, or one line as for a shell."""

OneOrMore = Annotated[tuple[Item, ...], BeforeValidator(_take_one_alone)]
"""Several of a kind, or one of it without a list around it."""

Variables = Annotated[Mapping[str, str], BeforeValidator(_write_numbers_as_text)]
"""Environment variables; YAML reads the value in `N: 3` as a number."""
