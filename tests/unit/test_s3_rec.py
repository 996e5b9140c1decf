"""S3-Rec's pre-training: what is drawn, the four losses written out once more, and the way into fine-tuning."""

import json
import math
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from torch.nn import functional as F

from made_data import GRADIENT, SASREC, random_rows, rows_of, sequences_of, train_request, write_prepared
from seqrepro.config.load import load_parameters
from seqrepro.config.overrides import setup_of
from seqrepro.data.splits import leave_one_out
from seqrepro.errors import InputError
from seqrepro.files import write_parquet
from seqrepro.models.interfaces import build_sequential
from seqrepro.training import machine, train
from seqrepro.training.checkpoint import CheckpointStore, Identity
from seqrepro.training.inputs import read_attributes
from seqrepro.training.loop import Trainer
from seqrepro.training.pretraining import s3_rec
from seqrepro.training.randomness import Randomness
from seqrepro.training.views import all_prefixes_view

V, A = 30, 6
MASK = V + 1
ROWS = random_rows(40, V, seed=5, longest=18)
S3REC = SASREC | {"mask_row": True, "positions_from": "newest", "dropout": 0.0, "attention_dropout": 0.0}
FIRST = {
    "name": "s3_rec",
    "epochs": 2,
    "batch_size": 50,
    "mask_ratio": 0.2,
    "aap": 0.2,
    "mip": 1.0,
    "map": 1.0,
    "sp": 0.5,
}
RECIPE = GRADIENT | {"pretraining": FIRST, "objective": {"name": "bce", "negatives": 1, "exclude": "history"}}


def split_with_attributes():
    """The split of ROWS; about every third item has each attribute."""
    split = leave_one_out(sequences_of(ROWS, V))
    has = torch.rand(V + 1, A + 1, generator=torch.Generator().manual_seed(1)) < 0.3
    has[0], has[:, 0] = False, False
    return type(split)(split.train, split.train_and_validation, split.whole, split.histories, split.targets, {}, has)


@pytest.fixture
def model():
    network = build_sequential(S3REC, V, torch.Generator().manual_seed(3)).double().eval()
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(8)
    return network


@pytest.fixture
def first(model):
    made = s3_rec.build(FIRST, split_with_attributes(), model, torch.Generator().manual_seed(4)).double()
    with torch.no_grad():
        for weight in made.parameters():
            weight.mul_(8)
    return made


def prefixes():
    view = all_prefixes_view(leave_one_out(sequences_of(ROWS, V)).train.tail(10))
    return view.batch(torch.arange(len(view)))


def drawn_from(rows, seed=2, ratio=0.2):
    everything = torch.arange(1, V + 1).repeat(3)
    return s3_rec.draw_instances(sequences_of(rows, V), everything, ratio, Randomness(seed))


def test_every_prefix_of_the_last_training_items_is_an_instance():
    train_rows = [row[:-2][-10:] for row in ROWS]
    assert rows_of(prefixes().rows) == [row[:end] for row in train_rows for end in range(1, len(row) + 1)]


def test_masks_and_negatives():
    row = list(range(1, 11))
    drawn = drawn_from([row] * 2000)
    assert drawn.masked[:, -1].all()
    share = drawn.masked[:, :-1].double().mean(0)
    assert ((share - 0.2).abs() < 4 * math.sqrt(0.16 / 2000)).all()
    assert set(drawn.negatives.unique().tolist()) == set(range(11, V + 1))
    mixed = drawn_from([[1, 2], [3, 4, 5, 6]])
    assert not mixed.masked[0, 2:].any() and not mixed.negatives[0, 2:].any() and not mixed.context[0, 2:].any()


