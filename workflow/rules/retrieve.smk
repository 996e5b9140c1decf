rule retrieve:
    input:
        "results/plan/retrieve/{entry}.json",
    output:
        "data/raw/{entry}/SHA256SUMS",
        "data/raw/{entry}/provenance.json",
    log:
        "logs/retrieve/{entry}.log",
    retries: 1
    localrule: True
    resources:
        runtime=120,
        mem_mb=1000,
    shell:
        "seqrepro retrieve {input} 2> {log}"
