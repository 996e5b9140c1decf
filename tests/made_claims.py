"""Claims about the small finished suite of tests/unit: of several kinds and verdicts, and deviations beside them."""

COMMON = {"origin": "paper", "source": "abstract", "family": "made", "basis": "known"}
BEAUTY = {"metric": "ndcg@10", "datasets": ["beauty"]}
DIRECTION = {"id": "direction", "kind": "superiority", **BEAUTY}
UNTESTABLE = {"id": "none", "kind": "untestable", "reason": "Private data <of theirs>."}
REFIT = {"id": "refit", "kind": "tabulated", "table": "laws/r2.csv", "column": "refitted"}
REACHED = {"printed": {"model": "SASRec"}, "metrics": ["ndcg@10"], "margin": 0.01, "note": "Printed & ours."}


def claim(name, statement, *parts, **more):
    return COMMON | {"id": name, "statement": statement, "parts": list(parts)} | more


CLAIMS = {
    "paper": "samrec",
    "title": "SAMRec: made & tested",
    "reference": "arXiv 2308.10347",
    "gates": [
        {
            "id": "G1",
            "statement": "Our SASRec reaches <theirs>.",
            "source": "Table 1",
            "parts": [{"id": "level", "kind": "level", "model": "sasrec", "datasets": ["beauty"], **REACHED}],
        }
    ],
    "claims": [
        claim("C1", "SASRec beats both baselines.", DIRECTION | {"model": "sasrec", "against": ["popularity", "ease"]}),
        claim(
            "C2",
            "Popularity beats EASE, and <others>.",
            DIRECTION | {"model": "popularity", "against": ["ease"], "note": "Chosen as it fails."},
        ),
        claim(
            "C3",
            "SASRec equals EASE.",
            {"id": "equal", "kind": "equivalence", **BEAUTY, "model": "sasrec", "against": ["ease"], "margin": 0.4},
        ),
        claim("C4", "TiM4Rec beats SASRec.", DIRECTION | {"model": "tim4rec", "against": ["sasrec"]}),
        claim("C5", "The refit is good.", REFIT | {"above": 0.5}, basis="re-derived"),
        claim("C6", "The refit is perfect.", REFIT | {"table": "laws/none.csv", "above": 0.5}),
        claim(
            "C7",
            "EASE puts the target first more often than popularity.",
            DIRECTION | {"metric": "hit_rate@1", "model": "ease", "against": ["popularity"]},
        ),
        claim("X1", "Their own data say so.", UNTESTABLE, origin="ours"),
    ],
}
DEVIATIONS = """# SAMRec: where we differ

Only the *abstract* was available, and `code` & more.

| choice | theirs | ours |
| --- | --- | --- |
| Loss | not known | `bce` <as theirs> |
| Seeds | one | 3 |
"""
