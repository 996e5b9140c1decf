"""MLflow as a view of the run folders: brought in step by comparing, and rebuildable from the folders at any time.

One experiment a dataset, one MLflow run a run folder. A run is found again by its tag `seqrepro.run`. It is current if
it is FINISHED, which is written last, and its tag `seqrepro.sidecar` is the SHA-256 of the folder's `provenance.json`;
else it is deleted and logged anew. Only runs that carry `seqrepro.run` are touched. One store belongs to one results
folder: what the folder lacks is removed from the store. Files are not copied; tags hold the folder and their checksums.

Names: MLflow refuses `@`, so `ndcg@10` becomes `ndcg_at_10`.
- `epoch/<column>`: the columns of `history.parquet`, step = epoch
- `test/<masked|unmasked>/<pessimistic|optimistic>/<metric>`: final metrics; the counts of `metrics.json` as they are
- parameters: the configuration with dots, `training.budget.epochs`, and `seed`
"""

import fcntl
import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import pyarrow.parquet as pq

from seqrepro.errors import InputError
from seqrepro.files import Json, atomic, canonical_json, read_json, sha256_file, sha256_text
from seqrepro.provenance.sidecar import NAME

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param, Run

DATABASE = "sqlite:///mlflow.db"
SQLITE = "sqlite:///"
KINDS = {"sqlite": "sqlite", "http": "http", "https": "http"}  # by scheme
RUN, SIDECAR = "seqrepro.run", "seqrepro.sidecar"
PARAMETERS_A_BATCH, METRICS_A_BATCH = 100, 900  # MLflow takes at most 100 parameters, and 1000 of both together
ALWAYS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
UNLESS_SET = {
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
}


@dataclass(frozen=True)
class RunFolder:
    """A finished run on disk."""

    folder: Path

    @property
    def key(self) -> str:
        """`<dataset>/<label>-<hash8>/seed-<n>`."""
        return "/".join(self.folder.parts[-3:])

    @property
    def dataset(self) -> str:
        """The dataset's name."""
        return self.folder.parts[-3]

    @cached_property
    def sidecar(self) -> str:
        """SHA-256 of the sidecar."""
        return sha256_file(self.folder / NAME)


@dataclass(frozen=True)
class Tracked:
    """What one comparison found and did: the sidecar's checksum of each run in the store, and counts."""

    runs: dict[str, str]
    new: int
    changed: int
    unchanged: int
    removed: int
    incomplete: int


def track(runs: Path, uri: str) -> Tracked:
    """Bring an MLflow store in step with the run folders.

    Args:
        runs: the folder `results/runs`.
        uri: the store, from `store_uri`.

    Raises:
        InputError: no such folder, a damaged run folder, or a store that cannot be used.
    """
    finished, incomplete = find_runs(runs)
    with _open_store(uri) as client:
        experiments = {name: _experiment(client, name, uri) for name in sorted({run.dataset for run in finished})}
        folders = {run.key: run for run in finished}
        known, current = _clean(client, folders)
        for key in sorted(folders.keys() - current):
            _log_run(client, experiments[folders[key].dataset], folders[key])
    return Tracked(
        runs={key: run.sidecar for key, run in folders.items()},
        new=len(folders.keys() - known),
        changed=len((folders.keys() & known) - current),
        unchanged=len(current),
        removed=len(known - folders.keys()),
        incomplete=incomplete,
    )


def find_runs(runs: Path) -> tuple[list[RunFolder], int]:
    """The finished runs under a folder, sorted, and how many run folders have no sidecar (yet).

    Raises:
        InputError: no such folder.
    """
    if not runs.is_dir():
        raise InputError(f"{runs}: no such folder; expected the run folders that training leaves")
    folders = sorted(path for path in runs.glob("*/*/seed-*") if path.is_dir())
    finished = [RunFolder(path) for path in folders if (path / NAME).is_file()]
    return finished, len(folders) - len(finished)


def receipt(tracked: Tracked, uri: str) -> Json:
    """What tracking leaves for the workflow: the runs in the store. No path, no address."""
    return {"schema_version": 1, "runs": tracked.runs, "store": store_kind(uri)}


