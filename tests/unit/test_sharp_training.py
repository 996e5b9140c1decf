"""Whole trainings with sharpness-aware optimizers: rho = 0, what is logged and counted, whose weights are kept."""

import math

import pyarrow.parquet as pq
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from safetensors.torch import load_file

from made_data import GRADIENT, SASREC, SHARP_OWN, random_rows, sharp, train_request, write_prepared
from seqrepro.config.training import Optimizer
from seqrepro.errors import CheckFailed
from seqrepro.evaluation.metrics import mean
from seqrepro.evaluation.ranking import rank_all
from seqrepro.files import read_json, sha256_file
from seqrepro.models.interfaces import restore
from seqrepro.training import train
from seqrepro.training.inputs import read_split
from seqrepro.training.outcome import HISTORY_SCHEMA

N_ITEMS, EPOCHS, STEPS = 30, 3, 3  # steps an epoch
TRAINING = GRADIENT | {"budget": {"epochs": EPOCHS, "patience": EPOCHS, "batch_size": 20, "monitor": "ndcg@10"}}
MEASURED = ["perturbed_loss", "sharpness", "gradient_norm", "perturbed_gradient_norm", "gradient_cosine"]
SETTINGS = {
    "cross_entropy": {},
    "bce": {"objective": {"name": "bce", "negatives": 2, "exclude": "history"}},
    "bf16": {"precision": "bf16"},
    "prefixes": {"view": "prefixes", "budget": TRAINING["budget"] | {"batch_size": 100}},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A function that trains with an optimizer, once."""
    folder, done = tmp_path_factory.mktemp("sharp"), {}
    inputs = write_prepared(folder / "data", random_rows(60, N_ITEMS, longest=12), N_ITEMS)

    def run(optimizer, **changes):
        key = repr((optimizer, changes))
        if key not in done:
            recipe = TRAINING | {"optimizer": optimizer} | changes
            done[key] = train_request(inputs, SASREC, recipe, str(folder / f"runs/{len(done)}"))
            train.run(done[key])
        return done[key]

    return run


def history(request):
    return pq.read_table(request.output / "history.parquet")


def digests(request, *names):
    return [sha256_file(request.output / name) for name in names]


@pytest.mark.parametrize(
    ("name", "setting"),
    [*((name, "cross_entropy") for name in SHARP_OWN), *((n, s) for n in ("sam", "looksam") for s in [*SETTINGS][1:])],
)
def test_with_rho_0_it_is_plain_adam_bit_for_bit(name, setting, trained):
    changes = SETTINGS[setting]
    plain, found = trained(GRADIENT["optimizer"], **changes), trained(sharp(name, rho=0.0), **changes)
    files = ("model.safetensors", "ranks.parquet")
    assert digests(found, *files) == digests(plain, *files)
    assert history(found).select(HISTORY_SCHEMA.names) == history(plain)
    metrics = read_json(found.output / "metrics.json")
    assert metrics.pop("passes") > read_json(plain.output / "timing.json")["passes"]
    assert metrics == read_json(plain.output / "metrics.json")
    assert set(history(found)["sharpness"].to_pylist()) == {0.0}


def test_with_rho_0_and_decay_it_is_adam_with_decay(trained):
    adam = GRADIENT["optimizer"] | {"weight_decay": 0.1}
    plain, found = trained(adam), trained(sharp("sam", rho=0.0, base=adam))
    assert digests(found, "model.safetensors") == digests(plain, "model.safetensors")
    assert digests(plain, "model.safetensors") != digests(trained(GRADIENT["optimizer"]), "model.safetensors")
    inside = trained(sharp("sam", rho=0.0, base=adam, decay="loss"))
    weights, expected = (load_file(run.output / "model.safetensors") for run in (inside, plain))
    for name in expected:
        torch.testing.assert_close(weights[name], expected[name], rtol=1e-3, atol=1e-5)


def test_a_perturbation_and_each_switch_change_the_training(trained):
    adam = GRADIENT["optimizer"] | {"weight_decay": 0.1}
    recipes = [
        GRADIENT["optimizer"],
        *(sharp(name) for name in SHARP_OWN),
        sharp("sam", masks="fresh"),
        sharp("sam", parts="norms"),
        sharp("sam", base=adam),
        sharp("sam", base=adam, decay="loss"),
    ]
    assert len({digests(trained(recipe), "model.safetensors")[0] for recipe in recipes}) == len(recipes)


def test_plain_adam_logs_nothing_more(trained):
    request = trained(GRADIENT["optimizer"])
    assert history(request).schema.equals(HISTORY_SCHEMA)
    assert "passes" not in read_json(request.output / "metrics.json")
    timing = read_json(request.output / "timing.json")
    assert (timing["steps"], timing["passes"]) == (EPOCHS * STEPS, EPOCHS * STEPS)


@pytest.mark.parametrize("name", SHARP_OWN)
def test_what_is_logged(name, trained):
    table = history(trained(sharp(name)))
    assert table.column_names == [*HISTORY_SCHEMA.names, *MEASURED]
    for row in table.to_pylist():
        assert row["gradient_norm"] > 0
        assert -1 <= row["gradient_cosine"] <= 1
        if name != "looksam":  # whose second passes are not in all steps
            assert row["sharpness"] == pytest.approx(row["perturbed_loss"] - row["train_loss"], abs=1e-12)
    uphill = [row["sharpness"] for row in table.to_pylist()]
    assert all(abs(value) < 0.01 for value in uphill) if name == "random_sam" else all(value > 0 for value in uphill)


@pytest.mark.parametrize("name", SHARP_OWN)
def test_passes_are_counted(name, trained):
    request, steps = trained(sharp(name)), EPOCHS * STEPS
    expected = steps + (math.ceil(steps / 4) if name == "looksam" else steps)
    assert read_json(request.output / "metrics.json")["passes"] == expected
    timing = read_json(request.output / "timing.json")
    assert (timing["steps"], timing["passes"]) == (steps, expected)


def test_an_epoch_without_a_second_pass_has_no_numbers_of_it(trained):
    table = history(trained(sharp("looksam", period=2 * STEPS)))
    assert [value is None for value in table["sharpness"].to_pylist()] == [False, True, False]
    assert table["train_loss"].null_count == 0


@pytest.mark.parametrize("name", ["sam", "random_sam"])
def test_what_is_ranked_and_kept_are_the_weights_before_a_perturbation(name, trained):
    """With a large rho the perturbed ones rank otherwise."""
    request = trained(sharp(name, rho=2.0))
    split = read_split(request)
    model = restore(request.parameters["config"], N_ITEMS, request.output / "model.safetensors")
    ranks = rank_all(model, *split.evaluation("validation"), likelihood=False)
    (best,) = (row for row in history(request).to_pylist() if row["is_best"])
    assert best["validation_ndcg@10"] == mean("ndcg@10", ranks.masked_worst, N_ITEMS)
    assert model.state_dict()["items.weight"][0].abs().max() == 0  # padding


def test_the_same_request_gives_the_same_bytes(trained):
    files = ("model.safetensors", "history.parquet", "ranks.parquet", "metrics.json")
    first, again = trained(sharp("random_sam")), trained(sharp("random_sam"), precision="fp32")
    assert first.output != again.output
    assert digests(first, *files) == digests(again, *files)


def test_a_perturbed_loss_that_is_not_a_number_stops_the_training(trained):
    with pytest.raises(CheckFailed, match=r"the perturbed_loss is (nan|inf) in epoch 1, step 1; expected a number"):
        trained(sharp("sam", rho=1e38))


def test_parameters_and_their_defaults():
    read = TypeAdapter(Optimizer).validate_python
    adam = {"name": "adam", "learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
    shared = {"base": adam, "masks": "same", "decay": "base", "parts": "all"}
    assert read({"name": "sam", "base": {"name": "adam"}}).canonical() == shared | {"name": "sam", "rho": 0.05}
    asam = read({"name": "asam", "base": {"name": "adam"}}).canonical()
    assert asam == shared | {"name": "asam", "rho": 0.5, "eta": 0.01}
    for wrong in ({"rho": -1.0}, {"masks": "other"}, {"parts": "heads"}, {"alpha": 1.0}, {"base": {"name": "sam"}}):
        with pytest.raises(ValidationError):
            read({"name": "sam", "base": {"name": "adam"}} | wrong)
