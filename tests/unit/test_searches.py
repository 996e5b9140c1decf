"""The table of searches: each trial of a committed selection, and which one was chosen."""

import json

import pytest

from seqrepro.config.load import load_parameters
from seqrepro.config.requests import plan_requests
from seqrepro.data.registry import load_registry
from seqrepro.ledger.searches import by_model, search_rows, words

SETTINGS = [{}, {"training.optimizer.rho": 0.1}, {"training.optimizer.rho": 0.5}]


@pytest.fixture
def entry(tmp_path):
    trials = [
        {"settings": settings, "run": f"results/runs/toys/sasrec-{number}/seed-100", "value": 0.04 + number % 2 / 100}
        for number, settings in enumerate(SETTINGS)
    ]
    chosen = {"trial": 1, "settings": SETTINGS[1], "trials": trials}
    path = tmp_path / "samrec.json"
    path.write_text(json.dumps({"search": {"metric": "ndcg@10"}, "choices": {"toys": {"samrec": chosen}}}))
    names = {"protocol_name": "leave-one-out", "experiment": "samrec", "model": "samrec", "title": "SAMRec"}
    return {"dataset": "toys", "selection": path.as_posix()} | names


def test_each_trial_is_a_row_with_what_it_reached(entry):
    rows = list(search_rows(entry))
    assert [(row["trial"], row["settings"], row["value"], row["chosen"]) for row in rows] == [
        (0, "unchanged", 0.04, "no"),
        (1, "rho 0.1", 0.05, "yes"),
        (2, "rho 0.5", 0.04, "no"),
    ]
    assert {row["metric"] for row in rows} == {"ndcg@10"}


def test_a_model_has_its_chosen_trial_and_all_of_them(entry):
    (told,) = by_model(search_rows(entry))
    assert (told["trial"], len(told["trials"])) == (1, 3)


def test_nothing_chosen_is_no_row(entry):
    assert not list(search_rows(entry | {"dataset": "beauty"}))


def test_settings_that_end_alike_keep_their_paths():
    alike = {"architecture.dropout": 0.2, "pretraining.dropout": 0.5}
    assert words(alike) == "architecture.dropout 0.2, pretraining.dropout 0.5"


def test_a_committed_selection_is_an_input_of_the_tables():
    requests = plan_requests(load_parameters(), "standard", load_registry()).requests.values()
    compare = next(one for one in requests if one.step == "compare")
    assert "registry/selected/tuned.json" in compare.inputs
    assert {one["model"] for one in compare.parameters["searched"]} == {
        "item-knn-tuned",
        "ease-decay-tuned",
        "sasrec-tuned",
    }
