"""The report in a browser: no accessibility violation (axe-core), and a filter that hides rows. `make test-browser`."""

import json
import os
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest

from seqrepro.config.load import load_parameters
from seqrepro.config.requests import plan_requests
from seqrepro.data.registry import load_registry
from seqrepro.report import site

ROOT = Path(__file__).parents[3]
BROWSER = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)
AXE = Path(os.environ.get("SEQREPRO_AXE", "nowhere"))
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
SCHEMES = {"light": [], "dark": ["--force-dark-mode"]}
ASK = """<script>
for (const one of document.querySelectorAll("details")) one.open = true;
axe.run({ resultTypes: ["violations"] }).then((found) => say({
  scheme: matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light",
  passed: found.passes.length,
  violations: found.violations.map((one) => [one.id, one.nodes.length, one.nodes[0].html.slice(0, 200)]),
}));
</script>"""
SAY = """<script>
const say = (told) => {
  const one = document.createElement("pre");
  one.id = "told";
  one.textContent = JSON.stringify(told);
  document.body.append(one);
};
</script>"""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not BROWSER, reason="needs Chromium"),
    pytest.mark.skipif(not AXE.is_file(), reason="needs SEQREPRO_AXE, the file axe.min.js (make test-browser)"),
]


def browse(page, script, folder, *flags):
    """What a script says of a page; it stands at the page's end and calls `say` once."""
    copy = folder / page.name
    copy.write_text(page.read_text().replace("</body>", f"{SAY}{script}</body>"))
    own = [f"--user-data-dir={folder}/profile", "--virtual-time-budget=60000", "--dump-dom", copy.as_uri()]
    done = subprocess.run([BROWSER, *FLAGS, *flags, *own], capture_output=True, text=True, timeout=900, check=True)
    (told,) = re.findall(r'<pre id="told">(.*?)</pre>', done.stdout, re.DOTALL)
    return json.loads(unescape(told))


@pytest.fixture(scope="session")
def standard(tmp_path_factory):
    """The report of the committed runs, built anew in a folder of its own."""
    root = tmp_path_factory.mktemp("standard")
    for name in ("params.yaml", "registry", "requirements.lock", "environment.yml", "results/runs"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).symlink_to(ROOT / name)
    (root / "results/standard").mkdir()
    for name in ("tables", "verdicts", "laws", "datasets"):
        (root / "results/standard" / name).symlink_to(ROOT / "results/standard" / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        (request,) = plan_requests(load_parameters(), "standard", load_registry()).of("report").values()
        return root, site.run(request)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("suite", ["reported_suite", "standard"])
def test_axe_finds_nothing_on_any_page(request, suite, scheme, tmp_path):
    root, files = request.getfixturevalue(suite)
    pages = [root / path for path in files if path.suffix == ".html"]
    assert len(pages) == {"reported_suite": 4, "standard": 7}[suite]
    found = {}
    for page in pages:
        told = browse(page, f"<script>{AXE.read_text()}</script>{ASK}", tmp_path, *SCHEMES[scheme])
        assert told["scheme"] == scheme and told["passed"] > 20
        found |= {page.stem: told["violations"]} if told["violations"] else {}
    assert found == {}


ROWS = """
const rows = () => [...document.querySelectorAll("#rows tr")].filter((row) => row.getClientRects().length)
  .map((row) => row.dataset.verdict);
const choose = (id, value) => { const one = document.getElementById(id); one.value = value;
  one.dispatchEvent(new Event("input", { bubbles: true })); };
const status = () => document.getElementById("filter-status").textContent;
"""


def test_filter_and_search_hide_rows(reported_suite, tmp_path):
    root, _ = reported_suite
    script = f"""<script>addEventListener("load", () => setTimeout(() => {{ {ROWS}
      const told = {{ form: document.getElementById("filter").getClientRects().length > 0, all: rows() }};
      choose("filter-verdict", "not reproduced"); told.verdict = rows(); told.status = status();
      choose("filter-words", "EASE popularity"); told.both = rows();
      choose("filter-paper", "samrec"); told.three = rows();
      choose("filter-words", "no such word"); told.none = rows();
      document.querySelector("#filter button").click();
      setTimeout(() => {{
        told.again = rows(); choose("filter-words", "FAILS. chosen"); told.notes = rows(); say(told);
      }});
    }}));</script>"""
    told = browse(root / "results/standard/report/index.html", script, tmp_path)
    assert told["form"] and len(told["all"]) == 8
    assert told["verdict"] == ["not reproduced"] * 2 and told["status"] == "2 of 8 claims shown"
    assert told["both"] == told["three"] == ["not reproduced"]
    assert told["none"] == [] and told["again"] == told["all"] and told["notes"] == ["not reproduced"]


def test_without_scripts_the_whole_table_is_shown(reported_suite, tmp_path):
    """The page's own script is taken out: nothing is hidden but the form that it would drive."""
    page = tmp_path / "bare.html"
    text = (reported_suite[0] / "results/standard/report/index.html").read_text()
    page.write_text(re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL))
    script = f'<script>{ROWS} say([rows().length, document.getElementById("filter").getClientRects().length]);</script>'
    (tmp_path / "other").mkdir()
    assert browse(page, script, tmp_path / "other") == [8, 0]
