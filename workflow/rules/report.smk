rule report:
    input:
        request="results/plan/report/{suite}.json",
        tables="results/{suite}/tables/provenance.json",
        refits=PLAN.refits(),
        verdicts="results/{suite}/verdicts/provenance.json",
        surveys=PLAN.surveys(),
        papers=PLAN.registered(),
        runs=[
            sidecar for sidecar in PLAN.sidecars if sidecar.startswith("results/runs/")
        ],
        probes=PLAN.probe_files(),
    output:
        report(
            "results/{suite}/report/index.html",
            caption="../report/report.rst",
            category="Report",
        ),
        expand("results/{{suite}}/report/{page}.html", page=PLAN.pages()),
        "results/{suite}/report/provenance.json",
    log:
        "logs/report/{suite}.log",
    resources:
        runtime=60,
        mem_mb=4000,
    shell:
        "seqrepro report {input.request} 2> {log}"
