"""Code fingerprints: which source files a step runs, and a hash that changes when what they do may change.

The closure follows every import of this package from a step's modules, also those inside functions, and takes the data
files of the packages that it passes. Comments, docstrings and blank lines are left out of the hash; what remains is the
source text itself, so the hash is the same under every Python version. Third-party code enters by the locked versions
of the packages that the closure imports: a package added to the lock for something else re-runs nothing.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import seqrepro
from seqrepro.files import sha256_file, sha256_text

PACKAGE = "seqrepro"
SOURCE = Path(next(iter(seqrepro.__path__)))
LOCK = Path("requirements.lock")
ENVIRONMENT = Path("environment.yml")
PIN = re.compile(r"^([a-z0-9][a-z0-9.-]*)(?:\[[^]]*\])?==([^\s;]+)", re.MULTILINE)
TORCH_PIN = re.compile(r"^\s*- (torch)==(\S+)", re.MULTILINE)
DISTRIBUTIONS = {"yaml": "pyyaml"}  # import names that differ from the package's


@cache
def fingerprint(modules: tuple[str, ...], source: Path = SOURCE) -> str:
    """Hexadecimal SHA-256 of the code that the modules run, and of the versions of what they import.

    Args:
        modules: dotted names of the step's entry points.
        source: the folder of the package.
    """
    files = closure(modules, source)
    lines = [f"{path.relative_to(source).as_posix()} {_hash_source(path)}" for path in files]
    return sha256_text("\n".join([*lines, *third_party(files)]))


def closure(modules: Iterable[str], source: Path = SOURCE) -> list[Path]:
    """All files of the package that the modules need, sorted: their imports, and data beside them."""
    found: set[Path] = set()
    waiting = [_module_file(name, source) for name in modules]
    while waiting:
        path = waiting.pop()
        if path is None or path in found:
            continue
        found.add(path)
        waiting += [_module_file(name, source) for name in _imports(path)]
    return sorted(found | {data for path in found for data in _package_data(path.parent, source)})


def module_names(files: Iterable[Path], source: Path = SOURCE) -> set[str]:
    """The dotted names of source files."""
    parts = (path.relative_to(source).with_suffix("").parts for path in files if path.suffix == ".py")
    return {".".join((PACKAGE, *(p for p in name if p != "__init__"))) for name in parts}


def third_party(files: Iterable[Path]) -> list[str]:
    """The locked versions, 'name==version', of the packages that source files import; sorted."""
    imported = {name.split(".")[0] for path in files if path.suffix == ".py" for name in _all_imports(path)}
    wanted = {DISTRIBUTIONS.get(name, name).lower().replace("_", "-") for name in imported}
    pins = PIN.findall(LOCK.read_text()) if LOCK.is_file() else []
    return sorted(f"{name}=={version}" for name, version in [*pins, *torch_pin()] if name in wanted)


def torch_pin() -> list[tuple[str, str]]:
    """The version of torch, which stands outside the lock, as [('torch', version)]."""
    return TORCH_PIN.findall(ENVIRONMENT.read_text()) if ENVIRONMENT.is_file() else []


@cache
def strip_source(text: str) -> str:
    """Python source without comments, docstrings, blank lines and trailing spaces; other strings stay as they are.

    A docstring that is a whole body becomes `...`, so that the result is Python again.
    """
    lines, verbatim = text.split("\n"), _lines_that_end_inside_a_string(text)
    docstrings = _docstrings(text)
    verbatim -= {number for first, _, last, _, _ in docstrings for number in range(first, last)}
    for first_line, first, last_line, last, new in sorted([*_comments(text), *docstrings], reverse=True):
        lines[first_line - 1] = lines[first_line - 1][:first] + new + lines[last_line - 1][last:]
        lines[first_line:last_line] = [""] * (last_line - first_line)
    kept = (line if number in verbatim else line.rstrip() or None for number, line in enumerate(lines, 1))
    return "\n".join(line for line in kept if line is not None)


Edit = tuple[int, int, int, int, str]  # first line (from 1), column, last line, column, new text; columns in characters


def _comments(text: str) -> list[Edit]:
    return [(*token.start, *token.end, "") for token in _tokens(text) if token.type == tokenize.COMMENT]


def _lines_that_end_inside_a_string(text: str) -> set[int]:
    types = (tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", None))
    strings = (token for token in _tokens(text) if token.type in types)
    return {number for token in strings for number in range(token.start[0], token.end[0])}


def _tokens(text: str) -> Iterator[tokenize.TokenInfo]:
    return tokenize.generate_tokens(io.StringIO(text).readline)


def _docstrings(text: str) -> list[Edit]:
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    edits, lines = [], text.split("\n")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, owners) and ast.get_docstring(node, clean=False) is not None:
            doc = node.body[0]
            assert doc.end_lineno and doc.end_col_offset
            first = _characters(lines[doc.lineno - 1], doc.col_offset)
            last = _characters(lines[doc.end_lineno - 1], doc.end_col_offset)
            edits.append((doc.lineno, first, doc.end_lineno, last, "" if node.body[1:] else "..."))
    return edits


def _characters(line: str, utf8_offset: int) -> int:
    return len(line.encode("utf-8")[:utf8_offset].decode("utf-8"))


def _hash_source(path: Path) -> str:
    return sha256_text(strip_source(path.read_text("utf-8"))) if path.suffix == ".py" else sha256_file(path)


def _imports(path: Path) -> list[str]:
    """Dotted names of ours that a file may import; a name that is no module is dropped later."""
    return [name for name in _all_imports(path) if name.split(".")[0] == PACKAGE]


def _all_imports(path: Path) -> list[str]:
    return _imports_of(path.read_text("utf-8"))


@cache
def _imports_of(text: str) -> list[str]:
    names: list[str] = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names


def _module_file(name: str, source: Path) -> Path | None:
    base = source.joinpath(*name.split(".")[1:])
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file() and path.stat().st_size:
            return path
    return None


def _package_data(folder: Path, source: Path) -> list[Path]:
    if folder == source:
        return []
    files = (path for path in folder.rglob("*") if path.is_file())
    return [path for path in files if path.suffix not in (".py", ".pyc") and "__pycache__" not in path.parts]
