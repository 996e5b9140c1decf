"""Which recipe can train which architecture."""

from seqrepro.config.architectures.bert4rec import BERT4RecParameters
from seqrepro.config.architectures.caser import CaserParameters
from seqrepro.config.architectures.hydrarec import HydraRecParameters
from seqrepro.config.architectures.sasrec import SASRecParameters
from seqrepro.config.base import Configuration
from seqrepro.config.training import ClosedForm, Recipe


def sees_both_sides(architecture: Configuration) -> bool:
    """Whether a network sees what comes after a position, so that it has to guess what is masked."""
    if isinstance(architecture, HydraRecParameters):
        return architecture.frame == "bidirectional"
    return isinstance(architecture, BERT4RecParameters)


def misfit(architecture: Configuration, recipe: Recipe) -> str:
    """Why a recipe cannot train an architecture, with what was expected; '' if it can."""
    if isinstance(recipe, ClosedForm):
        return ""
    if sees_both_sides(architecture) != (recipe.view == "cloze"):
        return (
            f"found view {recipe.view}; expected cloze for bert4rec and a bidirectional hydrarec, which see both "
            "sides, and for no other"
        )
    if isinstance(architecture, CaserParameters) and recipe.view != "prefixes":
        return f"found view {recipe.view}; expected prefixes for caser, which has one representation a history"
    has_mask = isinstance(architecture, SASRecParameters) and architecture.mask_row
    shows_mask = "objective cl4srec" if recipe.objective.name == "cl4srec" else recipe.pretraining and "pretraining"
    if shows_mask and not has_mask:
        return f"found {shows_mask}, which shows a mask; expected an architecture sasrec with mask_row: true"
    return ""
