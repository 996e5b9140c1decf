rule compare:
    input:
        request="results/plan/compare/{suite}.json",
        ranks=PLAN.compared(),
    output:
        report(
            "results/{suite}/tables/metrics.csv",
            caption="../report/metrics.rst",
            category="Tables",
        ),
        report(
            "results/{suite}/tables/published.csv",
            caption="../report/published.rst",
            category="Tables",
        ),
        multiext("results/{suite}/tables/metrics", ".parquet", ".md", ".tex"),
        multiext("results/{suite}/tables/published", ".parquet", ".md"),
        multiext("results/{suite}/tables/comparisons", ".parquet", ".csv", ".md"),
        multiext("results/{suite}/tables/runs", ".parquet", ".csv"),
        multiext("results/{suite}/tables/parameters", ".parquet", ".csv", ".md"),
        multiext("results/{suite}/tables/exposure", ".parquet", ".csv", ".md"),
        multiext("results/{suite}/tables/cost", ".parquet", ".csv"),
        multiext("results/{suite}/tables/compute", ".parquet", ".csv"),
        multiext("results/{suite}/tables/variations", ".parquet", ".csv"),
        multiext("results/{suite}/tables/robustness", ".parquet", ".csv", ".md"),
        multiext("results/{suite}/tables/correlations", ".parquet", ".csv", ".md"),
        multiext("results/{suite}/tables/searches", ".parquet", ".csv", ".md"),
        "results/{suite}/tables/metrics.json",
        "results/{suite}/tables/provenance.json",
    log:
        "logs/compare/{suite}.log",
    resources:
        runtime=60,
        mem_mb=8000,
    shell:
        "seqrepro compare {input.request} 2> {log}"


rule judge:
    input:
        request="results/plan/judge/{suite}.json",
        evidence=PLAN.judged(),
    output:
        report(
            "results/{suite}/verdicts/verdicts.csv",
            caption="../report/verdicts.rst",
            category="Verdicts",
        ),
        multiext("results/{suite}/verdicts/verdicts", ".json", ".parquet"),
        "results/{suite}/verdicts/provenance.json",
    log:
        "logs/judge/{suite}.log",
    resources:
        runtime=60,
        mem_mb=8000,
    shell:
        "seqrepro judge {input.request} 2> {log}"


rule refit:
    input:
        request="results/plan/refit/{suite}.json",
        points="registry/papers/performance_law/published_points.csv",
        published=[
            "registry/papers/performance_law/published_r2.csv",
            "registry/papers/performance_law/published.csv",
        ],
        read=PLAN.refitted(),
    output:
        expand(
            "results/{{suite}}/laws/{table}.{kind}",
            table=PLAN.own_tables,
            kind=["parquet", "csv"],
        ),
        multiext("results/{suite}/laws/r2", ".parquet", ".csv"),
        multiext("results/{suite}/laws/forms", ".parquet", ".csv"),
        multiext("results/{suite}/laws/coefficients", ".parquet", ".csv"),
        multiext("results/{suite}/laws/fitted", ".parquet", ".csv"),
        multiext("results/{suite}/laws/optima", ".parquet", ".csv"),
        multiext("results/{suite}/laws/constrained", ".parquet", ".csv"),
        multiext("results/{suite}/laws/data_factor", ".parquet", ".csv"),
        multiext("results/{suite}/laws/duplication", ".parquet", ".csv"),
        multiext("results/{suite}/laws/printed", ".parquet", ".csv"),
        "results/{suite}/laws/provenance.json",
    log:
        "logs/refit/{suite}.log",
    resources:
        runtime=30,
        mem_mb=2000,
    shell:
        "seqrepro refit {input.request} 2> {log}"
