"""How interventions are told on the terminal."""

import io
import math

import pytest
from rich.console import RenderableType

from neurondb.contracts.ablate import AblationResult
from neurondb.reading.runs import AblationRun, MeasuredRun
from neurondb.terminal.ablation import (
    Ablation,
    describe_ablation,
    draw_ablation_page,
    draw_suite_page,
    format_difference,
    format_spread,
    make_ablation_rows,
)
from neurondb.terminal.console import open_console

NAN = math.nan


def run(run_id: int, set_id: int = 1, **more: object) -> AblationRun:
    values = {
        "run_id": run_id,
        "model_id": 1,
        "model": "olmo-7b",
        "dataset_id": 1,
        "dataset": "dolma",
        "set_id": set_id,
        "set_name": None,
        "definition": "class='weakening'",
        "n_neurons": 243,
        "mode": "zero",
        "condition": "gate-_post+",
        "value": None,
        "hook": "hook_post",
        "baseline_of": None,
        "seed": None,
        "n_texts": 20,
        "n_tokens": 1000,
        "max_len": 64,
        "skip_bos": False,
        "means_dataset_id": None,
        "dtype": "float32",
        "device": "cpu",
        "fingerprint": "f",
        "created_at": None,
    }
    return AblationRun(**(values | more))  # type: ignore[arg-type]


def measured(of: AblationRun, entropy: float, loss: float = NAN) -> MeasuredRun:
    results = {}
    for metric, mean in (("loss", loss), ("entropy", entropy)):
        for filter_, n in (("all", 1000), ("changed", 900)):
            results[metric, filter_] = AblationResult(
                metric, filter_, n, mean, 1, -1, mean, 1, -9, 9, 3, 3 - mean
            )
    return MeasuredRun(of, results)


def shown(what: RenderableType, width: int = 80) -> str:
    stream = io.StringIO()
    open_console(stream, width).print(what)
    return stream.getvalue()


ABLATION = Ablation(
    measured(run(1), -2.28, -0.5),
    [measured(run(2, 2, baseline_of=1, seed=s), 0.004 + s / 1000, 0.0) for s in (0, 1)],
)


def test_removing_what_weakens_is_said_to_raise_the_entropy() -> None:
    assert list(describe_ablation(ABLATION)) == [
        "With these neurons set to zero where gate-_post+, entropy rises by 2.28 nats and loss "
        "rises by 0.500 nats.",
        "With random ones of the same layers, entropy falls by 0.00450 nats and loss stays, "
        "changed by 0 nats.",
    ]


def test_the_page_fits_eighty_columns_and_has_every_number() -> None:
    page = shown(draw_ablation_page(ABLATION, 80))
    assert max(map(len, page.splitlines())) <= 80
    assert "…" not in page
    (line,) = (line for line in page.splitlines() if line.startswith("entropy"))
    assert line.split() == [
        *("entropy", "3", "5.28", "-2.28", "-2.28", "90.00%", "+0.00450", "±", "7.07e-04")
    ]
    assert "25%" in shown(draw_ablation_page(ABLATION, 120), 120)


@pytest.mark.parametrize(
    ("means", "said"),
    [([], "–"), ([-0.5], "-0.500"), ([1.0, 3.0], "+2.00 ± 1.41"), ([0.0], "0")],
)
def test_a_spread_is_that_of_a_sample(means: list[float], said: str) -> None:
    assert format_spread(means) == said


def test_what_is_missing_is_a_dash() -> None:
    assert format_difference(NAN) == "–"
    lonely = Ablation(measured(run(1), -1.0), [])
    page = shown(draw_ablation_page(lonely, 80))
    (line,) = (line for line in page.splitlines() if line.startswith("loss"))
    assert "–" in line
    assert "loss" not in next(describe_ablation(lonely))


def test_rows_have_null_for_what_is_missing() -> None:
    found = list(make_ablation_rows([Ablation(measured(run(1), -1.0), [])], ["loss"]).rows)
    columns = make_ablation_rows([], ["loss"]).columns
    assert len(found) == 2
    assert found[0][columns.index("mean")] is None
    assert found[0][columns.index("n")] == 1000


def test_a_suite_has_a_heading_a_set_and_a_line_a_run() -> None:
    other = run(3, 3, definition="class='strengthening'", condition=None)
    page = shown(draw_suite_page([ABLATION, Ablation(measured(other, 0.1), [])]))
    lines = page.splitlines()
    assert max(map(len, lines)) <= 80
    assert "class='weakening': 243 neurons" in lines
    assert "class='strengthening': 243 neurons" in lines
    (line,) = (line for line in lines if "zero gate-_post+" in line)
    assert line.split()[:4] == ["1", "zero", "gate-_post+", "-2.28"]
