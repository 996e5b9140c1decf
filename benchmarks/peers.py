"""RecBole's and RecTools' SASRec, unmodified libraries, in the numbers and with the weights of ours.

Needs the environment of `make bench-environment`. RecBole's network is ours already. RecTools' is not (see below), but
a user may give RecTools other Transformer layers, and `PostNormLayers` are such: with them its network is ours too,
while loader, trainer, mask, scores and loss are its own. Both peers have padding as one more class of the softmax.

What differs in RecTools' SASRec as it is shipped: norms before attention, of the queries only, and a last norm; an
inner width of D with ReLU and a dropout inside; no norm after the embeddings and no dropout after attention; positions
counted from the newest item; norms' epsilon 1e-5; Adam with beta2 0.98; weights by Xavier's law. Padding is on the
left and not masked as a key, and every row is as long as the window.

Shapes: B rows, L length, D width, V items.
"""

import logging
import warnings
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import common  # noqa: F401  (the path of the oracle)
import pandas as pd
import test_recbole_sasrec as oracle
import torch
from ours import SIZES
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel
from rectools.models.nn.transformers.net_blocks import TransformerLayersBase
from torch import Tensor, nn
from torch.nn import functional as F

from seqrepro.data.sequences import Sequences, offsets_of
from seqrepro.training.softmax import mean_cross_entropy
from seqrepro.training.views import all_positions

K_CORE = dict.fromkeys(("user_inter_num_interval", "item_inter_num_interval"), "[5,inf)")
PREFIXES_A_STEP = 2048  # RecBole's default
TO_RECTOOLS = {  # of our block -> of torch's encoder layer
    "mixer.query_key_value.weight": "self_attn.in_proj_weight",
    "mixer.query_key_value.bias": "self_attn.in_proj_bias",
    **{
        f"{ours}.{kind}": f"{theirs}.{kind}"
        for ours, theirs in {
            "mixer.output": "self_attn.out_proj",
            "mixer_norm": "norm1",
            "feed_forward.inner": "linear1",
            "feed_forward.output": "linear2",
            "feed_forward_norm": "norm2",
        }.items()
        for kind in ("weight", "bias")
    },
}
EMBEDDINGS = "item_model.item_net_blocks.0.ids_emb.weight"
LAYERS = "transformer_layers"

for name in ("pytorch_lightning.utilities.rank_zero", "pytorch_lightning.accelerators.cuda"):
    logging.getLogger(name).setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module="pytorch_lightning")


class Counted:
    """Batches, and how many targets they had."""

    def __init__(self, batches: Iterator[Any], count: Callable[[Any], int]) -> None:
        self.batches, self.count, self.targets = batches, count, 0

    def __iter__(self) -> Iterator[Any]:
        for batch in self.batches:
            self.targets += self.count(batch)
            yield batch


# RecBole


def recbole_config(folder: Path, name: str, settings: dict[str, Any], dropout: bool = True, **changes: Any) -> Any:
    """RecBole's configuration for a dataset that stands in its own format in the folder."""
    rate = settings["dropout"] if dropout else 0.0
    return oracle.recbole_config(folder, name, settings["max_length"], rate, **K_CORE, **changes)


def recbole_pair(config: Any, settings: dict[str, Any], dropout: bool = False) -> oracle.Pair:
    """RecBole's data and network, and ours. RecBole turns times to 32 bits before it sorts by them, so ours do too."""
    from recbole.data import create_dataset

    dataset = create_dataset(config)
    dataset.inter_feat["timestamp"] = dataset.inter_feat["timestamp"].astype("float32")
    return oracle.make_pair(config, dataset, settings["max_length"], settings["dropout"] if dropout else 0.0)


