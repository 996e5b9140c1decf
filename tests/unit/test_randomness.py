import torch

from seqrepro.training.randomness import GENERATORS, Randomness, generator_for, seed_for


def test_seeds_are_frozen():
    assert seed_for(0, "init") == 3598610026517748695
    assert len({seed_for(1, "shuffle"), seed_for(1, "init"), seed_for(2, "init")}) == 3


def test_drawing_for_one_purpose_does_not_shift_another():
    one, other = Randomness(5), Randomness(5)
    torch.rand(100, generator=one.negatives)
    assert torch.equal(torch.randperm(9, generator=one.shuffle), torch.randperm(9, generator=other.shuffle))


def test_dropout_has_the_global_generator():
    Randomness(5)
    first = torch.nn.functional.dropout(torch.ones(50))
    torch.rand(7, generator=Randomness(5).shuffle)
    assert torch.equal(torch.nn.functional.dropout(torch.ones(50)), first)


def test_a_state_brings_every_generator_back():
    randomness = Randomness(5)
    state = randomness.state()

    def draw():
        return [torch.rand(3, generator=getattr(randomness, name)).tolist() for name in GENERATORS] + [
            torch.rand(3).tolist()
        ]

    first = draw()
    assert draw() != first
    randomness.load(state)
    assert draw() == first


def test_generators_differ_by_purpose_and_seed():
    draws = {
        tuple(torch.rand(2, generator=generator_for(seed, purpose)).tolist())
        for seed in (0, 1)
        for purpose in ("init", "shuffle")
    }
    assert len(draws) == 4
