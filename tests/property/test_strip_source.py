"""Stripped source: stable, still Python, the same program, and blind to comments and docstrings."""

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqrepro.provenance.fingerprint import SOURCE, strip_source

MODULES = sorted(path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py"))
OWNERS = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def without_docstrings(text: str) -> str:
    """An independent form: the syntax tree, its docstrings taken out."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, OWNERS) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Expr(ast.Constant(...))]
    return ast.dump(tree)


@pytest.mark.parametrize("name", MODULES)
def test_real_modules(name):
    text = (SOURCE / name).read_text("utf-8")
    stripped = strip_source(text)
    assert strip_source(stripped) == stripped
    assert without_docstrings(text) == ast.dump(ast.parse(stripped))


CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters='\\"\r\x00')
DOCSTRINGS = st.text(CHARACTERS, max_size=20).map(lambda text: f'"""{text}"""')
COMMENTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\x00\x0c"), max_size=20).map(
    "# {}".format
)
BLANKS = st.lists(st.sampled_from(["", "  ", "\t", "        "]), max_size=3)


@st.composite
def decorated(draw):
    """One program, with any docstrings, comments and blank lines."""

    def around(indent):
        comment = draw(st.none() | COMMENTS)
        return [*draw(BLANKS), *([] if comment is None else [indent + comment])]

    def docstring(indent):
        text = draw(st.none() | DOCSTRINGS)
        tail = draw(st.just("") | COMMENTS.map("  {}".format))
        return [] if text is None else [f"{indent}{text}{tail}"]

    lines = [*around(""), *docstring(""), *around("")]
    lines += ["é = 'é # no comment'  " + draw(st.just("") | COMMENTS), *around("")]
    lines += ["class A:", *docstring("    "), *around("    "), "    def f(self):", *docstring("        ")]
    lines += [*around("      "), '        return """one', "", '  two  """', *around("        ")]
    lines += ["async def g(): return {", *around(""), "    1: 2}"]
    return "\n".join([*lines, ""])


PLAIN = """\
é = 'é # no comment'
class A:
    def f(self):
        return \"\"\"one

  two  \"\"\"
async def g(): return {
    1: 2}"""


@given(decorated())
def test_comments_docstrings_and_blank_lines_go(text):
    assert strip_source(text) == PLAIN


@given(decorated(), st.sampled_from(["é # no", "one", "two", "1: 2", "class A", "self", "return"]))
def test_anything_else_stays(text, part):
    assert part in strip_source(text)


def test_there_are_modules():
    assert {"cli.py", "training/train.py", "models/sasrec.py"} <= set(MODULES)
    assert all(Path(name).suffix == ".py" for name in MODULES)
