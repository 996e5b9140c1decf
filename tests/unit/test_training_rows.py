"""What a training sees of the training rows, and what it leaves as it is."""

from dataclasses import replace

import pyarrow.parquet as pq
import pytest
import torch

from made_data import CLOSED_FORM, GRADIENT, SASREC, random_rows, rows_of, sequences_of, train_request, write_prepared
from seqrepro.config.load import load_parameters
from seqrepro.data.splits import global_temporal, leave_one_out
from seqrepro.errors import InputError
from seqrepro.files import sha256_file
from seqrepro.ledger.evidence import Evidence
from seqrepro.probes.curvature.sample import read_surface
from seqrepro.training import closed_form, loop, train
from seqrepro.training.rows import seen

N_ITEMS = 20
ROWS = random_rows(60, N_ITEMS, seed=3)
SPLIT = leave_one_out(sequences_of(ROWS, N_ITEMS))
EASE = {"family": "ease", "regularisation": 10.0, "position_decay": 1.0}
MARKOV = {"family": "markov", "back_off": 1e-6}
NOISE = {"kind": "insert_random", "ratio": 0.5}
DATA = {
    "users": {"kind": "users", "share": 0.4},
    "interactions": {"kind": "interactions", "share": 0.4},
    "insert_random": NOISE,
    "swap": {"kind": "swap", "ratio": 0.4},
    "delete": {"kind": "delete", "ratio": 0.4},
    "duplicate": {"kind": "duplicate", "ratio": 0.4},
    "replace_random": {"kind": "replace_random", "ratio": 0.4},
    "repeat_recent": {"kind": "repeat_recent", "share": 0.4},
    "repeat_users": {"kind": "repeat_users", "share": 0.4},
}


def by_user(sequences):
    return dict(zip(sequences.users.tolist(), rows_of(sequences), strict=True))


def timed_split():
    """Users of whom some come late, some stay away, and none has a validation target of his own."""
    rows = sequences_of(ROWS, N_ITEMS)
    stamps = torch.rand(len(rows.values), generator=torch.Generator().manual_seed(2)).mul(1e4).long()
    return global_temporal(replace(rows, timestamps=stamps), 0.1, 0.2, "first")


def test_without_data_everything_stays():
    assert seen(SPLIT, None, 3) is SPLIT


@pytest.mark.parametrize("split", [SPLIT, timed_split()], ids=["leave one out", "global temporal"])
@pytest.mark.parametrize("kind", DATA)
def test_what_is_evaluated_stays_and_the_rest_follows_the_training_rows(split, kind):
    made = seen(split, DATA[kind], 3)
    assert made.histories is split.histories and made.targets is split.targets and made.negatives is split.negatives
    train, before = by_user(made.train), by_user(split.train)
    assert train != before and train.keys() <= before.keys()
    for name in ("train_and_validation", "whole"):
        rows, full = by_user(getattr(made, name)), by_user(getattr(split, name))
        assert list(rows) == sorted(rows) and train.keys() <= rows.keys() <= full.keys()
        for user, row in rows.items():
            assert row == train.get(user, []) + full[user][len(before.get(user, [])) :]


def test_a_share_of_the_users_leaves_their_rows_alone():
    rows, full = (by_user(seen(SPLIT, DATA["users"], seed).train) for seed in (3, 4))
    assert rows.keys() != full.keys() and len(rows) == len(full) == 24
    assert all(row == by_user(SPLIT.train)[user] for user, row in rows.items())
    assert rows.keys() < by_user(seen(SPLIT, {"kind": "users", "share": 0.8}, 3).train).keys()


def test_times_stay_with_what_is_drawn():
    split = timed_split()
    of_item = {
        (user, item, time)
        for user, item, time in zip(
            split.train.users[split.train.rows].tolist(),
            split.train.values.tolist(),
            split.train.timestamps.tolist(),
            strict=True,
        )
    }
    for kind in ("users", "interactions"):
        for rows in (seen(split, DATA[kind], 3).train, seen(split, DATA[kind], 3).whole):
            assert rows.timestamps is not None and len(rows.timestamps) == len(rows.values)
        train = seen(split, DATA[kind], 3).train
        triples = zip(train.users[train.rows].tolist(), train.values.tolist(), train.timestamps.tolist(), strict=True)
        assert set(triples) < of_item


@pytest.mark.parametrize("kind", ["replace_random", "repeat_recent", "repeat_users"])
def test_other_items_in_the_same_places_have_the_times_of_these(kind):
    split = timed_split()
    made = seen(split, DATA[kind], 3)
    for name in ("train", "train_and_validation", "whole"):
        before, after = getattr(split, name), getattr(made, name)
        assert torch.equal(before.timestamps, after.timestamps) and torch.equal(before.offsets, after.offsets)
        assert not torch.equal(before.values, after.values)


def test_noise_never_tells_a_held_out_item():
    """With four items, two of them held out, half of all uniform draws would."""
    rows = sequences_of([[1, 1, 1, 1, 2, 3]] * 200, 4)
    train = seen(leave_one_out(rows), NOISE, 3).train
    assert train.lengths.tolist() == [6] * 200
    inserted = train.values[train.values != 1]
    assert len(inserted) and set(inserted.tolist()) == {4}


def test_a_replaced_item_is_never_a_held_out_one():
    rows = sequences_of([[1, 1, 1, 1, 2, 3]] * 200, 4)
    train = seen(leave_one_out(rows), {"kind": "replace_random", "ratio": 0.5}, 3).train
    assert train.lengths.tolist() == [4] * 200
    assert set(train.values.tolist()) == {1, 4}


