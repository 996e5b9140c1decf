"""Sharpness-aware steps: quadratics by hand, and what two passes of a real network see, perturb and restore."""

import sys
from copy import deepcopy
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from made_data import SASREC, SHARP_OWN, sharp
from made_steps import made_batch, made_model, objective_of
from seqrepro.errors import InputError
from seqrepro.models.parts import PARTS, names_of_part
from seqrepro.training.loop import _build
from seqrepro.training.precision import add_gradients
from seqrepro.training.randomness import Randomness

RATE = 0.1
CURVATURE = torch.tensor([1.0, 4.0]).double()


class Quadratic(nn.Module):
    """L = (w_1^2 + 4 w_2^2) / 2 + b^2, at w = (3, 1); b is there if it is given."""

    def __init__(self, bias=None):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([3.0, 1.0]).double())
        if bias is not None:
            self.bias = nn.Parameter(torch.tensor([bias]).double())

    def closure(self):
        for weight in self.parameters():
            weight.grad = None
        loss = (CURVATURE * self.weight**2).sum() / 2
        loss = loss + (self.bias**2).sum() if hasattr(self, "bias") else loss
        loss.backward()
        return {"loss": loss.item()}


@pytest.fixture(autouse=True)
def descent(monkeypatch):
    """Another base optimizer, so that a step shows its gradient: `{name: descent}`."""

    def build(parameters, model, randomness):
        return torch.optim.SGD(model.parameters(), lr=RATE, weight_decay=parameters.get("weight_decay", 0.0))

    monkeypatch.setitem(sys.modules, "seqrepro.training.optimizers.descent", SimpleNamespace(build=build))


def optimizer_of(model, name, **changes):
    return _build("optimizers", sharp(name, **{"base": {"name": "descent"}} | changes), model, Randomness(3))


def step_gradients(name, steps=1, bias=None, **changes):
    """The gradients of the first steps of gradient descent, [steps, P], and what the steps measured."""
    model = Quadratic(bias)
    optimizer, path, measured = optimizer_of(model, name, **changes), [], []
    for _ in range(steps + 1):
        path.append(torch.cat([weight.detach().clone() for weight in model.parameters()]))
        measured.append(optimizer.step(model.closure))
    return -torch.stack(path).diff(dim=0) / RATE, measured[:steps]


def assert_close(found, expected):
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=1e-14)


def test_sam_of_a_quadratic():
    """g = (3, 4), ||g|| = 5, so e = (0.3, 0.4) and g' = (3.3, 5.6), ||g'|| = 6.5."""
    (gradient,), (measured,) = step_gradients("sam", rho=0.5)
    assert_close(gradient, [3.3, 5.6])
    assert measured == pytest.approx(
        {
            "loss": 6.5,
            "perturbed_loss": (3.3**2 + 4 * 1.4**2) / 2,
            "sharpness": (3.3**2 + 4 * 1.4**2) / 2 - 6.5,
            "gradient_norm": 5.0,
            "perturbed_gradient_norm": 6.5,
            "gradient_cosine": 32.3 / 32.5,
        },
        rel=1e-12,
    )


def test_the_norm_is_one_over_all_tensors():
    """b = 6 has the gradient 12: ||g|| = 13."""
    (gradient,), _ = step_gradients("sam", bias=6.0, rho=0.5)
    assert_close(gradient, [3 + 1.5 / 13, 4 * (1 + 2 / 13), 2 * (6 + 6 / 13)])


def test_asam_of_a_quadratic():
    """eta = 0.5: T = (3.5, 1.5) for the tensor named weight and 1 for the bias, so T g = (10.5, 6, 2) at b = 1."""
    (gradient,), _ = step_gradients("asam", bias=1.0, rho=0.5, eta=0.5)
    norm = (10.5**2 + 6**2 + 2**2) ** 0.5
    perturbation = [0.5 * 3.5 * 10.5 / norm, 0.5 * 1.5 * 6 / norm, 0.5 * 2 / norm]
    assert_close(gradient, [3 + perturbation[0], 4 * (1 + perturbation[1]), 2 * (1 + perturbation[2])])


