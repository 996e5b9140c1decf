"""SASRec with and without positions: what each can know of the order of a history."""

import pytest
import torch
from pydantic import ValidationError

from made_data import sequences_of
from seqrepro.config.architectures.sasrec import SASRecParameters
from seqrepro.models.sasrec import build

N_ITEMS = 20
ROW, SHUFFLED, OTHER_LAST = [3, 9, 4, 7, 5], [7, 3, 4, 9, 5], [3, 9, 4, 5, 7]


def model(**changes):
    told = {"family": "sasrec", "width": 8, "layers": 1, "heads": 2, "inner_width": 16, "max_length": 10} | changes
    made = build(told, N_ITEMS, torch.Generator().manual_seed(1)).double().eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(10)  # away from the small initial weights, so that attention differs between items
    return made


def scores(made, *rows):
    with torch.no_grad():
        return made.score(sequences_of(list(rows), N_ITEMS))


def test_one_layer_without_positions_knows_the_last_item_and_the_others_as_a_set():
    found = scores(model(positions="none"), ROW, SHUFFLED, OTHER_LAST)
    assert torch.allclose(found[0], found[1], atol=1e-12)
    assert not torch.allclose(found[0], found[2], atol=1e-3)


@pytest.mark.parametrize("changes", [{}, {"positions": "learned"}, {"positions": "none", "layers": 2}])
def test_positions_or_a_second_layer_tell_the_order(changes):
    found = scores(model(**changes), ROW, SHUFFLED)
    assert not torch.allclose(found[0], found[1], atol=1e-3)


def test_without_positions_there_is_no_table_of_them():
    learned, none = model().state_dict(), model(positions="none").state_dict()
    assert set(learned) - set(none) == {"positions.weight"}
    assert set(none) < set(learned)


def test_the_default_is_left_out_of_the_hash():
    told = {"family": "sasrec", "width": 8}
    learned = SASRecParameters.model_validate(told | {"positions": "learned"})
    assert learned.canonical() == SASRecParameters.model_validate(told).canonical()
    assert SASRecParameters.model_validate(told | {"positions": "none"}).canonical()["positions"] == "none"


def test_positions_that_are_not_there_have_no_end():
    with pytest.raises(ValidationError, match="found positions_from: newest with positions: none"):
        SASRecParameters.model_validate({"family": "sasrec", "positions": "none", "positions_from": "newest"})
