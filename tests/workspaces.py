"""Small copies of the repository in temporary folders, in which Snakemake runs for real."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).parents[1]
PARTS = ("src/seqrepro", "workflow", "registry", "Snakefile", "dvc.yaml", ".dvcignore", ".gitignore")
FILES = ("params.yaml", "requirements.lock", "environment.yml")


@dataclass(frozen=True)
class Workspace:
    """A folder with the project's code in which commands are run."""

    folder: Path

    def run(self, *command: str, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the folder, with the folder's own source first on the path."""
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment(**variables), capture_output=True, text=True, check=False
        )
        assert not check or done.returncode == 0, f"{command}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
        return done

    def environment(self, **variables: str) -> dict[str, str]:
        """The variables of a command."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        fixed = {"PYTHONPATH": str(self.folder / "src"), "PATH": path, "DVC_NO_ANALYTICS": "1"}
        others = {k: v for k, v in os.environ.items() if k not in ("MLFLOW_TRACKING_URI", "SNAKEMAKE_PROFILE")}
        return others | fixed | variables

    def snakemake(self, *arguments: str, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run Snakemake on two cores."""
        return self.run("snakemake", "--cores", "2", *arguments, check=check, **variables)

    def seqrepro(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Call a verb."""
        return self.run("seqrepro", *arguments, check=check)

    def planned(self, *arguments: str) -> list[str]:
        """What a dry run would do: 'rule dataset run seed' a job, without `all`."""
        output = self.snakemake("--dry-run", *arguments).stdout
        jobs = re.findall(r"^(?:local)?rule (\w+):\n((?: {4}.*\n)*)", output, re.MULTILINE)
        named = ((rule, dict(re.findall(r"(\w+)=([^,\s]+)", _wildcards(block)))) for rule, block in jobs)
        order = ("entry", "dataset", "run", "seed", "probe", "suite")
        lines = (" ".join([rule, *(values[key] for key in order if key in values)]) for rule, values in named)
        return sorted(line for line in lines if line != "all")

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace a text that stands exactly once in a file."""
        path = self.folder / name
        text = path.read_text()
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {name}"
        path.write_text(text.replace(old, new))

    def read(self, name: str) -> bytes:
        """The bytes of a file."""
        return (self.folder / name).read_bytes()

    def deterministic(self) -> dict[str, bytes]:
        """All deterministic result files, by name."""
        trained = ("model.safetensors", "history.parquet", "ranks.parquet", "metrics.json")
        names = (*trained, "topk.parquet", "exposure.json")
        found = (path for name in names for path in (self.folder / "results/runs").rglob(name))
        return {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in found}

    def copy(self, target: Path) -> "Workspace":
        """The same folder elsewhere, times of files included."""
        shutil.copytree(self.folder, target, symlinks=True)
        return Workspace(target)


AFTER = {"survey quick", "compare quick", "judge quick", "report quick", "track quick", "audit quick"}


def concerned(jobs: list[str]) -> set[str]:
    """Jobs without those that follow from any change."""
    return {job for job in jobs if job not in AFTER and not job.startswith("manifest")}


def _wildcards(block: str) -> str:
    match = re.search(r"^ {4}wildcards: (.*)$", block, re.MULTILINE)
    return match.group(1) if match else ""


def tiny(parameters: dict) -> dict:
    """The repository's parameters, cut to a few seconds of work."""
    parameters["datasets"]["generated-markov"]["generator"] |= {"users": 60, "items": 25, "mean_length": 8}
    parameters["training"]["cross-entropy-quick"]["budget"] |= {"epochs": 3, "patience": 3}
    parameters["suites"]["quick"]["experiments"] = {
        name: scale for name, scale in parameters["suites"]["quick"]["experiments"].items() if "law" not in name
    }
    parameters["suites"]["quick"]["experiments"]["baselines"]["models"] = [
        "popularity",
        "markov",
        "ease",
        "sasrec-small",
    ]
    parameters["suites"]["quick"]["refit"] = {"inverse_p1": [2], "draws": 5, "seed": 1}
    return parameters


def make_workspace(folder: Path) -> Workspace:
    """Copy the project's code to a folder, with tiny parameters."""
    for name in PARTS:
        source, target = REPOSITORY / name, folder / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    for name in FILES:
        shutil.copyfile(REPOSITORY / name, folder / name)
    parameters = tiny(yaml.safe_load((folder / "params.yaml").read_text()))
    (folder / "params.yaml").write_text(yaml.safe_dump(parameters, sort_keys=False))
    return Workspace(folder)
