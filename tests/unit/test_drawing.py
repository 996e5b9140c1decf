"""Names of models below a figure: whole, inside it, and at no panel's expense; drawn with warnings as errors."""

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from seqrepro.report import drawing, geometry, robustness, varied
from seqrepro.report.drawing import WIDE, WIDTH, names_height, names_layout

SHORT = ["SASRec", "EASE", "Popularity"]
LONG = ["SASRec (BCE, 1 negative)", "SAMRec (BCE, 1 negative)", "SAMRec, random direction"]
LONGER = ["SASRec, one layer, L=3, no positions", *LONG, "SASRec (BCE), regularisation tuned", "SASRec (BCE), twice"]

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture
def figures(monkeypatch):
    """The figures that were drawn."""
    found = []
    write = drawing._write_png
    monkeypatch.setattr(drawing, "_write_png", lambda figure, *rest: (found.append(figure), write(figure, *rest)))
    return found


def expect_room(figure):
    """All names lie inside the figure and below the panels, and these take its width."""
    (legend,) = figure.legends
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    panels = [axes.get_window_extent() for axes in figure.axes]
    for text in legend.get_texts():
        box = text.get_window_extent(canvas.get_renderer())
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1, text.get_text()
        assert box.y1 <= min(panel.y0 for panel in panels), text.get_text()
    width = max(panel.x1 for panel in panels) - min(panel.x0 for panel in panels)
    assert width > 0.6 * figure.bbox.width


def disturbed(titles, names):
    return [
        {"title": title, "folder": title, "perturbation": name, "metric": "ndcg@10", "seed": seed, "original": 0.1}
        | {"perturbed": 0.08 + 0.001 * seed}
        for title in titles
        for name in names
        for seed in (1, 2, 3)
    ]


DOTS = ["drop_last-1", "shuffle", "insert_random-0.2"]
STRENGTHS = [f"{kind}-{ratio}" for kind in ("insert_random", "swap", "delete") for ratio in (0.05, 0.1, 0.3)]


@pytest.mark.parametrize("titles", [LONG, LONGER], ids=["long", "longer"])
@pytest.mark.parametrize("names", [DOTS, STRENGTHS], ids=["dots", "strengths"])
def test_what_is_left_under_disturbances(figures, tmp_path, titles, names):
    robustness.robustness(tmp_path, "toys", "Toys", disturbed(titles, names))
    (figure,) = figures
    expect_room(figure)


@pytest.mark.parametrize("titles", [LONG, LONGER], ids=["long", "longer"])
def test_slices_and_what_is_varied(figures, tmp_path, titles):
    bins = [
        {"title": title, "folder": title, "seed": 1, "slice": name, "low": low, "high": high, "users": 40}
        | {"metric": "ndcg@10", "mean": 0.1, "standard_error": 0.01}
        for title in titles
        for name in robustness.SLICED
        for low, high in ((0, 0), (1, 5), (6, None))
    ]
    settings = [
        {"experiment": "e", "model": title, "title": title, "group": "users, share", "measure": "ndcg@10"}
        | {"at": at, "seed": seed, "value": 0.1 + 0.01 * seed, "plain": 0.2, "data_class": "primary"}
        for title in titles
        for at in (0.2, 0.4)
        for seed in (1, 2)
    ]
    robustness.slices(tmp_path, "toys", "Toys", bins)
    varied.variations(tmp_path, "toys", "Toys", settings)
    assert len(figures) == 2
    for figure in figures:
        expect_room(figure)


def test_a_wide_figure(figures, tmp_path):
    lines = [
        {"title": title, "folder": title, "seed": 1, "kind": kind, "x": x, "y": None, "loss": 1 + x * x}
        for title in LONGER
        for kind in geometry.KINDS
        for x in (-1.0, 0.0, 1.0)
    ]
    geometry.slices(tmp_path, "toys", "Toys", lines)
    expect_room(figures[0])


def test_rows_and_columns_of_names():
    assert names_layout(SHORT, WIDTH, 2) == (2, 2)
    assert names_layout(LONG, WIDTH, 2) == (2, 2)
    assert names_layout(LONGER, WIDTH, 2) == (6, 1)
    assert names_layout(SHORT, WIDE, 4) == (1, 3)
    assert names_layout(LONGER, WIDE, 4) == (2, 3)
    assert names_layout(["x" * 200], WIDTH, 2) == (1, 1)
    assert names_height([{"title": title} for title in LONGER * 2]) == 6 * drawing.NAME_ROW
    assert names_height([{"title": title} for title in LONGER], WIDE, 4) == 2 * drawing.NAME_ROW
