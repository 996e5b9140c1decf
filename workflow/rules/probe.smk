rule probe:
    input:
        request="results/plan/probe/{probe}/{dataset}/{run}/seed-{seed}.json",
        statistics="data/prepared/{dataset}/statistics.json",
        sequences=ancient("data/prepared/{dataset}/sequences.parquet"),
        model="results/runs/{dataset}/{run}/seed-{seed}/model.safetensors",
        ranks="results/runs/{dataset}/{run}/seed-{seed}/ranks.parquet",
        others=PLAN.other_weights,
    output:
        "results/runs/{dataset}/{run}/seed-{seed}/probes/{probe}/robustness.parquet",
        "results/runs/{dataset}/{run}/seed-{seed}/probes/{probe}/provenance.json",
    log:
        "logs/probe/{probe}/{dataset}/{run}/seed-{seed}.log",
    wildcard_constraints:
        probe=PLAN.probes("robustness"),
    resources:
        runtime=120,
        mem_mb=8000,
    shell:
        "seqrepro probe {input.request} 2> {log}"


use rule probe as probe_exposure with:
    output:
        "results/runs/{dataset}/{run}/seed-{seed}/probes/{probe}/exposure.json",
        "results/runs/{dataset}/{run}/seed-{seed}/probes/{probe}/topk.parquet",
        "results/runs/{dataset}/{run}/seed-{seed}/probes/{probe}/provenance.json",
    wildcard_constraints:
        probe=PLAN.probes("exposure"),


use rule probe as probe_sharpness with:
    output:
        "results/runs/{dataset}/{run}/seed-{seed}/probes/{probe}/measurements.parquet",
        "results/runs/{dataset}/{run}/seed-{seed}/probes/{probe}/density.parquet",
        "results/runs/{dataset}/{run}/seed-{seed}/probes/{probe}/provenance.json",
    wildcard_constraints:
        probe=PLAN.probes("sharpness"),


use rule probe as probe_landscape with:
    output:
        "results/runs/{dataset}/{run}/seed-{seed}/probes/{probe}/landscape.parquet",
        "results/runs/{dataset}/{run}/seed-{seed}/probes/{probe}/provenance.json",
    wildcard_constraints:
        probe=PLAN.probes("landscape"),


use rule probe as probe_cost with:
    output:
        "results/runs/{dataset}/{run}/seed-{seed}/probes/{probe}/measurements.parquet",
        "results/runs/{dataset}/{run}/seed-{seed}/probes/{probe}/provenance.json",
    wildcard_constraints:
        probe=PLAN.probes("cost"),
    threads: lambda wildcards: PLAN.train_resources(wildcards)["threads"]
    resources:
        gpu=lambda wildcards: PLAN.train_resources(wildcards)["gpu"],
        runtime=120,
        mem_mb=8000,


use rule probe as probe_trajectory with:
    output:
        "results/runs/{dataset}/{run}/seed-{seed}/probes/{probe}/measurements.parquet",
        "results/runs/{dataset}/{run}/seed-{seed}/probes/{probe}/provenance.json",
    wildcard_constraints:
        probe=PLAN.probes("trajectory"),
    threads: lambda wildcards: PLAN.train_resources(wildcards)["threads"]
    resources:
        runtime=1440,
        mem_mb=8000,


use rule probe as probe_slices with:
    output:
        "results/runs/{dataset}/{run}/seed-{seed}/probes/{probe}/slices.parquet",
        "results/runs/{dataset}/{run}/seed-{seed}/probes/{probe}/provenance.json",
    wildcard_constraints:
        probe=PLAN.probes("slices"),


use rule probe as probe_traps with:
    output:
        "results/runs/{dataset}/{run}/seed-{seed}/probes/{probe}/measurements.parquet",
        "results/runs/{dataset}/{run}/seed-{seed}/probes/{probe}/provenance.json",
    wildcard_constraints:
        probe=PLAN.probes("traps"),


use rule probe as probe_attention with:
    output:
        "results/runs/{dataset}/{run}/seed-{seed}/probes/{probe}/measurements.parquet",
        "results/runs/{dataset}/{run}/seed-{seed}/probes/{probe}/machine.json",
        "results/runs/{dataset}/{run}/seed-{seed}/probes/{probe}/provenance.json",
    wildcard_constraints:
        probe=PLAN.probes("attention", "timing", "efficiency"),
    threads: lambda wildcards: PLAN.train_resources(wildcards)["threads"]
    resources:
        gpu=lambda wildcards: PLAN.train_resources(wildcards)["gpu"],
        runtime=240,
        mem_mb=16000,
