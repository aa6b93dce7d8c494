"""One run of attribute rates: by layer, clean, with neurons ablated, with random ones."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from neurondb.contracts.attributes import AttributeRates, RateCurve
from neurondb.explore.lasting_runs import find_number, make_run_page
from neurondb.explore.site import Page, Request
from neurondb.explore.sql import Sql, make_named_sql
from neurondb.formatting.text import make_visible
from neurondb.reading.attribute_runs import AttributeRun, read_attribute_page

_ANSWERS: Final = """SELECT DISTINCT run, draw, answer_probability
FROM attribute_rates
WHERE run_id = :run_id
ORDER BY run DESC, draw"""


@dataclass(frozen=True)
class LayerRates:
    """The rates of one layer; None where no prompt has one, or nothing was ablated.

    Attributes:
        baseline: the least, the mean and the most of the random draws.
    """

    layer: int
    clean: float | None
    ablated: float | None
    baseline: tuple[float, float, float] | None
    n_prompts: int

    @property
    def change(self) -> float | None:
        """Ablated − clean."""
        if self.ablated is None or self.clean is None:
            return None
        return self.ablated - self.clean


@dataclass(frozen=True)
class Answer:
    """The mean probability of the answers' first tokens in one state."""

    run: str
    draw: int | None
    probability: float


@dataclass(frozen=True)
class Attributes:
    """A page of attribute rates.

    Attributes:
        treatment: what was done to the neurons, in words; None where there are none.
        left_out: why prompts were left out → how many.
    """

    run: AttributeRun
    model: str
    treatment: str | None
    n_draws: int
    left_out: dict[str, int]
    layers: tuple[LayerRates, ...]
    answers: tuple[Answer, ...]
    rates_sql: Sql
    answers_sql: Sql


def answer(request: Request) -> Page:
    """Return a page of attribute rates.

    Raises:
        UnknownNameError: no such run.
    """
    run_id = find_number(request, "attributes", request.path["run_id"])
    found = read_attribute_page(request.connection, run_id)
    run, rates = found.run, found.rates
    content = Attributes(
        run,
        found.model,
        None if run.treatment is None else str(run.treatment),
        len(rates.of("baseline")),
        rates.left_out,
        _list_layers(rates),
        tuple(
            Answer(curve.run, curve.draw, curve.answer)
            for curve in rates.curves
            if curve.answer is not None
        ),
        make_named_sql("attribute-rates", model=found.model, run=str(run_id)),
        Sql("p of the answers", _ANSWERS, {"run_id": run_id}),
    )
    title = f"Attribute rates {run_id} of {make_visible(found.model)}"
    return make_run_page(request, "attributes", run_id, title, content)


def _list_layers(rates: AttributeRates) -> tuple[LayerRates, ...]:
    (clean,), ablated, baselines = (rates.of(run) for run in ("clean", "ablated", "baseline"))
    return tuple(
        LayerRates(
            layer,
            _read_rate(clean, layer),
            _read_rate(ablated[0], layer) if ablated else None,
            _summarise(baselines, layer),
            int(clean.n_prompts[layer]),
        )
        for layer in range(len(clean.rate))
    )


def _read_rate(curve: RateCurve, layer: int) -> float | None:
    rate = float(curve.rate[layer])
    return None if np.isnan(rate) else rate


def _summarise(curves: tuple[RateCurve, ...], layer: int) -> tuple[float, float, float] | None:
    rates = [rate for curve in curves if (rate := _read_rate(curve, layer)) is not None]
    return (min(rates), sum(rates) / len(rates), max(rates)) if rates else None
