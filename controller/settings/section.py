"""Defines what groups of settings are built from: a frozen section that refuses unknown keys, and kinds of values."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from controller.domain import LARGEST_SCORE

LONGEST_SECONDS = 31_536_000
"""A year: no wait is longer, and sums of waits stay numbers of seconds that clocks and clusters can hold."""

Positive = Annotated[float, Field(gt=0, le=1e12)]
Seconds = Annotated[float, Field(gt=0, le=LONGEST_SECONDS)]
Price = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Bound = Annotated[float, Field(ge=-LARGEST_SCORE, le=LARGEST_SCORE, allow_inf_nan=False)]


class Section(BaseModel):
    """A frozen group of settings that refuses keys it does not know."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, protected_namespaces=(), use_attribute_docstrings=True, allow_inf_nan=False
    )

    @field_validator("*", mode="before")
    @classmethod
    def _yes_is_no_number(cls, given: Any, info: ValidationInfo) -> Any:
        """Refuse `yes` and `true` where a number is asked for: pydantic takes them for 1."""
        field = cls.model_fields[info.field_name or ""]
        kinds = _kinds(field.annotation)
        if isinstance(given, bool) and kinds & {int, float} and bool not in kinds:
            raise PydanticCustomError("no_number", "must be a number, and YAML reads yes, no, on and off otherwise")
        return given


def section_of(annotation: Any) -> type[Section] | None:
    """The section that a setting of this type holds; None for a plain value."""
    return annotation if isinstance(annotation, type) and issubclass(annotation, Section) else None


def without_empty_groups(document: Mapping[str, Any], section: type[Section]) -> dict[str, Any]:
    """The document without groups that hold nothing, such as a line `judge:` whose settings are commented out."""
    kept = {}
    for name, value in document.items():
        field = section.model_fields.get(name) if isinstance(name, str) else None
        inner = section_of(field.annotation) if field else None
        if inner and value is None:
            continue
        kept[name] = without_empty_groups(value, inner) if inner and isinstance(value, Mapping) else value
    return kept


def _kinds(annotation: Any) -> set[Any]:
    """The types that an annotation admits: of `int | None` these two."""
    if get_origin(annotation) is Annotated:
        return _kinds(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return set().union(*map(_kinds, get_args(annotation)))
    return {annotation}


def _split_line(command: Any) -> Any:
    """The words of a command that was given as one line, or a shell that runs it where only a shell understands it.

    Anything else is left to the type. Refused where a quotation mark is open.
    """
    if not isinstance(command, str):
        return command
    if re.search(r"[|&;<>$`\n*?[]|^\w+=", command):
        return ("sh", "-c", command)
    try:
        return tuple(shlex.split(command))
    except ValueError as error:
        raise PydanticCustomError("open_quotation", "has a quotation mark that is not closed") from error


def _begins_with_program(command: tuple[str, ...]) -> tuple[str, ...]:
    if command and not command[0].strip():
        raise PydanticCustomError("no_program", "begins with an empty word: begin with a program")
    return command


def _take_one_alone(names: Any) -> Any:
    return (names,) if isinstance(names, str) and names else names


def _write_numbers_as_text(variables: Any) -> Any:
    if not isinstance(variables, Mapping):
        return variables
    return {str(name): str(value) if type(value) in (int, float) else value for name, value in variables.items()}


Item = TypeVar("Item")

Command = Annotated[tuple[str, ...], BeforeValidator(_split_line), AfterValidator(_begins_with_program)]
"""A program and its arguments, or one line as for a shell."""

OneOrMore = Annotated[tuple[Item, ...], BeforeValidator(_take_one_alone)]
"""Several of a kind, or one of it without a list around it."""

Variables = Annotated[Mapping[str, str], BeforeValidator(_write_numbers_as_text)]
"""Environment variables; YAML reads the value in `N: 3` as a number."""
