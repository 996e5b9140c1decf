rule train:
    input:
        request="results/plan/train/{dataset}/{run}/seed-{seed}.json",
        statistics="data/prepared/{dataset}/statistics.json",
        data=ancient(PLAN.train_data),
        negatives=PLAN.negatives,
    output:
        "results/runs/{dataset}/{run}/seed-{seed}/model.safetensors",
        "results/runs/{dataset}/{run}/seed-{seed}/history.parquet",
        "results/runs/{dataset}/{run}/seed-{seed}/ranks.parquet",
        "results/runs/{dataset}/{run}/seed-{seed}/metrics.json",
        "results/runs/{dataset}/{run}/seed-{seed}/provenance.json",
    log:
        "logs/train/{dataset}/{run}/seed-{seed}.log",
    threads: lambda wildcards: PLAN.train_resources(wildcards)["threads"]
    resources:
        gpu=lambda wildcards: PLAN.train_resources(wildcards)["gpu"],
        runtime=720,
        mem_mb=8000,
    shell:
        "seqrepro train {input.request} 2> {log}"
