"""Precision of training steps on the CPU: where bf16 is used and where it is not. `tests/gpu` has the rest."""

import pyarrow.parquet as pq
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from safetensors.torch import load_file
from torch import nn

from made_data import GRADIENT, SASREC, random_rows, train_request, write_prepared
from made_steps import N_ITEMS, NAMES, OBJECTIVES, VIEWS, distance, gradients, made_batch, made_model, objective_of
from seqrepro.config.training import Recipe
from seqrepro.errors import InputError
from seqrepro.evaluation.ranking import rank_all
from seqrepro.evaluation.ranks import ranks_of
from seqrepro.files import read_json, sha256_file
from seqrepro.models.interfaces import SequentialModel, restore
from seqrepro.provenance.sidecar import environment
from seqrepro.training import loop, machine, precision, train
from seqrepro.training.contrastive import info_nce
from seqrepro.training.inputs import read_split
from seqrepro.training.negatives import scores_of
from seqrepro.training.randomness import Randomness

CPU = torch.device("cpu")
DETERMINISTIC = ("model.safetensors", "history.parquet", "ranks.parquet", "metrics.json")
BF16 = GRADIENT | {"precision": "bf16"}


def products():
    return torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.fp32_precision


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return write_prepared(tmp_path_factory.mktemp("data"), random_rows(60, 30, longest=12), 30)


@pytest.fixture(scope="module")
def trained(inputs, tmp_path_factory):
    """A run in bf16, and one in fp32."""
    folder, requests = tmp_path_factory.mktemp("precision"), {}
    for name in ("bf16", "fp32"):
        training = GRADIENT | {"precision": name, "budget": GRADIENT["budget"] | {"epochs": 6, "patience": 6}}
        requests[name] = train_request(inputs, SASREC, training, str(folder / f"runs/{name}"))
        train.run(requests[name])
    return requests


def history(request):
    return pq.read_table(request.output / "history.parquet").to_pylist()


def test_tf32_on_a_cpu_is_one_line():
    recipe = GRADIENT | {"precision": "tf32"}
    with pytest.raises(
        ValidationError, match="found precision tf32 with device cpu; expected device cuda, or precision fp32"
    ):
        TypeAdapter(Recipe).validate_python(recipe)
    assert TypeAdapter(Recipe).validate_python(recipe | {"device": "cuda"}).precision == "tf32"


@pytest.mark.parametrize(("name", "setting"), [("fp32", "ieee"), ("tf32", "tf32"), ("bf16", "ieee")])
def test_tf32_is_set_by_name_for_the_step_and_for_nothing_else(name, setting):
    machine.prepare(GRADIENT)
    weight, seen = torch.ones((), requires_grad=True), []

    def look(*_):
        seen.append((products(), torch.is_autocast_enabled("cpu")))

    def loss():
        look()
        weight.register_hook(look)
        return 2 * weight

    assert precision.add_gradients(loss, name, CPU) == 2.0
    assert seen == [((setting, setting), name == "bf16"), ((setting, setting), False)]  # there and back
    assert products() == ("ieee", "ieee")
    assert weight.grad == 2


