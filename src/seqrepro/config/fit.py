"""Which recipe can train which architecture."""

from seqrepro.config.architectures.bert4rec import BERT4RecParameters
from seqrepro.config.architectures.caser import CaserParameters
from seqrepro.config.architectures.hstu import HSTUParameters
from seqrepro.config.architectures.hydrarec import HydraRecParameters
from seqrepro.config.architectures.sasrec import SASRecParameters
from seqrepro.config.architectures.ssd4rec import SSD4RecParameters
from seqrepro.config.architectures.tim4rec import TiM4RecParameters
from seqrepro.config.base import Configuration
from seqrepro.config.training import ClosedForm, Gradient, Recipe


def sees_both_sides(architecture: Configuration) -> bool:
    """Whether a network sees what comes after a position, so that it has to guess what is masked."""
    if isinstance(architecture, HydraRecParameters):
        return architecture.frame == "bidirectional"
    return isinstance(architecture, BERT4RecParameters)


def only_prefixes(architecture: Configuration) -> str:
    """Why a network cannot be trained on all positions of a row at once; '' if it can."""
    if isinstance(architecture, CaserParameters):
        return "caser, which has one representation a history"
    if isinstance(architecture, SSD4RecParameters):
        return "ssd4rec, which predicts behind the newest item only"
    if isinstance(architecture, TiM4RecParameters) and architecture.time in ("paper", "paper_masked"):
        return f"tim4rec with time: {architecture.time}, where a position knows the gaps behind it"
    return ""


def misfit(architecture: Configuration, recipe: Recipe) -> str:
    """Why a recipe cannot train an architecture, with what was expected; '' if it can."""
    if isinstance(recipe, ClosedForm):
        return ""
    if sees_both_sides(architecture) != (recipe.view == "cloze"):
        return (
            f"found view {recipe.view}; expected cloze for bert4rec and a bidirectional hydrarec, which see both "
            "sides, and for no other"
        )
    if (why := only_prefixes(architecture)) and recipe.view != "prefixes":
        return f"found view {recipe.view}; expected prefixes for {why}"
    if recipe.hidden_share and not isinstance(architecture, SSD4RecParameters):
        return f"found hidden_share {recipe.hidden_share}; expected 0 for all but ssd4rec, which has a mask"
    if why := _told_twice(architecture, recipe):
        return why
    has_mask = isinstance(architecture, SASRecParameters) and architecture.mask_row
    shows_mask = "objective cl4srec" if recipe.objective.name == "cl4srec" else recipe.pretraining and "pretraining"
    if shows_mask and not has_mask:
        return f"found {shows_mask}, which shows a mask; expected an architecture sasrec with mask_row: true"
    return ""


def _told_twice(architecture: Configuration, recipe: Gradient) -> str:
    """That cosines are asked for twice, or the times of next events of rows that are changed."""
    if getattr(architecture, "cosine_temperature", None) and getattr(recipe.objective, "l2_normalise", False):
        return (
            "found l2_normalise for a model with cosine_temperature; expected one of them: scores are cosines already"
        )
    asks = isinstance(architecture, HSTUParameters) and architecture.query_time == "next"
    if asks and recipe.data is not None and recipe.data.kind != "users":
        return f"found training.data {recipe.data.kind} with query_time: next; expected users, whose events stay"
    return ""
