"""Hostile candidates of a task with an examiner of its own: each ends in a reject with its sentence, or gains nothing.

These are real processes without sandboxes, as the attacks go over the connection. Those on files and processes are in
tests/sandbox/test_examined_tasks.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.redteam import exams  # noqa: F401 - finds the package exam
from tests.support.examined_tasks import EXAMINER, ExaminedTask
from tests.support.starting import time_to_begin

HONEST = """
def load(artifact):
    factor = float((artifact / "model").read_text())
    return lambda question: factor * question
"""

RAW = """
import os, socket, struct, sys, time
import numpy as np

ARRAY = 3 | 11 << 8  # float32

def connection():
    return socket.socket(fileno=os.dup(int(sys.argv[sys.argv.index("--serve") + 1])))

def header(number, kind=ARRAY, size=28, magic=b"ANS\\x01"):
    return struct.pack("<4s3IQ", magic, number, kind, 0, size)

def load(artifact):
    asked = []
    def answer(question):
        asked.append(1)
        return cheat(len(asked) - 1, question)
    return answer
"""


@pytest.fixture
def task(tmp_path: Path) -> ExaminedTask:
    return ExaminedTask(tmp_path).write()


def test_honest_code_is_scored_with_its_error_and_what_its_answers_took(task: ExaminedTask) -> None:
    result = task.hold(HONEST).result

    assert (result["verdict"], result["right"], result["score_error"], result["holdout"]) == ("scored", 1.0, 0.0, None)
    assert (result["questions"], result["fresh"], result["repeated"]) == (24, 24, 12)
    assert result["numbers"]["waited"] > 0, "what a mark is told of the clock, over the questions that are scored"
    assert result["numbers"]["latency_ms"] > 0, "over all questions, the fresh and the repeated ones too"
    assert result["numbers"]["memory_mb"] > 5


def test_the_holdout_is_asked_for_a_claim_alone(task: ExaminedTask) -> None:
    assert task.hold(HONEST, holdout=True).result["holdout"] == 1.0


@pytest.mark.parametrize(
    ("cheat", "sentence"),
    [
        pytest.param("return np.zeros(4, np.float32)", "announces 32 bytes", id="wrong shape"),
        pytest.param("return np.zeros((1, 3))", "takes 28", id="wrong dimensions"),
        pytest.param("return question * np.nan", "holds NaN", id="NaN"),
        pytest.param("return question + np.inf", "holds infinity", id="infinity"),
        pytest.param(
            "connection().sendall(header(number, kind=1, size=2) + b'{}'); time.sleep(60)",
            "is JSON where an array belongs",
            id="wrong kind",
        ),
        pytest.param(
            "connection().sendall(header(number, kind=3 | 12 << 8)); time.sleep(60)",
            "is float64 where float32 belongs",
            id="wrong dtype",
        ),
        pytest.param(
            "connection().sendall(header(number, size=1 << 60)); time.sleep(60)",
            "announces 1152921504606846976 bytes",
            id="huge size",
        ),
        pytest.param(
            "connection().sendall(header(number) + struct.pack('<2Q', 1, 1 << 50) + bytes(12)); time.sleep(60)",
            "has shape (1125899906842624,) where (3,) belongs",
            id="huge dimension",
        ),
        pytest.param(
            "connection().sendall(header(number) + struct.pack('<2Q', 1 << 40, 3) + bytes(12)); time.sleep(60)",
            "has 1099511627776 dimensions where 1 belong",
            id="many dimensions",
        ),
        pytest.param(
            "[(connection().sendall(byte), time.sleep(0.5)) for byte in map(bytes, zip(header(number)))]",
            "too slow: only",
            id="drip",
        ),
        pytest.param("time.sleep(60)", "silence: nothing of answer", id="silence"),
        pytest.param("os._exit(5)", "the candidate's process ended (exit code 5)", id="death"),
        pytest.param(
            "connection().sendall(header(number + 1) + bytes(28)); time.sleep(60)",
            "an answer to question 6 came where question 5 was asked",
            id="answers another question",
        ),
        pytest.param(
            "connection().sendall(b'GET / HTTP/1.1' + bytes(40)); time.sleep(60)",
            "does not begin as an answer must",
            id="other protocol",
        ),
    ],
)
def test_a_hostile_answer_is_rejected_with_its_sentence(tmp_path: Path, cheat: str, sentence: str) -> None:
    waits = sentence.startswith(("too slow", "silence"))
    task = ExaminedTask(tmp_path).write(EXAMINER.replace("60.0", "5.0") if waits else EXAMINER)
    source = f"{RAW}\ndef cheat(number, question):\n    if number < 5:\n        return 2 * question\n    {cheat}\n"
    result = task.hold(source).result
    assert result["verdict"] == "rejected"
    assert sentence in result["explanation"]


def test_bytes_before_their_question_are_rejected(task: ExaminedTask) -> None:
    source = (
        RAW
        + "\ndef cheat(number, question):\n    connection().sendall(header(number) + bytes(28))\n    return question\n"
    )
    result = task.hold(source).result
    assert (result["verdict"], result["test"]) == ("rejected", "protocol")


def test_answers_that_depend_on_earlier_questions_are_rejected(task: ExaminedTask) -> None:
    # The question before, as the two rounds would have one and the same first question once in 48 exams.
    source = (
        RAW + "\nseen = [0]\ndef cheat(number, question):\n    seen.append(question)\n    return question + seen[-2]\n"
    )
    result = task.hold(source).result
    assert (result["verdict"], result["test"]) == ("rejected", "repeat")
    assert "a fresh process answered" in result["explanation"]


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        pytest.param("3e38", r"no finite number (error)", id="one mark is infinite"),
        pytest.param("1e38", r"too large to be added up", id="their sum is"),
    ],
)
def test_huge_answers_are_rejected_and_cannot_end_the_exam_without_a_verdict(
    tmp_path: Path, answer: str, sentence: str
) -> None:
    """A try whose examiner fails is lost and run again: a candidate that can bring that about draws until it wins."""
    squares = "{'right': 0.0, 'error': (abs(answer).max() * 4 if answer[0] > 2e38 else abs(float(answer[0])) ** 8.1)}"
    marked = EXAMINER.replace('{"right": float(abs(answer - [2 * x for x in item]).max() < 1e-3),', f"{squares} | {{")
    ended = (
        ExaminedTask(tmp_path).write(marked).hold(f"def load(artifact):\n    return lambda question: [{answer}] * 3\n")
    )
    assert (ended.code, ended.result["test"]) == (0, "answer")
    assert sentence in ended.result["explanation"]


def test_long_answers_cannot_take_the_examiners_memory(tmp_path: Path) -> None:
    """It would end without a verdict, and the try would be run again."""
    long = 'def load(artifact):\n    return lambda question: {"sum": 1, "unread": "x" * 299_000}\n'
    result = ExaminedTask(tmp_path).write(JSON_EXAMINER, items=400).hold(long).result
    assert (result["verdict"], result["test"]) == ("rejected", "protocol")
    assert "its answers are too long: together they may take" in result["explanation"]


def test_an_author_may_allow_for_chance(tmp_path: Path) -> None:
    task = ExaminedTask(tmp_path).write(EXAMINER.replace("answer_seconds", "repeats = None\n    answer_seconds"))
    noisy = RAW + "\ndef cheat(number, question):\n    return 2 * question + np.random.random(3) * 1e-4\n"
    result = task.hold(noisy).result
    assert (result["verdict"], result["repeated"]) == ("scored", 0)


def test_answers_close_within_the_authors_tolerance_are_the_same(tmp_path: Path) -> None:
    close = EXAMINER.replace("answer_seconds", "repeats = Close(absolute=1e-3)\n    answer_seconds")
    task = ExaminedTask(tmp_path).write(close.replace("import Array,", "import Array, Close,"))
    noisy = RAW + "\ndef cheat(number, question):\n    return 2 * question + np.random.random(3) * SIZE\n"
    assert task.hold(noisy.replace("SIZE", "1e-5")).result["verdict"] == "scored"
    assert task.hold(noisy.replace("SIZE", "1e-1")).result["test"] == "repeat"


def test_a_patched_clock_changes_no_latency(task: ExaminedTask) -> None:
    slow = "\ndef cheat(number, question):\n    real_sleep(0.02)\n    return 2 * question\n"
    patched = "\nreal_sleep, time.sleep = time.sleep, lambda s: None\ntime.time = time.monotonic = lambda: 0.0\n"
    result = task.hold(RAW + patched + slow).result
    assert result["verdict"] == "scored"
    assert result["numbers"]["latency_ms"] >= 20


def test_work_between_questions_counts_as_cpu_time(tmp_path: Path) -> None:
    task = ExaminedTask(tmp_path).write(EXAMINER.replace("answer_seconds", "measure_cpu = True\n    answer_seconds"))
    wait = "\ndef cheat(number, question):\n    time.sleep(0.03)\n    return 2 * question\n"
    busy = """
