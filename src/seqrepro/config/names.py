"""Names that parameters and claims have in common."""

from typing import Annotated, Literal

from pydantic import Field

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="becomes part of file names")]
Paper = Literal["samrec", "hydrarec", "tim4rec", "performance_law"]
Chapter = Literal[
    "accuracy", "learning", "robustness", "exposure", "curvature", "cost"
]  # of the report: tables and figures
Metric = Annotated[str, Field(pattern=r"^(hit_rate|ndcg|mrr)@[1-9][0-9]*$")]
