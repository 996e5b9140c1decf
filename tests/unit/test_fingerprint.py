"""Code fingerprints: blind to comments, awake to everything else, and complete."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from seqrepro.cli import main
from seqrepro.config.requests import write_requests
from seqrepro.provenance.fingerprint import SOURCE, closure, fingerprint, module_names, strip_source, third_party
from seqrepro.provenance.sidecar import path_of

BASE = '''\
"""What this is."""

import math

SCALE = 2.0


class Model:
    """A model."""

    def area(self, radius):
        """Area of a circle."""
        # pi r^2
        return "é" + str(SCALE * math.pi * radius**2)  # as text


def nothing():
    """Only this."""
'''
SAME = {
    "another module docstring": ('"""What this is."""', '"""What it is not."""'),
    "no module docstring": ('"""What this is."""\n\n', ""),
    "another class docstring": ('"""A model."""', "'''Another\n\n    model.'''"),
    "another function docstring": ('"""Area of a circle."""', '"""Flächeninhalt\n\n        eines Kreises."""'),
    "raw docstring": ('"""Area of a circle."""', 'r"""$\\pi r^2$"""'),
    "docstring of parts": ('"""Area of a circle."""', '("Area " # of\n\n        "circle")'),
    "no function docstring": ('        """Area of a circle."""\n', ""),
    "another whole body": ('"""Only this."""', '"""Only that:\n\n    é."""'),
    "whole body on one line": ('():\n    """Only this."""', '(): """Only this."""'),
    "another comment": ("# pi r^2", "# π r²"),
    "no comment": ("        # pi r^2\n", ""),
    "a comment at the end": ("2.0", '2.0  # é \'quoted\' """'),
    "a comment with a line separator": ("2.0", "2.0  # a\u2028b\x0cc\x85d"),
    "a docstring with a line separator": ('"""A model."""', '"""A\u2028model\x0c."""'),
    "blank lines": ("SCALE = 2.0\n", "\n\n   \nSCALE = 2.0   \n\n"),
    "no final newline": ('"""Only this."""\n', '"""Only this."""'),
}
OTHER = {
    "a constant": ("2.0", "2.1"),
    "a string": ('"é"', '"è"'),
    "a blank line in a string": ('"é"', '"""é\n\n"""'),
    "a name": ("nothing", "anything"),
    "an operator": ("radius**2", "radius*2"),
    "indentation": ("        return", "            return"),
    "a level less": ("    def area", "def area"),
    "an import": ("import math", "import cmath as math"),
    "a statement": ("SCALE = 2.0", "SCALE = 2.0\nSCALE = 3.0"),
    "a hash in a string": ('"é"', '"é # no comment"'),
}


@pytest.mark.parametrize("name", SAME)
def test_what_changes_nothing(name):
    old, new = SAME[name]
    assert BASE.count(old) == 1
    edited = strip_source(BASE.replace(old, new))
    if name == "whole body on one line":
        assert edited == strip_source(BASE).replace("():\n    ...", "(): ...")
    else:
        assert edited == strip_source(BASE)


@pytest.mark.parametrize("name", OTHER)
def test_what_changes_something(name):
    old, new = OTHER[name]
    text = BASE.replace(old, new)
    assert text != BASE
    if name in ("indentation", "a level less"):
        text = text.replace('        """Area of a circle."""\n', "").replace("        # pi r^2\n", "")
        text = text.replace("            return", "          return") if name == "a level less" else text
    assert strip_source(text) != strip_source(BASE)


def test_blank_lines_and_spaces_inside_strings_stay():
    texts = [
        'A = """a\n\nb"""\n',
        'A = """a\nb"""\n',
        'A = """a \nb"""\n',
        'A = f"""a \n\n{1}"""\n',
        'A = f"""a\n{1}"""\n',
    ]
    assert len({strip_source(text) for text in texts}) == len(texts)


