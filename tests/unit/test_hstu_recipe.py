"""HSTU's recipe: its loss against a loop, its optimizer, what params.yaml has of it, and what it is told of time."""

import dataclasses
import math
from pathlib import Path

import pytest
import torch

from made_data import GRADIENT, random_rows, sequences_of, split_of, train_request, write_prepared
from seqrepro.config.fit import misfit
from seqrepro.config.load import load_parameters
from seqrepro.config.overrides import Setup, setup_of
from seqrepro.data.splits import make_split
from seqrepro.errors import InputError
from seqrepro.files import read_json
from seqrepro.models.interfaces import build_sequential
from seqrepro.training import train
from seqrepro.training.objectives import sampled_softmax
from seqrepro.training.optimizers import adam
from seqrepro.training.randomness import Randomness
from seqrepro.training.rows import seen
from seqrepro.training.views import make_view

ROOT = Path(__file__).parents[2]
N_ITEMS = 30
SAMPLED = {"name": "sampled_softmax", "negatives": 16, "proposal": "uniform", "correction": "none", "shared": False}
SAMPLED |= {"temperature": 1.0, "l2_normalise": False}
SHAPE = {"width": 6, "layers": 2, "heads": 1, "dropout": 0.0, "max_length": 12, "cosine_temperature": 0.05}
FAMILIES = [{"family": "hstu"}, {"family": "llama"}, {"family": "sasrec", "attention_dropout": 0.0, "inner_width": 8}]
CLAIMED = ["hstu-8x50", "llama-8x50", "sasrec-8x50", "hstu-28x54"]


def rows_with_times(seed=3):
    plain = sequences_of(random_rows(12, N_ITEMS, seed=seed), N_ITEMS)
    gaps = torch.randint(0, 10**6, (len(plain.values),), generator=torch.Generator().manual_seed(seed))
    return dataclasses.replace(plain, timestamps=gaps.cumsum(0))


def cosine(one, other):
    length = lambda vector: max(math.sqrt(sum(x * x for x in vector)), 1e-6)  # noqa: E731
    return sum(x * y for x, y in zip(one, other, strict=True)) / length(one) / length(other)


def loss_by_hand(hidden, table, targets, negatives):
    """A loop over targets and items: cosines over 0.05, -5e4 for a negative that is the target."""
    total = 0.0
    for h, target, drawn in zip(hidden, targets, negatives, strict=True):
        logits = [cosine(h, table[target]) / 0.05]
        logits += [-5e4 if item == target else cosine(h, table[item]) / 0.05 for item in drawn]
        largest = max(logits)
        total += largest + math.log(sum(math.exp(logit - largest) for logit in logits)) - logits[0]
    return total / len(targets)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family["family"])
def test_its_loss(family):
    """16 draws of 30 items for each target: some are the target."""
    rows = rows_with_times()
    model = build_sequential(SHAPE | family, N_ITEMS, torch.Generator().manual_seed(1)).double()
    plain = build_sequential(SHAPE | family | {"cosine_temperature": None}, N_ITEMS, torch.Generator()).double()
    plain.load_state_dict(model.state_dict())
    view = make_view("all_positions", rows)
    batch, recipe = view.batch(torch.arange(len(view))), sampled_softmax.build(SAMPLED, split_of(rows))
    found = recipe.loss(model, batch, Randomness(5)).item()
    hidden, targets = batch.representations(plain)
    negatives = recipe.proposal.draw((len(targets), 16), Randomness(5).negatives)
    assert (negatives == targets[:, None]).any()
    table = plain.item_table().tolist()
    assert found == pytest.approx(loss_by_hand(hidden.tolist(), table, targets.tolist(), negatives.tolist()), rel=1e-10)