def store_uri(given: str | None) -> str:
    """The store to use: the one given, else MLFLOW_TRACKING_URI, else `mlflow.db` here; SQLite as an absolute path."""
    uri = given or os.environ.get("MLFLOW_TRACKING_URI") or DATABASE
    return f"{SQLITE}{_database(uri).resolve()}" if uri.startswith(SQLITE) else uri


def store_kind(uri: str) -> str:
    """'sqlite' or 'http'. Raises InputError for a folder, which MLflow no longer takes, or anything else."""
    scheme = urlsplit(uri).scheme
    if scheme not in KINDS or (scheme == "sqlite" and not uri.startswith(SQLITE)):
        raise InputError(f"tracking URI {shown(uri)}: expected sqlite:///FILE or http(s)://HOST")
    return KINDS[scheme]


def shown(uri: str) -> str:
    """A store's address for people: without credentials, and short where it stands in this folder."""
    if uri.startswith(SQLITE):
        path, here = _database(uri), Path.cwd()
        return f"{SQLITE}{path.relative_to(here) if path.is_relative_to(here) else path}"
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment=""))


@contextmanager
def _open_store(uri: str) -> Iterator["MlflowClient"]:
    """A client of the store. What goes wrong in it while it is open becomes an InputError of one line."""
    kind = store_kind(uri)
    os.environ.update(ALWAYS)
    for name, value in UNLESS_SET.items():
        os.environ.setdefault(name, value)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    from alembic.util import CommandError
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        if kind == "sqlite":
            with _lock(_database(uri)):
                _migrate(_database(uri))
                yield MlflowClient(tracking_uri=uri)
        else:
            yield MlflowClient(tracking_uri=uri)
    except (MlflowException, SQLAlchemyError, CommandError) as error:
        raise InputError(f"{shown(uri)}: {_reason(error, uri)}") from error


def _reason(error: Exception, uri: str) -> str:
    if isinstance(error.__context__, OSError):
        return "the MLflow server does not answer; start it, or unset MLFLOW_TRACKING_URI to use mlflow.db"
    text = str(error).partition("\n")[0].replace(uri, shown(uri))
    return f"MLflow says: {text[:200]}"


def _database(uri: str) -> Path:
    return Path(uri.removeprefix(SQLITE))


@contextmanager
def _lock(database: Path) -> Iterator[None]:
    """Let one process at a time create or change a database: MLflow itself crashes in a race of creations."""
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        stream = database.with_name(f"{database.name}-lock").open("w")
    except OSError as error:
        raise InputError(f"{database}: cannot be written ({error.strerror})") from None
    with stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _migrate(database: Path) -> None:
    """Create the database, whole or not at all, or bring its tables up to this MLflow (`mlflow db upgrade`)."""
    from mlflow.db import upgrade

    if not database.exists():
        with atomic(database) as partial:
            upgrade.main([f"{SQLITE}{partial}"], standalone_mode=False)
        return
    try:
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("PRAGMA schema_version")
    except sqlite3.Error as error:
        raise InputError(f"{database}: not a usable SQLite database ({error})") from None
    upgrade.main([f"{SQLITE}{database}"], standalone_mode=False)


def _experiment(client: "MlflowClient", name: str, uri: str) -> str:
    """The id of a dataset's experiment, which is made, or brought back from the bin, if need be."""
    found = client.get_experiment_by_name(name)
    if found is None:
        place = Path("mlruns", name).resolve().as_uri() if store_kind(uri) == "sqlite" else None
        return str(client.create_experiment(name, artifact_location=place))
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def _clean(client: "MlflowClient", folders: dict[str, RunFolder]) -> tuple[set[str], set[str]]:
    """Delete what is stale, double or gone; return the keys that were in the store, and those that are current."""
    known: set[str] = set()
    current: set[str] = set()
    for run in _stored_runs(client):
        tags = run.data.tags
        key = tags[RUN]
        known.add(key)
        whole = run.info.status == "FINISHED" and key not in current
        if whole and key in folders and tags.get(SIDECAR) == folders[key].sidecar:
            current.add(key)
        else:
            client.delete_run(run.info.run_id)
    return known, current