def test_a_loss_that_fails_leaves_the_setting_as_it_was():
    machine.prepare(GRADIENT)
    with pytest.raises(ZeroDivisionError):
        precision.add_gradients(lambda: torch.ones(()) * (1 // 0), "tf32", CPU)
    assert products() == ("ieee", "ieee")
    assert not torch.is_autocast_enabled("cpu")


def test_bf16_products_do_not_sum_in_bf16():
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = True
    machine.prepare(GRADIENT)
    assert not torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction


@pytest.mark.parametrize("name", ["tf32", "bf16"])
def test_a_gpu_without_the_precision_is_refused(name, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Old GPU")
    for capability in ((7, 5), (8, 0), (9, 0)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _, found=capability: found)
        precision.check("fp32", torch.device("cuda"))
        if capability < (8, 0):
            with pytest.raises(InputError, match=f"'{name}' was asked for, and Old GPU has none; expected 'fp32'"):
                precision.check(name, torch.device("cuda"))
        else:
            precision.check(name, torch.device("cuda"))


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("objective", OBJECTIVES, ids=NAMES)
def test_bf16_is_near_fp32_and_not_the_same(objective, view):
    loss, gradient = gradients(objective, view, precision="bf16")
    expected_loss, expected = gradients(objective, view)
    assert loss == pytest.approx(expected_loss, rel=5e-3)
    assert 1e-4 < distance(gradient, expected) < 0.05


class Narrow(SequentialModel):
    """A network that ends with a product, so that autocast leaves its representations in bf16."""

    max_length = 10

    def __init__(self):
        super().__init__()
        self.items = nn.Embedding(N_ITEMS + 1, 8, padding_idx=0)
        self.last = nn.Linear(8, 8)

    def hidden(self, padded_BL):
        return self.last(self.items(padded_BL))

    def item_table(self):
        return self.items.weight


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("objective", OBJECTIVES, ids=NAMES)
def test_objectives_get_representations_of_the_type_of_the_weights(objective, view):
    torch.manual_seed(0)
    model, batch = Narrow(), made_batch(view)
    with torch.autocast("cpu", torch.bfloat16):
        assert model.hidden(batch.rows.values[None]).dtype == torch.bfloat16
        assert batch.representations(model)[0].dtype == torch.float32
        loss = objective_of(objective).loss(model, batch, Randomness(0))
    assert loss.dtype == torch.float32
    loss.backward()
    assert all(weight.grad.isfinite().all() for weight in model.parameters())


def test_scores_of_a_few_items_are_fp32_under_autocast():
    generator = torch.Generator().manual_seed(0)
    hidden, table = (torch.randn(n, 8, generator=generator).requires_grad_() for n in (20, N_ITEMS + 1))
    items = torch.randint(1, N_ITEMS + 1, (20, 5), generator=generator)
    with torch.autocast("cpu", torch.bfloat16):
        found = scores_of(hidden, table, items)
    expected = scores_of(hidden, table, items)
    assert torch.equal(found, expected)
    for mine, theirs in zip(
        torch.autograd.grad(found.sum(), (hidden, table)),
        torch.autograd.grad(expected.sum(), (hidden, table)),
        strict=True,
    ):
        assert torch.equal(mine, theirs)


def test_info_nce_under_autocast_is_a_number_of_fp32():
    first, second = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        found = info_nce(first, second)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(info_nce(first, second).item(), rel=2e-2)


def test_a_training_in_bf16_keeps_weights_of_fp32_and_nearly_the_losses(trained):
    weights = load_file(trained["bf16"].output / "model.safetensors")
    assert {weight.dtype for weight in weights.values()} == {torch.float32}
    losses, expected = ([row["train_loss"] for row in history(trained[name])] for name in ("bf16", "fp32"))
    assert losses == pytest.approx(expected, rel=2e-3)
    assert losses != expected
    assert losses[-1] < losses[0]


def test_a_model_trained_in_bf16_is_ranked_in_fp32(trained):
    request = trained["bf16"]
    split, machine_used = read_split(request), read_json(request.output / "timing.json")
    model = restore(request.parameters["config"], 30, request.output / "model.safetensors")
    assert machine_used["precision"] == "bf16"
    for name in ("validation", "test"):
        ranks = rank_all(model, *split.evaluation(name), likelihood=True)
        table = pq.read_table(request.output / "ranks.parquet", filters=[("split", "=", name)])
        assert torch.equal(ranks_of(table), ranks.masked_worst)
        assert table["nll"].to_pylist() == ranks.nll.tolist()
    best = max(row["validation_ndcg@10"] for row in history(request))
    metrics = read_json(request.output / "metrics.json")["metrics"]["validation"]["masked"]["pessimistic"]
    assert best == pytest.approx(metrics["ndcg@10"])  # early stopping saw fp32 scores too


def test_a_training_in_bf16_goes_on_with_the_same_bytes(inputs, tmp_path, monkeypatch):
    whole, cut = (train_request(inputs, SASREC, BF16, str(tmp_path / f"runs/{name}")) for name in ("whole", "cut"))
    train.run(whole)
    take_step = loop.Trainer._step

    def step(trainer):
        if trainer.progress.step == 7:
            raise InterruptedError
        take_step(trainer)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
        patch.setattr(loop.Trainer, "_step", step)
        with pytest.raises(InterruptedError):
            train.run(cut)
    train.run(cut)
    assert [sha256_file(cut.output / name) for name in DETERMINISTIC] == [
        sha256_file(whole.output / name) for name in DETERMINISTIC
    ]


def test_a_closed_form_has_no_precision_of_its_own():
    assert machine.used({"kind": "closed_form", "threads": 1}, CPU)["precision"] is None
    assert environment({"config": {"training": BF16}})["precision"] == "bf16"


def test_the_table_takes_part_in_bf16_products_with_full_weights():
    """A change of the weights that bf16 cannot see is kept by them: the optimizer works on fp32."""
    model = made_model()
    before = model.item_table().detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-5)
    batch, objective, randomness = made_batch(), objective_of({"name": "cross_entropy"}), Randomness(0)
    precision.add_gradients(lambda: objective.loss(model, batch, randomness), "bf16", CPU)
    optimizer.step()
    after = model.item_table().detach()
    changed = before != after
    assert changed[1:].float().mean() > 0.5
    assert (before.bfloat16() == after.bfloat16())[changed].float().mean() > 0.9
