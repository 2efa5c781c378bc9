"""Programs that do not parse, change nothing, repeat themselves or choose a seed are not worth a training."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from controller.edits.novelty import MAX_BYTES, find_refusal, fingerprint

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
    return find_refusal(base={"train.py": base}, proposed={"train.py": train}, tried=tried, needs_load_model=exam)


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
    assert fingerprint({"notes.txt": "# a\nb: 2"}) != fingerprint({"notes.txt": "b: 2"})


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
        find_refusal(base={"train.py": TRAIN}, proposed={}, tried=frozenset(), needs_load_model=True) or ""
    )


def test_a_tried_program_is_refused_however_it_is_formatted() -> None:
    tried = frozenset({fingerprint({"train.py": TRAIN.replace("DEPTH = 4", "DEPTH = 5")})})

    assert "already tried" in (judged(TRAIN.replace("DEPTH = 4  # layers", "DEPTH = (5)"), tried=tried) or "")
    assert judged(TRAIN.replace("DEPTH = 4", "DEPTH = 6"), tried=tried) is None


def test_a_tried_program_counts_the_files_that_the_proposal_leaves_alone() -> None:
    base = {"train.py": TRAIN, "model.py": "WIDTH = 2\n"}
    tried = frozenset({fingerprint({**base, "model.py": "WIDTH = 3\n"})})

    again = find_refusal(base=base, proposed={"model.py": "WIDTH = 3"}, tried=tried, needs_load_model=True)

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


UNSEEDED = """import numpy as np
import jax
from sklearn.model_selection import train_test_split

DEPTH = 4


def main(options):
    split(DEPTH, options)