def to_recbole(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our weights by RecBole's names."""
    found = {theirs: weights[ours] for theirs, ours in oracle.NAMES.items()}
    for layer in range(sum(name.endswith("feed_forward.inner.bias") for name in weights)):
        old, new = f"blocks.{layer}", f"trm_encoder.layer.{layer}"
        for kind in ("weight", "bias"):
            maps = weights[f"{old}.mixer.query_key_value.{kind}"].chunk(3)
            found |= {
                f"{new}.multi_head_attention.{name}.{kind}": part
                for name, part in zip(("query", "key", "value"), maps, strict=True)
            }
            found |= {
                f"{new}.{theirs}.{kind}": weights[f"{old}.{ours}.{kind}"] for theirs, ours in oracle.LAYER.items()
            }
    return found


class RecBoleSteps:
    """RecBole's trainer on the next batches of its loader.

    Importing any of its sequential models switches on torch's anomaly detection for the whole process, which its users
    pay for without knowing: that is RecBole as it is shipped. `anomaly=False` is RecBole without it.
    """

    def __init__(self, config: Any, model: nn.Module, train: Any, anomaly: bool = True) -> None:
        from recbole.data.dataloader import TrainDataLoader
        from recbole.trainer import Trainer

        self.model, self.trainer, self.examples_a_step = model, Trainer(config, model), config["train_batch_size"]
        self.loader, self.anomaly = TrainDataLoader(config, train, None, shuffle=True), anomaly
        self.batches = (batch for _ in iter(int, 1) for batch in self.loader)

    def run(self, steps: int) -> int:
        """Take so many steps; the number of targets."""
        batches = Counted(islice(self.batches, steps), len)
        with torch.autograd.set_detect_anomaly(self.anomaly):
            self.trainer._train_epoch(batches, 0, show_progress=False)
        return batches.targets


def show_recbole_equal(pair: oracle.Pair, folder: Path) -> None:
    """Equal scores, losses and gradients at dropout 0, on the oracle's data and on rows of the dataset."""
    small = oracle.small_pair(folder, 6)
    oracle.assert_same_network(small, without_padding=True)
    oracle.assert_same_network(small, without_padding=False)
    rows = pair.parts[0].inter_feat[:: max(1, len(pair.parts[0].inter_feat) // 300)]
    histories = oracle.histories_of(rows, pair.split.train.n_items)
    theirs = pair.theirs.full_sort_predict(rows)
    oracle.assert_same({"scores": pair.ours.score(histories)}, {"scores": theirs})
    loss = mean_cross_entropy(pair.ours.last_hidden(histories), pair.ours.item_table(), rows["item_id"])
    their_loss = oracle.their_loss_of_items(pair, rows)
    torch.testing.assert_close(loss, their_loss, rtol=1e-10, atol=0)
    expected = oracle.to_our_names(oracle.gradients(pair.theirs, their_loss))
    oracle.assert_same(oracle.gradients(pair.ours, loss), expected)


# RecTools


class PostNormLayers(TransformerLayersBase):
    """Our blocks, from torch's own encoder layers: LN(E[s] + P), dropout, then norms after the residual sums."""

    def __init__(
        self, n_blocks: int, n_factors: int, n_heads: int, dropout_rate: float, **chosen: Any
    ) -> None:  # dropout_rate is that of the backbone, whose dropout stands where ours has none
        super().__init__()
        dropout = chosen["dropout"]
        self.positions = nn.Embedding(chosen["max_length"], n_factors)
        self.norm = nn.LayerNorm(n_factors, eps=1e-12)
        self.dropout = nn.Dropout(dropout)
        told = {"activation": "gelu", "layer_norm_eps": 1e-12, "batch_first": True}
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(n_factors, n_heads, chosen["inner_width"], dropout, **told)
            for _ in range(n_blocks)
        )
        for block in self.blocks:
            block.dropout = nn.Identity()  # inside the feed-forward part, where ours has none

    def forward(
        self, seqs: Tensor, timeline_mask: Tensor, attn_mask: Tensor, key_padding_mask: None, **_: Any
    ) -> Tensor:
        """[B, L, D] -> [B, L, D]; positions are counted from the oldest item, padding is on the left."""
        position = (timeline_mask.squeeze(-1).cumsum(1) - 1).clamp(min=0)
        states = self.dropout(self.norm(seqs + self.positions(position)))
        for block in self.blocks:
            states = block(states, src_mask=attn_mask)
        return states


def rectools_model(train: Sequences, settings: dict[str, Any], batch_size: int, ours: bool, dropout: bool) -> Any:
    """RecTools' model on our training rows, with our layers or its own; not trained."""
    dropped = settings["dropout"] if dropout else 0.0
    told = {"n_blocks": SIZES["layers"], "n_heads": SIZES["heads"], "n_factors": SIZES["width"], "lr": 1e-3}
    told |= {"session_max_len": settings["max_length"], "batch_size": batch_size, "dropout_rate": dropped}
    if ours:
        chosen = {"max_length": settings["max_length"], "inner_width": SIZES["inner_width"], "dropout": dropped}
        told |= {"transformer_layers_type": PostNormLayers, "transformer_layers_kwargs": chosen, "dropout_rate": 0.0}
        told |= {"use_pos_emb": False, "use_key_padding_mask": True}
    model = SASRecModel(**told)
    rows = {
        Columns.User: train.users[train.rows].numpy(),
        Columns.Item: train.values.numpy(),
        Columns.Weight: 1.0,
        Columns.Datetime: pd.to_datetime(range(len(train.values)), unit="s"),
    }
    model._build_model_from_dataset(Dataset.construct(pd.DataFrame(rows)))
    if ours:
        model.lightning_model.adam_betas = (0.9, 0.999)
    return model


def their_items(model: Any) -> Tensor:
    """Our number [V'+1] of each of RecTools' items; padding is 0. Items outside the training rows are none of its."""
    return torch.tensor([0, *model.data_preparator.get_known_item_ids()], dtype=torch.int64)


def to_rectools(named: dict[str, Tensor], items: Tensor) -> dict[str, Tensor]:
    """Our weights, or their gradients, by RecTools' names."""
    found = {EMBEDDINGS: named["items.weight"][items], f"{LAYERS}.positions.weight": named["positions.weight"]}
    for name, tensor in named.items():
        first, _, rest = name.partition(".")
        if first == "norm":
            found[f"{LAYERS}.{name}"] = tensor
        if first == "blocks":
            layer, _, inner = rest.partition(".")
            found[f"{LAYERS}.blocks.{layer}.{TO_RECTOOLS[inner]}"] = tensor
    assert len(found) == len(named)
    return found


class RecToolsSteps:
    """RecTools' Lightning trainer on the next batches of its loader."""

    def __init__(self, model: Any, weights: dict[str, Tensor] | None = None) -> None:
        self.module, self.examples_a_step = model.lightning_model, model.batch_size
        if weights is not None:
            self.module.torch_model.load_state_dict(to_rectools(weights, their_items(model)))
            self.module.is_fitted = True  # do not draw them again
        loader = model.data_preparator.get_dataloader_train()
        self.batches = (batch for _ in iter(int, 1) for batch in loader)

    def run(self, steps: int) -> int:
        """Take so many steps; the number of targets."""
        from pytorch_lightning import Trainer

        quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
        batches = Counted(islice(self.batches, steps), lambda batch: int((batch["y"] != 0).sum()))
        Trainer(max_epochs=1, accelerator="cpu", devices=1, **quiet).fit(self.module, batches)
        return batches.targets


def show_rectools_equal(ours: Any, train: Sequences, settings: dict[str, Any], rows: int = 64) -> None:
    """Equal scores, loss and gradients at dropout 0 in float64, on rows of RecTools' own loader.

    Args:
        ours: our network in float64, without dropout.
        train: the training rows.
        settings: of the dataset.
        rows: how many.
    """
    model = rectools_model(train, settings, rows, ours=True, dropout=False)
    items, module = their_items(model), model.lightning_model.double()
    module.torch_model.load_state_dict(to_rectools(ours.state_dict(), items))
    batch = next(iter(model.data_preparator.get_dataloader_train()))
    logits = module.get_batch_logits(batch)
    their_loss = module.loss_calculator(logits, batch["y"], batch["yw"].double())
    shown = rows_of(batch, items, train.n_items)
    hidden, targets = all_positions(ours, shown)
    table = ours.item_table()[items]
    number = torch.zeros(train.n_items + 1, dtype=torch.int64).index_copy_(0, items, torch.arange(len(items)))
    loss = F.cross_entropy(hidden @ table.T, number[targets])
    scores = ours.last_hidden(shown.head(shown.lengths - 1)) @ table.T
    oracle.assert_same({"scores": scores}, {"scores": logits[:, -1]})
    torch.testing.assert_close(loss, their_loss, rtol=1e-10, atol=0)
    found = to_rectools(oracle.gradients(ours, loss), items)
    expected = oracle.gradients(module.torch_model, their_loss)
    expected[EMBEDDINGS][0] = found[EMBEDDINGS][0]  # of padding: torch gives its row as an input no gradient
    oracle.assert_same(found, expected)


def rows_of(batch: dict[str, Tensor], items: Tensor, n_items: int) -> Sequences:
    """The rows of RecTools' batch, whose last item is a target, in our numbers."""
    whole = items[torch.cat([batch["x"], batch["y"][:, -1:]], dim=1)]
    users = torch.arange(len(whole))
    return Sequences(users, whole[whole != 0], offsets_of((whole != 0).sum(1)), None, n_items)
