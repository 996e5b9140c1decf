"""A small finished suite in a temporary folder, for the tests of compare and report."""

import copy
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml

from made_claims import CLAIMS, DEVIATIONS
from made_surface import PROBES, write_surface
from seqrepro.evaluation.ranks import SCHEMA, summarise
from seqrepro.files import sha256_file, write_json, write_parquet
from seqrepro.request import Request

N_USERS, N_ITEMS = 60, 200
PROTOCOL = "leave-one-out, full ranking, history masked, ties pessimistic"
RANKINGS = {name: PROTOCOL.replace("masked", name) for name in ("masked", "unmasked")}
PUBLISHED_HEADER = "paper,table,dataset,variant,model,metric,value,reported_by,source,source_class,protocol,note"
DATASETS = {
    "beauty": {
        "title": "Amazon Beauty",
        "family": "beauty",
        "variant": "5-core, 22,363 users",
        "published_variants": ["22363"],
        "class": "third-party",
        "comparable": True,
        "caveat": None,
    },
    "generated": {
        "title": "generated",
        "family": "generated",
        "variant": "generated",
        "published_variants": [],
        "class": "generated",
        "comparable": True,
        "caveat": None,
    },
}


REGISTERED = {"claims": "claims.yaml", "published": "published.csv", "deviations": "deviations.md"}
CLOSED_FORMS = ("popularity", "ease")
SKILLS = {"popularity": 0.3, "ease": 3.0, "sasrec": 6.0, "tim4rec": 7.0}
PUBLISHED = (
    f"{PUBLISHED_HEADER}\n"
    "samrec,Table 1,beauty,S3-Rec 5-core 22363 users,SASRec,ndcg@10,0.45,authors,paper,primary,"
    '"leave-one-out, full ranking, seen masked",\n'
    "samrec,Table 1,beauty,S3-Rec 5-core 22363 users,SASRec,ndcg@10,0.30,others,code,quoted,"
    '"leave-one-out, full ranking, seen unmasked",\n'
    "samrec,Table 2,beauty,12101 items,SASRec,Recall@10,0.70,authors,paper,primary,"
    '"leave-one-out, 100 uniformly sampled negatives",\n'
    "samrec,Table 2,beauty,5-core 22363 users,PopRec,ndcg@10,0.02,authors,paper,primary,full ranking,\n"
    "samrec,Table 2,ml-1m,raw,SASRec,ndcg@10,0.11,authors,paper,primary,unknown,\n"
    "samrec,Table 3,beauty,,SASRec,parameters,1.2e6,authors,paper,derived,not applicable,\n"
)


def rank_rows(generator, split, skill):
    """Ranks of one split; the greater the skill, the nearer to 1."""
    ease = np.random.default_rng(7).random(N_USERS)
    worst = np.ceil(N_ITEMS * (0.5 * ease + 0.5 * generator.random(N_USERS)) ** skill).astype(int)
    best = np.maximum(worst - (np.arange(N_USERS) % 10 == 0), 1)
    in_history = np.arange(N_USERS) < 2
    return {
        "split": [split] * N_USERS,
        "user": np.arange(1, N_USERS + 1),
        "position": 4 + np.arange(N_USERS) % N_ITEMS,
        "target_in_history": in_history,
        "rank_masked_best": np.where(in_history, N_ITEMS + 1, best),
        "rank_masked_worst": np.where(in_history, N_ITEMS + 1, worst),
        "rank_unmasked_best": best + 1,
        "rank_unmasked_worst": worst + 1,
        "nll": [None] * N_USERS,
    }


def write_run(folder: Path, seed: int, skill: float, closed_form: bool) -> None:
    """The deterministic files of one run, its timing and its sidecar."""
    generator = np.random.default_rng(0 if closed_form else seed)
    tables = [
        pa.Table.from_pydict(rank_rows(generator, split, skill), schema=SCHEMA) for split in ("validation", "test")
    ]
    write_parquet(folder / "ranks.parquet", pa.concat_tables(tables))
    epochs = 1 if closed_form else 6
    write_json(
        folder / "metrics.json",
        {
            **{"n_users": N_USERS, "n_items": N_ITEMS, "parameters": 1000, "best_epoch": epochs - 1, "epochs": epochs},
            "stopped": "closed_form" if closed_form else "patience",
            "targets_in_history": {"validation": 2, "test": 2},
            "metrics": {
                split: summarise(table, N_ITEMS) for split, table in zip(("validation", "test"), tables, strict=True)
            },
        },
    )
    history = {
        "epoch": list(range(epochs)),
        "train_loss": [None] if closed_form else [5 / (1 + epoch) + 0.1 * seed for epoch in range(epochs)],
        "validation_ndcg@10": [0.06 * skill * (1 - 0.5**epoch) + 0.01 * seed for epoch in range(1, epochs + 1)],
        "is_best": [epoch == epochs - 1 for epoch in range(epochs)],
    }
    types = {"epoch": pa.int32(), "train_loss": pa.float64()}
    columns = {name: pa.array(values, types.get(name)) for name, values in history.items()}
    write_parquet(folder / "history.parquet", pa.table(columns))
    write_json(folder / "timing.json", {"seconds_total": 12.5})