@pytest.mark.parametrize("kind", ["users", "repeat_users"])
def test_the_sequences_of_a_share_of_the_users_are_nested(kind):
    """A larger share has all sequences of a smaller one, and those that are repeated are those of `users`."""
    before: set[tuple[int, ...]] = set()
    for share in (0.1, 0.2, 0.4, 0.8, 1.0):
        found = set(map(tuple, rows_of(seen(SPLIT, {"kind": kind, "share": share}, 3).train)))
        kept = set(map(tuple, rows_of(seen(SPLIT, {"kind": "users", "share": share}, 3).train)))
        assert before <= found and kept <= found
        before = kept


def trained(folder, model, training, seed=3):
    request = train_request(write_prepared(folder / "data", ROWS, N_ITEMS), model, training, str(folder / "run"))
    request.parameters["seed"] = seed
    train.run(request)
    return request


@pytest.fixture
def rows_seen(monkeypatch):
    """The training rows of each fit, in order."""
    found = []

    def watched(function):
        def fit(config, split, *others):
            found.append(rows_of(split.train))
            return function(config, split, *others)

        return fit

    monkeypatch.setattr(train, "fit_gradient", watched(loop.fit_gradient))
    monkeypatch.setattr(train, "fit_closed_form", watched(closed_form.fit_closed_form))
    return found


def test_two_models_with_one_seed_see_the_same_rows(tmp_path, rows_seen):
    data = {"data": NOISE}
    trained(tmp_path / "network", SASREC, GRADIENT | data)
    trained(tmp_path / "closed form", EASE, CLOSED_FORM | data)
    trained(tmp_path / "other seed", EASE, CLOSED_FORM | data, seed=4)
    assert rows_seen[0] == rows_seen[1] != rows_seen[2]


@pytest.mark.parametrize(("model", "recipe"), [(SASREC, GRADIENT), (EASE, CLOSED_FORM)], ids=["network", "closed form"])
def test_all_of_the_users_is_the_plain_run_byte_by_byte(tmp_path, model, recipe):
    """So drawing the data moves no other random number."""
    plain = trained(tmp_path / "plain", model, recipe)
    whole = trained(tmp_path / "whole", model, recipe | {"data": {"kind": "users", "share": 1.0}})
    for name in ("model.safetensors", "history.parquet", "ranks.parquet", "metrics.json"):
        assert sha256_file(plain.output / name) == sha256_file(whole.output / name)


@pytest.mark.parametrize("fit_on", ["train", "train+validation"])
@pytest.mark.parametrize("kind", DATA)
def test_other_data_another_model_the_same_questions(tmp_path, kind, fit_on):
    recipe = CLOSED_FORM | {"fit_on": fit_on}
    plain, other = (
        trained(tmp_path / name, model, recipe | more)
        for name, model, more in (("plain", MARKOV, {}), ("other", MARKOV, {"data": DATA[kind]}))
    )
    before, after = (pq.read_table(run.output / "ranks.parquet") for run in (plain, other))
    for column in ("split", "user", "position", "target_in_history"):
        assert before[column].equals(after[column])
    assert not before["rank_unmasked_worst"].equals(after["rank_unmasked_worst"])


def test_probes_of_the_loss_see_what_the_training_saw(tmp_path):
    run = trained(tmp_path, SASREC | {"max_length": 20}, GRADIENT | {"data": {"kind": "duplicate", "ratio": 1.0}})
    inputs = [*run.inputs, f"{run.folder}/model.safetensors", f"{run.folder}/ranks.parquet"]
    asked = {"users": 1000, "sample_seed": 1, "dtype": "float64"}
    surface = read_surface(replace(run, inputs=inputs, parameters=run.parameters | asked))
    lengths = 2 * SPLIT.train.lengths
    assert surface.n_targets == int((lengths - 1).clamp(max=20).sum())


# --- the plan


CLOSED = "closed-form: {kind: closed_form}"


def test_a_closed_form_that_draws_its_data_runs_with_all_seeds(make_plan, change):
    before = {run.config["model"]["family"]: run.config_hash for run in make_plan().runs}
    change(CLOSED, "closed-form: {kind: closed_form, data: {kind: users, share: 0.5}}")
    runs = make_plan().runs
    assert [(run.config["model"]["family"], run.seed) for run in runs] == [
        (family, seed) for family in ("popularity", "ease", "sasrec") for seed in (1, 2)
    ]
    kept = {run.config["model"]["family"] for run in runs if run.config_hash in before.values()}
    assert kept == {"sasrec"}
    assert runs[0].config["training"]["data"] == {"kind": "users", "share": 0.5}


def test_what_draws_its_data_is_not_deterministic():
    facts = [{"stopped": "closed_form"}]
    assert Evidence({"seeds": [0]}, [0], facts, []).deterministic
    assert not Evidence({"seeds": [1, 2]}, [1, 2], 2 * facts, []).deterministic


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("{kind: users, share: 0}", r"training.closed-form.data.share: found 0, expected .*greater than 0"),
        (
            "{kind: delete, ratio: 1.5}",
            r"training.closed-form.data.ratio: found 1.5, expected .*less than or equal to 1",
        ),
        ("{kind: shuffle}", r"training.closed-form.data: unknown 'kind' 'shuffle'; .*swap"),
    ],
)
def test_impossible_data_are_refused(repository, change, data, message):
    change(CLOSED, f"closed-form: {{kind: closed_form, data: {data}}}")
    with pytest.raises(InputError, match=message):
        load_parameters()
