"""Whole trainings on a GPU: they go on after an interruption, repeat themselves, run out of memory in one line.

Whether two trainings gave the same bytes is printed (`make test-gpu` shows it) and not asserted: the project makes no
claim about it.
"""

import pyarrow.parquet as pq
import pytest
import torch

from made_data import GRADIENT, SASREC, random_rows, sharp, train_request, write_prepared
from seqrepro.errors import InputError
from seqrepro.evaluation.ranking import rank_all
from seqrepro.files import read_json, sha256_file
from seqrepro.models.interfaces import restore
from seqrepro.training import loop, train
from seqrepro.training.inputs import read_split

pytestmark = pytest.mark.gpu
DETERMINISTIC = ("model.safetensors", "history.parquet", "ranks.parquet", "metrics.json")
BUDGET = {"epochs": 5, "patience": 5, "batch_size": 32, "monitor": "ndcg@10"}  # 7 steps each
ON_GPU = GRADIENT | {"device": "cuda", "budget": BUDGET}
OBJECTIVES = {
    "cross_entropy": {"name": "cross_entropy"},
    "bce": {"name": "bce", "negatives": 3, "exclude": "history"},
}
PRECISIONS = ("fp32", "tf32", "bf16")
WIDE = SASREC | {"width": 64, "inner_width": 256}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return write_prepared(tmp_path_factory.mktemp("data"), random_rows(200, 60, longest=20), 60)


@pytest.fixture(scope="module")
def trained(inputs, tmp_path_factory):
    """A function that trains in a folder of that name, once."""
    folder, done = tmp_path_factory.mktemp("runs"), {}

    def run(name, **changes):
        if name not in done:
            done[name] = train_request(inputs, WIDE, ON_GPU | changes, str(folder / f"runs/{name}"))
            train.run(done[name])
        return done[name]

    return run


def losses(request):
    return pq.read_table(request.output / "history.parquet")["train_loss"].to_pylist()


def accuracy(request):
    return read_json(request.output / "metrics.json")["metrics"]["test"]["masked"]["pessimistic"]["ndcg@10"]


def say_whether_equal(what, first, second):
    """Print which of the deterministic files have the same bytes."""
    same = [name for name in DETERMINISTIC if sha256_file(first.output / name) == sha256_file(second.output / name)]
    print(f"{what}: same bytes in {', '.join(same) or 'no file'}")


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_an_interrupted_training_goes_on(objective, precision, trained, monkeypatch):
    recipe = {"objective": OBJECTIVES[objective], "precision": precision}
    whole, name = trained(f"{objective}-{precision}", **recipe), f"{objective}-{precision}-cut"
    take_step = loop.Trainer._step

    def step(trainer):
        if trainer.progress.step == 18:  # within the third epoch
            raise InterruptedError
        take_step(trainer)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
        patch.setattr(loop.Trainer, "_step", step)
        with pytest.raises(InterruptedError):
            trained(name, **recipe)
        torch.cuda.manual_seed_all(99)  # the checkpoint holds the GPU's generator of dropout
    cut = train_request(whole.inputs, WIDE, ON_GPU | recipe, str(whole.output.with_name(name)))
    assert len(list(train.checkpoint_folder(cut.output).glob("step-*.pt"))) == 2
    train.run(cut)
    assert losses(cut) == pytest.approx(losses(whole), rel=1e-5)
    assert accuracy(cut) == pytest.approx(accuracy(whole), abs=1e-3)
    say_whether_equal(f"{objective}, {precision}, interrupted or not", cut, whole)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_same_seed_twice(precision, trained):
    recipe = {"objective": OBJECTIVES["cross_entropy"], "precision": precision}
    first, second = (trained(f"cross_entropy-{precision}{again}", **recipe) for again in ("", "-again"))
    assert losses(first) == pytest.approx(losses(second), rel=1e-5)
    say_whether_equal(f"{precision}, the same seed twice", first, second)


