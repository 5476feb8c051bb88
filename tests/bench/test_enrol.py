"""bench enrol: it measures what it says and writes it down."""

from __future__ import annotations

import json

from bench.enrol import enrol_bench as enrol


def test_both_ways_of_enrolling_are_measured_in_the_store_and_through_the_library(tmp_path, capsys):
    figures = tmp_path / "figures.json"
    options = ["--faces", "60", "--singles", "5", "--batch", "20", "--dim", "8", "--runs", "2"]
    options += ["--present", "100", "--seconds", "0.01"]
    assert enrol.main([*options, "--folder", str(tmp_path), "--json", str(figures)]) in (0, 1)
    shown = capsys.readouterr().out
    assert "batches of 20" in shown
    assert "through the library, 100 faces in it" in shown
    written = json.loads(figures.read_text())["results"]
    assert set(written["rounds"]) == {"batches", "plain batches", "one a call", "plain one a call"}
    assert all(len(rates) == 2 and min(rates) > 0 for rates in written["rounds"].values())
    assert set(written["library"]) == {"exact", "approximate"}
    for kind in written["library_rounds"].values():
        for ways in ("rates", "ratios", "beside_ms", "paced"):
            assert set(kind[ways]) == {"one a call", "batches"}
            assert all(len(rates) == 2 and min(rates) > 0 for rates in kind[ways].values())
    assert [path.name for path in tmp_path.iterdir()] == ["figures.json"], "nothing is left"
