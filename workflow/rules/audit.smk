rule manifest:
    input:
        PLAN.sidecars,
    output:
        PLAN.manifest,
    log:
        "logs/manifest.log",
    localrule: True
    params:
        suite=PLAN.suite,
    shell:
        "seqrepro manifest --suite {params.suite} 2> {log}"


rule audit:
    input:
        manifest=PLAN.manifest,
        selected=PLAN.selected,
    output:
        "results/{suite}/audit.csv",
    log:
        "logs/audit/{suite}.log",
    localrule: True
    shell:
        "seqrepro audit --manifest {input.manifest} --csv {output} > {log} 2>&1"