def test_segments():
    """k is uniform over 1..floor(n / 2), its place over 0..n - k, and another's segment is consecutive too."""
    row, seen = [2, 4, 6, 8, 10, 12, 14], {}
    drawn = drawn_from([row] * 6000)
    for context, segment, other in zip(
        *(part.tolist() for part in (drawn.context, drawn.segment, drawn.other)), strict=True
    ):
        inside = [t for t in range(7) if context[t] == MASK]
        k = len(inside)
        assert inside == list(range(inside[0], inside[0] + k))
        assert context == [MASK if t in inside else row[t] for t in range(7)]
        assert segment == [row[t] if t in inside else MASK for t in range(7)]
        assert [t for t in range(7) if other[t] != MASK] == inside
        assert all(other[t + 1] % V == (other[t] + 1) % V for t in inside[:-1])
        seen[k, inside[0]] = seen.get((k, inside[0]), 0) + 1
    assert set(seen) == {(k, a) for k in (1, 2, 3) for a in range(8 - k)}
    for (k, _), count in seen.items():
        share = 1 / 3 / (8 - k)
        assert abs(count / 6000 - share) < 5 * math.sqrt(share / 6000)


def test_a_single_item_is_its_own_segment():
    drawn = drawn_from([[7], [8, 9, 10]])
    assert [part[0].tolist() for part in (drawn.context, drawn.segment, drawn.other)] == [[7, 0, 0]] * 3
    assert drawn.masked[0].tolist() == [True, False, False]


def slow_loss(model, first, drawn):
    """The four sums, instance by instance and term by term."""
    sums = dict.fromkeys(s3_rec.MAPS, 0.0)
    for row in range(len(drawn.items)):
        n = int((drawn.items[row] != 0).sum())
        items, masked = drawn.items[row, :n].tolist(), drawn.masked[row, :n].tolist()
        shown = torch.tensor([[MASK if hide else item for item, hide in zip(items, masked, strict=True)]])
        hidden = model.hidden(shown, both_ways=True)[0]
        for t, (item, hide) in enumerate(zip(items, masked, strict=True)):
            name = "map" if hide else "aap"
            for k in range(A + 1):
                p = (first.maps[name](hidden[t]) @ first.attributes.weight[k]).sigmoid()
                sums[name] = sums[name] - (p if first.has[item, k] else 1 - p).log()
            if hide:
                wrong = int(drawn.negatives[row, t])
                right, wrong = (
                    (first.maps["mip"](hidden[t]) @ model.items.weight[which]).sigmoid() for which in (item, wrong)
                )
                sums["mip"] = sums["mip"] - F.logsigmoid(right - wrong)
        c, p, q = (
            model.hidden(part[row : row + 1, :n], both_ways=True)[0, -1]
            for part in (drawn.context, drawn.segment, drawn.other)
        )
        mapped = first.maps["sp"](c)
        sums["sp"] = sums["sp"] - F.logsigmoid((mapped @ p).sigmoid() - (mapped @ q).sigmoid())
    return 0.2 * sums["aap"] + sums["mip"] + sums["map"] + 0.5 * sums["sp"]


def test_the_loss_is_the_four_sums_with_all_gradients(model, first):
    view = all_prefixes_view(sequences_of(ROWS[:6], V).tail(10))
    batch = view.batch(torch.arange(len(view)))
    loss = first.loss(model, batch, Randomness(2))
    drawn = s3_rec.draw_instances(batch.rows, first.everything, 0.2, Randomness(2))
    expected = slow_loss(model, first, drawn)
    torch.testing.assert_close(loss, expected, rtol=1e-10, atol=0)
    weights = [*model.parameters(), *first.parameters()]
    for mine, theirs in zip(torch.autograd.grad(loss, weights), torch.autograd.grad(expected, weights), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-7, atol=1e-9)
        assert mine.abs().max() > 0


def test_the_network_sees_both_sides_here_and_one_side_later(model):
    row = torch.tensor([[3, 4, MASK, 6, 7]])
    for both_ways, seen in ((True, [3, 4, 6, 7, MASK]), (False, [3, 4, MASK])):
        (gradient,) = torch.autograd.grad(model.hidden(row, both_ways=both_ways)[0, 2, 0], model.items.weight)
        assert gradient.abs().sum(1).nonzero().flatten().tolist() == seen