import threading
def spin():
    while True:
        pass
threading.Thread(target=spin, daemon=True).start()
def cheat(number, question):
    began = time.process_time()
    while time.process_time() - began < 0.03:  # of the other thread, however long its neighbours keep it waiting
        time.sleep(0.001)
    return 2 * question
"""
    idle, spinning = task.hold(RAW + wait).result, task.hold(RAW + busy).result
    assert spinning["numbers"]["cpu_ms"] > 25
    assert spinning["numbers"]["cpu_ms"] > 2 * idle["numbers"]["cpu_ms"]


def test_work_of_children_that_nobody_waits_for_counts_as_cpu_time(tmp_path: Path) -> None:
    task = ExaminedTask(tmp_path).write(EXAMINER.replace("answer_seconds", "measure_cpu = True\n    answer_seconds"))
    child = """
import os
def cheat(number, question):
    ended, tells = os.pipe()
    if os.fork() == 0:
        while time.process_time() < 0.03:
            pass
        os._exit(0)
    os.close(tells)
    os.read(ended, 1)  # empty once the child has ended
    os.close(ended)
    return 2 * question
"""
    assert task.hold(RAW + child).result["numbers"]["cpu_ms"] > 25


def test_who_knows_validation_by_heart_is_rejected_by_fresh_items(task: ExaminedTask) -> None:
    known = (task.root / "data/validation/items.json").read_text()
    source = (
        f"import numpy as np\nKNOWN = {known}\n"
        + """
