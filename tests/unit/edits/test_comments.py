"""Comments of other languages: an edit of comments alone is none, and no text of a program is taken for a comment."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.edits.comments import without_comments
from controller.edits.novelty import find_refusal


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        ("c.toml", "lr = 0.1 # was 0.2\n# why\n\nn = 2\n", "lr = 0.1\nn = 2\n"),
        ("a.js", "// head\nlet x = 1; // one\n/* a\n b */\nf(x)\n", "let x = 1;\nf(x)\n"),
        ("q.sql", "-- all\nselect 1 -- one\n", "select 1\n"),
        ("a.cu", "/* one */ int x;\n", "int x;\n"),
        ("Makefile", "# why\nall:\n", "all:\n"),
        ("m.f90", "x = 1 ! one\n! two\n", "x = 1\n"),
        ("a.go", "package a // one\n", "package a\n"),
    ],
)
def test_edit_of_comments_alone_is_sent_back(path: str, before: str, after: str) -> None:
    refusal = find_refusal(base={path: before}, proposed={path: after}, tried=frozenset(), needs_load_model=False)

    assert refusal
    assert refusal.startswith("nothing changes but comments")


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        ("a.js", "let u = 'http://a'\n", "let u = 'http://b'\n"),
        ("a.js", "let u = 'x // y'\n", "let u = 'x // z'\n"),
        ("a.js", "let p = `\n// rule one\n`\n", "let p = `\n// rule two\n`\n"),
        ("p.yaml", "prompt: |\n  # Be short\n", "prompt: |\n  # Be long\n"),
        ("r.sh", "cat <<END\n# a\nEND\n", "cat <<END\n# b\nEND\n"),
        ("r.sh", "#!/bin/sh\necho\n", "#!/bin/bash\necho\n"),
        ("x.toml", 'c = "#fff"\n', 'c = "#000"\n'),
        ("x.toml", 't = """\n# a\n"""\n', 't = """\n# b\n"""\n'),
        ("note.txt", "# a\n", "# b\n"),
        ("a.go", "//go:noinline\nfunc f() {}\n", "func f() {}\n"),
        ("a.go", '// int a = 1;\nimport "C"\n', '// int a = 2;\nimport "C"\n'),
        ("a.go", '/*\nint a = 1;\n*/\nimport "C"\n', '/*\nint a = 2;\n*/\nimport "C"\n'),
        ("m.f90", "!$omp parallel do\nx = 1\n", "x = 1\n"),
        ("m.md", "# Title\n", "# Other\n"),
        ("a.lua", "x = a[#a] -- 1\n", "x = a[#b] -- 1\n"),
    ],
)
def test_text_that_looks_like_a_comment_counts(path: str, before: str, after: str) -> None:
    assert without_comments(path, before) != without_comments(path, after)


@given(st.text(max_size=200), st.sampled_from(["a.js", "a.toml", "a.sh", "a.lua", "a.txt"]))
def test_any_text_is_taken_and_nothing_is_added(text: str, path: str) -> None:
    assert set(without_comments(path, text)) <= set(text)
