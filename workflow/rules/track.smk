rule track:
    input:
        [sidecar for sidecar in PLAN.sidecars if sidecar.startswith("results/runs/")],
    output:
        "results/{suite}/tracking.json",
    log:
        "logs/track/{suite}.log",
    localrule: True
    shell:
        "seqrepro track --receipt {output} > {log} 2>&1"
