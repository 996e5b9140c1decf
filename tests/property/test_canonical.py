"""Canonical form and hash: two configurations have one hash exactly if they say the same."""

import json
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from seqrepro.config.architectures.attention import AnyAttention
from seqrepro.config.base import IDENTITY, Configuration, identity
from seqrepro.config.datasets import FILTER_ORDER, Dataset, Filter
from seqrepro.config.parameters import Architecture
from seqrepro.config.probes import Probe
from seqrepro.config.training import Recipe
from seqrepro.files import canonical_json, sha256_text

WHOLE = st.integers(1, 3)
SHARE = st.sampled_from([0.0, 0.25, 0.5])
POSITIVE = st.sampled_from([1e-8, 1e-3, 1.0, 250.0])


def some(required, **optional):
    """Mappings with all required keys and any of the optional ones."""
    return st.fixed_dictionaries(
        {key: value if isinstance(value, st.SearchStrategy) else st.just(value) for key, value in required.items()},
        optional=optional,
    )


ADAM = some({"name": "adam"}, learning_rate=POSITIVE, beta1=SHARE, beta2=SHARE, epsilon=POSITIVE, weight_decay=SHARE)
BUDGET = some(
    {"epochs": WHOLE, "patience": WHOLE, "batch_size": WHOLE}, monitor=st.sampled_from(["ndcg@10", "hit_rate@5"])
)
FILTER = some(
    {},
    k_core=st.none() | WHOLE,
    rating_at_least=st.none() | POSITIVE,
    duplicates=st.sampled_from(["keep", "drop_exact", "keep_first", "keep_last"]),
    minimum=st.none() | some({}, user=WHOLE, item=WHOLE),
    order=st.permutations(FILTER_ORDER),
)
COLUMNS = some(
    {"user": "u", "item": st.sampled_from("ij")}, timestamp=st.none() | st.just("t"), rating=st.none() | st.just("r")
)
TRANSFORMER = {
    "width": st.sampled_from([6, 12, 64]),
    "layers": WHOLE,
    "heads": st.sampled_from([1, 2]),
    "inner_width": WHOLE,
    "dropout": SHARE,
    "attention_dropout": SHARE,
}
NETWORK = {"width": WHOLE, "dropout": SHARE, "max_length": WHOLE}
TISASREC = NETWORK | {
    "layers": WHOLE,
    "time_span": st.integers(0, 2),
    "intervals": st.sampled_from(["personal", "raw"]),
    "stamps": st.sampled_from(["exact", "float32"]),
    "gaps": st.sampled_from(["real", "constant", "shuffled"]),
}
ATTENTION = (
    some({"name": "softmax"}, kernel=st.sampled_from(["sdpa", "naive"]), dropout=SHARE)
    | some({"name": "hydra"}, scale=st.sampled_from(["none", "mean", "norm"]), decay=st.booleans())
    | some({"name": "performer"}, features=st.none() | WHOLE)
    | some({"name": "linrec"}, form=st.sampled_from(["code", "paper"]), masked=st.booleans())
    | st.sampled_from([{"name": "cosformer"}, {"name": "mean"}, {"name": "none"}])
)
KINDS = {
    "popularity": (Architecture, some({"family": "popularity"})),
    "markov": (Architecture, some({"family": "markov"}, back_off=SHARE)),
    "itemknn": (
        Architecture,
        some({"family": "itemknn"}, neighbours=WHOLE, shrink=SHARE, position_decay=st.sampled_from([0.5, 1.0, 1])),
    ),
    "ease": (
        Architecture,
        some({"family": "ease"}, regularisation=POSITIVE, position_decay=st.sampled_from([0.5, 1.0, 1])),
    ),
    "bayes_optimal": (Architecture, some({"family": "bayes_optimal"})),
    "sasrec": (
        Architecture,
        some({"family": "sasrec"}, **TRANSFORMER, max_length=WHOLE, mask_row=st.booleans()),
    ),
    "bert4rec": (Architecture, some({"family": "bert4rec"}, **TRANSFORMER, max_length=st.integers(2, 4))),
    "hydrarec": (
        Architecture,
        some(
            {"family": "hydrarec", "attention": ATTENTION, "layers": st.integers(2, 3)},
            **{name: values for name, values in TRANSFORMER.items() if name != "layers"},
            replaced=st.none() | st.just(1),
            positions=st.sampled_from(["learned", "none"]),
            padding=st.sampled_from(["masked", "mixed"]),
            max_length=st.integers(2, 4),
        ),
    ),
    "tim4rec": (
        Architecture,
        some(
            {"family": "tim4rec", "time": st.sampled_from(["paper", "paper_masked"]), "head_width": 1},
            width=WHOLE,
            layers=WHOLE,
            state=WHOLE,
            convolution_init=st.sampled_from(["uniform", "kaiming"]),
            feed_forward=st.booleans(),
            dropout=SHARE,
            max_length=st.integers(2, 4),
            positions=st.sampled_from(["learned", "none"]),
            gaps=st.sampled_from(["real", "constant", "shuffled"]),
            time_dropout=SHARE,
            by_position=st.booleans(),
            stamps=st.sampled_from(["exact", "float32"]),
        ),
    ),
    "mamba4rec": (
        Architecture,
        some(
            {"family": "mamba4rec"},
            width=WHOLE,
            layers=WHOLE,
            state=WHOLE,
            dropout=SHARE,
            max_length=WHOLE,
            step_bias=st.sampled_from(["as_coded", "mamba"]),
        ),
    ),
    "ssd4rec": (
        Architecture,
        some({"family": "ssd4rec", "head_width": 1}, width=WHOLE, layers=WHOLE, backward=SHARE, max_length=WHOLE),
    ),
    "gru4rec": (Architecture, some({"family": "gru4rec"}, **NETWORK, layers=WHOLE, hidden_width=WHOLE)),
    "caser": (
        Architecture,
        some(
            {"family": "caser"},
            **NETWORK,
            vertical=WHOLE,
            horizontal=WHOLE,
            users=st.none() | WHOLE,
            padding=st.sampled_from(["right", "left"]),
        ),
    ),
    "lrurec": (Architecture, some({"family": "lrurec"}, **NETWORK, layers=WHOLE, mixing_dropout=SHARE)),
    "tisasrec": (
        Architecture,
        some({"family": "tisasrec"}, **TISASREC, pad_keys=st.sampled_from(["masked", "port"]))
        | some({"family": "tisasrec", "positions_in": "input"}, **TISASREC),
    ),
    "hstu": (
        Architecture,
        some(
            {"family": "hstu"},
            width=WHOLE,
            layers=WHOLE,
            dropout=SHARE,
            max_length=WHOLE,
            spare=st.integers(0, 2),
            query_time=st.sampled_from(["current", "next"]),
            gaps=st.sampled_from(["real", "constant", "shuffled"]),
            cosine_temperature=st.none() | POSITIVE,
        ),
    ),
    "llama": (
        Architecture,
        some(
            {"family": "llama"},
            width=st.sampled_from([4, 8]),
            layers=WHOLE,
            heads=st.sampled_from([1, 2]),
            dropout=SHARE,
            max_length=WHOLE,
            block=st.sampled_from(["llama", "simplified_hstu"]),
            cosine_temperature=st.none() | POSITIVE,
        ),
    ),
    "closed_form": (
        Recipe,
        some({"kind": "closed_form"}, threads=WHOLE, fit_on=st.sampled_from(["train", "train+validation"])),
    ),
    "gradient": (
        Recipe,
        some(
            {"kind": "gradient", "objective": {"name": "cross_entropy"}, "optimizer": ADAM, "budget": BUDGET},
            threads=WHOLE,
            device=st.sampled_from(["cpu", "cuda"]),
            view=st.sampled_from(["all_positions", "prefixes"]),
            last=st.none() | st.integers(2, 4),
            precision=st.sampled_from(["fp32", "bf16"]),
        ),
    ),
    "registry": (
        Dataset,
        some({"source": "registry", "entry": st.sampled_from("ab")}, filter=FILTER),
    ),
    "file": (
        Dataset,
        some(
            {"source": "file", "path": st.sampled_from(["a.csv", "b.csv"]), "columns": COLUMNS},
            format=st.sampled_from([None, "csv", "jsonl"]),
            timestamps=st.sampled_from([None, "iso", "ms"]),
            bad_rows=st.sampled_from(["error", "drop"]),
            title=st.none() | st.just("Shop"),
            filter=FILTER,
        ),
    ),
    "generated": (
        Dataset,
        some(
            {
                "source": "generated",
                "generator": some(
                    {
                        "kind": "markov",
                        "users": WHOLE,
                        "items": st.integers(2, 4),
                        "mean_length": st.sampled_from([5, 5.0, 6]),
                        "concentration": POSITIVE,
                        "seed": WHOLE,
                    }
                ),
            }
        ),
    ),
}