def write_provenance(folder: Path, dataset: str, seed: int, family: str) -> None:
    """A sidecar as the harness writes it."""
    data = f"data/prepared/{dataset}/sequences.parquet"
    config = {"dataset": {"content": "c0ffee"}, "split": "leave_one_out", "model": {"family": family, "width": 64}}
    asked = {"dataset": dataset, "seed": seed, "config": config}
    request = Request("train", "seqrepro.training.train", folder.as_posix(), [data], asked, [], "abcd" * 16)
    outputs = {path.as_posix(): sha256_file(path) for path in sorted(folder.glob("*.parquet"))}
    write_json(
        folder / "provenance.json",
        {
            "schema_version": 1,
            "step": "train",
            "request": request.as_json(),
            "request_sha256": "e" * 64,
            "inputs": {data: "d" * 64},
            "outputs": outputs,
            "code": "abcd" * 16,
            "git": {"commit": "1234567890abcdef", "dirty": False},
            "environment": {
                **{"lock_sha256": "f" * 64, "python": "3.11.9", "torch": "2.13.0", "platform": "Linux-x86_64"},
                **{"cpu_capability": "AVX2", "device": "cpu", "threads": 1},
            },
            **{"started": "2025-01-01T00:00:00+00:00", "ended": "2025-01-01T00:01:00+00:00", "seconds": 60.0},
        },
    )


def run_entry(dataset, model, title, seeds, digits, **more):
    folder = f"results/runs/{dataset}/{model}-{digits}"
    entry = {"dataset": dataset, "model": model, "title": title, "published_as": [], "folder": folder, "seeds": seeds}
    entry |= {"data_class": DATASETS[dataset]["class"] if dataset in DATASETS else "primary"}
    entry |= {"experiment": "baselines", "papers": ["samrec"], "probes": ["exposure", "robustness"]}
    entry |= {"precision": "fp64/fp32" if model in CLOSED_FORMS else "fp32"}
    entry |= {"names": [[model, "leave-one-out"]]}
    entry |= {"item_table": None if model in CLOSED_FORMS else {"width": 4, "more_rows": 1}}
    return entry | {"protocol_name": "leave-one-out", "protocol": PROTOCOL, "rankings": RANKINGS} | more


def write_robustness(folder: Path, seed: int) -> None:
    shares = {"none": 1.0, "drop_last-1": 0.6, "shuffle": 0.85 + seed / 50, "insert_random-0.2": 0.9}
    rows = [
        {"perturbation": name, "metric": metric, "value": 0.2 * share, "relative_change": share - 1}
        for name, share in shares.items()
        for metric in ("ndcg@10", "hit_rate@10")
    ]
    write_parquet(folder / "probes/robustness/robustness.parquet", pa.Table.from_pylist(rows))


def write_exposure(folder: Path, seed: int) -> None:
    popularity = {"average_popularity": 40.0, "popularity_percentile": 0.75, "tail_share": 0.25}
    shown = {"coverage": 0.5 + seed / 100, "gini": 0.5, "shannon_entropy": 6.0, "users_with_shorter_lists": 0}
    more = {"average_popularity": 50.0, "popularity_percentile": 0.875, "tail_share": 0.125}
    measures = {"10": shown | more, "20": shown | more | {"coverage": 0.75}}
    told = {"n_users": N_USERS, "n_items": N_ITEMS, "cutoffs": measures, "test_items": popularity}
    write_json(folder / "probes/exposure/exposure.json", told)


@pytest.fixture(scope="session")
def built_suite(tmp_path_factory):
    """Two datasets with finished, partly finished and missing runs, written once; a repository's folder and facts."""
    root = tmp_path_factory.mktemp("suite")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        runs = [run for dataset in DATASETS for run in planned_runs(dataset)]
        for run in runs:
            write_finished(run)
        published = Path("registry/papers/samrec/published.csv")
        published.parent.mkdir(parents=True)
        published.write_text(PUBLISHED)
        published.with_name("claims.yaml").write_text(yaml.safe_dump(CLAIMS))
        published.with_name("deviations.md").write_text(DEVIATIONS)
        Path("results/standard/laws").mkdir(parents=True)
        Path("results/standard/laws/r2.csv").write_text("panel,printed,refitted\nml-1m,0.8987,0.898744\n")
    return root, {"datasets": DATASETS, "runs": runs, "published": published.as_posix()}


def planned_runs(dataset):
    measured = {"probes": ["exposure", "robustness", *PROBES]} if dataset == "beauty" else {}
    named = {"published_as": ["SASRec", "SASRec (full CE)"]}
    return [
        run_entry(dataset, "popularity", "Popularity", [0], "0000aaaa", published_as=["PopRec"]),
        run_entry(dataset, "ease", "EASE", [0], "0000bbbb"),
        run_entry(dataset, "sasrec", "SASRec", [1, 2, 3], "0000cccc", **named, **measured),
        run_entry(dataset, "tim4rec", "TiM4Rec & <time>", [1, 2], "0000dddd"),
        run_entry(dataset, "hydrarec", "HydraRec", [1], "0000eeee"),
    ]


