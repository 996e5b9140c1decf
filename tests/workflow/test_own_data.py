"""Your own file, from params.yaml to the report, run by Snakemake; and what a changed row re-runs."""

import json
import random
from pathlib import Path

import pytest
import yaml

from workspaces import Workspace, concerned, make_workspace

NOTHING = "Nothing to be done"
MODELS = ["popularity", "markov"]


def rows(seed: int = 0) -> list[str]:
    """Orders of 30 customers, oldest first; the product after A-7 is often A-8."""
    draw = random.Random(seed)
    lines = []
    for customer in range(30):
        product = draw.randrange(12)
        for day in range(1, draw.randrange(5, 9)):
            lines.append(
                f"0{customer:02d} {'é' if customer % 2 else 'x'},A-{product},2024-02-{day:02d}T10:00:00.{day}00Z"
            )
            product = (product + 1) % 12 if draw.random() < 0.8 else draw.randrange(12)
    return lines


def write(path: Path, lines: list[str]) -> None:
    path.write_text("\r\n".join(["customer,product,when", *lines, ""]), "utf-8")


def declare(workspace: Workspace, path: str) -> None:
    """Add the dataset to params.yaml, and to the suite that runs."""
    parameters = yaml.safe_load((workspace.folder / "params.yaml").read_text())
    columns = {"user": "customer", "item": "product", "timestamp": "when"}
    parameters["datasets"]["my-shop"] = {"source": "file", "path": path, "columns": columns}
    baselines = parameters["suites"]["quick"]["experiments"]["baselines"]
    baselines |= {"datasets": ["generated-markov", "my-shop"], "models": MODELS, "seeds": [1]}
    (workspace.folder / "params.yaml").write_text(yaml.safe_dump(parameters, sort_keys=False))


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> tuple[Workspace, Path]:
    """A finished workspace whose data lie elsewhere on the disk, in a folder that nothing may tell of."""
    folder = tmp_path_factory.mktemp("own")
    secret = folder / "home-of-alice" / "my orders.csv"
    secret.parent.mkdir()
    write(secret, rows())
    made = make_workspace(folder / "work")
    declare(made, str(secret))
    made.snakemake("all")
    return made, secret


def test_it_runs_to_the_report_and_then_has_nothing_to_do(shop):
    made, _ = shop
    assert "my-shop" in (made.folder / "results/quick/report/results.html").read_text()
    statistics = json.loads(made.read("data/prepared/my-shop/statistics.json"))
    assert (statistics["n_users"], statistics["order_source"], statistics["provenance"]) == (30, "timestamp", "user")
    assert statistics["read"]["timestamps"] == "ISO 8601"
    done = made.snakemake("all")
    assert NOTHING in done.stdout + done.stderr


def test_nothing_but_the_plans_own_list_tells_where_the_file_lies(shop):
    made, _ = shop
    skipped = {made.folder / "params.yaml", made.folder / "results/plan/local_files.json"}
    ours = [path for name in ("data", "results", "logs") for path in (made.folder / name).rglob("*") if path.is_file()]
    assert [path for path in ours if path not in skipped and b"home-of-alice" in path.read_bytes()] == []
    made.seqrepro("audit")


def test_a_changed_row_re_runs_the_jobs_of_that_dataset_and_no_other(shop):
    made, secret = shop
    lines = rows()
    write(secret, [lines[0].replace("A-", "B-"), *lines[1:]])
    jobs = sorted(job for job in concerned(made.planned()) if job != "survey quick")  # a table of all datasets
    probed, trained = ([step] * len(MODELS) for step in ("probe_exposure", "train"))
    assert [job.split()[0] for job in jobs] == ["describe", "prepare", *probed, "retrieve", *trained]
    assert all("my-shop" in job for job in jobs)
    made.snakemake("all")
    assert made.planned() == []
    statistics = json.loads(made.read("data/prepared/my-shop/statistics.json"))
    assert any(item.startswith("B-") for item in _items(made)) and statistics["n_users"] == 30
    secret.rename(secret.with_name("gone.csv"))
    failed = made.snakemake("all", check=False)
    assert "params.yaml: datasets: path:" in failed.stderr and "no such file" in failed.stderr
    assert "Traceback" not in failed.stderr


def _items(made: Workspace) -> list[str]:
    import pyarrow.parquet as pq

    return pq.read_table(made.folder / "data/prepared/my-shop/items.parquet")["source_id"].to_pylist()