def test_gsam_of_a_quadratic():
    """g.g' = 32.3 and g'.g' = 42.25."""
    (gradient,), _ = step_gradients("gsam", rho=0.5, alpha=0.4)
    across = [3 - 32.3 / 42.25 * 3.3, 4 - 32.3 / 42.25 * 5.6]
    assert across[0] * 3.3 + across[1] * 5.6 == pytest.approx(0, abs=1e-14)
    assert_close(gradient, [3.3 - 0.4 * across[0], 5.6 - 0.4 * across[1]])


def test_looksam_of_a_quadratic():
    """v = g' - 32.3 / 25 g = (-0.576, 0.432), of norm 0.72, is added to the gradients of the next step."""
    gradients, measured = step_gradients("looksam", steps=3, rho=0.5, alpha=0.7, period=2)
    assert_close(gradients[0], [3.3, 5.6])
    plain = [3 - 0.33, 4 * (1 - 0.56)]
    factor = 0.7 * (plain[0] ** 2 + plain[1] ** 2) ** 0.5 / 0.72
    assert_close(gradients[1], [plain[0] - 0.576 * factor, plain[1] + 0.432 * factor])
    assert [set(line) == {"loss"} for line in measured] == [False, True, False]


def test_looksam_of_period_1_is_sam():
    assert torch.equal(step_gradients("looksam", steps=4, period=1)[0], step_gradients("sam", steps=4)[0])


@pytest.mark.parametrize(("bias", "rho"), [(None, 0.5), (6.0, 2.0)])
def test_a_random_direction_has_the_same_norm_and_comes_from_its_own_generator(bias, rho):
    (gradient,), _ = step_gradients("random_sam", bias=bias, rho=rho)
    start, curvature = (torch.tensor(values).double() for values in ([3.0, 1.0, bias or 0.0], [1.0, 4.0, 2.0]))
    start, curvature = start[: len(gradient)], curvature[: len(gradient)]
    drawn = torch.randn(len(gradient), generator=Randomness(3).perturbation, dtype=torch.float64)
    torch.testing.assert_close(gradient, curvature * (start + rho * drawn / drawn.norm()), rtol=1e-12, atol=0)


def test_random_directions_differ_from_step_to_step():
    model = Quadratic()
    optimizer, seen = optimizer_of(model, "random_sam", rho=0.5, base={"name": "descent"}), []
    for _ in range(2):
        start = model.weight.detach().clone()
        optimizer.step(model.closure)
        seen.append((start - model.weight.detach()) / RATE / CURVATURE - start)
    assert [vector.norm().item() for vector in seen] == pytest.approx([0.5, 0.5], rel=1e-12)
    assert (seen[0] - seen[1]).norm() > 0.01


@pytest.mark.parametrize("name", SHARP_OWN)
def test_without_a_perturbation_the_gradient_is_the_plain_one(name):
    gradients, _ = step_gradients(name, steps=9, rho=0.0)
    model = Quadratic()
    for gradient in gradients:
        model.closure()
        torch.testing.assert_close(gradient, model.weight.grad, rtol=1e-12, atol=0)
        with torch.no_grad():
            model.weight -= RATE * model.weight.grad


def test_where_decay_goes():
    """Of the base alone: g' + 0.1 w. In the loss: (3.3, 4.1) = g + 0.1 w is ascended, and 0.1 (w + e) is in g'."""
    base = {"name": "descent", "weight_decay": 0.1}
    (gradient,), _ = step_gradients("sam", rho=0.5, base=base, decay="base")
    assert_close(gradient, [3.3 + 0.3, 5.6 + 0.1])
    (gradient,), (measured,) = step_gradients("sam", rho=0.5, base=base, decay="loss")
    norm = (3.3**2 + 4.1**2) ** 0.5
    assert_close(gradient, [1.1 * (3 + 0.5 * 3.3 / norm), 4.1 * (1 + 0.5 * 4.1 / norm)])
    assert measured["gradient_norm"] == pytest.approx(norm)
    assert measured["loss"] == 6.5  # the objective's own


