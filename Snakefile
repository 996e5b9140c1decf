include: "workflow/Snakefile"


# An include forgets the default target of what it includes.
workflow.default_target = "all"