def test_the_terms_have_the_bounds_of_a_sigma_in_a_sigma(first):
    far = 100 * torch.eye(8, dtype=torch.float64)[:1].expand(5, 8)
    with torch.no_grad():
        first.maps["sp"].weight.copy_(torch.eye(8)), first.maps["sp"].bias.zero_()
    assert first._preference("sp", far, far, -far).item() == pytest.approx(5 * math.log1p(math.exp(-1)))
    assert first._preference("sp", far, -far, far).item() == pytest.approx(5 * math.log1p(math.e))


def trainer_of(folder, recipe=RECIPE):
    config, store = {"model": S3REC, "training": recipe}, CheckpointStore(folder, Identity("", "", ""))
    return Trainer(config, split_with_attributes(), 3, machine.prepare(recipe), store)


def test_fine_tuning_starts_from_the_pretrained_network_with_a_fresh_optimizer(tmp_path):
    trainer = trainer_of(tmp_path)
    start = trainer._weights()
    assert len(trainer.view) == len(prefixes().rows)
    trainer._pretraining_epoch()
    assert trainer.pretraining is not None
    trainer._pretraining_epoch()
    assert trainer.pretraining is None
    assert trainer.progress.pretraining[1] < trainer.progress.pretraining[0]
    assert not trainer.optimizer.state
    assert len(trainer.view) == sum(len(row) >= 4 for row in ROWS)
    assert trainer.batch_size == GRADIENT["budget"]["batch_size"]
    pretrained = trainer._weights()
    assert all(not torch.equal(start[name], pretrained[name]) for name in start)
    trainer._step()
    moved = float((trainer.model.items.weight.detach() - pretrained["items.weight"]).abs().max())
    assert 0 < moved <= 1.01 * GRADIENT["optimizer"]["learning_rate"]  # one step of Adam


def test_a_run_is_made_from_items_and_says_what_it_lost(tmp_path):
    inputs = write_prepared(tmp_path / "data", ROWS, V)
    items = tmp_path / "data/items.parquet"
    attributes = pa.array(
        [["red", "round"] if item % 2 else ["blue"] for item in range(1, V + 1)], pa.list_(pa.string())
    )
    write_parquet(items, pa.table({"item": pa.array(range(1, V + 1), pa.int32()), "attributes": attributes}))
    request = train_request([*inputs, str(items)], S3REC, RECIPE, str(tmp_path / "runs/run"))
    train.run(request)
    found = json.loads((request.output / "metrics.json").read_text())
    assert len(found["pretraining_losses"]) == 2
    network = build_sequential(S3REC, V, torch.Generator())
    assert found["parameters"] == sum(weight.numel() for weight in network.parameters())
    timing = json.loads((request.output / "timing.json").read_text())
    assert timing["seconds_by_part"]["pretraining"] > 0
    assert timing["seconds_total"] > timing["seconds_by_part"]["pretraining"]


def test_attributes_are_numbered_from_one(tmp_path):
    lists = pa.array([["b", "a", "b"], [], ["c"]], pa.list_(pa.string()))
    write_parquet(tmp_path / "items.parquet", pa.table({"item": pa.array([1, 2, 3], pa.int32()), "attributes": lists}))
    has = read_attributes(tmp_path / "items.parquet", 3)
    assert has.int().tolist() == [[0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1]]
    write_parquet(tmp_path / "plain.parquet", pa.table({"item": pa.array([1, 2, 3], pa.int32())}))
    assert read_attributes(tmp_path / "plain.parquet", 3) is None


def test_items_without_attributes_cannot_be_learnt_from(tmp_path):
    inputs = write_prepared(tmp_path / "data", ROWS, V)
    with pytest.raises(InputError, match=r"pretraining: the items have no attributes; expected some in items\.parquet"):
        train.run(train_request(inputs, S3REC, RECIPE, str(tmp_path / "runs/run")))


@pytest.mark.parametrize(("dataset", "epochs"), [("beauty", 150), ("toys", 150), ("sports", 100), ("yelp", 100)])
def test_pretraining_is_as_long_as_its_authors_name_it_for_each_dataset(dataset, epochs):
    parameters = load_parameters(Path(__file__).parents[2] / "params.yaml")
    assert setup_of(parameters, "s3-rec", dataset).training.pretraining.epochs == epochs
