rule pack:
    input:
        PLAN.extras,
        PLAN.report,
    output:
        "results/versions/{suite}/CONTENTS.json",
    log:
        "logs/pack/{suite}.log",
    localrule: True
    shell:
        "seqrepro pack --suite {wildcards.suite} 2> {log}"
