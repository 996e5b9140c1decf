"""Products, eigenvalues, trace and density of the Hessian against the whole matrix; increases against closed forms."""

from importlib import import_module
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from made_data import SASREC, random_rows, sequences_of, split_of
from seqrepro.errors import InputError
from seqrepro.models.interfaces import build_sequential
from seqrepro.models.layers import initialise
from seqrepro.probes.curvature.ball import adaptive_scale, largest_rise
from seqrepro.probes.curvature.density import spectrum
from seqrepro.probes.curvature.directions import random_direction
from seqrepro.probes.curvature.lanczos import eigenpairs
from seqrepro.probes.curvature.losses import LOSSES, fixed_loss
from seqrepro.probes.curvature.sample import make_surface, sample_users
from seqrepro.probes.curvature.surface import Surface, Term
from seqrepro.probes.curvature.trace import traces
from seqrepro.training.randomness import generator_for
from seqrepro.training.views import make_view

N_ITEMS = 30
TRAIN = sequences_of(random_rows(25, N_ITEMS, seed=5), N_ITEMS)
SMALL = SASREC | {"width": 4, "layers": 2, "heads": 2, "inner_width": 8, "max_length": 8}
SAMPLED = {"negatives": 5, "proposal": "popularity", "temperature": 0.5}
OBJECTIVES = [
    {"name": "cross_entropy"},
    {"name": "bce", "negatives": 1, "exclude": "target"},
    {"name": "bce", "negatives": 3, "exclude": "history"},
    {"name": "gbce", "negatives": 8, "calibration": 0.75, "exclude": "target"},
    {"name": "sampled_softmax", **SAMPLED, "correction": "negatives", "shared": False, "l2_normalise": False},
    {"name": "sampled_softmax", **SAMPLED, "correction": "all", "shared": True, "l2_normalise": True},
]


def network(scale=10.0):
    """A small network in float64, far enough from its start for curvature of both signs."""
    model = build_sequential(SMALL, N_ITEMS, torch.Generator().manual_seed(2)).double().eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1:
                weight.mul_(scale)
            else:
                weight.add_(0.1 * torch.randn(weight.shape, generator=generator_for(1, name), dtype=torch.float64))
    return model


def surface_of(objective, model=None, view="all_positions"):
    return make_surface(model or network(), make_view(view, TRAIN), objective, split_of(TRAIN), seed=1)


