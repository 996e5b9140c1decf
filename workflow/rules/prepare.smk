rule prepare:
    input:
        request="results/plan/prepare/{dataset}.json",
        raw=PLAN.raw,
    output:
        "data/prepared/{dataset}/interactions.parquet",
        "data/prepared/{dataset}/sequences.parquet",
        "data/prepared/{dataset}/items.parquet",
        "data/prepared/{dataset}/statistics.json",
        "data/prepared/{dataset}/provenance.json",
    log:
        "logs/prepare/{dataset}.log",
    resources:
        runtime=60,
        mem_mb=4000,
    shell:
        "seqrepro prepare {input.request} 2> {log}"


rule candidates:
    input:
        request="results/plan/candidates/{dataset}/{drawn}.json",
        statistics="data/prepared/{dataset}/statistics.json",
        data=ancient(PLAN.candidate_data),
    output:
        "data/candidates/{dataset}/{drawn}/negatives.parquet",
        "data/candidates/{dataset}/{drawn}/provenance.json",
    log:
        "logs/candidates/{dataset}/{drawn}.log",
    wildcard_constraints:
        drawn="[0-9a-f]{8}",
    resources:
        runtime=60,
        mem_mb=4000,
    shell:
        "seqrepro candidates {input.request} 2> {log}"
