"""The figures of a series of models draw the numbers of their SQL, here of the sample's series."""

from collections import Counter, defaultdict
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine

from neurondb.errors import UnknownNameError
from tests.neurondb.figures.specs import GATED, UNGATED, specification
from tests.neurondb.figures.test_statements import ask
from tests.support.sample_facts import NEURONS, Sample


def all_rows(spec: dict[str, Any], *fields: str) -> list[list[dict[str, Any]]]:
    """Return the rows of every dataset that has all these fields, in the order of the panels."""
    return [
        rows for rows in spec["datasets"].values() if rows and set(fields) <= set(rows[0].keys())
    ]


def test_bars_and_bands_are_the_counts_of_the_sql(sample_engine: Engine) -> None:
    spec = specification(sample_engine, "class-paths")
    asked = ask(sample_engine, "class-paths")
    of_step: Counter[tuple[int, str]] = Counter()
    changing: Counter[tuple[int, str]] = Counter()
    for row in asked:
        of_step[row["step"], row["class"]] += row["n"]
        changing[row["step"], row["class"]] += row["changing"]
    bars = {
        sum(row["n"] for row in rows): {(row["step"], row["class"]): row["n"] for row in rows}
        for rows in all_rows(spec, "step", "class", "x2")
    }
    assert bars == {
        2 * NEURONS: of_step,
        sum(changing.values()): {key: n for key, n in changing.items() if n},
    }
    flows = [
        {(row["from"], row["to"]): row["n"] for row in rows}
        for rows in all_rows(spec, "band", "from", "to")
    ]
    wanted = {(row["class_before"], row["class"]): row["n"] for row in asked if row["step"] == 1}
    assert wanted in flows
    assert {key: n for key, n in wanted.items() if key[0] != key[1]} in flows


def test_a_band_keeps_its_width_and_ends_inside_its_bars(sample_engine: Engine) -> None:
    spec = specification(sample_engine, "class-paths")
    for bands, bars in zip(
        all_rows(spec, "band", "from"), all_rows(spec, "step", "class", "x2"), strict=True
    ):
        edges = {(row["step"], row["class"]): (row["y"], row["y2"]) for row in bars}
        by_band = defaultdict(list)
        for row in bands:
            assert row["y2"] - row["y"] == pytest.approx(row["n"], abs=0.02)
            by_band[row["band"]].append(row)
        for points in by_band.values():
            for point, side, step in ((points[0], "from", 0), (points[-1], "to", 1)):
                low, high = edges[step, point[side]]
                assert low - 0.02 <= point["y"] < point["y2"] <= high + 0.02


def test_cosines_are_counted_in_bins_beside_their_median(
    sample_engine: Engine, sample: Sample
) -> None:
    spec = specification(sample_engine, "series-moved")
    asked = ask(sample_engine, "series-moved")
    assert [row["out_cosine"] for row in asked] == [row["out_cosine"] for row in sample.compared]
    panels = all_rows(spec, "step", "y2", "n")
    # In and out; of two models, the model before is the first one, and data are kept once.
    assert len(panels) == 2
    for rows, vector in zip(panels, ("in", "out"), strict=True):
        values = np.array([row[f"{vector}_cosine"] for row in asked])
        assert sum(row["n"] for row in rows) == NEURONS
        for row in rows:  # the sample's cosines may stand on an edge, which is in either bin
            inside = (values > row["y"] + 1e-4) & (values < row["y2"] - 1e-4)
            touching = (values > row["y"] - 1e-4) & (values < row["y2"] + 1e-4)
            assert inside.sum() <= row["n"] <= touching.sum()


def test_medians_by_layer(sample_engine: Engine) -> None:
    spec = specification(sample_engine, "series-medians")
    asked = {(row["step"], row["layer"]): row for row in ask(sample_engine, "series-medians")}
    drawn = {
        (row["step"], row["layer"]): row["median"]
        for rows in all_rows(spec, "step", "layer", "median")
        for row in rows
    }
    assert drawn.keys() == asked.keys()
    for key, median in drawn.items():
        assert median == pytest.approx(asked[key]["in_out"], abs=1e-4)


def test_a_series_that_is_not_there(sample_engine: Engine) -> None:
    with pytest.raises(UnknownNameError, match="sample-gpt is in no series 7; it is in 1"):
        specification(sample_engine, "class-paths", UNGATED, series=7)
    assert specification(sample_engine, "class-paths", GATED, series=1)
