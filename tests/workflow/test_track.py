"""`seqrepro track`: the MLflow store follows the run folders, and can be rebuilt from them."""

import json
import os
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from seqrepro import tracking
from seqrepro.cli import main
from seqrepro.files import canonical_json, read_json, sha256_file, sha256_text, write_json, write_parquet

CONFIG = {
    "dataset": {"content": "c" * 64, "filter": {}},
    "split": "leave_one_out",
    "model": {"family": "sasrec", "width": 8, "betas": [0.9, 0.98]},
    "training": {"kind": "gradient", "budget": {"epochs": 3, "monitor": "ndcg@10"}},
}
STARTED, ENDED = "2026-11-22T10:00:00+00:00", "2026-11-22T10:01:30+00:00"
STORE = "sqlite:///mlflow.db"


def make_run(dataset="toy", seed=1, ndcg=0.25, epochs=3, closed_form=False):
    folder = Path(f"results/runs/{dataset}/sasrec-0a1b2c3d/seed-{seed}")
    rows = [
        {
            "epoch": e,
            "train_loss": None if closed_form else 2.0 / (e + 1),
            "validation_ndcg@10": e / 10,
            "is_best": e == 1,
        }
        for e in range(epochs)
    ]
    schema = [("epoch", pa.int32()), ("train_loss", pa.float64()), ("validation_ndcg@10", pa.float64())]
    write_parquet(folder / "history.parquet", pa.Table.from_pylist(rows, pa.schema([*schema, ("is_best", pa.bool_())])))
    ties = {"pessimistic": {"ndcg@10": ndcg, "hit_rate@10": 0.5}, "optimistic": {"ndcg@10": ndcg + 0.1}}
    metrics = {"test": {"masked": ties}, "validation": {"masked": ties}}
    numbers = {
        "n_users": 40,
        "best_epoch": 1,
        "stopped": "patience",
        "targets_in_history": {"test": 0},
        "metrics": metrics,
    }
    write_json(folder / "metrics.json", numbers)
    files = [folder / "history.parquet", folder / "metrics.json"]
    record = {
        "request": {"folder": folder.as_posix(), "parameters": {"dataset": dataset, "seed": seed, "config": CONFIG}},
        "outputs": {path.as_posix(): sha256_file(path) for path in files},
        "code": "f" * 64,
        "git": {"commit": "abc123", "dirty": False},
        "started": STARTED,
        "ended": ENDED,
    }
    write_json(folder / "provenance.json", record)
    return folder


def client(uri=STORE):
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=tracking.store_uri(uri))


def stored_runs(uri=STORE):
    experiments = [found.experiment_id for found in client(uri).search_experiments()]
    return {run.data.tags["seqrepro.run"]: run for run in client(uri).search_runs(experiments)}


def dump(uri=STORE):
    """Everything that the store says about its runs."""
    rows = {}
    for key, run in stored_runs(uri).items():
        history = {name: points(run, name, uri) for name in run.data.metrics}
        times = (run.info.start_time, run.info.end_time, run.info.status, run.info.run_name)
        rows[key] = {
            "id": run.info.run_id,
            "place": (run.info.experiment_id, run.info.artifact_uri),
            "content": (times, run.data.params, run.data.tags, history),
        }
    return rows


def points(run, name, uri=STORE):
    return [(m.step, m.value) for m in client(uri).get_metric_history(run.info.run_id, name)]


