"""Experiments with `law`: their settings alone run, and the refit and the measuring know them."""

import pytest
import yaml

from seqrepro.config.claim_plan import coverage, real_grids
from seqrepro.config.law_plan import OWN_TABLES, is_of_own_runs, law_entries
from seqrepro.config.load import load_parameters
from seqrepro.config.requests import plan_requests
from seqrepro.data.registry import load_registry
from seqrepro.errors import InputError
from seqrepro.ledger.claims import all_claims
from seqrepro.ledger.parts import Tabulated

GRID = {
    "architecture.layers": [1, 2, 3],
    "architecture.width": [8, 16, 32],
    "training.data": [None, {"kind": "users", "share": 0.5}],
}
LAW = {
    "purpose": "a law",
    "papers": ["performance_law"],
    "protocol": "leave-one-out",
    "models": ["sasrec"],
    "variations": ["grid"],
    "law": True,
}
REFIT = {"inverse_p1": [2], "draws": 5, "seed": 1}


@pytest.fixture
def write(repository):
    """Put a suite `laws` with a law experiment into the parameters."""

    def do(law=LAW, refit=REFIT, dataset="toy", seeds=(1, 2), **suite):
        parameters = yaml.safe_load((repository / "params.yaml").read_text())
        parameters["variations"] = {"grid": GRID}
        parameters["measures"] = {
            **{"windows": [5], "orders": [2], "lempel_ziv_tokens": 100},
            "temporal": {"validation_share": 0.1, "test_share": 0.1, "target": "first"},
        }
        parameters["experiments"]["law"] = law
        scale = {"datasets": [dataset], "seeds": list(seeds)}
        told = {"title": "Laws", "description": "x", "experiments": {"law": scale}} | suite
        parameters["suites"]["laws"] = told | ({"refit": refit} if refit else {})
        (repository / "params.yaml").write_text(yaml.safe_dump(parameters, sort_keys=False))

    return do


@pytest.fixture
def plan(write):
    write()
    return plan_requests(load_parameters(), "laws", load_registry())


def test_the_settings_alone_run(plan):
    assert len(plan.runs) == 3 * 3 * 2 * 2
    assert all(need.variant is not None for run in plan.runs for need in run.needs)
    assert len({(run.config_hash, run.seed) for run in plan.runs}) == 36
    assert plan.left_out == []


def test_the_refit_reads_every_point_and_its_measures(plan):
    ((_, refit),) = plan.of("refit").items()
    own = refit.parameters["own"]
    assert len(own) == 36
    places = {(one["n_blocks"], one["d_emb"], one["data"], one["seed"]) for one in own}
    assert len(places) == 36 and {place[2] for place in places} == {"all", "50 % of the users"}
    assert {one["max_length"] for one in own} == {10} and {one["model"] for one in own} == {"sasrec"}
    for one in own:
        wanted = [f"{one['folder']}/{name}" for name in ("metrics.json", "history.parquet", "ranks.parquet")]
        assert {*wanted, one["measures"]} <= set(refit.inputs)
    measured = {f"{request.folder}/measures.json" for request in plan.of("measure").values()}
    assert {one["measures"] for one in own} == measured
    assert len(measured) == 3  # all users, and half of them for each seed


def test_tables_of_variations_have_no_points_of_laws(plan):
    ((_, compare),) = plan.of("compare").items()
    assert compare.parameters["varied"] == [] and compare.parameters["runs"] == []


def test_the_judge_and_the_report_get_the_tables(plan):
    ((_, judge),) = plan.of("judge").items()
    tables = {f"results/laws/laws/{name}.csv" for name in OWN_TABLES}
    assert tables <= set(judge.inputs)
    ((_, report),) = plan.of("report").items()
    shown = {table["path"] for table in report.parameters["extra_tables"]}
    assert tables - shown == {f"results/laws/laws/{name}.csv" for name in ("points", "own", "interventions")}


def test_a_suite_without_law_experiments_has_no_tables_of_own_points(write):
    write(law=LAW | {"law": False, "shows": ["accuracy"]})
    plan = plan_requests(load_parameters(), "laws", load_registry())
    ((_, judge),) = plan.of("judge").items()
    assert not any("laws/own.csv" in name for name in judge.inputs)
    assert len(plan.runs) == 36 and sum(run.final is not None for run in plan.runs) == 2  # the plain model is a point
    assert plan.of("measure") == {}


def test_two_experiments_with_one_point_have_one_entry(write):
    write()
    parameters = load_parameters()
    plan = plan_requests(parameters, "laws", load_registry())
    assert len(law_entries(parameters, [*plan.runs, *plan.runs], {"toy": {"class": "generated"}})) == 36


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"refit": None}, "suites.laws.experiments.law: found points of a law, expected `refit` in this suite"),
        ({"law": LAW | {"variations": []}}, "experiments.law.law: found no variations, expected the grid"),
    ],
)
def test_what_is_refused(write, options, message):
    write(**options)
    with pytest.raises(InputError, match=message):
        load_parameters()


def test_all_data_have_words(plan):
    titles = {need.variant.title for run in plan.runs for need in run.needs if need.variant}
    assert "layers 1, width 8, all data" in titles and "layers 3, width 32, 50 % of the users" in titles


def test_an_inner_width_that_follows_the_width_is_a_number_in_the_run(write, change):
    write()
    hashes = {run.config_hash for run in plan_requests(load_parameters(), "laws", load_registry()).runs}
    change("inner_width: 16", "inner_width: null")
    runs = plan_requests(load_parameters(), "laws", load_registry()).runs
    assert {(run.config["model"]["width"], run.config["model"]["inner_width"]) for run in runs} == {
        *((8, 32), (16, 64), (32, 128))
    }
    assert hashes.isdisjoint({run.config_hash for run in runs})


def part(table, **where):
    told = {"id": "x", "kind": "tabulated", "table": table, "column": "r2", "above": 0, "where": where}
    return Tabulated.model_validate(told)


def test_parts_of_own_runs():
    assert is_of_own_runs(part("laws/own.csv")) and is_of_own_runs(part("laws/optima.csv", points="own"))
    assert is_of_own_runs(part("laws/data_factor.csv", fit="joint"))
    assert not is_of_own_runs(part("laws/optima.csv", points="published")) and not is_of_own_runs(part("laws/r2.csv"))


def covered(name, suite="laws"):
    parameters = load_parameters()
    ((_, judged),) = plan_requests(parameters, suite, load_registry()).of("judge").items()
    return next(one for one in coverage(all_claims(), parameters, judged) if one.claim == f"performance_law/{name}")


def test_generated_points_serve_no_claim(write):
    write()
    assert list(real_grids(load_parameters(), "laws")) == []
    assert (covered("T11").state, covered("T11").missing) == ("not planned", ["law experiment on real data"])


def test_real_points_serve_the_claims_of_their_model_and_dataset(write):
    write(dataset="movies")
    assert list(real_grids(load_parameters(), "laws")) == [("sasrec", "movies")]
    assert covered("T11").state == "planned"
    assert covered("T12").missing == ["law experiment of mamba4rec, of beauty"]