def test_a_parameter_without_a_gradient_stays():
    model = Quadratic()
    model.unused = nn.Parameter(torch.ones(3).double())
    optimizer = optimizer_of(model, "sam", rho=0.5, base={"name": "descent", "weight_decay": 0.1})
    optimizer.step(model.closure)
    assert_close(model.weight.detach(), [3 - 0.36, 1 - 0.57])
    assert model.unused.tolist() == [1, 1, 1]


def test_a_zero_gradient_perturbs_nothing():
    model = Quadratic()
    with torch.no_grad():
        model.weight.zero_()
    for name in SHARP_OWN:
        measured = optimizer_of(model, name).step(model.closure)
        assert measured["sharpness"] == measured["gradient_cosine"] == 0
        assert model.weight.tolist() == [0, 0]


def test_weights_come_back_when_the_second_pass_fails():
    model, calls = Quadratic(), []

    def closure():
        calls.append(1)
        if len(calls) == 2:
            assert model.weight.tolist() != [3.0, 1.0]
            raise MemoryError
        return model.closure()

    with pytest.raises(MemoryError):
        optimizer_of(model, "sam").step(closure)
    assert model.weight.tolist() == [3.0, 1.0]


# A real network: what the two passes see.

OBJECTIVES = [{"name": "cross_entropy"}, {"name": "bce", "negatives": 2, "exclude": "history"}]
DROPPING = SASREC | {"width": 32, "inner_width": 64}


class Spied:
    """One step of a network, with the weights, the generators and the gradients of each pass."""

    def __init__(self, name, objective=OBJECTIVES[0], parameters=DROPPING, dtype=torch.float64, **changes):
        self.model, self.randomness, self.batch = made_model("cpu", dtype, parameters), Randomness(3), made_batch()
        self.objective, self.passes, self.losses = objective_of(objective), [], []
        self.optimizer = _build("optimizers", sharp(name, **changes), self.model, self.randomness)
        self.model.train()
        self.before, self.at_the_base_step = self._weights(), None
        base_step = self.optimizer.base.step
        self.optimizer.base.step = lambda: (self._note_base(), base_step())
        self.measured = self.optimizer.step(self._closure)

    def moved(self, number=1):
        """By how much each tensor was moved in a pass."""
        return {name: self.passes[number][0][name] - weight for name, weight in self.before.items()}

    def norm(self):
        """Of the perturbation."""
        return torch.cat([moved.flatten() for moved in self.moved().values()]).norm().item()

    def _closure(self):
        self.passes.append((self._weights(), self.randomness.state()))
        self.optimizer.zero_grad()
        loss = add_gradients(
            lambda: self.objective.loss(self.model, self.batch, self.randomness), "fp32", torch.device("cpu")
        )
        self.losses.append(loss)
        return {"loss": loss}

    def _note_base(self):
        self.at_the_base_step = self._weights()

    def _weights(self):
        return {name: weight.detach().clone() for name, weight in self.model.named_parameters()}


def states_that_differ(spied):
    first, second = (states for _, states in spied.passes)
    return {name for name in first if not torch.equal(first[name], second[name])}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", SHARP_OWN)
def test_weights_are_restored_bit_for_bit(name, dtype):
    spied = Spied(name, dtype=dtype)
    assert all(torch.equal(spied.at_the_base_step[name], weight) for name, weight in spied.before.items())
    assert any(not torch.equal(weight, spied.before[name]) for name, weight in spied.passes[1][0].items())


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda objective: objective["name"])
@pytest.mark.parametrize("name", ["sam", "gsam", "looksam", "random_sam"])
def test_the_perturbation_has_norm_rho_and_reaches_every_tensor(name, objective):
    spied = Spied(name, objective, rho=0.37)
    assert spied.norm() == pytest.approx(0.37, rel=1e-12)
    moved = spied.moved()
    assert all(tensor.abs().max() > 0 for tensor in moved.values())
    assert {"norm.bias", "positions.weight", "items.weight", "blocks.0.mixer.output.bias"} <= set(moved)
    assert moved["items.weight"][0].abs().max() == 0  # padding


def test_in_float32_the_norm_is_rho_up_to_rounding():
    assert Spied("sam", dtype=torch.float32).norm() == pytest.approx(0.05, rel=1e-5)


