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
        pytest.param(
            '{"val": {"loss": "0.5 nats"}}', "left m.json:val.loss as the text '0.5 nats', which is no", id="a text"
        ),
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


@pytest.mark.parametrize(
    ("file", "content", "keys", "value"),
    [
        ("r.csv", "epoch,loss\n1,0.9\n2,0.5\n", "loss", 0.5),
        ("r.csv", "epoch, loss\n1, 0.9\n2, 0.5\n\n", "loss", 0.5),
        ("r.csv", "epoch;loss\r\n1;0.9\r\n2;0.5\r\n", "loss", 0.5),
        ("r.tsv", "epoch\tloss\n1\t0.9\n", "loss", 0.9),
        ("r.csv", "epoch,loss\n1,0.9\n2,0.5\n", "0.loss", 0.9),
        ("r.csv", 'name,"val, loss"\n"a, b",0.5\n', "val, loss", 0.5),
        ("r.csv", "name,val.loss,0\na,0.5,3\n", "val.loss", 0.5),
        ("r.csv", "name,0\na,0.5\n", "0", 0.5),
        ("r.csv", 'ops\n"1,234"\n', "ops", 1234.0),
        ("r.json", '{"loss": "0.5"}', "loss", 0.5),
    ],
)
def test_columns_of_tables_and_numbers_in_quotes_are_read(file: str, content: str, keys: str, value: float) -> None:
    place = place_of(f"{file}:{keys}")
    assert place is not None

    assert read_score_file(f"{MARK} found\n{content.replace(chr(13), '')}", place).value == value


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("epoch,acc\n1,0.9\n", "left r.csv without loss; it has epoch, acc (task.score_file)"),
        ("epoch,loss\n", "left r.csv with a head and no row"),
        ("epoch,loss\n1,n/a\n", "left r.csv:loss as the text 'n/a', which is no number"),
        ("epoch,loss\n1\n", "left r.csv:loss as null, which is no number"),
        ("", "left r.csv empty"),
    ],
)
def test_table_without_the_number_says_what_it_has(content: str, fault: str) -> None:
    place = place_of("r.csv:loss")
    assert place is not None

    assert read_score_file(f"{MARK} found\n{content}", place).fault == fault
