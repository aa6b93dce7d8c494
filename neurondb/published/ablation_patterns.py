"""Patterns of ablations: without weakening neurons the next token is less certain.

weakening-neurons §4. They are looked for in the runs that are stored: zero ablation of a whole
class, and of it under each condition. Effects are clean − ablated entropy, in nats, over the tokens
whose entropy changed, as the published tables drop the others.
"""

import math
from collections.abc import Iterator
from typing import Final

from sqlalchemy import Connection

from neurondb.contracts.ablate import AblationResult
from neurondb.published.pattern import Claim, Effect, Pattern, judge_claim, subtract_effects
from neurondb.reading.models import Model
from neurondb.reading.runs import CHANGED_TOKENS, MeasuredRun, list_class_runs

CASES: Final = ("gate+_post+", "gate+_post-", "gate-_post+", "gate-_post-")
"""The four conditions, as runs are stored with them."""
SHARPENING: Final = "gate-_post+"
WEAKENING_CLASS: Final = "weakening"
METRIC: Final = "entropy"

_SQL: Final = (
    "SELECT r.run_id, r.baseline_of, s.definition, r.condition, x.n, x.mean, x.std"
    " FROM ablation_runs r JOIN models m ON m.model_id = r.model_id"
    " JOIN neuron_sets s ON s.set_id = r.set_id JOIN ablation_results x ON x.run_id = r.run_id"
    " WHERE m.name = {model} AND r.mode = 'zero' AND x.metric = 'entropy' AND x.filter = 'changed'"
    " ORDER BY COALESCE(r.baseline_of, r.run_id), r.run_id"
)
_SHARPENS: Final = Claim(
    "weakening-sharpens",
    "Weakening neurons make the next token more certain: without them the entropy rises.",
    "mean clean − ablated entropy, nats, weakening neurons − as many random ones of their layers",
    False, 0.0, "weakening-neurons §4.1, Figure 5 (OLMo-7B: −.53 against +.004)",
    "ablate --class weakening --baseline", _SQL,
)  # fmt: skip
_NEGATIVE_GATES: Final = Claim(
    "negative-gates-sharpen",
    "Most of that is done where the gate is negative and the output positive.",
    "mean clean − ablated entropy, nats, gate-_post+ − the lowest of the three other cases",
    False, 0.0, "weakening-neurons §4.2, Figure 5 (OLMo-7B: −2.28 against −.02)",
    "ablate-suite", _SQL,
)  # fmt: skip


def check_ablation_patterns(connection: Connection, model: Model) -> Iterator[Pattern]:
    """Yield the patterns of ablated weakening neurons; gated models only, as the paper's."""
    if not model.gated:
        return
    runs = find_weakening_runs(connection, model)
    yield judge_claim(_SHARPENS, model, _compare_baseline(runs.get(None)))
    yield judge_claim(_NEGATIVE_GATES, model, _compare_cases(runs))


def find_weakening_runs(
    connection: Connection, model: Model
) -> dict[str | None, tuple[MeasuredRun, tuple[MeasuredRun, ...]]]:
    """Return condition → the newest zero ablation of all weakening neurons, and its baselines."""
    return {
        runs.run.run.condition: (runs.run, runs.baselines)
        for runs in list_class_runs(connection, model, "zero")
        if runs.class_name == WEAKENING_CLASS
    }


def find_result(run: MeasuredRun) -> AblationResult | None:
    """Return the entropy of a run over the tokens where it changed, if any did."""
    result = run.results.get((METRIC, CHANGED_TOKENS))
    return None if result is None or not result.n or math.isnan(result.mean) else result


def _measure(run: MeasuredRun) -> Effect | None:
    result = find_result(run)
    if result is None:
        return None
    spread = 0.0 if math.isnan(result.std) else result.std
    return Effect(result.mean, spread / math.sqrt(result.n), run.run.n_neurons)


def _compare_baseline(
    runs: tuple[MeasuredRun, tuple[MeasuredRun, ...]] | None,
) -> Effect | None:
    if runs is None:
        return None
    of_class = _measure(runs[0])
    measured = [effect for run in runs[1] if (effect := _measure(run)) is not None]
    if of_class is None or not measured:
        return None
    mean = sum(effect.value or 0.0 for effect in measured) / len(measured)
    error = math.hypot(*(effect.error or 0.0 for effect in measured)) / len(measured)
    return subtract_effects(of_class, Effect(mean, error, of_class.n))


def _compare_cases(
    runs: dict[str | None, tuple[MeasuredRun, tuple[MeasuredRun, ...]]],
) -> Effect | None:
    effects = {case: _measure(runs[case][0]) for case in CASES if case in runs}
    known = {case: effect for case, effect in effects.items() if effect is not None}
    if len(known) < len(CASES):
        return None
    others = [effect for case, effect in known.items() if case != SHARPENING]
    return subtract_effects(known[SHARPENING], min(others, key=lambda effect: effect.value or 0.0))