def test_what_is_left():
    assert strip_source(BASE) == "\n".join(
        [
            "import math",
            "SCALE = 2.0",
            "class Model:",
            "    def area(self, radius):",
            '        return "é" + str(SCALE * math.pi * radius**2)',
            "def nothing():",
            "    ...",
        ]
    )


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A package of our name, made up, in a temporary folder."""
    monkeypatch.chdir(tmp_path)
    files = {
        "a.py": "import seqrepro.b\n",
        "b.py": "def f():\n    from seqrepro.deep.c import g\n    return g\n",
        "deep/__init__.py": "",
        "deep/c.py": "if True:\n    from seqrepro.deep import d, nothing\nimport json, torch.nn\n",
        "deep/d.py": "from seqrepro import a\n",
        "deep/template.html": "<p>",
        "deep/more/words.txt": "words",
        "deep/__pycache__/c.pyc": "x",
        "lonely.py": "import seqrepro.a\n",
        "other/table.csv": "1",
        "other/e.py": "",
        "root.txt": "no package data",
    }
    for name, text in files.items():
        (tmp_path / "seqrepro" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "seqrepro" / name).write_text(text)
    fingerprint.cache_clear()
    yield tmp_path / "seqrepro"
    fingerprint.cache_clear()


def names(tree, *modules):
    return {path.relative_to(tree).as_posix() for path in closure(modules, tree)}


def test_the_closure_follows_imports_in_functions_and_round_in_circles(tree):
    expected = {"a.py", "b.py", "deep/c.py", "deep/d.py", "deep/template.html", "deep/more/words.txt"}
    assert names(tree, "seqrepro.a") == expected
    assert names(tree, "seqrepro.lonely") == expected | {"lonely.py"}
    assert names(tree, "seqrepro.other.e", "seqrepro.missing") == set()


def test_module_names_of_files(tree):
    assert module_names(closure(["seqrepro.a"], tree), tree) == {
        "seqrepro.a",
        "seqrepro.b",
        "seqrepro.deep.c",
        "seqrepro.deep.d",
    }


def code_of(tree, *modules):
    fingerprint.cache_clear()
    return fingerprint(modules, tree)


@pytest.mark.parametrize(
    ("name", "new", "differs"),
    [
        ("deep/d.py", "from seqrepro import a  # comment\n", False),
        ("deep/d.py", '"""Doc."""\n\nfrom seqrepro import a\n', False),
        ("deep/d.py", "from seqrepro import a\nA = 1\n", True),
        ("deep/template.html", "<p> ", True),
        ("deep/more/words.txt", "others", True),
        ("deep/new.json", "{}", True),
        ("lonely.py", "import seqrepro.a\nA = 1\n", False),
        ("other/table.csv", "2", False),
        ("deep/__pycache__/c.pyc", "y", False),
        ("root.txt", "changed", False),
    ],
)
def test_the_fingerprint_follows_the_closure(tree, name, new, differs):
    before = code_of(tree, "seqrepro.a")
    (tree / name).write_text(new)
    assert (code_of(tree, "seqrepro.a") != before) == differs


def test_a_renamed_module_is_other_code(tree):
    before = code_of(tree, "seqrepro.lonely")
    (tree / "lonely.py").rename(tree / "alone.py")
    assert code_of(tree, "seqrepro.alone") != before


def test_only_the_versions_of_what_is_imported_count(tree):
    lock, environment = Path("requirements.lock"), Path("environment.yml")
    lock.write_text("json==1.0 \\\n    --hash=sha256:00\nother==1.0\n")
    environment.write_text("dependencies:\n  - pip:\n    - torch==2.0.0\n")
    assert third_party(closure(["seqrepro.a"], tree)) == ["json==1.0", "torch==2.0.0"]
    before = code_of(tree, "seqrepro.a")
    lock.write_text(lock.read_text().replace("other==1.0", "other==2.0\nmore==1.0"))
    assert code_of(tree, "seqrepro.a") == before
    environment.write_text(environment.read_text().replace("2.0.0", "2.0.1"))
    torch = code_of(tree, "seqrepro.a")
    lock.write_text(lock.read_text().replace("json==1.0", "json==1.1"))
    assert len({before, torch, code_of(tree, "seqrepro.a")}) == 3


@pytest.fixture
def codes(make_plan, tmp_path):
    """A copy of the real package, and the fingerprints that the plan's requests have in it."""
    copy = tmp_path / "copy/seqrepro"
    shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    requests = make_plan("small").requests

    def compute():
        fingerprint.cache_clear()
        return {path: fingerprint((request.module, *request.uses), copy) for path, request in requests.items()}

    yield copy, compute
    fingerprint.cache_clear()


def append(path, text="\nNOTHING = 0\n"):
    path.write_text(path.read_text("utf-8") + text, "utf-8")


def test_a_model_concerns_only_the_runs_that_use_it(codes):
    copy, compute = codes
    before = compute()
    append(copy / "models/sasrec.py", "\n# a comment\n")
    assert compute() == before
    append(copy / "models/sasrec.py")
    after = compute()
    changed = [path for path in before if before[path] != after[path]]
    assert {path.parts[2] for path in changed} == {"train", "probe"}
    assert all("sasrec" in path.as_posix() for path in changed)
    assert len(changed) == 4


@pytest.mark.parametrize(
    ("name", "concerned"),
    [
        ("training/optimizers/adam.py", {"train sasrec"}),
        ("training/objectives/cross_entropy.py", {"train sasrec"}),
        ("models/ease.py", {"train ease"}),
        ("config/architectures/sasrec.py", {"train sasrec", "probe sasrec"}),
        ("training/loop.py", {"train sasrec", "train ease", "train popularity"}),
        ("data/synthetic/markov.py", {"prepare"}),
        ("cli.py", set()),
        ("harness.py", set()),
        ("config/plan.py", set()),
        ("config/parameters.py", set()),
        ("commands/plan.py", set()),
        ("provenance/sidecar.py", set()),
    ],
)
def test_whom_a_module_concerns(codes, name, concerned):
    copy, compute = codes
    before = compute()
    append(copy / name)
    after = compute()
    changed = [path for path in before if before[path] != after[path]]
    families = ("sasrec", "ease", "popularity")
    words = {" ".join([p.parts[2], *(f for f in families if f"/{f}-" in p.as_posix())]) for p in changed}
    assert words == concerned


