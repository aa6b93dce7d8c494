"""Lists of models and the status, for people."""

import io
import re
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console, RenderableType

from neurondb.known_models import KNOWN
from neurondb.reading.models import Model, ModelSummary
from neurondb.reading.status import DatabaseStatus, ModelStatus, OpenRun, StageStatus
from neurondb.terminal.console import THEME
from neurondb.terminal.models import (
    draw_known_models_table,
    draw_models_table,
    draw_status_page,
    make_model_rows,
)

MODEL = Model(
    1, "tiny", "/data/" + "long/" * 20 + "tiny", None, "llama", True, "silu", 28, 3072, 8192,
    128256, 0, 0.5, 1,
)  # fmt: skip
SUMMARY = ModelSummary(MODEL, "tales", ("weights", "baselines", "vocab"))
STATUS = DatabaseStatus(
    "/data/neurons.db",
    4_300_000_000,
    "0001",
    (
        ModelStatus(
            "tiny",
            "hub/tiny",
            True,
            28,
            229_376,
            0.5,
            "tales",
            (
                StageStatus("weights", None, 28, 28, 172_830, 185.0, "2025-11-01T10:09:08+00:00"),
                StageStatus("vocab", None, 14, 28, 100, 2.0, "2025-11-01T10:09:08+00:00"),
                StageStatus("activations", "tales\x1b", 0, 28, 0, 0.0, None),
            ),
            OpenRun(3, "weights,vocab", "2025-11-01T10:00:00+00:00", "0.1", "cpu"),
        ),
    ),
)


def shown(renderable: RenderableType, width: int = 80) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, theme=THEME).print(renderable, crop=False)
    return stream.getvalue()


@pytest.mark.parametrize("width", [80, 140])
def test_a_model_shows_its_shape_and_stages(width: int) -> None:
    text = shown(draw_models_table([SUMMARY]), width)

    for said in ("tiny", "28 × 8,192", "229,376", "128,256", "weights, vocab", "τ 0.5, tales"):
        assert said in text
    assert all(cell_len(line) <= width for line in text.splitlines())


def test_rows_for_programs_hold_the_numbers_themselves() -> None:
    columns, rows = make_model_rows([SUMMARY])
    row = dict(zip(columns, next(rows), strict=True))

    assert (row["name"], row["n_neurons"], row["gated"]) == ("tiny", 229_376, True)
    assert (row["source"], row["stages"]) == (MODEL.source, "weights,vocab")


def test_known_models_fit_eighty_columns_in_full() -> None:
    text = shown(draw_known_models_table(KNOWN.values()))

    assert all(known.slug in text and known.hub_id in text for known in KNOWN.values())
    assert all(cell_len(line) <= 80 for line in text.splitlines())


def test_status_tells_size_layers_and_what_comes_next() -> None:
    text = shown(draw_status_page(STATUS))

    assert "/data/neurons.db · 4.3 GB · schema 0001" in text
    line = next(x for x in text.splitlines() if x.startswith("  vocab"))
    assert line.split()[-6:] == ["14/28", "100", "2.0", "s", "2025-11-01", "10:09"]
    assert "not ingested" in text
    assert "next: neurondb ingest hub/tiny --name tiny --stages vocab,activations" in text
    said = r"! run 3\b.*2025-11-01 10:00.*weights,vocab; cpu"
    assert re.search(said, " ".join(text.split()))
    assert "neuron_overview shows τ = 0.5, dataset tales" in text
    assert "\x1b" not in text


def test_status_of_an_import_that_names_no_checkpoint_leaves_it_to_its_user() -> None:
    known = replace(STATUS.models[0], source="tiny", n_rows=0)
    read = replace(known, n_rows=50_257)
    for model, named in ((known, "CHECKPOINT"), (read, "tiny")):
        text = shown(draw_status_page(DatabaseStatus("x", None, "0001", (model,))))
        assert f"next: neurondb ingest {named} --name tiny --stages" in text


def test_status_of_a_complete_model_asks_for_nothing() -> None:
    model = STATUS.models[0]
    done = replace(model, stages=model.stages[:1], open_run=None)

    assert "next:" not in shown(draw_status_page(DatabaseStatus("x", None, "0001", (done,))))


def test_a_part_of_a_stage_shows_no_bar_and_is_asked_for_by_its_stage() -> None:
    done = StageStatus("classes 0.5", None, 28, 28, 9, 0.1, "2025-11-01T10:09:08+00:00")
    model = replace(
        STATUS.models[0], stages=(done, replace(done, stage="classes 0.7", layers_done=3))
    )

    text = shown(draw_status_page(DatabaseStatus("x", None, "0001", (model,))))
    first, second = (line for line in text.splitlines() if line.startswith("  classes"))

    assert first.split() == ["classes", "0.5", "9", "0.1", "s", "2025-11-01", "10:09"]
    assert "3/28" in second
    assert "--stages weights\n" in text


@pytest.mark.parametrize(
    ("part", "stage"), [("tokens", "vocab"), ("properties", "vocab"), ("classes 0.2", "weights")]
)
def test_a_part_that_is_not_finished_asks_for_its_stage(part: str, stage: str) -> None:
    unfinished = StageStatus(part, None, 3, 28, 9, 0.1, "2025-11-01T10:09:08+00:00")
    model = replace(STATUS.models[0], stages=(unfinished,))

    assert f"--stages {stage}\n" in shown(draw_status_page(replace(STATUS, models=(model,))))


def test_a_long_path_stands_in_a_line_of_its_own() -> None:
    model = replace(STATUS.models[0], source=MODEL.source)

    assert f"\n  from {MODEL.source}\n" in shown(
        draw_status_page(replace(STATUS, models=(model,), location=MODEL.source))
    )
