"""GRU4Rec: a gated recurrent network over item embeddings (Hidasi et al. 2016; Tan et al. 2016), in RecBole's form.

    x_t = drop(E[s_t])
    r_t = sigmoid(W_r x_t + U_r h_{t-1})                        by layer, h_0 = 0, no biases; Cho et al. 2014
    z_t = sigmoid(W_z x_t + U_z h_{t-1})
    n_t = tanh(W_n x_t + r_t * (U_n h_{t-1}))
    h_t = (1 - z_t) * n_t + z_t * h_{t-1}
    score(j | s_1..s_t) = <W h_t + b, E_j>                      tied item embeddings

It is the network that tables of sequential recommendation call GRU4Rec. Of the authors' code it has the recurrent unit
and nothing else: there, batches run in parallel lanes with gradients of one step, losses are BPR-max or a corrected
cross-entropy over the items of the batch and 2,048 drawn ones, items have biases, and the optimizer is Adagrad. So what
it scores says little about that GRU4Rec.

Initial weights as in RecBole: Xavier-normal for E, Xavier-uniform for the six maps of the first layer, taken as two;
further layers and the last map have torch's defaults, uniform up to 1 / sqrt(H). The padding row of E is 0 here. It is
drawn there, and is a class of the softmax; no score of an item depends on it.

Histories are padded on the right, so padding comes after all that counts. The state is all that is needed of the past:
`start` and `step` go on event by event, for any length.

Parameters: (V + 1) D + 3 H (D + H) + (n - 1) 6 H^2 + H D + D; at D = 64, H = 128, n = 1 they are 81,984 beside E.

Shapes: B rows, L length, D width, H width of the state, V items, n layers.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import init

from seqrepro.config.architectures.gru4rec import GRU4RecParameters
from seqrepro.models.interfaces import SequentialModel
from seqrepro.models.layers import draw_uniform


class GRU4Rec(SequentialModel):
    """Gated recurrent units over item embeddings."""

    def __init__(self, parameters: GRU4RecParameters, n_items: int) -> None:
        super().__init__()
        p = parameters
        self.max_length = p.max_length
        self.items = nn.Embedding(n_items + 1, p.width, padding_idx=0)
        self.dropout = nn.Dropout(p.dropout)
        self.units = nn.GRU(p.width, p.hidden_width, p.layers, bias=False, batch_first=True)
        self.output = nn.Linear(p.hidden_width, p.width)

    def hidden(self, padded_BL: Tensor) -> Tensor:
        """Representations [B, L, D] of right-padded item ids [B, L]."""
        states_BLH, _ = self.units(self.dropout(self.items(padded_BL)))
        outputs: Tensor = self.output(states_BLH)
        return outputs

    def item_table(self) -> Tensor:
        """Item embeddings [V+1, D]; row 0 is padding."""
        return self.items.weight

    def start(self, rows: int) -> Tensor:
        """The state [n, B, H] of histories without an item."""
        return self.items.weight.new_zeros(self.units.num_layers, rows, self.units.hidden_size)

    def step(self, items_B: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """The representations [B, D] after one more item each [B], and the state [n, B, H] then."""
        outputs, state = self.units(self.dropout(self.items(items_B[:, None])), state)
        return self.output(outputs[:, 0]), state


@torch.no_grad()
def draw(model: GRU4Rec, generator: torch.Generator) -> None:
    """Draw all weights, in the order of the modules and from the generator alone."""
    init.xavier_normal_(model.items.weight, generator=generator)
    model.items.weight[0].zero_()
    for name, weight in model.units.named_parameters():
        if name.endswith("_l0"):
            init.xavier_uniform_(weight, generator=generator)
        else:
            draw_uniform(weight, model.units.hidden_size, generator)
    for weight in model.output.parameters():
        draw_uniform(weight, model.output.in_features, generator)


def build(parameters: dict[str, Any], n_items: int, generator: torch.Generator) -> GRU4Rec:
    """GRU4Rec for a catalogue of `n_items`, initialised from the generator alone."""
    model = GRU4Rec(GRU4RecParameters.model_validate(parameters), n_items)
    draw(model, generator)
    return model
