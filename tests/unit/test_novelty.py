"""What is not worth a training: programs that do not parse, change nothing, repeat themselves or choose a seed."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from controller.novelty import MAX_BYTES, fingerprint, refusal

TRAIN = '''"""A small training."""

import os

import torch

DEPTH = 4  # layers
RATE = 3e-4
GREETING = "hello"


def load_model(folder):
    """The trained model."""
    return torch.load(folder)


def main(data_seed=1):
    seed = int(os.environ.get("AUTORESEARCH_SEED", "42"))
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    sample(DEPTH, RATE, rng, seed=seed, jitter={"seed": 5})


if __name__ == "__main__":
    main()
'''

names = st.sampled_from(["DEPTH", "WIDTH", "RATE", "NAME"])
values = st.one_of(
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.none(),
    st.text(max_size=5),
    st.binary(max_size=5),
    st.tuples(st.integers(), st.booleans()),
)
programs = st.lists(st.tuples(names, values), min_size=1, max_size=6)
comments = st.text(st.characters(categories=["L", "N", "P", "S"], include_characters=" "), max_size=20).filter(
    lambda comment: "coding" not in comment  # such a comment declares an encoding, and that counts
)


def written(program: list[tuple[str, object]]) -> str:
    return "".join(f"{name} = {value!r}\n" for name, value in program)


def judged(train: str, *, base: str = TRAIN, tried: frozenset[str] = frozenset(), exam: bool = True) -> str | None:
    return refusal(base={"train.py": base}, proposed={"train.py": train}, tried=tried, needs_load_model=exam)


@given(program=programs, comment=comments, blank=st.integers(0, 3))
def test_comments_and_formatting_and_docstrings_never_count(
    program: list[tuple[str, object]], comment: str, blank: int
) -> None:
    plain = written(program) + "def f():\n    return 1\n"
    dressed = '"""Docstring."""\n' + "".join(
        f"{name}=( {value!r} )   # {comment}\n" + "\n" * blank + f"# {comment}\n" for name, value in program
    )
    dressed += "def f():\n  'It returns one.'\n  pass\n  return (1)\n"

    assert fingerprint({"train.py": plain}) == fingerprint({"train.py": dressed})


@given(program=programs, which=st.integers(0, 5), value=values)
def test_every_change_of_a_constant_counts(program: list[tuple[str, object]], which: int, value: object) -> None:
    index = which % len(program)
    assume(repr(program[index][1]) != repr(value))
    changed = [*program[:index], (program[index][0], value), *program[index + 1 :]]

    assert fingerprint({"train.py": written(program)}) != fingerprint({"train.py": written(changed)})


@given(program=programs)
def test_a_normalised_program_has_the_fingerprint_of_its_source(program: list[tuple[str, object]]) -> None:
    source = written(program)

    assert fingerprint({"train.py": source}) == fingerprint({"train.py": ast.unparse(ast.parse(source))})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("x = [1, [2]]", "x = [1, 2]", id="nesting"),
        pytest.param("f(a, b=c)", "f(a, b, c)", id="keyword or position"),
        pytest.param("x = a[1:]", "x = a[:1]", id="bounds of a slice"),
        pytest.param("if a:\n    b()\nc()", "if a:\n    b()\n    c()", id="indentation"),
        pytest.param("x = f''", "x = ''", id="kind of string"),
        pytest.param("x = None", "x = ...", id="empty values"),
        pytest.param('x = "é"', '# coding: latin-1\nx = "é"', id="declared encoding"),
    ],
)
def test_programs_that_do_different_things_differ(one: str, other: str) -> None:
    assert fingerprint({"train.py": one}) != fingerprint({"train.py": other})


def test_names_and_number_of_files_count() -> None:
    prints = {
        fingerprint({"a.py": "x = 1", "b.py": ""}),
        fingerprint({"a.py": "", "b.py": "x = 1"}),
        fingerprint({"a.py": "x = 1"}),
        fingerprint({"c.py": "x = 1"}),
    }

    assert len(prints) == 4


def test_text_files_differ_by_anything_but_trailing_white_space() -> None:
    assert fingerprint({"notes.yaml": "a: 1  \nb: 2\n\n"}) == fingerprint({"notes.yaml": "a: 1\nb: 2"})
    assert fingerprint({"notes.yaml": "a: 1\n b: 2"}) != fingerprint({"notes.yaml": "a: 1\nb: 2"})
    assert fingerprint({"notes.yaml": "# a\nb: 2"}) != fingerprint({"notes.yaml": "b: 2"})


def test_programs_too_deep_for_recursion_still_have_a_fingerprint() -> None:
    long = "x = " + " + ".join(["1"] * 2000)

    assert fingerprint({"train.py": long}) != fingerprint({"train.py": long + " + 1"})
    assert fingerprint({"train.py": "x = 0x" + "f" * 9000}) != fingerprint({"train.py": "x = 0x" + "e" * 9000})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("DEPTH = 4", "DEPTH = 5", id="a constant"),
        pytest.param("sample(DEPTH", "sample(DEPTH + 1", id="an expression"),
        pytest.param(
            "rng = torch.Generator().manual_seed(seed)\n    sample(DEPTH, RATE, rng",
            "sample(DEPTH, RATE, None",
            id="less use of the seed",
        ),
        pytest.param("sample(DEPTH", "torch.cuda.manual_seed_all(seed)\n    sample(1", id="more use of the seed"),
        pytest.param(
            "import torch\n", "import torch\nimport warnings\nx = 1 is 1\n", id="code that Python warns about"
        ),
    ],
)
def test_real_changes_are_trained(old: str, new: str) -> None:
    assert judged(TRAIN.replace(old, new)) is None


@pytest.mark.parametrize(
    "train",
    [
        pytest.param(TRAIN, id="the same text"),
        pytest.param(TRAIN.replace("# layers", "# blocks"), id="a comment"),
        pytest.param(TRAIN.replace("A small training.", "A big one."), id="a docstring"),
        pytest.param(TRAIN.replace("\n\n\n", "\n\n"), id="blank lines"),
        pytest.param(TRAIN.replace("3e-4", "0.0003"), id="another way to write a number"),
        pytest.param(TRAIN.replace("    main()\n", "    main()\nelse:\n    pass\n"), id="a branch that does nothing"),
    ],
)
def test_an_edit_that_does_nothing_is_refused(train: str) -> None:
    assert "nothing changes" in (judged(train) or "")


def test_no_edit_at_all_is_refused() -> None:
    assert "nothing changes" in (
        refusal(base={"train.py": TRAIN}, proposed={}, tried=frozenset(), needs_load_model=True) or ""
    )


def test_a_tried_program_is_refused_however_it_is_formatted() -> None:
    tried = frozenset({fingerprint({"train.py": TRAIN.replace("DEPTH = 4", "DEPTH = 5")})})

    assert "already tried" in (judged(TRAIN.replace("DEPTH = 4  # layers", "DEPTH = (5)"), tried=tried) or "")
    assert judged(TRAIN.replace("DEPTH = 4", "DEPTH = 6"), tried=tried) is None


def test_a_tried_program_counts_the_files_that_the_proposal_leaves_alone() -> None:
    base = {"train.py": TRAIN, "model.py": "WIDTH = 2\n"}
    tried = frozenset({fingerprint({**base, "model.py": "WIDTH = 3\n"})})

    again = refusal(base=base, proposed={"model.py": "WIDTH = 3"}, tried=tried, needs_load_model=True)

    assert "already tried" in (again or "")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param('"42"', '"137"', id="default of the injected seed"),
        pytest.param("manual_seed(seed)\n    rng", "manual_seed(seed + 1)\n    rng", id="argument of manual_seed"),
        pytest.param("    torch.manual_seed(seed)\n", "", id="a seeding call removed"),
        pytest.param(
            "    torch.manual_seed(seed)\n", "    torch.manual_seed(seed)\n    random.seed(7)\n", id="one added"
        ),
        pytest.param("seed=seed", "seed=3", id="a keyword"),
        pytest.param("data_seed=1", "data_seed=2", id="a default argument"),
        pytest.param('"seed": 5', '"seed": 6', id="an entry of a dict"),
        pytest.param("DEPTH = 4  # layers\n", "DEPTH = 4\nSEED = 137\n", id="a new constant"),
        pytest.param("rng = torch", "seed += 1\n    rng = torch", id="a seed counted up"),
    ],
)
def test_an_edit_of_nothing_but_a_seed_is_refused(old: str, new: str) -> None:
    assert old in TRAIN
    assert "only a seed changes" in (judged(TRAIN.replace(old, new)) or "")


@pytest.mark.parametrize(
    ("old", "new", "because"),
    [
        pytest.param('int(os.environ.get("AUTORESEARCH_SEED", "42"))', "137", "AUTORESEARCH_SEED", id="not read"),
        pytest.param('"42"))', '"42")) * 0 + 137', "AUTORESEARCH_SEED", id="read and thrown away"),
        pytest.param(
            "    seed = ", '    os.environ["AUTORESEARCH_SEED"] = "1"\n    seed = ', "AUTORESEARCH_SEED", id="set"
        ),
        pytest.param("    torch.manual_seed(seed)\n", "", "no longer calls torch.manual_seed", id="unseeded"),
        pytest.param("torch.manual_seed(seed)\n", "torch.manual_seed(137)\n", "a constant of its own", id="pinned"),
        pytest.param("import torch\n", "import torch\nSEED = 137\n", "a constant of its own", id="a seed of its own"),
        pytest.param(
            "rng = ", "noise = np.random.default_rng(3)\n    rng = ", "a constant of its own", id="a generator"
        ),
    ],
)
def test_seeding_may_not_change_along_with_something_else(old: str, new: str, because: str) -> None:
    assert old in TRAIN
    train = TRAIN.replace("DEPTH = 4", "DEPTH = 5").replace(old, new)

    assert because in (judged(train) or "")


def test_a_constant_seed_that_was_always_there_stands_in_nobodys_way() -> None:
    base = "import torch\nDEPTH = 4\ntorch.manual_seed(42)\nprint(DEPTH)\n"

    assert judged(base.replace("4\n", "5\n"), base=base, exam=False) is None
    assert "only a seed" in (judged(base.replace("42", "137"), base=base, exam=False) or "")


@pytest.mark.parametrize(
    ("train", "because"),
    [
        pytest.param("x = (", "train.py line 1 does not parse", id="an open bracket"),
        pytest.param("x = 1\nreturn x\n", "train.py line 2 does not parse", id="return outside function"),
        pytest.param("x = 1\ndef f():\n    y = x\n    global x\n", "line 4 does not parse", id="global after use"),
        pytest.param("x = '\0'", "does not parse", id="a null byte"),
        pytest.param("x = " + "(" * 5000, "does not parse", id="nested beyond the parser"),
        pytest.param("x = " + "-" * 100_000 + "1", "does not parse", id="nested beyond the stack"),
        pytest.param("# coding: no-such-code\n", "does not parse", id="an unknown encoding"),
        pytest.param("x = '\ud800'", "UTF-8", id="half a character"),
    ],
)
def test_what_python_cannot_run_is_refused(train: str, because: str) -> None:
    assert because in (judged(train) or "")


@pytest.mark.parametrize("path", ["prepare.py", "../train.py", "/etc/passwd", "./train.py", "exam/examine.py", ""])
def test_files_that_may_not_be_edited_are_refused(path: str) -> None:
    proposed = {"train.py": TRAIN.replace("DEPTH = 4", "DEPTH = 5"), path: "x = 1\n"}

    answer = refusal(base={"train.py": TRAIN}, proposed=proposed, tried=frozenset(), needs_load_model=True)

    assert answer == f"{path!r} is not an editable file: change only train.py"


def test_a_program_that_no_config_map_holds_is_refused_whichever_file_is_large() -> None:
    base = {"train.py": TRAIN, "table.txt": "1" * (MAX_BYTES - len(TRAIN) - 1)}
    proposed = {"train.py": TRAIN + "é = 1\n"}

    answer = refusal(base=base, proposed=proposed, tried=frozenset(), needs_load_model=True)

    assert "bytes" in (answer or "")
    assert refusal(base={**base, "table.txt": "1"}, proposed=proposed, tried=frozenset(), needs_load_model=True) is None


@pytest.mark.parametrize(
    ("definition", "found"),
    [
        pytest.param("def load_model(folder):\n    return folder\n", True, id="a function"),
        pytest.param("from model import load_model\n", True, id="an import"),
        pytest.param("load_model = torch.load\n", True, id="an assignment"),
        pytest.param("try:\n    import fast as load_model\nexcept ImportError:\n    raise\n", True, id="inside try"),
        pytest.param(
            "def main():\n    def load_model(folder):\n        return folder\n", False, id="inside a function"
        ),
        pytest.param("class Model:\n    def load_model(self):\n        return self\n", False, id="a method"),
        pytest.param("load_model(3)\n", False, id="a call"),
    ],
)
def test_the_exam_needs_load_model_at_the_top_level(definition: str, found: bool) -> None:
    answer = judged(definition, base="x = 1\n")

    assert (answer is None) == found
    assert judged(definition, base="x = 1\n", exam=False) is None


def test_our_own_task_may_be_changed_and_may_not_be_reseeded() -> None:
    train = Path(__file__).parents[2].joinpath("trainer-image", "train.py").read_text()
    reseeded = train.replace("AUTORESEARCH_SEED", "SEED")

    assert judged(train.replace("WARMDOWN_RATIO = ", "WARMDOWN_RATIO = 0.9 * "), base=train) is None
    assert reseeded != train
    assert judged(reseeded, base=train) is not None
