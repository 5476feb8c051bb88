"""Plots of the trace: files that open, show every op, and need nothing from elsewhere."""

from __future__ import annotations

import datetime
import re
from xml.etree import ElementTree

import pytest
from PIL import Image

from tests.support import trace_writer
from tests.support.trace_writer import op, query, stamped
from tracer.__main__ import main

START = datetime.datetime(2026, 3, 1, 12)
NAMESPACES = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    """Two runs with a gap between them; the second one has a silent interval and a failure."""
    directory = tmp_path_factory.mktemp("trace")
    busy = [op("Detection", 2, 1, 16, 1, 0), op("ArcFace", 8, 0.5, 1, 0.5, 0)] * 20
    queries = [query(n, 10 + n, succ=n != 3) for n in range(40)]
    text = trace_writer.write(directory, [[], [*busy, *queries], []]).read_text()
    path = directory / "pipeline.tracer"
    path.write_text(stamped(text * 2, START, [10, 10, 600, 10, 10]))
    return path


def plot(trace, target) -> None:
    assert main([str(trace), "--all", "--plot", str(target)]) == 0


def test_a_png_opens(trace, tmp_path):
    plot(trace, tmp_path / "plot.png")
    with Image.open(tmp_path / "plot.png") as picture:
        picture.load()
        assert picture.width > 1000
        assert len(set(picture.convert("RGB").resize((100, 100)).getdata())) > 10


def test_an_svg_is_well_formed_and_names_every_op_and_panel(trace, tmp_path):
    plot(trace, tmp_path / "plot.svg")
    text = (tmp_path / "plot.svg").read_text()
    assert ElementTree.fromstring(text).tag.endswith("svg")
    assert set(re.findall(r"https?://[^\"' <>]+", text)) <= NAMESPACES
    for word in ("Detection", "ArcFace", "p99", "Requests a second", "Latency", "cores there are"):
        assert word in text


def test_a_page_is_self_contained(trace, tmp_path):
    plot(trace, tmp_path / "plot.html")
    text = (tmp_path / "plot.html").read_text()
    root = ElementTree.fromstring(text.removeprefix("<!DOCTYPE html>\n"))
    assert root.find("body/h1") is not None
    assert any(element.tag.endswith("}svg") for element in root.iter())
    assert set(re.findall(r"https?://[^\"' <>]+", text)) <= NAMESPACES
    assert not re.search(r"<(script|link|img|iframe)\b|@import|src=", text)
    assert not re.search(r"href=\"[^#]", text)
    assert "at work" in text


def test_a_silent_trace_can_be_plotted(trace, tmp_path):
    text = trace.read_text()
    start = text[: text.index("\n2026-03-01 12:00:10") + 1]
    path = tmp_path / "silent"
    path.write_text(stamped(start * 3, START))
    plot(path, tmp_path / "plot.png")


def test_another_ending_is_refused_before_anything_is_read(tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        main([str(tmp_path / "nothing"), "--plot", "plot.gif"])
    assert caught.value.code == 2
    assert ".png, .svg, .html" in capsys.readouterr().err


def test_a_plot_that_cannot_be_written_is_a_clear_line(trace, tmp_path, capsys):
    assert main([str(trace), "--plot", str(tmp_path / "nowhere" / "plot.png")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "nowhere" in line
    assert list(tmp_path.iterdir()) == []