class Whole(nn.Module):
    """Full cross-entropy of all rows at once, in the plainest words."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, batch):
        hidden, targets = batch.representations(self.model)
        return F.cross_entropy(hidden @ self.model.item_table()[1:].T, targets - 1)


@pytest.fixture(scope="module")
def exact():
    """A surface, and its whole Hessian by another road."""
    surface = surface_of({"name": "cross_entropy"})
    whole = Whole(surface.model)
    batch = make_view("all_positions", TRAIN).batch(torch.arange(len(TRAIN)))

    def loss(point):
        weights = {f"model.{name}": weight for name, weight in surface.named(point)}
        return torch.func.functional_call(whole, weights, (batch,))

    with sdpa_kernel(SDPBackend.MATH):
        return surface, torch.autograd.functional.hessian(loss, surface.point)


def test_there_is_something_to_measure(exact):
    surface, hessian = exact
    values = torch.linalg.eigvalsh(hessian)
    assert 500 < len(surface.point) < 2000
    assert values[0] < -1e-3 and values[-1] > 0.1
    assert len(surface.terms) == 1 and surface.parts().keys() == {
        *("items", "positions", "norms", "attention", "feed_forward")
    }


def test_products_are_those_of_the_whole_hessian(exact):
    surface, hessian = exact
    vector = torch.randn(len(surface.point), generator=generator_for(1, "v"), dtype=torch.float64)
    assert torch.allclose(surface.hessian_times(vector), hessian @ vector, rtol=1e-10, atol=1e-12)


def test_a_part_is_a_diagonal_block(exact):
    surface, hessian = exact
    for part, mask in surface.parts().items():
        block = surface.of_part(part)
        vector = torch.randn(int(mask.sum()), generator=generator_for(1, part), dtype=torch.float64)
        expected = hessian[mask][:, mask] @ vector
        assert torch.allclose(block.hessian_times(vector), expected, rtol=1e-10, atol=1e-12)
    assert torch.stack(list(surface.parts().values())).sum(0).eq(1).all()


def test_lanczos_finds_both_ends(exact):
    surface, hessian = exact
    expected = torch.linalg.eigvalsh(hessian)
    places = [-1, -2, -3, 0, 1]
    found = eigenpairs(surface.hessian_times, len(expected), places, 250, 1e-12, torch.Generator().manual_seed(1))
    assert torch.allclose(found.values, expected[places], rtol=1e-8, atol=0)
    assert found.residuals.max() < 1e-7
    assert found.steps < 250
    assert torch.allclose(hessian @ found.vectors[0], found.values[0] * found.vectors[0], rtol=0, atol=1e-8)


def test_the_trace_of_the_hessian_and_its_blocks(exact):
    surface, hessian = exact
    masks = [torch.ones(len(hessian), dtype=torch.bool), *surface.parts().values()]
    found = traces(surface.hessian_times, masks, 150, torch.Generator().manual_seed(3))
    for trace, mask in zip(found, masks, strict=True):
        assert trace.error > 0
        assert abs(trace.value - float(hessian.diag()[mask].sum())) < 4 * trace.error
    assert found[0].error < 0.02 * float(torch.linalg.eigvalsh(hessian).abs().sum())
    assert sum(trace.value for trace in found[1:]) == pytest.approx(found[0].value, rel=1e-9)


def test_moments_of_the_density(exact):
    """Of the starts exactly, up to degree 2 m - 1; of the Hessian on average."""
    _, hessian = exact
    found = spectrum(lambda v: hessian @ v, len(hessian), 20, 4, torch.Generator().manual_seed(1))
    generator, powers = torch.Generator().manual_seed(1), [torch.eye(len(hessian), dtype=torch.float64)]
    for _ in range(7):
        powers.append(powers[-1] @ hessian)
    starts = torch.stack([torch.randn(len(hessian), generator=generator, dtype=torch.float64) for _ in range(20)])
    starts = starts / starts.norm(dim=1, keepdim=True)
    for degree, power in enumerate(powers):
        moment = float((found.weights * found.nodes**degree).sum())
        assert moment == pytest.approx(float((starts @ power * starts).sum(1).mean()), rel=1e-9)
    assert (found.weights * found.nodes**2).sum() == pytest.approx(float(powers[2].diag().mean()), rel=0.2)


def test_the_density_is_one(exact):
    _, hessian = exact
    found = spectrum(lambda v: hessian @ v, len(hessian), 2, 30, torch.Generator().manual_seed(1))
    places, density = found.smooth(0.01, 2001)
    assert float(torch.trapezoid(density, places)) == pytest.approx(1, abs=1e-4)
    values = torch.linalg.eigvalsh(hessian)
    assert places[0] < values[0] and values[-1] < places[-1]


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda one: one["name"])
@pytest.mark.parametrize("view", ["all_positions", "prefixes"])
def test_loss_and_gradient_are_those_of_the_training(objective, view):
    """With the same draws."""
    model = network()
    examples = make_view(view, TRAIN)
    surface = surface_of(objective, model, view)
    built = import_module(f"seqrepro.training.objectives.{objective['name']}").build(objective, split_of(TRAIN))
    randomness = SimpleNamespace(negatives=generator_for(1, "curvature:negatives"))
    assert len(surface.terms) == 1
    loss = built.loss(model, examples.batch(torch.arange(len(examples))), randomness)
    gradient = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))])
    assert surface.loss(surface.point) == pytest.approx(float(loss.detach()), rel=1e-12)
    assert torch.allclose(surface.gradient(surface.point), gradient, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda one: one["name"])
def test_products_are_the_change_of_the_gradient(objective):
    surface = surface_of(objective)
    vector = torch.randn(len(surface.point), generator=generator_for(2, "v"), dtype=torch.float64)
    vector, step = vector / vector.norm(), 1e-4
    ahead, behind = (surface.gradient(surface.point + side * step * vector) for side in (1, -1))
    product = surface.hessian_times(vector)
    assert (product - (ahead - behind) / (2 * step)).norm() < 1e-6 * product.norm()


def test_the_point_stays_where_it_is():
    surface = surface_of({"name": "bce", "negatives": 1, "exclude": "target"})
    before = surface.point.clone()
    surface.loss(before + 1)
    surface.hessian_times(torch.ones_like(before))
    with pytest.raises(IndexError):
        surface._mean(before + 1, lambda loss: loss[0])
    assert torch.equal(torch.cat([weight.flatten() for weight in surface.weights]), before)


def test_batches_do_not_matter(monkeypatch):
    whole = surface_of({"name": "cross_entropy"})
    monkeypatch.setattr("seqrepro.probes.curvature.sample.BATCH_EXAMPLES", 7)
    monkeypatch.setattr("seqrepro.probes.curvature.logsumexp.CHUNK_ELEMENTS", 10 * N_ITEMS)
    parts = surface_of({"name": "cross_entropy"})
    vector = torch.ones_like(whole.point)
    assert len(parts.terms) == 4
    assert parts.loss(whole.point) == pytest.approx(whole.loss(whole.point), rel=1e-13)
    assert torch.allclose(parts.hessian_times(vector), whole.hessian_times(vector), rtol=1e-9, atol=1e-13)


def test_an_objective_without_a_second_derivative_is_named():
    with pytest.raises(InputError, match=r"objective 'contrast', expected one of .*bce.*; give the probe a `loss`"):
        fixed_loss({"name": "contrast"}, split_of(TRAIN))
    assert {objective["name"] for objective in OBJECTIVES} == set(LOSSES)


def test_users_are_drawn_once_and_have_a_target():
    train = sequences_of([[1], [1, 2], [3, 4, 5], [2], [2, 3]], 5)
    assert sample_users(train, 10, 1).tolist() == [1, 2, 4]
    assert sample_users(train, 2, 1).tolist() == sample_users(train, 2, 1).tolist()
    assert {tuple(sample_users(train, 2, seed).tolist()) for seed in range(20)} == {(1, 2), (1, 4), (2, 4)}


# --- trace


def test_hutch_plus_plus_is_unbiased_and_its_error_is_true():
    generator = torch.Generator().manual_seed(4)
    factor = torch.randn(60, 60, generator=generator, dtype=torch.float64)
    matrix = factor @ torch.linspace(-1, 3, 60, dtype=torch.float64).exp().diag() @ factor.T
    matrix -= 20 * torch.eye(60, dtype=torch.float64)
    block = torch.arange(60) < 25
    masks, expected = [block, ~block], [float(matrix.diag()[m].sum()) for m in (block, ~block)]
    found = [traces(lambda v: matrix @ v, masks, 30, generator) for _ in range(300)]
    for place, truth in enumerate(expected):
        values = torch.tensor([one[place].value for one in found])
        errors = torch.tensor([one[place].error for one in found])
        assert abs(values.mean() - truth) < 4 * values.std() / 300**0.5
        assert (values.std() / errors.pow(2).mean().sqrt()) == pytest.approx(1, abs=0.15)


def test_a_matrix_of_low_rank_has_no_error():
    factor = torch.randn(50, 3, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    matrix = factor @ factor.T
    (found,) = traces(lambda v: matrix @ v, [torch.ones(50, dtype=torch.bool)], 18, torch.Generator().manual_seed(1))
    assert found.value == pytest.approx(float(matrix.trace()), rel=1e-10)
    assert found.error < 1e-10


# --- balls


def quadratic(seed=3, size=12):
    generator = torch.Generator().manual_seed(seed)
    factor = torch.randn(size, size, generator=generator, dtype=torch.float64)
    matrix, slope = factor @ factor.T, torch.randn(size, generator=generator, dtype=torch.float64)
    return matrix, lambda x: float(0.5 * x @ matrix @ x + slope @ x), lambda x: matrix @ x + slope


def largest_in_ball(matrix, gradient, rho):
    """The maximum of g'd + d'H d / 2 over ||d|| <= rho: (mu - H) d = g with mu above all eigenvalues, ||d|| = rho."""
    values, vectors = torch.linalg.eigh(matrix)
    inside = vectors.T @ gradient
    low, high = float(values[-1]), float(values[-1] + gradient.norm() / rho + 1)
    for _ in range(200):
        mu = (low + high) / 2
        low, high = (mu, high) if (inside / (mu - values)).norm() > rho else (low, mu)
    step = vectors @ (inside / (high - values))
    return float(gradient @ step + 0.5 * step @ matrix @ step)


@pytest.mark.parametrize("rho", [0.05, 1.0, 5.0])
def test_the_rise_in_a_ball_of_a_quadratic(rho):
    matrix, loss, gradient = quadratic()
    point, one = torch.ones(12, dtype=torch.float64), torch.ones(12, dtype=torch.float64)
    found = largest_rise(loss, gradient, point, one, rho, 400)
    slope = gradient(point)
    along = rho * slope / slope.norm()
    assert found.one_step == pytest.approx(float(slope @ along + 0.5 * along @ matrix @ along), rel=1e-9)
    assert found.largest == pytest.approx(largest_in_ball(matrix, slope, rho), rel=1e-9)
    assert found.largest > found.one_step


def test_the_scaled_ball_is_the_ball_of_scaled_weights():
    matrix, loss, gradient = quadratic()
    point = torch.linspace(-2, 2, 12, dtype=torch.float64)
    scale = point.abs() + 0.01
    found = largest_rise(loss, gradient, point, scale, 0.5, 400)
    inside = scale[:, None] * matrix * scale
    assert found.largest == pytest.approx(largest_in_ball(inside, scale * gradient(point), 0.5), rel=1e-9)
    along = 0.5 * scale**2 * gradient(point) / (scale * gradient(point)).norm()  # the step of ASAM
    assert found.one_step == pytest.approx(loss(point + along) - loss(point), rel=1e-9)


def test_at_a_stationary_point_nothing_rises_along_the_gradient():
    found = largest_rise(lambda x: float(x @ x), lambda x: 2 * x, torch.zeros(3), torch.ones(3), 1.0, 3)
    assert (found.one_step, found.largest) == (0, 0)


def test_weights_are_scaled_by_their_size_and_biases_are_not():
    named = [("layer.weight", torch.tensor([[-2.0, 0.0]])), ("layer.bias", torch.tensor([5.0]))]
    assert adaptive_scale(named).tolist() == pytest.approx([2.01, 0.01, 1])


# --- directions


def test_directions_have_the_norms_of_the_rows():
    surface = surface_of({"name": "cross_entropy"})
    direction = random_direction(surface, torch.Generator().manual_seed(1))
    own = dict(surface.named(surface.point))
    for name, rows in surface.named(direction):
        if rows.dim() == 1:
            assert not rows.any(), name
        else:
            assert torch.allclose(rows.norm(dim=1), own[name].norm(dim=1), rtol=1e-12), name
    assert not dict(surface.named(direction))["items.weight"][0].any()


def test_rows_that_are_no_items_stay():
    """A row for a mask stands behind the items."""
    model = nn.Module()
    model.items = nn.Embedding(5, 3)
    surface = Surface(model, [Term(SimpleNamespace(rows=SimpleNamespace(n_items=3)), None, 1)], 1)
    ((_, rows),) = surface.named(random_direction(surface, torch.Generator().manual_seed(1)))
    assert rows.norm(dim=1).ne(0).tolist() == [False, True, True, True, False]


class Rows(nn.Module):
    """A loss that does not depend on the length of any row."""

    def __init__(self, scale):
        super().__init__()
        self.layer = nn.Linear(4, 6, bias=False, dtype=torch.float64)
        initialise(self, torch.Generator().manual_seed(1))
        with torch.no_grad():
            self.layer.weight.mul_(torch.tensor(scale, dtype=torch.float64)[:, None])


@pytest.mark.parametrize("scale", [[1.0, 10.0, 0.1, 3.0, 1.0, 1.0], [1e3] * 6])
def test_a_rescaled_row_shows_the_same_picture(scale):
    inputs = torch.randn(9, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    class Angles(Term):
        def __call__(self, model):
            return (inputs @ F.normalize(model.layer.weight, dim=1).T).exp().sum()

    shown = []
    for factors in ([1.0] * 6, scale):
        surface = Surface(Rows(factors), [Angles(SimpleNamespace(rows=SimpleNamespace(n_items=3)), None, 9)], 9)
        direction = random_direction(surface, torch.Generator().manual_seed(7))
        shown.append([surface.loss(surface.point + x * direction) for x in (-1, -0.3, 0, 0.5, 1)])
    assert shown[1] == pytest.approx(shown[0], rel=1e-12)
    assert len(set(shown[0])) == 5