def _stored_runs(client: "MlflowClient") -> list["Run"]:
    experiments = [found.experiment_id for found in _pages(client.search_experiments)]
    return list(_pages(client.search_runs, experiment_ids=experiments, filter_string=f"tags.`{RUN}` LIKE '%'"))


def _pages(search: Any, **wanted: Any) -> Iterator[Any]:
    page = search(**wanted)
    yield from page
    while page.token:
        page = search(**wanted, page_token=page.token)
        yield from page


def _log_run(client: "MlflowClient", experiment: str, run: RunFolder) -> None:
    record = read_json(run.folder / NAME)
    numbers = read_json(run.folder / "metrics.json")
    try:
        tags, params = _tags(run, record, numbers), _params(record)
        started, ended = (_milliseconds(record[name]) for name in ("started", "ended"))
        metrics = [*_epochs(run, ended), *_finals(numbers, ended)]
    except (KeyError, ValueError) as error:
        raise InputError(f"{run.folder}: damaged ({error!r}); expected the files of a finished run") from None
    name = run.key.partition("/")[2]
    made = client.create_run(experiment, start_time=started, tags=tags, run_name=name).info.run_id
    batches = zip_longest(_chunks(params, PARAMETERS_A_BATCH), _chunks(metrics, METRICS_A_BATCH), fillvalue=())
    for some_params, some_metrics in batches:
        client.log_batch(made, params=some_params, metrics=some_metrics)
    client.set_terminated(made, "FINISHED", ended)


def _chunks(values: list[Any], size: int) -> list[list[Any]]:
    return [values[start : start + size] for start in range(0, len(values), size)]


def _tags(run: RunFolder, record: Json, numbers: Json) -> dict[str, str]:
    request, git = record["request"], record["git"]
    config, folder = request["parameters"]["config"], request["folder"]
    tags = {
        RUN: run.key,
        SIDECAR: run.sidecar,
        "seqrepro.folder": folder,
        "seqrepro.config": sha256_text(canonical_json(config)),
        "seqrepro.dataset": config["dataset"]["content"],
        "seqrepro.code": record["code"],
        "seqrepro.commit": git["commit"],
        "seqrepro.dirty": git["dirty"],
        "seqrepro.stopped": numbers["stopped"],
        "mlflow.source.git.commit": git["commit"],
    }
    files = {f"seqrepro.sha256.{path.removeprefix(f'{folder}/')}": sha for path, sha in record["outputs"].items()}
    return {name: _text(value) for name, value in (tags | files).items() if value is not None}


def _params(record: Json) -> list["Param"]:
    from mlflow.entities import Param

    asked = record["request"]["parameters"]
    flat = flatten({**asked["config"], "seed": asked["seed"]}, ".")
    return [Param(name, _text(value)) for name, value in flat.items()]


def _epochs(run: RunFolder, time: int) -> Iterator["Metric"]:
    from mlflow.entities import Metric

    for row in pq.read_table(run.folder / "history.parquet").to_pylist():
        step = row.pop("epoch")
        for name, value in row.items():
            if value is not None and not isinstance(value, bool):
                yield Metric(f"epoch/{metric_name(name)}", float(value), time, step)


def _finals(numbers: Json, time: int) -> Iterator["Metric"]:
    from mlflow.entities import Metric

    counts = {name: value for name, value in numbers.items() if isinstance(value, int | float)}
    for name, value in (counts | flatten({"test": numbers["metrics"]["test"]}, "/")).items():
        yield Metric(metric_name(name), float(value), time, 0)


def flatten(value: Json, separator: str) -> Json:
    """Nested objects as one, keys joined by `separator`; lists and empty objects are leaves."""
    flat: Json = {}
    for key, inner in value.items():
        nested = flatten(inner, separator) if isinstance(inner, dict) and inner else None
        flat |= {key: inner} if nested is None else {f"{key}{separator}{name}": leaf for name, leaf in nested.items()}
    return flat


def metric_name(name: str) -> str:
    """A metric's name as MLflow allows it: `ndcg@10` becomes `ndcg_at_10`."""
    return name.replace("@", "_at_")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else canonical_json(value)


def _milliseconds(time: str) -> int:
    return round(datetime.fromisoformat(time).timestamp() * 1000)
