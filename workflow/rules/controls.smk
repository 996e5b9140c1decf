rule check:
    input:
        "results/{suite}/verdicts/verdicts.json",
        PLAN.report,
    output:
        "results/{suite}/controls.txt",
    log:
        "logs/check/{suite}.log",
    localrule: True
    shell:
        "seqrepro controls check --suite {wildcards.suite} --receipt {output} > {log} 2>&1"