def test_asam_has_norm_rho_over_the_size_of_weights():
    spied = Spied("asam", rho=0.37)
    sizes = {name: w.abs() + 0.01 if "weight" in name else torch.ones_like(w) for name, w in spied.before.items()}
    scaled = [(moved / sizes[name]).flatten() for name, moved in spied.moved().items()]
    assert torch.cat(scaled).norm().item() == pytest.approx(0.37, rel=1e-12)


EXPECTED_PARTS = {
    "all": lambda name: True,
    "embeddings": lambda name: name in ("items.weight", "positions.weight"),
    "items": lambda name: name == "items.weight",
    "blocks": lambda name: name.split(".")[0] == "blocks",
    "norms": lambda name: name.split(".")[-2].endswith("norm"),
    "all_but_embeddings": lambda name: name not in ("items.weight", "positions.weight"),
}


@pytest.mark.parametrize("name", ["sam", "random_sam"])
@pytest.mark.parametrize("part", PARTS)
def test_a_part_alone_is_perturbed_and_the_norm_is_its_own(part, name):
    spied = Spied(name, rho=0.37, parts=part)
    moved = {name for name, tensor in spied.moved().items() if tensor.abs().max() > 0}
    assert moved == {name for name in spied.before if EXPECTED_PARTS[part](name)}
    assert spied.norm() == pytest.approx(0.37, rel=1e-12)
    after = dict(spied.model.named_parameters())
    assert all(not torch.equal(after[name], weight) for name, weight in spied.before.items())  # all are trained


def test_the_norms_of_sasrec_are_640_numbers_at_width_64():
    model = made_model(parameters=SASREC | {"width": 64})
    names, weights = names_of_part(model, "norms"), dict(model.named_parameters())
    assert (len(names), sum(weights[name].numel() for name in names)) == (10, 640)


def test_a_part_that_a_model_does_not_have_is_one_line():
    with pytest.raises(InputError, match="parts: found 'norms', of which Linear has none; expected a part that it has"):
        names_of_part(nn.Linear(2, 2), "norms")


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda objective: objective["name"])
def test_the_same_masks(objective):
    """All generators stand in the second pass where they stood in the first, and so after it as after a plain step."""
    spied = Spied("sam", objective, dtype=torch.float32, rho=0.0)
    assert states_that_differ(spied) == set()
    assert spied.losses[0] == spied.losses[1]
    assert spied.measured["sharpness"] == 0
    after = spied.randomness.state()
    plain = Spied("looksam", objective, dtype=torch.float32, rho=0.0)
    plain.randomness.load(plain.passes[0][1])
    plain.optimizer.step(plain._closure)  # a step between, of one pass
    assert all(torch.equal(plain.randomness.state()[name], after[name]) for name in after)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda objective: objective["name"])
def test_fresh_masks_and_the_same_negatives(objective):
    spied = Spied("sam", objective, dtype=torch.float32, rho=0.0, masks="fresh")
    assert states_that_differ(spied) == {"dropout"}
    assert spied.losses[0] != spied.losses[1]
    still = DROPPING | {"dropout": 0.0, "attention_dropout": 0.0}
    spied = Spied("sam", objective, still, torch.float32, rho=0.0, masks="fresh")
    assert spied.losses[0] == spied.losses[1]  # of the same negatives


def test_a_random_direction_draws_once_a_step_and_for_nobody_else():
    spied = Spied("random_sam")
    assert states_that_differ(spied) == {"perturbation"}
    second = spied.passes[1][1]["perturbation"]
    assert torch.equal(spied.randomness.state()["perturbation"], second)


def test_state_goes_on_where_it_was():
    """With LookSAM's vector and count: the next step, one between, is the same."""
    first, other = (Spied("looksam", dtype=torch.float32) for _ in range(2))
    other.optimizer.kept, other.optimizer.steps = None, 0
    other.model.load_state_dict(first.model.state_dict())
    other.optimizer.load_state_dict(deepcopy(first.optimizer.state_dict()))
    for spied in (first, other):
        spied.randomness.load(first.passes[0][1])
        spied.optimizer.step(spied._closure)
    assert first.losses == other.losses
    assert len(first.losses) == 3
    found, expected = other._weights(), first._weights()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