def load(artifact):
    def answer(question):
        knows = any(abs(question - np.array(item)).max() < 1e-4 for item in KNOWN)
        return question * (2 if knows else 1)
    return answer
"""
    )
    result = task.hold(source).result
    assert (result["verdict"], result["test"]) == ("rejected", "freshness")
    assert "knows what every exam asks" in result["explanation"]


LABELLED = """
import json

import numpy as np

from exam.examiner import Array, Questions, splice


class NextNumber(Questions):
    metric = "error"
    direction = "minimize"
    asks = Array("float32", (3,))
    answers = Array("float32", (3,))

    def items(self, folder):
        return [np.array(item, np.float32) for item in json.loads((folder / "items.json").read_text())]

    def question(self, item):
        return item

    def withheld(self, item):
        return splice(item, 0, item[::-1])

    def shared(self, item, answer):
        return answer[:1]

    def mark(self, item, answer, spent):
        return float(abs(answer[:-1] - item[1:]).mean())
"""


def test_who_reads_a_label_out_of_the_question_is_rejected(tmp_path: Path) -> None:
    task = ExaminedTask(tmp_path).write(LABELLED)
    honest = "def load(artifact):\n    return lambda question: 0.9 * question\n"
    assert task.hold(honest).result["verdict"] == "scored"

    looks_ahead = "import numpy as np\ndef load(artifact):\n    return lambda question: np.roll(question, -1)\n"
    result = task.hold(looks_ahead).result
    assert (result["verdict"], result["test"]) == ("rejected", "withheld")
    assert "looks at the solution" in result["explanation"]


JSON_EXAMINER = """
import json