def write_finished(run):
    """All seeds, but one of TiM4Rec and none of HydraRec; EASE has no sidecar and no exposure."""
    if run["model"] not in SKILLS:
        return
    closed = run["model"] in CLOSED_FORMS
    for seed in run["seeds"][: 1 if run["model"] == "tim4rec" else None]:
        folder = Path(run["folder"]) / f"seed-{seed}"
        write_run(folder, seed, SKILLS[run["model"]], closed)
        if run["model"] != "ease":
            write_provenance(folder, run["dataset"], seed, run["model"])
            write_exposure(folder, seed)
        if not closed:
            write_robustness(folder, seed)
        if "curved" in run["probes"] and seed < 3:
            write_surface(folder, 2.0 + seed)


def asked_to_compare(facts):
    files = [f"{run['folder']}/seed-{seed}/ranks.parquet" for run in facts["runs"] for seed in run["seeds"]]
    wanted = {"suite": "standard", "split": "test", "papers": ["samrec"]}
    wanted |= {"datasets": facts["datasets"], "runs": facts["runs"]}
    exposed = [path.replace("ranks.parquet", "probes/exposure/exposure.json") for path in files]
    wanted |= {"exposure": {path: [10, 20] for path in exposed}, "varied": [], "searched": [], "cost": {}}
    inputs = [*files, *exposed, facts["published"]]
    return Request("compare", "seqrepro.ledger.compare", "results/standard/tables", inputs, wanted, [], "0" * 64)


def asked_to_judge(facts, **more):
    """A request to judge by all claims and published numbers below registry/, with all files of runs as inputs."""
    folders = [f"{run['folder']}/seed-{seed}" for run in facts["runs"] for seed in run["seeds"]]
    probes = {"robustness": "robustness.parquet", "exposure": "exposure.json"} | more
    files = ["ranks.parquet", "metrics.json", *(f"probes/{name}/{file}" for name, file in probes.items())]
    registry = sorted(path.as_posix() for path in Path("registry/papers").glob("*/*.*"))
    inputs = [*(f"{folder}/{name}" for folder in folders for name in files), "results/standard/laws/r2.csv", *registry]
    wanted = {"suite": "standard", "runs": facts["runs"], "probes": probes, "datasets": facts["datasets"]}
    wanted |= {"rankings": {"leave-one-out": RANKINGS}}
    return Request("judge", "seqrepro.ledger.judge", "results/standard/verdicts", inputs, wanted, [], "0" * 64)


def asked_to_report(facts):
    wanted = {
        **{"suite": "standard", "title": "Standard reproduction", "description": "Real & generated data."},
        **{"datasets": facts["datasets"], "runs": facts["runs"]},
        **{"tables": "results/standard/tables", "figures": "results/standard/figures"},
        "verdicts": "results/standard/verdicts/verdicts.json",
        "laws": None,
        "extra_tables": [{"title": "Refit", "path": "results/standard/laws/r2.csv", "caption": "R2, refitted."}],
        "papers": [{"name": "samrec", **{key: f"registry/papers/samrec/{name}" for key, name in REGISTERED.items()}}],
        "names": {run["folder"]: [[run["model"], run["protocol_name"]]] for run in facts["runs"]},
    }
    wanted |= {"probes": {"robustness": "robustness", "exposure": "exposure", **PROBES}}
    return Request("report", "seqrepro.report.site", "results/standard/report", [], wanted, [], "0" * 64)


@pytest.fixture(scope="session")
def compared_suite(built_suite):
    """The suite after `compare`, and what compare wrote. To be read only."""
    from seqrepro.ledger import compare

    root, facts = built_suite
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        return root, compare.run(asked_to_compare(facts))


@pytest.fixture(scope="session")
def reported_suite(built_suite, compared_suite):
    """The suite after `report`, and what report wrote. To be read only."""
    from seqrepro.ledger import judge
    from seqrepro.report import site

    root, facts = built_suite
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        judge.run(asked_to_judge(facts))
        return root, site.run(asked_to_report(facts))


@pytest.fixture
def suite(built_suite, compared_suite, tmp_path, monkeypatch):
    """A copy of the compared suite that a test may change; the working directory is the repository."""
    root, facts = built_suite
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return copy.deepcopy(facts)


@pytest.fixture
def judge_request(suite):
    """What is asked of `judge`, by the registry and the facts as they stand when it is called."""
    return lambda **probes: asked_to_judge(suite, **probes)


@pytest.fixture
def compare_request(suite):
    return asked_to_compare(suite)


@pytest.fixture
def report_request(suite):
    """A request for a small report: generated data and closed-form models only."""
    few = [run for run in suite["runs"] if run["dataset"] == "generated" and run["model"] in ("popularity", "ease")]
    return asked_to_report({"datasets": {"generated": DATASETS["generated"]}, "runs": few})
