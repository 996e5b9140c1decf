from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from made_data import CLOSED_FORM, GRADIENT, SASREC, random_rows, rows_of, sequences_of, train_request, write_prepared
from seqrepro.errors import InputError
from seqrepro.evaluation.metrics import all_means
from seqrepro.evaluation.ranks import SCHEMA, ranks_of
from seqrepro.files import sha256_file
from seqrepro.probes import robustness
from seqrepro.request import Request
from seqrepro.training import train

N_ITEMS = 20
ROWS = random_rows(50, N_ITEMS, seed=3)
TARGETS = torch.tensor([row[-1] for row in ROWS])
HISTORIES = sequences_of([row[:-1] for row in ROWS], N_ITEMS)
PERTURBATIONS = [{"kind": "drop_last", "count": 1}, {"kind": "shuffle"}, {"kind": "insert_random", "ratio": 0.5}]
NAMES = ["drop_last-1", "shuffle", "insert_random-0.5"]


def perturbed(**perturbation):
    return rows_of(robustness.perturb(HISTORIES, TARGETS, perturbation, torch.Generator().manual_seed(1)))


def test_drop_last_takes_the_newest_items_but_never_the_oldest():
    assert perturbed(kind="drop_last", count=2) == [row[: max(1, len(row) - 2)] for row in rows_of(HISTORIES)]


def test_shuffle_keeps_the_items_of_each_row():
    shuffled = perturbed(kind="shuffle")
    assert [sorted(row) for row in shuffled] == [sorted(row) for row in rows_of(HISTORIES)]
    assert shuffled != rows_of(HISTORIES)


def test_insert_random_keeps_the_order_and_never_inserts_the_target():
    for row, longer, target in zip(
        rows_of(HISTORIES), perturbed(kind="insert_random", ratio=0.5), TARGETS, strict=True
    ):
        assert len(longer) == len(row) + -(-len(row) // 2)
        rest = iter(longer)
        assert all(item in rest for item in row)
        assert longer.count(int(target)) == row.count(int(target))


def test_inserted_items_stand_anywhere_and_can_be_any_item():
    histories = sequences_of([[1, 1]] * 4000, 4)
    targets = torch.full((4000,), 3)
    shown = robustness.perturb(
        histories, targets, {"kind": "insert_random", "ratio": 0.5}, torch.Generator().manual_seed(1)
    )
    rows = shown.values.view(4000, 3)
    places = torch.stack([(rows[:, place] != 1).float().mean() for place in range(3)])
    assert places.tolist() == pytest.approx([2 / 9] * 3, abs=0.03)  # two of the three other items are not item 1
    assert sorted(set(shown.values.tolist())) == [1, 2, 4]


@pytest.mark.parametrize("bad", [{"kind": "noise"}, {"kind": "drop_last"}, {"kind": "insert_random", "ratio": 0}])
def test_impossible_perturbations_are_refused(bad):
    with pytest.raises(InputError, match=r"disturbances: .*expected"):
        perturbed(**bad)


@pytest.mark.parametrize("kind", ["gradient", "closed_form"])
def test_the_probe_ranks_each_perturbation(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    inputs = write_prepared(Path("data"), ROWS, N_ITEMS)
    model = (SASREC, GRADIENT) if kind == "gradient" else ({"family": "markov", "back_off": 1e-6}, CLOSED_FORM)
    run = train_request(inputs, *model)
    train.run(run)
    request = Request(
        "probe",
        "seqrepro.probes.robustness",
        f"{run.folder}/probes/robustness",
        [*inputs, f"{run.folder}/model.safetensors", f"{run.folder}/ranks.parquet"],
        {**run.parameters, "perturbations": PERTURBATIONS},
        [],
        "code",
    )
    paths = robustness.run(request)
    assert [path.name for path in paths] == [*(f"ranks-{name}.parquet" for name in NAMES), "robustness.parquet"]

    original = pq.read_table(run.output / "ranks.parquet", filters=[("split", "=", "test")])
    summary = pq.read_table(paths[-1]).to_pylist()
    values = {(row["perturbation"], row["metric"]): row for row in summary}
    reference = all_means(ranks_of(original), N_ITEMS)
    assert {metric: values["none", metric]["value"] for metric in reference} == reference
    for name, path in zip(NAMES, paths, strict=False):
        table = pq.read_table(path)
        assert table.schema == SCHEMA
        for column in ("user", "position", "target_in_history"):  # the candidates stay the same
            assert table[column].to_pylist() == original[column].to_pylist()
        assert table["rank_unmasked_worst"].to_pylist() != original["rank_unmasked_worst"].to_pylist()
        row = values[name, "ndcg@10"]
        assert row["value"] == all_means(ranks_of(table), N_ITEMS)["ndcg@10"]
        assert row["relative_change"] == pytest.approx(row["value"] / reference["ndcg@10"] - 1)

    before = [sha256_file(path) for path in paths]
    assert [sha256_file(path) for path in robustness.run(request)] == before
    request.parameters["keep_ranks"] = False
    paths[-1].unlink()
    assert robustness.run(request) == paths[-1:]
    assert sha256_file(paths[-1]) == before[-1]