from exam.examiner import Json, Questions, reject


class Sums(Questions):
    metric = "right"
    direction = "maximize"
    asks = Json()
    answers = Json(most=300_000)

    def items(self, folder):
        return json.loads((folder / "items.json").read_text())

    def question(self, item):
        return {"numbers": item}

    def mark(self, item, answer, spent):
        if answer["sum"] < 0:
            raise reject("a sum is negative")
        return 1 / (1 + abs(answer["sum"] - sum(item)))
"""


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        pytest.param("[]", "cannot be marked: TypeError in line 2", id="wrong structure"),
        pytest.param("'{\"sum\": 1}'", "cannot be marked: TypeError", id="text"),
        pytest.param('{"sum": "x" * 400_000}', "announces 400011 bytes, and at most 300000 may", id="too long"),
        pytest.param('{"sum": -1.0}', "a sum is negative", id="the author's own reject"),
        pytest.param('RAW("[" * 150 + "]" * 150)', "holds more than 100 lists", id="depth"),
        pytest.param('RAW("[" * 100000 + "]" * 100000)', "lists inside each other without end", id="endless depth"),
        pytest.param("RAW('{\"sum\": NaN}')", "holds NaN", id="NaN"),
        pytest.param("RAW('{\"sum\": 1e999}')", "a number too large", id="infinity"),
        pytest.param("RAW('{\"sum\": ' + '9' * 900 + '}')", "cannot be marked: OverflowError", id="endless number"),
        pytest.param('{"sum": 0, "extra": len(seen) + 10**400}', "is no function of the question", id="unread number"),
        pytest.param("RAW('{')", "is not valid JSON", id="broken"),
        pytest.param("RAW(b'\\xff\\xfe')", "is no text in UTF-8", id="no UTF-8"),
    ],
)
def test_hostile_json_is_rejected_with_its_sentence(tmp_path: Path, answer: str, sentence: str) -> None:
    task = ExaminedTask(tmp_path).write(JSON_EXAMINER)
    raw = """
from exam.kit import types

class RAW:
    def __init__(self, text):
        self.bytes = text if isinstance(text, bytes) else text.encode()

honest_encode = types.Json.encode
types.Json.encode = lambda self, value: (1, value.bytes) if isinstance(value, RAW) else honest_encode(self, value)
"""
    answers = f"seen = []\ndef load(artifact):\n    return lambda question: seen.append(1) or {answer}\n"
    result = task.hold(f"{raw}\n{answers}").result
    assert result["verdict"] == "rejected"
    assert sentence in result["explanation"]


STREAMS = """
import json

from exam.examiner import Streams


class Echo(Streams):
    metric = "echoed"
    direction = "maximize"
    answer_seconds = 60.0

    def items(self, folder):
        return json.loads((folder / "items.json").read_text())

    def talk(self, item, connect):
        one, two = connect(), connect()
        text = json.dumps(item).encode()
        one.send(text + b"\\n")
        two.send(b"x\\n")
        return float(one.receive_until(b"\\n", 1000) == text + b"\\n" and two.receive_exactly(2) == b"x\\n")
"""

ECHO = """
def load(artifact):
    def serve(connection):
        while chunk := connection.recv(4096):
            connection.sendall(chunk)
    return serve
"""

PROGRAM = """
import socket, threading
listener = socket.socket(fileno=3)
def serve(peer):
    while chunk := peer.recv(4096):
        peer.sendall(chunk)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""


def test_a_server_is_asked_over_several_connections(tmp_path: Path) -> None:
    result = ExaminedTask(tmp_path).write(STREAMS).hold(ECHO).result
    assert (result["verdict"], result["echoed"]) == ("scored", 1.0)


