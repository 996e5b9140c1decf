"""The report: pages that need nothing from outside, figures beside their data, and a record behind each number."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
import yaml

from seqrepro.errors import InputError
from seqrepro.files import read_json, sha256_file, write_json
from seqrepro.ledger import judge
from seqrepro.report import site
from seqrepro.report.claims import count, look
from seqrepro.report.drawing import draw, inline, spread
from seqrepro.report.effects import draw_effects
from seqrepro.report.extras import printed
from seqrepro.report.papers import read_deviations

FOLDER = Path("results/standard/report")
PAGES = ("index", "samrec", "results", "runs")
MESH = "data:image/png;base64,"  # what a drawing holds as points
VOID = {"meta", "br", "hr", "img", "link", "input"}


class Elements(HTMLParser):
    """Ids, links, headings, head cells and open tags of a page."""

    def __init__(self, name):
        super().__init__()
        self.ids, self.links, self.open, self.tags, self.levels, self.heads = [], [], [], set(), [], []
        self.feed((FOLDER / f"{name}.html").read_text())
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        named = dict(attributes)
        self.ids += [named["id"]] if "id" in named else []
        links = [named[key] for key in ("href", "src", "xlink:href") if key in named]
        self.links += [link for link in links if not link.startswith(MESH)]
        self.levels += [int(tag[1])] if re.fullmatch("h[1-6]", tag) else []
        self.heads += [named.get("scope")] if tag == "th" else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def text_of(name):
    return (FOLDER / f"{name}.html").read_text()


def entry(name, anchor):
    text = text_of(name)
    text = text[text.index(f'id="{anchor}"') :]
    return text[: text.index("</article>")]


@pytest.fixture
def written(reported_suite, monkeypatch):
    root, files = reported_suite
    monkeypatch.chdir(root)
    return files


def test_there_is_a_page_a_paper_beside_the_others(written):
    assert [path.stem for path in written if path.suffix == ".html"] == [*PAGES]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_needs_nothing_from_outside(written, name):
    found = Elements(name)
    assert not [link for link in found.links if re.match(r"[a-z]+:|/", link)]
    assert not found.tags & {"link", "iframe", "img", "object"}
    assert ("script" in found.tags) == (name == "index")
    assert not re.search(r"url\((?!#)|@import", text_of(name))


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_somewhere_and_every_id_is_unique(written, name):
    found = Elements(name)
    assert len(found.ids) == len(set(found.ids))
    ids = {page: set(Elements(page).ids) for page in PAGES}
    for link in found.links:
        file, _, anchor = link.partition("#")
        stem = Path(file).stem or name
        assert not file or (FOLDER / file).is_file(), link
        assert not anchor or anchor in ids[stem], link


@pytest.mark.parametrize("name", PAGES)
def test_headings_descend_in_order_and_head_cells_say_what_they_head(written, name):
    found = Elements(name)
    assert found.levels[0] == 1 and found.levels.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(found.levels, found.levels[1:], strict=False))
    assert set(found.heads) <= {"col", "row"}


WITHOUT_TEXT = {f"{name}-beauty" for name in ("spectrum", "lines", "contours", "surface")}


def test_figures_stand_beside_the_data_that_they_show(written):
    names = {path.name for path in written}
    stems = {path.stem for path in written if path.suffix == ".svg"}
    expected = {"accuracy-beauty-ndcg-at-10", "learning-beauty-train-loss", "robustness-beauty", *WITHOUT_TEXT}
    assert expected | {f"effect-samrec-{part}" for part in ("c1-direction", "c3-equal")} <= stems
    for stem in stems:
        assert {f"{stem}.svg", f"{stem}.png", f"{stem}.parquet"} <= names
        folder = Path("results/standard/figures")
        if stem in WITHOUT_TEXT:
            continue
        assert pq.read_table(folder / f"{stem}.parquet").num_rows == pa_csv.read_csv(folder / f"{stem}.csv").num_rows


def test_the_same_results_give_the_same_bytes(report_request):
    before = {path: sha256_file(path) for path in site.run(report_request)}
    assert {path: sha256_file(path) for path in site.run(report_request)} == before


def test_a_cell_leads_to_its_run_its_data_its_code_and_its_environment(written):
    assert '<a href="runs.html#run-beauty-sasrec-0000cccc"' in text_of("results")
    shown = entry("runs", "run-beauty-sasrec-0000cccc")
    ranks = sha256_file(Path("results/runs/beauty/sasrec-0000cccc/seed-2/ranks.parquet"))
    expected = ("abcdabcdabcd", "1234567890ab", "d" * 64, "leave_one_out", "#environment-1", "matches", "12.5 s")
    assert [one for one in (f'title="{ranks}"', *expected) if one not in shown] == []


def test_a_run_without_a_sidecar_says_so(written):
    assert "no record" in entry("runs", "run-beauty-ease-0000bbbb")


def test_a_rank_file_that_differs_from_its_record_is_announced(report_request):
    path = Path("results/runs/generated/popularity-0000aaaa/seed-0/provenance.json")
    record = read_json(path)
    record["outputs"] = dict.fromkeys(record["outputs"], "0" * 64)
    write_json(path, record)
    site.run(report_request)
    assert "1 rank file differs" in text_of("index")


def test_what_is_generated_or_missing_is_said(written):
    text = text_of("results")
    assert "Generated data: claims of papers are not tested here." in text
    assert "not run" in text and "one seed" in text
    assert "not tested in this suite" not in text_of("index")


def test_a_suite_of_generated_data_says_that_it_tests_no_claim(report_request):
    site.run(report_request)
    assert "empirical claims of papers are not tested in this suite" in " ".join(text_of("index").split())


@pytest.mark.parametrize("name", PAGES)
def test_names_are_escaped(written, name):
    text = text_of(name)
    assert not re.search("<time>|<others>|<of theirs>|<as theirs>", text)
    assert name in ("samrec", "runs") or "Real &amp; generated data." in text
    assert ("TiM4Rec &amp; &lt;time&gt;" in text) == (name != "index")


def section(name, anchor):
    text = text_of(name)
    return text[text.index(f'<h3 id="{anchor}"') :]


def test_the_surface_of_the_training_loss_has_a_table_and_figures(written):
    shown = section("results", "surface-beauty")
    shown = shown[: shown.index("</section>")]
    lines = " ".join(re.sub(r"<[^>]+>", " ", shown[: shown.index("</table>")]).split())
    assert "SASRec 0.5000 [0.5000, 0.5000] 3.500 [−2.853, 9.853] residual 0.0004" in lines
    assert "error 12" in lines and lines.endswith("2 1 not run")
    alts = re.findall(r'<svg role="img" aria-label="([^"]+)"', shown)
    assert len(alts) == 6 and all("Amazon Beauty" in alt for alt in alts)
    assert shown.count('<figure class="wide">') == 2  # with one model its planes are narrow
    assert "curvature-beauty.csv" in shown and "contours-beauty.parquet" in shown and "Trace by group" in shown
    assert {"curvature-beauty.csv", "curvature-beauty.parquet"} <= {path.name for path in written}


def test_where_nobody_looked_at_the_training_loss_nothing_is_said_of_it(written, report_request):
    site.run(report_request)
    assert "around the solutions" not in text_of("results")


def test_a_paper_without_a_claim_about_the_training_loss_has_none_of_it(written):
    assert "around the solutions" not in text_of("samrec") and "eigenvalues-beauty" not in text_of("samrec")


def test_a_claim_about_the_training_loss_leads_to_it(suite, judge_request, report_request):
    path = Path("registry/papers/samrec/claims.yaml")
    claims = yaml.safe_load(path.read_text())
    part = {"id": "curvature", "kind": "measured", "probe": "curved", "measure": "lambda_max", "direction": "lower"}
    part |= {"model": "sasrec", "against": ["tim4rec"], "datasets": ["beauty"]}
    claims["claims"] = [claims["claims"][0] | {"id": "S1", "parts": [part]}]
    path.write_text(yaml.safe_dump(claims))
    few = [run for run in suite["runs"] if run["dataset"] == "beauty" and run["model"] in ("sasrec", "tim4rec")]
    judge.run(judge_request(curved="measurements.parquet"))
    report_request.parameters.update({"runs": few, "datasets": {"beauty": suite["datasets"]["beauty"]}})
    report_request.parameters["names"] = {run["folder"]: run["names"] for run in few}
    site.run(report_request)
    text = text_of("samrec")
    link = 'href="results.html#surface-beauty">Training loss around the solutions on Amazon Beauty'
    assert link in entry("samrec", "S1")
    assert "eigenvalues-beauty" in text and "spectrum-beauty" in text  # the others stand in the results alone
    assert "contours-beauty" not in text


def test_an_extra_table_is_shown_with_its_file(written):
    assert "<td>0.898744</td>" in text_of("results")
    assert '<a href="../laws/r2.csv">r2.csv</a>' in text_of("results")


def test_an_extra_table_that_is_missing_is_reported(report_request):
    Path("results/standard/laws/r2.csv").unlink()
    site.run(report_request)
    assert "results/standard/laws/r2.csv</code> is not there" in text_of("results")


def test_published_numbers_are_split_by_comparability(written):
    text = text_of("results")
    assert "2 published numbers that are not comparable, and why" in text
    assert "sampled candidates; history masking not stated" in text


def test_without_tables_there_is_no_report(report_request):
    Path("results/standard/tables/metrics.parquet").unlink()
    with pytest.raises(InputError, match=r"metrics\.parquet: no such file"):
        site.run(report_request)


def test_the_front_page_counts_and_lists_all_claims(written):
    text = text_of("index")
    told = re.findall(r"</span> ([a-z ]+)</dt><dd>(\d+)</dd>", text)
    assert told == [
        *(("reproduced", "1"), ("supported", "1"), ("not reproduced", "2"), ("inconclusive", "1")),
        *(("not comparable", "1"), ("not tested", "2")),
    ]
    rows = re.findall(r'<tr data-paper="samrec" data-verdict="([a-z ]+)"', text)
    assert rows[:2] == ["reproduced", "not reproduced"] and len(rows) == 8
    assert '<a href="samrec.html#C1">SAMRec C1</a>' in text
    assert '<a href="../verdicts/verdicts.csv">' in text
    assert re.search(r"<form [^>]* hidden>", text)  # the script shows it


def test_a_claim_has_its_tests_with_runs_its_reasons_and_its_hash(written):
    shown = entry("samrec", "C1")
    (judged,) = (
        one for one in read_json(Path("results/standard/verdicts/verdicts.json"))["claims"] if one["id"] == "C1"
    )
    bound = judged["parts"][0]["findings"][0]["bounds"][0]
    assert f"<b>+{bound['value']:.4f}</b>" in shown and f"[{bound['low']:.4f}, {bound['high']:.4f}]" in shown
    assert all(f'href="runs.html#run-beauty-{name}"' in shown for name in ("sasrec-0000cccc", "ease-0000bbbb"))
    assert shown.count(judged["provenance"]) == 2 and "every test that it needs holds" in shown
    assert "effect-samrec-c1-direction.csv" in shown


def test_gates_stand_before_the_claims_with_printed_and_own_numbers(written):
    text = text_of("samrec")
    gates = text[text.index('<section id="gates"') : text.index('<section id="claims"')]
    (judged,) = read_json(Path("results/standard/verdicts/verdicts.json"))["gates"]
    (value,) = judged["datasets"][0]["values"]
    assert "Our SASRec reaches &lt;theirs&gt;." in gates and "Printed &amp; ours." in gates
    assert f'<a href="runs.html#run-beauty-sasrec-0000cccc"><b>{value["value"]:.4f}</b></a>' in gates
    assert "<b>0.4500</b>" in gates and judged["verdict"] == "failed" and "unexplained" in gates
    assert '<dt>claims that rest on it</dt><dd><span class="soft">none</span>' in gates and 'href="#gates"' in text


def test_what_a_claim_lacks_is_said(written):
    text = text_of("samrec")
    missing = text[text.index('id="missing"') : text.index('id="claims"')]
    assert re.search(r'tim4rec has 1 of 3 seeds[^<]*: <span class="ids"><a href="#C4">C4</a>', missing)
    assert re.search(r'laws/none\.csv[^<]*: <span class="ids"><a href="#C6">C6</a>', missing)
    assert "Private data &lt;of theirs&gt;." in entry("samrec", "X1")


def test_a_papers_page_has_published_numbers_deviations_and_runs(written):
    text = text_of("samrec")
    published = text[text.index('<section id="published"') : text.index('<section id="figures"')]
    assert '<td class="n"><b>0.4500</b></td>' in published and "no: " in published
    assert "beauty: 5 numbers, 5 tables" in published and "ml-1m: 1 number, 1 table<" in published
    assert "<code>bce</code> &lt;as theirs&gt;" in text and "<code>code</code> &amp; more." in text
    runs = text[text.index('<section id="runs"') :]
    assert '<a href="#C1">C1</a>, <a href="#C3">C3</a>' in runs and "none yet" in runs


def test_a_paper_of_which_nothing_ran_still_has_a_page(report_request):
    Path("results/standard/verdicts/verdicts.json").unlink(missing_ok=True)
    report_request.parameters["runs"] = [run | {"papers": []} for run in report_request.parameters["runs"]]
    site.run(report_request)
    text = " ".join(text_of("samrec").split())
    assert "has not run on them: claims C1, C2, C3" in text
    assert "All that we know, by dataset" in text and "Where we differ" in text and "No run of this suite" in text


def test_verdicts_are_counted_by_the_words_that_occur():
    def counted(*words):
        return count([{"verdict": word} for word in words])

    assert [*counted("passed", "passed", "odd")] == [
        "inconclusive",
        "not comparable",
        "not tested",
        "passed",
        "failed",
        "odd",
    ]
    assert counted("passed", "passed")["passed"] == 2
    assert "failed" not in counted("supported") and "passed" not in counted()
    assert look("odd").sign == ""


def test_a_gain_is_drawn_beside_what_is_printed(tmp_path):
    printed_gain = {"value": 0.05, "table": "Table 3", "reported_by": "authors"}
    found = {"dataset": "beauty", "metric": "ndcg@10", "extension": False, "state": "open", "printed": [printed_gain]}
    gain = {"value": 0.04, "low": -0.01, "high": None}
    part = {"id": "size", "kind": "size", "findings": [found | {"gain": gain, "bounds": []}, found | {"reasons": "x"}]}
    (drawn,) = draw_effects(tmp_path, {"paper": "samrec", "id": "C3", "parts": [part]}, {"size": 0.5})
    (row,) = pq.read_table(tmp_path / "effect-samrec-c3-size-gain.parquet").to_pylist()
    told = ("place", "gain", "gain_low", "gain_high", "printed", "margin_low", "margin_high")
    assert [row[name] for name in told] == ["beauty, ndcg@10", 0.04, -0.01, None, 0.05, 0.025, pytest.approx(0.075)]
    assert "+4.0 % open" in drawn.svg


def test_a_part_without_intervals_has_no_figure(tmp_path):
    finding = {"dataset": "laws/r2.csv", "extension": False, "state": "holds", "rows": 2, "rows_needed": 2}
    part = {"id": "refit", "kind": "tabulated", "findings": [finding, finding | {"missing": "x"}]}
    assert draw_effects(tmp_path, {"paper": "samrec", "id": "C3", "parts": [part]}, {}) == []
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "problem"),
    [("# Only words\n", "no table"), ("| a | b |\n| - | - |\n| x |\n", "row 'x' has 1 cells, expected 2")],
)
def test_deviations_that_are_no_table(tmp_path, text, problem):
    path = tmp_path / "deviations.md"
    path.write_text(text)
    with pytest.raises(InputError, match=f"{path}: {problem}"):
        read_deviations(path)


def test_inline_drawings_use_the_colours_of_the_page(tmp_path):
    rows, schema = [{"x": 1}], pa.schema([("x", pa.int64())])
    drawn = draw(tmp_path / "one", rows, schema, lambda axes: axes.plot([0, 1], [0, 1]), 2, alt='a "b"', caption="")
    assert "var(--ink)" in drawn.svg or "var(--soft)" in drawn.svg
    assert 'aria-label="a &quot;b&quot;"' in drawn.svg
    assert "var(" not in (tmp_path / "one.svg").read_text()
    assert "<?xml" not in inline((tmp_path / "one.svg").read_text(), "other", "x")


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [([0.0, 1.0], [0.0, 1.0]), ([0.5, 0.5], [0.45, 0.55]), ([0.5, 0.2, 0.5], [0.45, 0.2, 0.55]), ([], [])],
)
def test_labels_that_would_overlap_move_apart(wanted, expected):
    assert spread(wanted, 0.1) == pytest.approx(expected)


CELLS = {
    "1000209": "1,000,209",
    "6040": "6040",
    "-12345": "-12,345",
    "0.123456789": "0.123457",
    "00042": "00042",
    "1e3": "1000",
    "word": "word",
    "": "",
}


@pytest.mark.parametrize(("cell", "shown"), CELLS.items())
def test_cells_of_extra_tables(cell, shown):
    assert printed(cell) == shown