def contents(rows):
    return {key: row["content"] for key, row in rows.items()}


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory):
    """A database with its tables: making it takes seconds, so tests copy it."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    (path.parent / "runs").mkdir()
    tracking.track(path.parent / "runs", f"sqlite:///{path}")
    return path


@pytest.fixture
def here(tmp_path, monkeypatch, empty_store):
    """A working folder (with a space in its name) that has an empty store."""
    folder = tmp_path / "a clone"
    (folder / "results/runs").mkdir(parents=True)
    shutil.copy(empty_store, folder / "mlflow.db")
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return folder


def test_a_run_is_logged_with_parameters_tags_metrics_and_times(here, capfd):
    folder = make_run()
    assert main(["track"]) == 0
    assert capfd.readouterr() == (f"tracked 1 runs: 1 new, 0 unchanged, 0 removed -> {STORE}\n", "")
    (run,) = stored_runs().values()
    assert client().get_experiment(run.info.experiment_id).name == "toy"
    assert run.info.run_name == "sasrec-0a1b2c3d/seed-1"
    assert run.info.status == "FINISHED"
    times = [datetime.fromtimestamp(t / 1000, UTC).isoformat() for t in (run.info.start_time, run.info.end_time)]
    assert times == [STARTED, ENDED]
    assert run.data.params == {
        "dataset.content": "c" * 64,
        "dataset.filter": "{}",
        "split": "leave_one_out",
        "model.family": "sasrec",
        "model.width": "8",
        "model.betas": "[0.9,0.98]",
        "training.kind": "gradient",
        "training.budget.epochs": "3",
        "training.budget.monitor": "ndcg@10",
        "seed": "1",
    }
    assert run.data.tags == {
        "seqrepro.run": "toy/sasrec-0a1b2c3d/seed-1",
        "seqrepro.folder": "results/runs/toy/sasrec-0a1b2c3d/seed-1",
        "seqrepro.config": sha256_text(canonical_json(CONFIG)),
        "seqrepro.dataset": "c" * 64,
        "seqrepro.code": "f" * 64,
        "seqrepro.commit": "abc123",
        "seqrepro.dirty": "false",
        "seqrepro.stopped": "patience",
        "seqrepro.sidecar": sha256_file(folder / "provenance.json"),
        "seqrepro.sha256.history.parquet": sha256_file(folder / "history.parquet"),
        "seqrepro.sha256.metrics.json": sha256_file(folder / "metrics.json"),
        "mlflow.source.git.commit": "abc123",
        "mlflow.runName": "sasrec-0a1b2c3d/seed-1",
    }
    finals = {name: value for name, value in run.data.metrics.items() if not name.startswith("epoch/")}
    assert finals == {
        "test/masked/pessimistic/ndcg_at_10": 0.25,
        "test/masked/pessimistic/hit_rate_at_10": 0.5,
        "test/masked/optimistic/ndcg_at_10": 0.35,
        "n_users": 40,
        "best_epoch": 1,
    }
    assert points(run, "epoch/train_loss") == [(0, 2.0), (1, 1.0), (2, 2 / 3)]
    assert points(run, "epoch/validation_ndcg_at_10") == [(0, 0.0), (1, 0.1), (2, 0.2)]
    assert "epoch/is_best" not in run.data.metrics


def test_nothing_is_copied_and_the_artifact_root_is_absolute(here):
    make_run()
    main(["track"])
    (run,) = stored_runs().values()
    assert run.info.artifact_uri.startswith((here / "mlruns/toy").as_uri())
    assert sorted(path.name for path in here.iterdir()) == ["mlflow.db", "mlflow.db-lock", "results"]


def test_a_closed_form_run_has_no_training_loss(here):
    make_run(epochs=1, closed_form=True)
    main(["track"])
    (run,) = stored_runs().values()
    assert "epoch/train_loss" not in run.data.metrics
    assert run.data.metrics["epoch/validation_ndcg_at_10"] == 0.0


def test_a_long_history_is_logged_whole(here):
    make_run(epochs=1200)
    main(["track"])
    (run,) = stored_runs().values()
    assert run.data.metrics["epoch/train_loss"] == pytest.approx(2.0 / 1200)
    assert len(points(run, "epoch/validation_ndcg_at_10")) == 1200


def test_twice_in_a_row_changes_nothing(here, capfd):
    for dataset, seed in [("toy", 1), ("toy", 2), ("other", 1)]:
        make_run(dataset, seed)
    main(["track"])
    before, bytes_before = dump(), (here / "mlflow.db").read_bytes()
    capfd.readouterr()
    main(["track"])
    assert capfd.readouterr().out == f"tracked 3 runs: 0 new, 3 unchanged, 0 removed -> {STORE}\n"
    assert dump() == before
    assert (here / "mlflow.db").read_bytes() == bytes_before


def test_the_store_follows_changed_and_removed_folders(here, capfd):
    *_, gone = (make_run(seed=seed) for seed in (1, 2, 3))
    main(["track"])
    before = dump()
    make_run(seed=2, ndcg=0.5)
    shutil.rmtree(gone)
    capfd.readouterr()
    main(["track"])
    assert capfd.readouterr().out == f"tracked 2 runs: 0 new, 1 changed, 1 unchanged, 1 removed -> {STORE}\n"
    after = dump()
    assert sorted(after) == ["toy/sasrec-0a1b2c3d/seed-1", "toy/sasrec-0a1b2c3d/seed-2"]
    assert after["toy/sasrec-0a1b2c3d/seed-1"] == before["toy/sasrec-0a1b2c3d/seed-1"]
    renewed = stored_runs()["toy/sasrec-0a1b2c3d/seed-2"]
    assert renewed.info.run_id != before["toy/sasrec-0a1b2c3d/seed-2"]["id"]
    assert renewed.data.metrics["test/masked/pessimistic/ndcg_at_10"] == 0.5


def test_a_deleted_database_is_restored_even_by_two_at_once(here):
    for seed in (1, 2):
        make_run(seed=seed)
    main(["track"])
    before = dump()
    (here / "mlflow.db").unlink()
    command = [sys.executable, "-m", "seqrepro.cli", "track"]
    jobs = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    assert sorted(job.communicate() for job in jobs) == [
        (f"tracked 2 runs: 0 new, 2 unchanged, 0 removed -> {STORE}\n", ""),
        (f"tracked 2 runs: 2 new, 0 unchanged, 0 removed -> {STORE}\n", ""),
    ]
    assert sorted(path.name for path in here.iterdir()) == ["mlflow.db", "mlflow.db-lock", "results"]
    shutil.copy("mlflow.db", "restored.db")  # under the old name, this process still has the deleted file open
    restored = dump("sqlite:///restored.db")
    assert contents(restored) == contents(before)
    assert all(restored[key]["id"] != before[key]["id"] for key in before)


def test_folders_without_a_sidecar_are_left_out(here, capfd):
    make_run(seed=1)
    (make_run(seed=2) / "provenance.json").unlink()
    assert main(["track"]) == 0
    assert "tracked 1 runs: 1 new, 0 unchanged, 0 removed, 1 incomplete and left out" in capfd.readouterr().out
    assert list(stored_runs()) == ["toy/sasrec-0a1b2c3d/seed-1"]


def test_a_half_logged_run_is_logged_anew(here, monkeypatch):
    make_run()
    from mlflow import MlflowClient

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "set_terminated", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert main(["track"]) == 130
    (half,) = stored_runs().values()
    assert half.info.status == "RUNNING"
    main(["track"])
    (whole,) = stored_runs().values()
    assert whole.info.run_id != half.info.run_id
    assert whole.info.status == "FINISHED"


def test_other_peoples_runs_and_deleted_experiments(here):
    make_run()
    main(["track"])
    toy = client().get_experiment_by_name("toy").experiment_id
    client().delete_experiment(toy)
    foreign = client().create_run(client().create_experiment("mine")).info.run_id
    main(["track"])
    assert client().get_run(foreign).info.lifecycle_stage == "active"
    assert client().get_experiment(toy).lifecycle_stage == "active"
    assert len(client().search_runs([toy])) == 1


def test_the_receipt_is_the_same_everywhere(here, monkeypatch):
    folder = make_run()
    main(["track", "--receipt", "results/quick/tracking.json"])
    first = Path("results/quick/tracking.json").read_bytes()
    main(["track", "--receipt", "results/quick/tracking.json"])
    assert Path("results/quick/tracking.json").read_bytes() == first
    assert json.loads(first) == {
        "schema_version": 1,
        "store": "sqlite",
        "runs": {"toy/sasrec-0a1b2c3d/seed-1": sha256_file(folder / "provenance.json")},
    }
    tracked = tracking.Tracked({}, 0, 0, 0, 0, 0)
    assert tracking.receipt(tracked, "https://me:secret@host:5000/x")["store"] == "http"


def test_the_store_is_named_by_option_then_variable_then_default(here, monkeypatch):
    assert tracking.store_uri(None) == f"sqlite:///{here}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host:5000")
    assert tracking.store_uri(None) == "http://host:5000"
    assert tracking.store_uri("sqlite:///other.db") == f"sqlite:///{here}/other.db"


@pytest.mark.parametrize("uri", ["mlruns", "file:./mlruns", "sqlite://", "postgresql://me:secret@host/db"])
def test_an_unusable_kind_of_store_is_refused(here, capsys, uri):
    assert main(["track", "--uri", uri]) == 2
    assert one_line(capsys).endswith("expected sqlite:///FILE or http(s)://HOST")


def test_an_unreachable_server_is_one_line_without_credentials(here, capsys, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    make_run()
    begin = time.monotonic()
    assert main(["track", "--receipt", "receipt.json"]) == 2
    assert time.monotonic() - begin < 10
    line = one_line(capsys)
    assert line.startswith("seqrepro track: http://127.0.0.1:9: the MLflow server does not answer")
    assert not Path("receipt.json").exists()


def test_a_missing_folder_never_empties_the_store(here, capsys):
    make_run()
    main(["track"])
    capsys.readouterr()
    assert main(["track", "--runs", "no/runs"]) == 2
    assert one_line(capsys).startswith("seqrepro track: no/runs: no such folder")
    assert len(stored_runs()) == 1


def test_a_file_that_is_no_database_is_one_line(here, capsys):
    Path("mlflow.db").write_text("I am not a database, and long enough to be taken for one. " * 10)
    assert main(["track"]) == 2
    assert "not a usable SQLite database (file is not a database)" in one_line(capsys)


@pytest.mark.parametrize("key", ["request", "started", "outputs"])
def test_a_damaged_sidecar_is_one_line(here, capsys, key):
    folder = make_run()
    record = read_json(folder / "provenance.json")
    del record[key]
    write_json(folder / "provenance.json", record)
    assert main(["track"]) == 2
    assert f"{folder}: damaged (KeyError('{key}'))" in one_line(capsys)
    assert stored_runs() == {}


def test_mlflow_is_imported_late_and_without_telemetry(here, monkeypatch):
    code = "import sys, seqrepro.tracking, seqrepro.commands.track; assert 'mlflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    for name in ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        monkeypatch.setenv(name, "false")
    main(["track"])
    assert (os.environ["MLFLOW_DISABLE_TELEMETRY"], os.environ["DO_NOT_TRACK"]) == ("true", "true")


def one_line(capsys):
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "secret" not in err
    return err.strip()