def test_its_optimizer_is_adamw_without_decay():
    weights = [torch.nn.Linear(3, 3) for _ in range(2)]
    weights[1].load_state_dict(weights[0].state_dict())
    told = {"learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.98, "epsilon": 1e-8}
    ours = adam.build(told, weights[0], Randomness(0))
    theirs = torch.optim.AdamW(weights[1].parameters(), lr=1e-3, betas=(0.9, 0.98), weight_decay=0.0)
    for step in range(5):
        for layer, optimizer in zip(weights, (ours, theirs), strict=True):
            optimizer.zero_grad()
            layer(torch.full((1, 3), 1.0 + step)).sin().sum().backward()
            optimizer.step()
    torch.testing.assert_close(weights[0].weight, weights[1].weight, rtol=1e-6, atol=1e-7)


@pytest.fixture(scope="module")
def parameters():
    return load_parameters(ROOT / "params.yaml")


@pytest.mark.parametrize("model", CLAIMED)
def test_the_claimed_models_have_it(parameters, model):
    setup = setup_of(parameters, model, "ml-1m-assembled")
    recipe, architecture = setup.training, setup.architecture
    found = recipe.objective.canonical()
    assert found == SAMPLED | {"negatives": 128}
    optimizer = recipe.optimizer
    assert (optimizer.learning_rate, optimizer.beta1, optimizer.beta2, optimizer.weight_decay) == (1e-3, 0.9, 0.98, 0)
    assert (recipe.budget.batch_size, recipe.budget.epochs, recipe.view) == (128, 101, "all_positions")
    assert (architecture.cosine_temperature, architecture.dropout, architecture.max_length) == (0.05, 0.2, 200)
    assert f"{architecture.layers}x{architecture.width}" == model.partition("-")[2]


def times_of(rows):
    return list(zip(rows.timestamps.tolist(), rows.next_times.tolist(), strict=True))


@pytest.mark.parametrize("split", ["leave_one_out", "global_temporal"])
def test_the_last_item_of_a_history_tells_when_the_target_happens(split):
    rows = rows_with_times()
    temporal = {"validation_share": 0.2, "test_share": 0.2, "target": "last"}
    made = make_split({"split": split, "temporal": temporal, "model": {"query_time": "next"}}, rows)
    for name, histories in made.histories.items():
        assert len(histories)
        for row, user in enumerate(histories.users.tolist()):
            own = rows.select(torch.tensor([user - 1]))
            length = int(histories.lengths[row])
            shown = histories.select(torch.tensor([row]))
            assert times_of(shown) == list(
                zip(own.timestamps[:length].tolist(), own.timestamps[1 : length + 1].tolist(), strict=True)
            )
            assert own.values[length] == made.targets[name][row]


def test_only_who_asks_is_told():
    rows = rows_with_times()
    for model in ({"query_time": "current"}, {}):
        made = make_split({"split": "leave_one_out", "model": model}, rows)
        assert made.train.next_times is None and made.histories["test"].next_times is None


def test_moved_gaps_move_what_is_told():
    rows = rows_with_times()
    made = make_split({"split": "leave_one_out", "model": {"query_time": "next", "gaps": "constant"}}, rows)
    found = made.histories["test"]
    assert set((found.next_times - found.timestamps).tolist()) == {86_400}


def test_times_of_next_events_need_times_and_rows_as_they_were():
    rows = rows_with_times()
    asks = {"split": "leave_one_out", "model": {"query_time": "next"}}
    with pytest.raises(InputError, match="these sequences have no timestamps"):
        make_split(asks, dataclasses.replace(rows, timestamps=None))
    made = make_split(asks, rows)
    assert seen(made, {"kind": "users", "share": 0.5}, 1).train.next_times is not None
    thinned = seen(made, {"kind": "interactions", "share": 0.5}, 1).train
    model = build_sequential({"family": "hstu", "query_time": "next"}, N_ITEMS, torch.Generator())
    with pytest.raises(InputError, match="next_times: found none in these sequences"):
        model.score(thinned)


def setup(architecture, **recipe):
    training = GRADIENT | {"objective": SAMPLED} | recipe
    return Setup.model_validate({"architecture": {"family": "hstu"} | architecture, "training": training})


@pytest.mark.parametrize(
    ("architecture", "recipe", "found"),
    [
        (
            {"cosine_temperature": 0.05},
            {"objective": SAMPLED | {"l2_normalise": True}},
            "found l2_normalise for a model",
        ),
        ({"query_time": "next"}, {"data": {"kind": "interactions", "share": 0.5}}, "found training.data interactions"),
        ({"query_time": "next"}, {"data": {"kind": "users", "share": 0.5}}, ""),
        ({"cosine_temperature": 0.05}, {}, ""),
        ({}, {"objective": SAMPLED | {"l2_normalise": True}}, ""),
    ],
)
def test_what_does_not_go_together(architecture, recipe, found):
    made = setup(architecture, **recipe)
    told = misfit(made.architecture, made.training)
    assert told.startswith(found) and bool(told) == bool(found)


@pytest.mark.parametrize("query_time", ["current", "next"])
def test_a_run(tmp_path, monkeypatch, query_time):
    """From prepared sequences to a run folder; with `next` the ranking of the test is told when the target happens."""
    monkeypatch.chdir(tmp_path)
    rows = random_rows(40, N_ITEMS, seed=4)
    generator = torch.Generator().manual_seed(2)
    stamps = [torch.randint(0, 10**6, (len(row),), generator=generator).cumsum(0).tolist() for row in rows]
    model = SHAPE | {"family": "hstu", "query_time": query_time}
    request = train_request(
        write_prepared(tmp_path / "data", rows, N_ITEMS, stamps), model, GRADIENT | {"objective": SAMPLED}
    )
    train.run(request)
    metrics = read_json(Path(request.folder) / "metrics.json")
    assert metrics["epochs"] == 3 and 0 <= metrics["metrics"]["test"]["masked"]["pessimistic"]["ndcg@10"] <= 1
