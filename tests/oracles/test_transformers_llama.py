"""The LLaMA-like decoder beside that of transformers, with our weights: outputs and gradients, in float64.

transformers turns the pairs (x_k, x_{k + d/2}) of a head and not neighbours, so the rows of the maps of queries and
keys are moved. It computes angles and norms in float32 whatever it is given; here these conversions do nothing.
"""

import pytest
import torch

from seqrepro.models.interfaces import build_sequential

transformers = pytest.importorskip(
    "transformers", reason="transformers is not in this environment; `make test-oracles` has it"
)

N_ITEMS, WIDTH, HEADS, LAYERS, LENGTH = 30, 24, 3, 3, 12
NAMES = {
    "attention_norm.weight": "input_layernorm.weight",
    "feed_forward_norm.weight": "post_attention_layernorm.weight",
    "attention.query.weight": "self_attn.q_proj.weight",
    "attention.key.weight": "self_attn.k_proj.weight",
    "attention.value.weight": "self_attn.v_proj.weight",
    "attention.output.weight": "self_attn.o_proj.weight",
    "gate.weight": "mlp.gate_proj.weight",
    "up.weight": "mlp.up_proj.weight",
    "down.weight": "mlp.down_proj.weight",
}


@pytest.fixture
def no_conversions(monkeypatch):
    """Conversions to float32 do nothing."""
    convert = torch.Tensor.to
    narrow = lambda self, *given, **named: self if torch.float32 in given else convert(self, *given, **named)  # noqa: E731
    monkeypatch.setattr(torch.Tensor, "float", lambda self: self.double())
    monkeypatch.setattr(torch.Tensor, "to", narrow)


def ours():
    parameters = {"family": "llama", "width": WIDTH, "layers": LAYERS, "heads": HEADS, "dropout": 0.0}
    model = build_sequential(parameters | {"max_length": LENGTH}, N_ITEMS, torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn(weight.shape, generator=generator))
    return model.double()


def name_of(name):
    if not name.startswith("blocks."):
        return {"items.weight": "embed_tokens.weight", "norm.weight": "norm.weight"}[name]
    _, number, inside = name.split(".", 2)
    return f"layers.{number}.{NAMES[inside]}"


def moved(name, weight):
    """Rows of each head with even places first, where the pairing asks for it."""
    if "query" not in name and "key" not in name:
        return weight
    by_head = weight.unflatten(0, (HEADS, -1, 2))
    return by_head.transpose(1, 2).flatten(0, 2)


def theirs(model):
    config = transformers.LlamaConfig(
        vocab_size=N_ITEMS + 1,
        hidden_size=WIDTH,
        intermediate_size=64,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        max_position_embeddings=LENGTH,
        rms_norm_eps=1e-5,
        rope_theta=10_000.0,
        attn_implementation="sdpa",
    )
    other = transformers.LlamaModel(config).double()
    other.rotary_emb.inv_freq = 10_000.0 ** (-torch.arange(0, WIDTH // HEADS, 2).double() / (WIDTH // HEADS))
    other.load_state_dict({name_of(name): moved(name, weight) for name, weight in model.state_dict().items()})
    return other


def test_outputs_and_gradients(no_conversions):
    model = ours()
    other = theirs(model)
    items = torch.randint(1, N_ITEMS + 1, (4, LENGTH), generator=torch.Generator().manual_seed(3))
    found = model.hidden(items)
    inputs = other.embed_tokens(items) * WIDTH**0.5  # they do not scale embeddings
    expected = other(inputs_embeds=inputs, attention_mask=torch.ones_like(items)).last_hidden_state
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)
    found.sin().sum().backward()
    expected.sin().sum().backward()
    gradients = {name: weight.grad for name, weight in other.named_parameters()}
    for name, weight in model.named_parameters():
        torch.testing.assert_close(moved(name, weight.grad), gradients[name_of(name)], rtol=1e-8, atol=1e-9, msg=name)