def parsed(kind, value) -> Configuration:
    return TypeAdapter(KINDS[kind][0]).validate_python(value)


def digest(configuration: Configuration) -> str:
    return sha256_text(canonical_json(configuration.canonical()))


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_one_hash_exactly_if_they_say_the_same(kind, data):
    one, two = (parsed(kind, data.draw(KINDS[kind][1])) for _ in range(2))
    assert (one == two) == (digest(one) == digest(two))


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_the_canonical_form_says_the_same(kind, data):
    """It is JSON, it is read back as itself, and the order of the keys plays no part."""
    value = data.draw(KINDS[kind][1])
    one = parsed(kind, value)
    again = json.loads(canonical_json(one.canonical()))
    assert again == one.canonical()
    assert parsed(kind, again) == one
    assert digest(parsed(kind, dict(reversed(value.items())))) == digest(one)


def leaves(configuration: Configuration):
    """All fields of all configurations inside, as (owner, name)."""
    for name in type(configuration).model_fields:
        value = getattr(configuration, name)
        if isinstance(value, Configuration):
            yield from leaves(value)
        else:
            yield configuration, name


def nested(owner: Configuration, name: str, value, inside: Configuration) -> Configuration:
    """`inside` with one field of one of its configurations at another value, unchecked."""
    if inside is owner:
        return inside.model_copy(update={name: value})
    update = {
        key: nested(owner, name, value, getattr(inside, key))
        for key in type(inside).model_fields
        if isinstance(getattr(inside, key), Configuration)
    }
    return inside.model_copy(update=update)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_every_leaf_counts(kind, data):
    """Whatever field changes, the hash does, unless the change is from and to nothing."""
    configuration = parsed(kind, data.draw(KINDS[kind][1]))
    owner, name = data.draw(st.sampled_from(list(leaves(configuration))))
    before = getattr(owner, name)
    assert digest(nested(owner, name, before, configuration)) == digest(configuration)
    assert digest(nested(owner, name, "something else", configuration)) != digest(configuration)


