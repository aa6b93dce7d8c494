"""One entropy run: neurons fixed at values, and random ones beside them (METHODS §4, §6)."""

import shlex
from dataclasses import dataclass
from typing import Final

import numpy as np

from neurondb.contracts.entropy import EntropyCurves
from neurondb.explore.lasting_runs import find_number, make_run_page
from neurondb.explore.site import Page, Request
from neurondb.explore.sql import Sql
from neurondb.formatting.text import make_visible
from neurondb.interventions import ENTROPY_METRICS
from neurondb.reading.entropy_runs import EntropyRun, EntropyRunPage, read_entropy_page

_EFFECTS: Final = """SELECT name, random, metric, value, clean, fixed, total, direct, through_norm
FROM entropy_effects
WHERE run_id = :run_id
ORDER BY place, metric, step"""


@dataclass(frozen=True)
class FixedNeuron:
    """What fixing one neuron at the last value changes.

    Attributes:
        changes: metric → change of its mean; None where it has none.
        through_norm: share of the entropy's change that goes through the final norm's scale; None
            where nothing changes.
    """

    name: str
    random: bool
    changes: dict[str, float | None]
    through_norm: float | None


@dataclass(frozen=True)
class Entropy:
    """An entropy run's page.

    Attributes:
        values: what hook_post was fixed at.
        clean: metric → its mean with nothing fixed.
        neurons: those asked for, then the random ones.
        command: what does it again.
    """

    run: EntropyRun
    model: str
    dataset: str
    values: tuple[float, ...]
    clean: dict[str, float | None]
    neurons: tuple[FixedNeuron, ...]
    command: str
    effects_sql: Sql


def answer(request: Request) -> Page:
    """Return an entropy run's page.

    Raises:
        UnknownNameError: no such run.
    """
    run_id = find_number(request, "entropy", request.path["run_id"])
    found = read_entropy_page(request.connection, run_id)
    curves = found.curves
    places = (*curves.neurons, *curves.baseline)
    content = Entropy(
        found.run,
        found.model,
        found.dataset,
        tuple(curves.values.tolist()),
        {metric: _keep_finite(mean) for metric, mean in curves.clean.items()},
        tuple(_read_neuron(curves, i, place.name) for i, place in enumerate(places)),
        _write_command(found),
        Sql("its effects", _EFFECTS, {"run_id": run_id}),
    )
    title = f"Entropy run {run_id} on {make_visible(found.model)}"
    return make_run_page(request, "entropy", run_id, title, content)


def _read_neuron(curves: EntropyCurves, place: int, name: str) -> FixedNeuron:
    changes = {m: _keep_finite(curves.total(m)[place, -1]) for m in ENTROPY_METRICS}
    through, total = curves.through_norm("entropy")[place, -1], changes["entropy"]
    share = None if not total or abs(total) < 1e-9 else _keep_finite(through / total)
    return FixedNeuron(name, place >= len(curves.neurons), changes, share)


def _keep_finite(value: float | np.floating) -> float | None:
    return float(value) if np.isfinite(value) else None


def _write_command(found: EntropyRunPage) -> str:
    run, curves = found.run, found.curves
    parts = ["neurondb", "entropy", shlex.quote(found.model)]
    parts += ["--neurons", ",".join(place.name for place in curves.neurons)]
    values = ",".join(f"{value:g}" for value in curves.values)
    parts += [f"--values={values}", "--random", str(run.n_random), "--seed", str(run.seed)]
    parts += ["--dataset", shlex.quote(found.dataset), "--max-texts", str(run.n_texts)]
    parts += ["--max-len", str(run.max_len), *(["--skip-bos"] if run.skip_bos else [])]
    return make_visible(" ".join(parts))
