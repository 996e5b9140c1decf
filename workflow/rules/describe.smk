rule describe:
    input:
        request="results/plan/describe/{dataset}.json",
        prepared=multiext(
            "data/prepared/{dataset}/",
            "sequences.parquet",
            "interactions.parquet",
            "items.parquet",
            "statistics.json",
        ),
    output:
        "results/datasets/{dataset}/statistics.json",
        "results/datasets/{dataset}/provenance.json",
    log:
        "logs/describe/{dataset}.log",
    resources:
        runtime=60,
        mem_mb=4000,
    shell:
        "seqrepro describe {input.request} 2> {log}"


rule measure:
    input:
        request="results/plan/measure/{dataset}/{seen}.json",
        statistics="data/prepared/{dataset}/statistics.json",
        data=ancient(PLAN.measured_data),
    output:
        "results/datasets/{dataset}/measured/{seen}/measures.json",
        "results/datasets/{dataset}/measured/{seen}/provenance.json",
    log:
        "logs/measure/{dataset}/{seen}.log",
    wildcard_constraints:
        seen="[0-9a-f]{8}",
    resources:
        runtime=60,
        mem_mb=4000,
    shell:
        "seqrepro measure {input.request} 2> {log}"


rule survey:
    input:
        request="results/plan/survey/{suite}.json",
        read=PLAN.surveyed(),
    output:
        multiext("results/{suite}/datasets/statistics", ".parquet", ".csv"),
        multiext("results/{suite}/datasets/published", ".parquet", ".csv"),
        multiext("results/{suite}/datasets/splits", ".parquet", ".csv"),
        multiext("results/{suite}/datasets/entropy", ".parquet", ".csv"),
        multiext("results/{suite}/datasets/length_alone", ".parquet", ".csv"),
        multiext("results/{suite}/datasets/windows", ".parquet", ".csv"),
        "results/{suite}/datasets/provenance.json",
    log:
        "logs/survey/{suite}.log",
    resources:
        runtime=30,
        mem_mb=2000,
    shell:
        "seqrepro survey {input.request} 2> {log}"
