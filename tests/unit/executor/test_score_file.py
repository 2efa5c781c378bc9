"""The score from a JSON file that stands behind a log: found where it is, and told in words where it is not."""

from __future__ import annotations

import json

import pytest

from controller.executor.phase_output import read_tail
from controller.executor.score_file import MARK, FileScore, place_of, read_score_file


def read(content: str | bytes, place: str = "m.json:val.loss") -> FileScore:
    file = content if isinstance(content, bytes) else content.encode()
    found = place_of(place)
    assert found is not None
    return read_score_file(read_tail(b"step 1\nstep 2\n" + f"\n{MARK} found\n".encode() + file + b"\n"), found)


@pytest.mark.parametrize(
    ("content", "place"),
    [
        pytest.param('{"val": {"loss": 0.5}}', "m.json:val.loss", id="a group"),
        pytest.param(b'\xef\xbb\xbf{"val": {"loss": 0.5}}', "m.json:val.loss", id="a byte order mark"),
        pytest.param('{"val":\r{"loss":\r0.5}}\r', "m.json:val.loss", id="line ends of old Macs"),
        pytest.param('{"val":\r\n{"loss":\r\n0.5}}\r\n', "m.json:val.loss", id="line ends of Windows"),
        pytest.param(
            '{"note": "a\u2028b\x85c", "val": {"loss": 0.5}}', "m.json:val.loss", id="line separators in a text"
        ),
        pytest.param('{"gr\u00f6\u00dfe": 0.5}', "m.json:gro\u0308\u00dfe", id="an accent of its own in the settings"),
        pytest.param('{"gro\u0308\u00dfe": 0.5}', "m.json:gr\u00f6\u00dfe", id="an accent of its own in the file"),
        pytest.param("[[0.1, 0.2], [0.5]]", "m.json:-1.0", id="a list in a list"),
    ],
)
def test_score_is_found(content: str | bytes, place: str) -> None:
    assert read(content, place) == FileScore(0.5)


@pytest.mark.parametrize("indent", [None, 0, 2])
def test_file_whose_lines_differ_in_their_numbers_alone_stays_whole(indent: int | None) -> None:
    history = json.dumps(
        {"loss": [n / 1000 for n in range(1000)], **{f"step_{n}": n for n in range(300)}}, indent=indent
    )

    assert read(history, "m.json:loss.500") == FileScore(0.5)
    assert read(history, "m.json:step_111") == FileScore(111.0)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        pytest.param("", "left m.json empty", id="empty"),
        pytest.param("loss: 1\n", "left m.json, which is not JSON: it begins with 'loss: 1'", id="YAML"),
        pytest.param("[" * 20_000, "left m.json, which is not JSON: it begins with '[[", id="nested without an end"),
        pytest.param("3", "left m.json without val.loss: there is the number 3", id="a number alone"),
        pytest.param("null", "left m.json without val.loss: there is null", id="null alone"),
        pytest.param('[{"loss": 1}]', "left m.json without val.loss: there is a list of 1, of which a", id="a list"),
        pytest.param('{"a": 1, "b": 2}', "left m.json without val.loss; it has a, b", id="other keys"),
        pytest.param('{"val": {"loss": "0.5"}}', "left m.json:val.loss as the text '0.5', which is no", id="a text"),
        pytest.param('{"val": {"loss": null}}', "left m.json:val.loss as null, which is no number", id="null"),
        pytest.param('{"val": {"loss": true}}', "left m.json:val.loss as true, which is no number", id="true"),
        pytest.param(
            '{"val": {"loss": [1, 2]}}', "left m.json:val.loss as a list of 2, of which a number", id="history"
        ),
        pytest.param(
            '{"val": {"loss": {"a": 1}}}', "left m.json:val.loss as a group with a, which is", id="a group more"
        ),
    ],
)
def test_what_is_there_instead_is_told(content: str, fault: str) -> None:
    said = read(content)

    assert said.value is None
    assert said.fault.startswith(fault)


def test_number_of_any_length_is_read() -> None:
    assert read(json.dumps({"val": {"loss": 1}}).replace("1", "9" * 5000)) == FileScore(float("inf"))
