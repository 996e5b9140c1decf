"""The report step: figures, and a small static site that shows every claim and every number with what stands behind it.

The pages need no network, and no script: one only filters the table of claims. They are made from the suite's tables
and verdicts, from the registry of papers and from the records of the runs.

index.html      all claims, and what the suite is
<paper>.html    a paper's claims with their tests, its published numbers, our deviations, and the runs behind it
results.html    tables and figures, dataset by dataset
runs.html       a record behind each number: data, parameters, code, environment
"""

from pathlib import Path
from typing import Any

from seqrepro.files import write_text
from seqrepro.report.pages import front, paper, results, runs
from seqrepro.report.rendering import templates
from seqrepro.report.suite import Suite, read_suite
from seqrepro.request import Request


def run(request: Request) -> list[Path]:
    """Write a suite's figures and pages, and return the files.

    Raises:
        InputError: the tables are missing (run `compare` first), or a file of the registry is not what it must be.
    """
    suite = read_suite(request.parameters)
    environment = templates(request.output)
    written = []
    for name, words in _pages(suite).items():
        path = request.output / f"{name}.html"
        template = environment.get_template(words.pop("template"))
        write_text(path, template.render(suite=suite, wanted=suite.wanted, page=name, **words))
        written.append(path)
    tables = [file for section in suite.sections if section["curvature"] for file in section["curvature"].files]
    tables += [file for section in suite.sections if section["timing"] for file in section["timing"]["files"]]
    return [*(file for drawn in suite.figures for file in drawn.files), *tables, *written]


def _pages(suite: Suite) -> dict[str, dict[str, Any]]:
    """The words of each page, by its name."""
    papers = {one.name: paper.page(suite, one) for one in suite.papers}
    return {"index": front.page(suite), **papers, "results": results.page(suite), "runs": runs.page(suite)}
