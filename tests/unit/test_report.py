"""The report: one self-contained page, figures beside their data, and a record behind each cell."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from seqrepro.errors import InputError
from seqrepro.files import read_json, sha256_file, write_json
from seqrepro.report import page
from seqrepro.report.drawing import draw, inline, spread

PAGE = Path("results/standard/report/index.html")
VOID = {"meta", "br", "hr", "img", "link", "input"}


class Elements(HTMLParser):
    """Ids, links and open tags of a page."""

    def __init__(self):
        super().__init__()
        self.ids, self.links, self.open, self.tags = [], [], [], set()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        named = dict(attributes)
        self.ids += [named["id"]] if "id" in named else []
        self.links += [named[key] for key in ("href", "src", "xlink:href") if key in named]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def elements():
    parser = Elements()
    parser.feed(PAGE.read_text())
    assert parser.open == []
    return parser


@pytest.fixture
def written(reported_suite, monkeypatch):
    root, files = reported_suite
    monkeypatch.chdir(root)
    return files


def test_the_page_needs_nothing_from_outside(written):
    found = elements()
    assert [link for link in found.links if not link.startswith("#")] == []
    assert not found.tags & {"script", "link", "iframe", "img", "object"}
    assert not re.search(r"url\((?!#)|@import", PAGE.read_text())


def test_every_link_leads_somewhere_and_every_id_is_unique(written):
    found = elements()
    assert len(found.ids) == len(set(found.ids))
    assert {link.removeprefix("#") for link in found.links} <= set(found.ids)
    assert "#run-beauty-sasrec-0000cccc" in found.links


def test_figures_stand_beside_the_data_that_they_show(written):
    names = {path.name for path in written}
    stems = {path.stem for path in written if path.suffix == ".svg"}
    assert {"accuracy-beauty-ndcg-at-10", "learning-beauty-train-loss", "robustness-beauty"} <= stems
    for stem in stems:
        assert {f"{stem}.svg", f"{stem}.png", f"{stem}.parquet", f"{stem}.csv"} <= names
        folder = Path("results/standard/figures")
        assert pq.read_table(folder / f"{stem}.parquet").num_rows == pa_csv.read_csv(folder / f"{stem}.csv").num_rows


def test_the_same_results_give_the_same_bytes(report_request):
    before = {path: sha256_file(path) for path in page.run(report_request)}
    assert {path: sha256_file(path) for path in page.run(report_request)} == before


def test_a_cell_leads_to_its_run_its_data_its_code_and_its_environment(written):
    text = PAGE.read_text()
    entry = text[text.index('id="run-beauty-sasrec-0000cccc"') :]
    entry = entry[: entry.index("</article>")]
    ranks = sha256_file(Path("results/runs/beauty/sasrec-0000cccc/seed-2/ranks.parquet"))
    assert f'title="{ranks}"' in entry
    for shown in ("abcdabcdabcd", "1234567890ab", "d" * 64, "leave_one_out", "#environment-1", "matches", "12.5 s"):
        assert shown in entry


def test_a_run_without_a_sidecar_says_so(written):
    text = PAGE.read_text()
    entry = text[text.index('id="run-beauty-ease-0000bbbb"') :]
    assert "no record" in entry[: entry.index("</article>")]


def test_a_rank_file_that_differs_from_its_record_is_announced(report_request):
    path = Path("results/runs/generated/popularity-0000aaaa/seed-0/provenance.json")
    record = read_json(path)
    record["outputs"] = dict.fromkeys(record["outputs"], "0" * 64)
    write_json(path, record)
    page.run(report_request)
    assert "1 rank file differs" in PAGE.read_text()


def test_what_is_generated_or_missing_is_said(written):
    text = PAGE.read_text()
    assert "Generated data: claims of papers are not tested here." in text
    assert "not run" in text and "one seed" in text
    assert "not tested in this suite" not in text


def test_a_suite_of_generated_data_says_that_it_tests_no_claim(report_request):
    page.run(report_request)
    assert "empirical claims of papers are not tested in this suite" in " ".join(PAGE.read_text().split())


def test_names_are_escaped(written):
    text = PAGE.read_text()
    assert "TiM4Rec &amp; &lt;time&gt;" in text
    assert "<time>" not in text
    assert "Real &amp; generated data." in text


def test_an_extra_table_is_shown(written):
    assert "<td>0.898744</td>" in PAGE.read_text()


def test_an_extra_table_that_is_missing_is_reported(report_request):
    Path("results/standard/laws/r2.csv").unlink()
    page.run(report_request)
    assert "results/standard/laws/r2.csv</code> is not there" in PAGE.read_text()


def test_published_numbers_are_split_by_comparability(written):
    text = PAGE.read_text()
    assert "2 published numbers that are not comparable, and why" in text
    assert "sampled candidates; history masking not stated" in text


def test_without_tables_there_is_no_report(report_request):
    Path("results/standard/tables/metrics.parquet").unlink()
    with pytest.raises(InputError, match=r"metrics\.parquet: no such file"):
        page.run(report_request)


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


@pytest.mark.parametrize(("cell", "printed"), CELLS.items())
def test_cells_of_extra_tables(cell, printed):
    assert page._printed(cell) == printed