def test_init_files_are_empty():
    """Importing a package imports nothing, so a closure needs no `__init__` files."""
    files = list(SOURCE.rglob("__init__.py"))
    assert len(files) > 5
    assert [path for path in files if path.read_text()] == []


def test_there_are_no_relative_imports():
    """The closure does not follow them."""
    import ast

    for path in SOURCE.rglob("*.py"):
        nodes = ast.walk(ast.parse(path.read_text("utf-8")))
        assert not any(isinstance(node, ast.ImportFrom) and node.level for node in nodes), path


HARNESS = {
    "seqrepro.cli",
    "seqrepro.harness",
    "seqrepro.commands.arguments",
    "seqrepro.commands.step",
    "seqrepro.provenance.fingerprint",
    "seqrepro.provenance.manifest",
    "seqrepro.provenance.sidecar",
    "seqrepro.config.check_settings",
    "seqrepro.config.dataset_plan",
    "seqrepro.config.datasets",
    "seqrepro.config.disturbances",
    "seqrepro.config.describe_plan",
    "seqrepro.config.faults",
    "seqrepro.config.fit",
    "seqrepro.config.generators",
    "seqrepro.config.law_plan",
    "seqrepro.config.load",
    "seqrepro.config.overrides",
    "seqrepro.config.search",
    "seqrepro.config.selection",
    "seqrepro.config.trials",
    "seqrepro.config.variant_plan",
    "seqrepro.config.variants",
    "seqrepro.config.measures",
    "seqrepro.config.names",
    "seqrepro.config.parameters",
    "seqrepro.config.plan",
    "seqrepro.config.probes",
    "seqrepro.config.protocols",
    "seqrepro.config.requests",
    "seqrepro.config.run_plan",
    "seqrepro.config.suite_plan",
    "seqrepro.config.training",
    "seqrepro.data.own.local_files",
    "seqrepro.data.registry",
    "seqrepro.data.source_kinds",
    "seqrepro.workflow",
    "seqrepro.config.claim_plan",
    "seqrepro.ledger.claims",
    "seqrepro.ledger.parts",
    "seqrepro.ledger.published",
}
PROGRAM = """
import json, sys
from importlib import import_module
from pathlib import Path
from seqrepro.request import read_request

def loaded():
    ours = {n: Path(m.__file__) for n, m in sys.modules.items() if n.split(".")[0] == "seqrepro"}
    return sorted(name for name, path in ours.items() if path.stat().st_size)

sasrec, ease = sys.argv[1:]
request = read_request(Path(sasrec), "train")
import_module(request.module).run(request)
step = loaded()
from seqrepro.cli import main
code = main(["train", ease])
print(json.dumps([code, step, loaded(), sorted({name.split(".")[0] for name in sys.modules})]))
"""


@pytest.fixture
def prepared(make_plan):
    """A plan with its tiny dataset really prepared."""
    plan = make_plan()
    write_requests(plan)
    (path,) = plan.of("prepare")
    assert main(["prepare", str(path)]) == 0
    return plan


def test_the_closure_is_what_a_real_training_loads(prepared):
    """First a step alone, then another by its verb, in a process of their own."""
    paths = {request.parameters["config"]["model"]["family"]: path for path, request in prepared.of("train").items()}
    sasrec, ease = (prepared.requests[paths[family]] for family in ("sasrec", "ease"))
    command = [sys.executable, "-c", PROGRAM, paths["sasrec"], paths["ease"]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    code, step, verb, top_level = json.loads(done.stdout.splitlines()[-1])
    assert code == 0
    closures = [module_names(closure((request.module, *request.uses))) for request in (sasrec, ease)]
    assert set(step) == closures[0]
    families = {name for name in verb if name.startswith("seqrepro.config.architectures.")}  # params.yaml needs all
    assert set(verb) - families - HARNESS == set.union(*closures) - families
    assert HARNESS.isdisjoint(set.union(*closures))
    assert {"mlflow", "matplotlib", "dvc", "snakemake", "scipy", "jinja2"}.isdisjoint(top_level)
    imported = {pin.split("==")[0] for request in (sasrec, ease) for pin in third_party(closure([request.module]))}
    assert imported == {"torch", "pyarrow", "pydantic", "safetensors", "rich"}  # pyarrow itself may load pandas
    for request in (sasrec, ease):
        assert {"model.safetensors", "ranks.parquet", "metrics.json"} <= {
            path.name for path in request.output.iterdir()
        }
    assert json.loads(path_of(ease).read_text())["code"] == ease.code
    assert not path_of(sasrec).exists()  # only the harness writes it
