"""The joint law over several amounts of data: a known data term is found again, and the right measure predicts best."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares

from made_points import TOKENS, grid, write_measures, write_run
from seqrepro.laws.amounts import joint_rows
from seqrepro.laws.joint import (
    Amounted,
    data_term,
    dataset_out_error,
    fit_joint,
    panel_out_error,
    shared_shape,
    within_r2,
)
from seqrepro.laws.points import own_grids, read_points
from seqrepro.laws.shapes import Shape

N_BLOCKS, D_EMB = (axis.ravel() for axis in np.meshgrid([1.0, 2, 4, 8], [16.0, 32, 64, 128], indexing="ij"))
SHAPE = Shape(-0.03, -0.05, -0.4, -0.18)
LEVELS = {"first": 0.2, "second": 0.35, "third": 0.1}


def made(w5=0.03, noise=0.0, seed=1, shape=SHAPE):
    """Panels of three datasets with four amounts of data each; D' is tokens times an entropy that is independent."""
    generator = np.random.default_rng(seed)
    tokens = {name: generator.normal(11, 1) - 0.7 * np.arange(4) for name in LEVELS}
    data = {name: own + generator.normal(0, 0.4, 4) for name, own in tokens.items()}
    unit = np.mean(list(data.values()))
    return [
        Amounted(
            name,
            N_BLOCKS,
            D_EMB,
            LEVELS[name]
            + shape.predict(N_BLOCKS, D_EMB)
            + data_term(data[name][i] - unit, w5)
            + noise * generator.normal(size=len(D_EMB)),
            log_data=data[name][i],
            log_tokens=tokens[name][i],
        )
        for name in LEVELS
        for i in range(4)
    ]


@settings(max_examples=20)
@given(w5=st.floats(-0.2, 0.2), w3=st.floats(-0.9, -0.2), w1=st.floats(-0.1, -0.01))
def test_a_law_without_noise_is_found_again(w5, w3, w1):
    panels = made(w5, shape=replace(SHAPE, w1=w1, w3=w3))
    law = fit_joint(panels)
    assert law.w5 == pytest.approx(w5, abs=1e-5)
    for panel in panels:
        np.testing.assert_allclose(law.predict(panel), panel.values, atol=1e-5)
    assert within_r2(panels, law) == pytest.approx(1, abs=1e-6)


def test_the_data_term_is_found_again_under_noise():
    """Of 20 fits, the mean lies at the truth within its error, and each within three of its own."""
    found = np.array([fit_joint(made(0.03, noise=0.004, seed=seed)).w5 for seed in range(20)])
    assert abs(found.mean() - 0.03) < 3 * found.std(ddof=1) / np.sqrt(20)
    assert found.std(ddof=1) < 0.004


def test_the_true_measure_predicts_best():
    panels = made(0.03, noise=0.002)
    tokens = [replace(one, log_data=one.log_tokens) for one in panels]
    opposite = [replace(one, log_data=2 * one.log_tokens - one.log_data) for one in panels]
    for error in (dataset_out_error, panel_out_error):
        true, of_tokens, of_opposite = (error(one, shared_shape) for one in (panels, tokens, opposite))
        assert true < 0.004 < of_tokens < of_opposite
    assert within_r2(panels, fit_joint(panels)) > within_r2(tokens, fit_joint(tokens))


def test_the_two_parts_are_least_squares_of_the_whole():
    panels = made(0.05, noise=0.01)
    law = fit_joint(panels)
    unit = np.mean([one.log_data for one in panels])

    def residuals(free):
        shape, levels = Shape(*free[:4]).predict(N_BLOCKS, D_EMB), dict(zip(LEVELS, free[5:], strict=True))
        data = [data_term(one.log_data - unit, free[4]) + levels[one.dataset] for one in panels]
        return np.concatenate([one.values - shape - term for one, term in zip(panels, data, strict=True)])

    start = [law.shape.w1, law.shape.w2, law.shape.w3, law.shape.w4, law.w5, *law.intercepts.values()]
    whole = least_squares(residuals, start, x_scale=np.abs(start), xtol=1e-14, ftol=1e-14, gtol=1e-14)
    ours = sum(float(((one.values - law.predict(one)) ** 2).sum()) for one in panels)
    assert 2 * whole.cost == pytest.approx(ours, rel=1e-6)


def test_the_held_out_dataset_gives_its_level_and_nothing_else():
    """Another level of one dataset changes no held-out error; another slope does."""
    panels = made(0.03)
    moved = [replace(one, values=one.values + 0.3) if one.dataset == "third" else one for one in panels]
    assert dataset_out_error(moved, shared_shape) == pytest.approx(dataset_out_error(panels, shared_shape), abs=1e-8)
    bent = [replace(one, values=one.values + 0.1 * one.log_data) if one.dataset == "third" else one for one in panels]
    assert dataset_out_error(bent, shared_shape) > 0.01


def test_what_cannot_be_left_out_has_no_error():
    panels = [one for one in made() if one.dataset == "first"]
    assert dataset_out_error(panels, shared_shape) is None
    assert panel_out_error(panels[:2], shared_shape) is None
    assert panel_out_error(panels[:3], shared_shape) is not None


def rows_of(entropies, tmp_path, monkeypatch, datasets=("ml-100k", "beauty"), w5=0.03):
    """Rows of the joint law from made runs in which D' is tokens times the entropy of each setting."""
    monkeypatch.chdir(tmp_path)
    entries = [one for name in datasets for data in entropies for one in grid("sasrec", name, data, seeds=(1,))]
    for one in entries:
        log_data = float(np.log(TOKENS[one["data"]] * entropies[one["data"]]))
        shape = float(SHAPE.predict(np.array(one["n_blocks"]), np.array(one["d_emb"])))
        write_run(one, 0.3 * datasets.index(one["dataset"]) + shape + float(data_term(np.array(log_data - 9), w5)))
        write_measures(one, TOKENS[one["data"]], entropies[one["data"]])
    return list(joint_rows(list(own_grids(entries, read_points(entries)))))


ENTROPIES = {"all": 2.0, "50 % of the users": 3.5, "25 % of the users": 3.0}


def test_rows_of_all_measures(tmp_path, monkeypatch):
    rows = rows_of(ENTROPIES, tmp_path, monkeypatch)
    assert {row["fit"] for row in rows} == {"joint"} and {row["panels"] for row in rows} == {6}
    found = {row["measure"]: row for row in rows if row["metric"] == "ndcg@10"}
    assert found["tokens * s_real"]["held_out_error"] < 1e-4 < found["tokens"]["held_out_error"]
    assert found["tokens / s_real"]["held_out_error"] > found["tokens"]["held_out_error"]
    assert {row["tokens_held_out_error"] for row in found.values()} == {found["tokens"]["held_out_error"]}
    assert found["tokens * s_real"]["r2"] == pytest.approx(1, abs=1e-4)


def test_one_dataset_is_told_from_several(tmp_path, monkeypatch):
    rows = rows_of(ENTROPIES, tmp_path, monkeypatch, datasets=("ml-100k",))
    assert {row["fit"] for row in rows} == {"one dataset"}
    assert all(row["held_out_error"] == row["panel_held_out_error"] for row in rows)


def test_one_amount_of_data_identifies_nothing(tmp_path, monkeypatch):
    assert rows_of({"all": 2.0}, tmp_path, monkeypatch, datasets=("ml-100k",)) == []