UNIONS = {"family": Architecture, "kind": Recipe, "source": Dataset}
MEMBERS = [(member, key) for key, union in UNIONS.items() for member in get_args(get_args(union)[0])]
CLASSES = [member for member, _ in MEMBERS] + [Filter]
CLASSES += [member for union in (Probe, AnyAttention) for member in get_args(get_args(union)[0])]


def test_every_kind_is_drawn():
    """A new model family, recipe or kind of dataset belongs in KINDS."""
    assert set(KINDS) == {get_args(member.model_fields[key].annotation)[0] for member, key in MEMBERS}


@pytest.mark.parametrize("owner", CLASSES, ids=lambda owner: owner.__name__)
def test_only_identity_fields_vanish(owner):
    """A field with another default is written out, so that changing the default renames the runs."""
    marked = {name for name, field in owner.model_fields.items() if field.json_schema_extra == IDENTITY}
    defaults = {name: field.default for name, field in owner.model_fields.items()}
    assert set(owner.model_construct(**defaults).canonical()) == set(owner.model_fields) - marked


def test_a_feature_added_later_renames_nothing():
    class Before(Configuration):
        width: int = 1

    class After(Before):
        gate: bool = identity(False)
        scales: tuple[int, ...] = identity(())

    assert digest(Before()) == digest(After()) == digest(After(gate=False, scales=()))
    assert len({digest(After()), digest(After(gate=True)), digest(After(scales=(1,)))}) == 3


def test_an_identity_field_needs_a_default():
    from pydantic_core import PydanticUndefined

    with pytest.raises(TypeError, match="needs a default"):
        identity(PydanticUndefined)
