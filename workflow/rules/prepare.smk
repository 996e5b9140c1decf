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