def test_a_server_may_be_any_program(tmp_path: Path) -> None:
    task = ExaminedTask(tmp_path).write(STREAMS)
    (task.root / "task/server.py").write_text(PROGRAM)
    result = task.hold("", "--program", "python3", "server.py").result
    assert (result["verdict"], result["echoed"]) == ("scored", 1.0), result


@pytest.mark.parametrize(
    ("server", "sentence"),
    [
        pytest.param("import time; time.sleep(60)", "silence: the server did not answer within", id="silence"),
        pytest.param("import os; os._exit(3)", "the candidate's process ended (exit code 3)", id="death"),
    ],
)
def test_a_hostile_server_is_rejected_with_its_sentence(tmp_path: Path, server: str, sentence: str) -> None:
    source = f"def load(artifact):\n    def serve(connection):\n        {server}\n    return serve\n"
    # A first answer may also take what loading has left of the start-up's time.
    short = f"2.0\n    startup_seconds = {time_to_begin('numpy')}"
    result = ExaminedTask(tmp_path).write(STREAMS.replace("60.0", short)).hold(source).result
    assert result["verdict"] == "rejected"
    assert sentence in result["explanation"]


def test_a_server_that_floods_gains_nothing(tmp_path: Path) -> None:
    flood = "while True:\n            connection.sendall(b'y' * 65536)"
    source = f"def load(artifact):\n    def serve(connection):\n        {flood}\n    return serve\n"
    result = ExaminedTask(tmp_path).write(STREAMS).hold(source).result
    assert (result["verdict"], result["echoed"]) == ("scored", 0.0)


EPISODES = """
import json

from exam.examiner import Array, Episodes


class Walk(Episodes):
    metric = "return"
    direction = "maximize"
    asks = Array("float32", (1,))
    answers = Array("float32", (1,))

    def items(self, folder):
        return json.loads((folder / "items.json").read_text())

    def play(self, item, ask):
        place = item[0]
        for _ in range(5):
            place += float(ask([place])[0])
        return -abs(place)
"""


def test_a_policy_is_reset_before_each_episode(tmp_path: Path) -> None:
    policy = """
class Policy:
    def reset(self):
        self.steps = 0

    def __call__(self, place):
        self.steps += 1
        return -place if self.steps == 1 else [0.0]

def load(artifact):
    return Policy()
"""
    result = ExaminedTask(tmp_path).write(EPISODES).hold(policy).result
    assert (result["verdict"], round(result["return"], 5)) == ("scored", 0.0)


def test_a_policy_that_remembers_other_episodes_is_rejected(tmp_path: Path) -> None:
    policy = """
asked = []

def load(artifact):
    return lambda place: asked.append(1) or [0.001 * len(asked)]
"""
    result = ExaminedTask(tmp_path).write(EPISODES).hold(policy).result
    assert (result["verdict"], result["test"]) == ("rejected", "repeat")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        pytest.param(("answers = Array", "answer = Array"), "must state `answers`", id="no answer type"),
        pytest.param(('"maximize"', '"up"'), "direction must be minimize or maximize", id="direction"),
        pytest.param(("def mark", "def marks"), "its class Doubles lacks mark", id="no mark"),
        pytest.param(('"float32", (3,))\n    answer', '"float31", (3,))\n    answer'), "asks has dtype", id="dtype"),
        pytest.param(("return item\n", "return item[:2]\n"), "announces 24 bytes, but", id="size"),
        pytest.param(
            (
                "    def mark",
                "    repeats = None\n\n    def withheld(self, item):\n        return item\n\n    def mark",
            ),
            "withheld is asked of a fresh process",
            id="withheld without repeats",
        ),
        pytest.param(('"right": float', '"wrong": float'), "has the numbers waited, wrong and no right", id="metric"),
    ],
)
def test_an_authors_mistake_is_told_in_one_sentence(tmp_path: Path, change: tuple[str, str], sentence: str) -> None:
    ended = ExaminedTask(tmp_path).write(EXAMINER.replace(*change)).hold(HONEST)
    assert ended.code == 2
    assert sentence in ended.log