@pytest.mark.parametrize("precision", PRECISIONS[1:])
def test_other_precisions_train_as_fp32_does(precision, trained):
    found = trained(f"cross_entropy-{precision}", precision=precision)
    expected = trained("cross_entropy-fp32")
    assert losses(found) == pytest.approx(losses(expected), rel=1e-2)
    assert losses(found)[-1] < losses(found)[0]


def test_dropout_aside_a_gpu_trains_as_the_cpu_does(inputs, tmp_path):
    still, runs = WIDE | {"dropout": 0.0, "attention_dropout": 0.0}, []
    for device in ("cpu", "cuda"):
        request = train_request(inputs, still, ON_GPU | {"device": device}, str(tmp_path / f"runs/{device}"))
        train.run(request)
        runs.append(request)
    assert losses(runs[1]) == pytest.approx(losses(runs[0]), rel=1e-4)
    assert accuracy(runs[1]) == pytest.approx(accuracy(runs[0]), abs=0.02)


def test_timing_names_the_gpu(trained):
    timing = read_json(trained("cross_entropy-bf16", precision="bf16").output / "timing.json")
    assert timing["device"] == torch.cuda.get_device_name()
    assert timing["precision"] == "bf16"
    assert timing["peak_gpu_memory_bytes"] > 2**20


def test_the_cpu_ranks_the_saved_model_alike(trained):
    request = trained("cross_entropy-bf16", precision="bf16")
    split = read_split(request)
    model = restore(request.parameters["config"], 60, request.output / "model.safetensors")
    ranks = rank_all(model, *split.evaluation("test"), likelihood=True)
    table = pq.read_table(request.output / "ranks.parquet", filters=[("split", "=", "test")])
    torch.testing.assert_close(torch.tensor(table["nll"].to_pylist()), ranks.nll, rtol=1e-4, atol=1e-4)


def test_out_of_memory_is_one_line(inputs, tmp_path):
    """The activations of the inner width are beyond the 256 MiB that this process may take."""
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    allowed = torch.cuda.memory_reserved() + 2**28
    wide = WIDE | {"inner_width": 2**17}
    training = ON_GPU | {"budget": BUDGET | {"batch_size": 200}}
    request = train_request(inputs, wide, training, str(tmp_path / "runs/run"))
    torch.cuda.set_per_process_memory_fraction(allowed / total)
    try:
        with pytest.raises(InputError, match=r"out of memory on .* GiB held and .* GiB more asked for") as caught:
            train.run(request)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()
    assert "\n" not in str(caught.value)
    assert "found batch_size 200, objective cross_entropy, 60 items; expected a smaller batch_size" in str(caught.value)
    assert not request.output.exists() or not any(request.output.iterdir())


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", ["sam", "looksam", "random_sam"])
def test_sharpness_aware_trainings_go_on_after_an_interruption(name, precision, trained, monkeypatch):
    recipe, take_step = {"optimizer": sharp(name), "precision": precision}, loop.Trainer._step
    whole = trained(f"{name}-{precision}", **recipe)

    def step(trainer):
        if trainer.progress.step == 18:
            raise InterruptedError
        take_step(trainer)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
        patch.setattr(loop.Trainer, "_step", step)
        with pytest.raises(InterruptedError):
            trained(f"{name}-{precision}-cut", **recipe)
    torch.cuda.manual_seed_all(99)
    cut = train_request(whole.inputs, WIDE, ON_GPU | recipe, str(whole.output.with_name(f"{name}-{precision}-cut")))
    train.run(cut)
    assert losses(cut) == pytest.approx(losses(whole), rel=1e-5)
    say_whether_equal(f"{name}, {precision}, interrupted or not", cut, whole)


def test_with_rho_0_the_second_pass_has_the_masks_of_the_first(trained):
    request = trained("rho-0", optimizer=sharp("sam", rho=0.0))
    table = pq.read_table(request.output / "history.parquet")
    assert table["perturbed_loss"].to_pylist() == pytest.approx(losses(request), rel=1e-6)
    assert losses(request) == pytest.approx(losses(trained("cross_entropy-fp32")), rel=1e-4)
