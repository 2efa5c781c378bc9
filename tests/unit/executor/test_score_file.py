"""The score from a file that stands behind a log: found where it is, and told in words where it is not."""

from __future__ import annotations

import gzip
import json
import math

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
        ("r.csv", "loss,loss\n0.9,0.5\n", "loss.1", 0.5),
        ("r.json", '{"loss": "0.5"}', "loss", 0.5),
    ],
)
def test_columns_of_tables_and_numbers_in_quotes_are_read(file: str, content: str, keys: str, value: float) -> None:
    place = place_of(f"{file}:{keys}")
    assert place is not None

    assert read_score_file(f"{MARK} found\n{content.replace(chr(13), '')}", place).value == value


EMPTY = "empty in the last row; r.csv:-2.loss is the row above it (task.score_file)"


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("epoch,acc\n1,0.9\n", "left r.csv without loss; it has epoch, acc (task.score_file)"),
        ("epoch,loss\n", "left r.csv, which has a head and no row"),
        ("epoch,loss\n1,n/a\n", "left r.csv:loss as the text 'n/a', which is no number"),
        (
            "epoch,loss\n1\n",
            "left r.csv:loss empty in the last row; r.csv:-2.loss is the row above it (task.score_file)",
        ),
        ("", "left r.csv empty"),
    ],
)
def test_table_without_the_number_says_what_it_has(content: str, fault: str) -> None:
    place = place_of("r.csv:loss")
    assert place is not None

    assert read_score_file(f"{MARK} found\n{content}", place).fault == fault


@pytest.mark.parametrize(
    ("place", "content"),
    [
        ("m.yaml:val.loss", "val:\n  loss: 0.5\n"),
        ("m.yml:-1.loss", "- loss: 0.9\n- loss: 0.5\n"),
        ("m.yaml:loss", "loss: 0.9\n---\nloss: 5e-1\n---\n"),
        ("m.yaml:a.loss", "a: &a\n  loss: '0.5'\nb: *a\n"),
        ("m.yaml:eval/loss", "\ufeffeval/loss: .5\n"),
        ("m.toml:val.loss", "[val]\nloss = 0.5\n"),
        ("m.toml:eval/loss", '"eval/loss" = 0.5\n'),
        ("wandb-summary.json:eval/loss", '{"_step": 3, "eval/loss": 0.5, "_wandb": {"runtime": 3}}'),
        ("m.json:metrics.val.loss", '{"metrics": {"val.loss": 0.5}}'),
        ("m.json:loss", "{'loss': 0.5, 'ok': True, 'note': None}"),
        ("m.txt:val.loss", "{'val': {'loss': np.float64(0.5),\n         'n': 3}}"),
        ("m.txt:loss", "{'loss': tensor(0.5, device='cuda:0')}"),
        ("r.txt:val loss", "val loss: 0.9\nacc: 0.9\nval loss: 0.5\n"),
        ("r.txt:val.loss", "val.loss=0.5\n"),
        ("r.ini:loss", "[val]\nloss = 0.5\n"),
        ("score.txt", " 0.5\n"),
        ("out/score", "0.9\n0.5\n"),
        ("m.json", "0.5"),
        ("r.csv:loss", "loss\ntensor(0.5)\n"),
    ],
)
def test_forms_in_which_programs_leave_their_scores_are_read(place: str, content: str) -> None:
    assert read(content, place) == FileScore(0.5)


@pytest.mark.parametrize(
    ("place", "content"),
    [
        *(("m.yaml:loss", f"loss: {value}") for value in (".nan", ".NaN", "-.inf", "nan")),
        *(("m.json:loss", f'{{"loss": {value}}}') for value in ("NaN", "-Infinity", '"nan"')),
        ("m.toml:loss", "loss = nan"),
        ("score.txt", "nan"),
    ],
)
def test_number_that_is_not_finite_is_read_as_that(place: str, content: str) -> None:
    value = read(content, place).value

    assert value is not None
    assert not math.isfinite(value)


@pytest.mark.parametrize(
    ("place", "content", "fault"),
    [
        *(
            ("m.yaml:loss", f"loss: {value}", f"left m.yaml:loss as the text '{value}', which is no number")
            for value in ("12:30", "1_000", "0x1F", "2026-01-01", "yes", "null")
        ),
        ("m.yaml:loss", "a: 1\nloss: [\n", "left m.yaml, which cannot be read in line 2: not valid YAML: "),
        ("m.yaml:loss", "loss: 1\nloss: 2\n", "left m.yaml, which cannot be read in line 2: loss stands in line 1 "),
        (
            "m.yaml:loss",
            "loss: !!python/name:os.system x",
            "left m.yaml, which cannot be read in line 1: not valid YAML",
        ),
        ("m.yaml:loss", "loss:", "left m.yaml:loss as an empty text, which is no number"),
        ("m.yaml:loss", "- " * 16_000, "left m.yaml, which cannot be read: not valid YAML: it is nested too deeply"),
        ("m.toml:loss", "loss = ", "left m.toml, which cannot be read: not valid TOML: "),
        ("m.toml:loss", "loss = 2026-01-01", "left m.toml:loss as '2026-01-01', which is no number"),
        (
            "m.toml:loss",
            "a = " + "[" * 9_000,
            "left m.toml, which cannot be read: not valid TOML: it is nested too deeply",
        ),
        ("r.txt:loss", "acc: 0.5", "left r.txt without a line such as 'loss: 0.5': it begins with 'acc: 0.5'"),
        ("r.txt:loss", "loss: 0.5/0.6", "left r.txt:loss as the text '0.5/0.6', which is no number"),
        ("score.txt", "91%", "left score.txt as the text '91%', which is no number"),
        (
            "m.json",
            '{"loss": 1}',
            "left m.json as a group with loss, which is no number: add a colon and the keys to it",
        ),
        ("m.json:loss", '{"loss": 0.5, "acc": 0.', 'left m.json, which is not JSON: it begins with \'{"loss": 0.5, '),
    ],
)
def test_what_cannot_be_read_is_told_in_one_sentence(place: str, content: str, fault: str) -> None:
    said = read(content, place)

    assert said.value is None
    assert said.fault.startswith(fault)


@pytest.mark.parametrize("place", ["m.json:loss", "m.txt:loss", "r.csv:loss", "score.txt"])
@pytest.mark.parametrize("packed", ["loss\n0.5".encode("utf-16"), gzip.compress(b"loss: 0.5")])
def test_file_that_is_no_plain_text_is_told(place: str, packed: bytes) -> None:
    assert read(packed, place).fault.endswith(
        ", which is no plain text, but UTF-16 or packed: write plain text in UTF-8"
    )


def test_yaml_of_aliases_of_aliases_grows_by_nothing() -> None:
    names = [chr(code) for code in range(ord("b"), ord("z"))]
    lines = [f"{name}: &{name} [{', '.join([f'*{chr(ord(name) - 1)}'] * 9)}]" for name in names]

    bomb = "\n".join(["a: &a [x, x, x]", *lines, "loss: 0.5"])

    assert read(bomb, "m.yaml:loss") == FileScore(0.5)
    assert read(bomb, "m.yaml:y").fault.startswith("left m.yaml:y as a list of 9")
    assert read("a: &a [*a]\nloss: 0.5", "m.yaml:loss") == FileScore(0.5)


def test_unit_behind_a_number_in_lines_of_text_is_read() -> None:
    assert read("time: 980 ms", "r.txt:time") == FileScore(980.0, unit="ms")