"""

PINS = [
    "rng = np.random.default_rng(3)",
    "rng = np.random.Generator(np.random.PCG64(1))",
    "rng = np.random.Generator(np.random.Philox(key=5))",
    "rng = random.Random(7)",
    "key = jax.random.key(0)",
    "key = key(0)",
    "key = jax.random.PRNGKey(0)",
    "train_test_split(x, random_state=1)",
    "random_state = 42",
    "stats.norm.rvs(size=3, rng=9)",
    "SEED, DEPTH = 3, 4",
    "seed = other = 3",
    "config['seed'] = 3",
    "config.seed = 3",
    "parser.add_argument('--seed', type=int, default=42)",
    "seed = config.get('seed', 7) if False else 7",
    "torch.manual_seed(seed * 0 + 137)",
    "torch.manual_seed(seed and 137)",
    "torch.manual_seed(seed - seed + 137)",
    "torch.manual_seed(seed % 2)",
    "torch.manual_seed(seed >> 40)",
    "torch.manual_seed(seed & 1)",
    "torch.manual_seed(min(seed, 1))",
    "torch.manual_seed(137 if seed else 138)",
    "PIN = 137\n    torch.manual_seed(PIN)",
    "PIN = 137\n    OTHER = PIN + 1\n    torch.manual_seed(OTHER)",
    "for pin in (3, 4):\n        torch.manual_seed(pin)",
    "torch.manual_seed(int(os.environ['LUCKY']) * 0 + 3)",
    "torch.manual_seed(int('137'))",
    "def draw(*, seed=3): ...",
]

HONEST = [
    "rng = np.random.default_rng(seed + 1)",
    "rng = np.random.default_rng([seed, 3])",
    "torch.manual_seed(seed * 2 + 1)",
    "torch.manual_seed(seed ^ 12345)",
    "torch.manual_seed((seed + 17) % 2**32)",
    "torch.manual_seed(hash((seed, 'data')))",
    "key = jax.random.fold_in(jax.random.key(seed), 3)",
    "train_test_split(x, random_state=seed + 1)",
    "rng = np.random.Generator(np.random.PCG64(seed))",
    "torch.manual_seed(options.seed + 1)",
    "torch.manual_seed(config['seed'] + 1)",
    "order = sorted(items, key=len)",
    "value = table.key(3)",
    "proceed = 3",
]


@pytest.mark.parametrize("pin", PINS)
def test_no_seed_may_be_pinned_beside_another_change_whatever_it_is_called(pin: str) -> None:
    for base in (TRAIN, UNSEEDED):
        place = "    seed = int(" if base is TRAIN else "    split("
        train = base.replace("DEPTH = 4", "DEPTH = 5").replace(place, f"    {pin}\n{place}", 1)

        assert "constant of its own" in (judged(train, base=base, exam=False) or "")


@pytest.mark.parametrize("line", HONEST)
def test_what_follows_from_the_injected_seed_may_be_added(line: str) -> None:
    place = "    torch.manual_seed(seed)\n"
    train = TRAIN.replace("DEPTH = 4", "DEPTH = 5").replace(place, f"{place}    {line}\n", 1)

    assert judged(train) is None


@pytest.mark.parametrize("beside", [True, False])
def test_a_task_without_a_seed_may_begin_to_read_the_injected_one(beside: bool) -> None:
    read = 'seed = int(os.environ["AUTORESEARCH_SEED"])\n    torch.manual_seed(seed)'
    train = UNSEEDED.replace("    split(", f"    {read}\n    split(")
    if beside:
        train = train.replace("DEPTH = 4", "DEPTH = 5")

    assert judged(train, base=UNSEEDED, exam=False) is None
    pinned = train.replace("manual_seed(seed)", "manual_seed(seed)\n    np.random.seed(3)")
    assert "constant of its own" in (judged(pinned, base=UNSEEDED, exam=False) or "")
    set_by_itself = train.replace("    seed = int(", '    os.environ["AUTORESEARCH_SEED"] = "3"\n    seed = int(')
    assert "AUTORESEARCH_SEED" in (judged(set_by_itself, base=UNSEEDED, exam=False) or "")


def test_a_pinned_seed_may_give_way_to_the_injected_one() -> None:
    base = "import os\nDEPTH = 4\nnp.random.seed(42)\nprint(DEPTH)\n"
    better = base.replace("42", 'int(os.environ["AUTORESEARCH_SEED"])')

    assert judged(better, base=base, exam=False) is None
    assert "only a seed" in (judged(base.replace("42", "43"), base=base, exam=False) or "")


@pytest.mark.parametrize(
    ("path", "base", "seed"),
    [
        ("config.toml", "depth = 4\n", "seed = 1\n"),
        ("config.toml", "depth = 4\n", "data = {seed = 1, size = 3}\n"),
        ("config.yaml", "depth: 4\n", "random_state: 1\n"),
        ("config.json", '{\n"depth": 4\n}\n', '"random_seed": 1\n'),
        ("run.sh", "python train.py\n", "python other.py --data-seed 7\n"),
    ],
)
def test_a_settings_file_may_gain_no_seed_and_choose_none(path: str, base: str, seed: str) -> None:
    def judge(old: str, new: str) -> str:
        return find_refusal(base={path: old}, proposed={path: new}, tried=frozenset(), needs_load_model=False) or ""

    seeded = base + seed
    other = seeded.replace("1", "2").replace(" 7", " 8")
    assert "only a seed" in judge(base, seeded)
    assert "only a seed" in judge(seeded, other)
    assert "constant of its own" in judge(base, seeded + "width = 3\n")
    assert "constant of its own" in judge(seeded, other + "width = 3\n")
    assert judge(seeded, seeded + "width = 3\n") == ""


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

    answer = find_refusal(base={"train.py": TRAIN}, proposed=proposed, tried=frozenset(), needs_load_model=True)

    assert answer == f"{path!r} is not an editable file: change only train.py"


def test_a_program_that_no_config_map_holds_is_refused_whichever_file_is_large() -> None:
    base = {"train.py": TRAIN, "table.txt": "1" * (MAX_BYTES - len(TRAIN) - 1)}
    proposed = {"train.py": TRAIN + "é = 1\n"}

    answer = find_refusal(base=base, proposed=proposed, tried=frozenset(), needs_load_model=True)

    assert "bytes" in (answer or "")
    assert (
        find_refusal(base={**base, "table.txt": "1"}, proposed=proposed, tried=frozenset(), needs_load_model=True)
        is None
    )


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
    train = Path(__file__).parents[3].joinpath("trainer-image", "train.py").read_text()
    reseeded = train.replace("AUTORESEARCH_SEED", "SEED")

    assert judged(train.replace("WARMDOWN_RATIO = ", "WARMDOWN_RATIO = 0.9 * "), base=train) is None
    assert reseeded != train
    assert judged(reseeded, base=train) is not None


@pytest.mark.parametrize("hidden", [*"\x1b\x7f\x9b\r\u200b\u202e\u2066\u2028\ufeff"])
def test_character_that_hides_what_a_program_does_is_sent_back_unless_it_was_there(hidden: str) -> None:
    text = f"x = 1\n# {hidden}z\ny = 2\n"

    assert f"train.py line 2 holds U+{ord(hidden):04X}" in (judged(text, base="x = 1\n", exam=False) or "")
    assert judged(text, base=f"# {hidden}\nx = 1\n", exam=False) is None


def test_line_ends_of_windows_and_emoji_are_no_reason_to_send_back() -> None:
    assert judged("x = 2\r\nprint('⚠\ufe0f größer')\r\n", base="x = 1\n", exam=False) is None


@pytest.mark.parametrize(
    ("before", "after", "refused"),
    [
        pytest.param(9, 10, False, id="as long as allowed"),
        pytest.param(9, 11, True, id="one line too long"),
        pytest.param(14, 12, False, id="too long before, and shorter now"),
        pytest.param(14, 14, False, id="too long before, and no longer now"),
        pytest.param(14, 15, True, id="too long before, and longer now"),
    ],
)
def test_file_that_grows_beyond_the_limit_is_sent_back(before: int, after: int, refused: bool) -> None:
    def program(lines: int, value: int) -> str:
        return "".join(f"K{n} = {value}\n" for n in range(lines))

    answer = find_refusal(
        base={"train.py": program(before, 1)},
        proposed={"train.py": program(after, 2)},
        tried=frozenset(),
        needs_load_model=False,
        max_lines=10,
    )

    assert (answer is not None) is refused
    assert answer is None or f"{after} lines, 10 at most" in answer


@pytest.mark.parametrize(
    ("path", "line", "other"),
    [
        ("a.c", "srand(1);", "srand(2);"),
        ("a.h", "#define SEED 1", "#define SEED 2"),
        ("a.cpp", "std::mt19937 rng(1);", "std::mt19937 rng(2);"),
        ("a.rs", "let r = StdRng::seed_from_u64(1);", "let r = StdRng::seed_from_u64(0x2);"),
        ("a.go", "r := rand.New(rand.NewSource(1))", "r := rand.New(rand.NewSource(2))"),
        ("a.java", "Random r = new Random(1);", "Random r = new Random(2);"),
        ("a.js", "const rng = seedrandom('a');", "const rng = seedrandom('b');"),
        ("a.jl", "Random.seed!(1)", "Random.seed!(2)"),
        ("a.R", "set.seed(1)", "set.seed(2)"),
        ("c.json", '{"rng": {"random_state": 1}}', '{"rng": {"random_state": 2}}'),
    ],
)
def test_seeds_of_other_languages_are_chosen_by_nobody(path: str, line: str, other: str) -> None:
    def refused(base: str, proposed: str) -> str:
        files = {path: f"depth\n{base}\n"}, {path: f"{proposed}\n"}
        return find_refusal(base=files[0], proposed=files[1], tried=frozenset(), needs_load_model=False) or ""

    assert refused(line, f"depth\n{other}").startswith("only a seed changes")
    assert refused("", f"width\n{line}").startswith("a seed is fixed by a constant of its own")
    assert refused(line, f"width\n{line}") == ""


@pytest.mark.parametrize("line", ['srand(atoi(getenv("AUTORESEARCH_SEED")));', "proceed(3);", "x = mt19937_table[3];"])
def test_what_only_sounds_like_a_fixed_seed_in_another_language_is_tried(line: str) -> None:
    base, proposed = {"a.c": "srand(1);\n"}, {"a.c": f"{line}\n"}

    assert find_refusal(base=base, proposed=proposed, tried=frozenset(), needs_load_model=False) is None
