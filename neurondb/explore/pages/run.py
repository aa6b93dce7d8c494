"""One run of interventions: the set, what was done, what changed, against random neurons."""

import shlex
from dataclasses import dataclass
from typing import Final

from neurondb.errors import NeuronDBError
from neurondb.explore.lasting_runs import find_number, make_run_page
from neurondb.explore.notation import quote_name
from neurondb.explore.site import Page, Request
from neurondb.explore.sql import Sql
from neurondb.find.grammar import parse
from neurondb.formatting.text import make_visible, quote_expression
from neurondb.interventions import ALWAYS
from neurondb.reading.run_page import RunPage, read_run_page

_TOGETHER: Final = "together"
_RESULTS: Final = """SELECT r.run_id, r.baseline_of, r.seed, x.metric, x.filter, x.n, x.mean, x.std,
       x.q25, x.q50, x.q75, x.clean_mean, x.ablated_mean
FROM ablation_runs r
JOIN ablation_results x ON x.run_id = r.run_id
WHERE r.run_id = :run_id OR r.baseline_of = :run_id
ORDER BY x.metric, x.filter, r.run_id"""
_MEMBERS: Final = """SELECT
       n.name,
       n.neuron_id
FROM ablation_runs r
JOIN neuron_set_members m ON m.set_id = r.set_id
JOIN named_neurons n ON n.neuron_id = m.neuron_id
WHERE r.run_id = :run_id
ORDER BY n.neuron_id"""
_EACH: Final = """SELECT
       n.name,
       e.metric, {columns}
FROM {table} e
JOIN named_neurons n ON n.neuron_id = e.neuron_id
WHERE e.run_id = :run_id
ORDER BY e.metric, e.mean"""
_CHANGED: Final = """SELECT c.metric, c.rank, c.clean - c.ablated AS difference, c.clean, c.ablated,
       t.ordinal, c.position, v.token, c.text_id
FROM changed_tokens c
JOIN ablation_runs r ON r.run_id = c.run_id
JOIN texts t ON t.text_id = c.text_id
LEFT JOIN tokens v ON v.model_id = r.model_id AND v.token_id = c.token_id
WHERE c.run_id = :run_id
ORDER BY c.metric, c.rank"""
_ORDERS: Final = {"each": "ablated", "attribution": "attribution"}
_STATEMENTS: Final = {
    "together": _RESULTS,
    "each": _EACH.format(table="neuron_effects", columns="e.mean, e.std, e.changed, e.n"),
    "attribution": _EACH.format(table="neuron_attributions", columns="e.mean"),
}


@dataclass(frozen=True)
class Run:
    """A run's page.

    Attributes:
        done: what was done to the neurons, in words.
        found: the expression that finds the set's neurons, where its definition is one.
        order: the column to order these neurons by, where `find` shows the run.
        command: the command that runs it again.
    """

    page: RunPage
    done: str
    found: str | None
    order: str | None
    command: str
    results_sql: Sql
    members_sql: Sql
    changed_sql: Sql


def answer(request: Request) -> Page:
    """Return a run's page.

    Raises:
        UnknownNameError: when there is no such run.
    """
    run_id = find_number(request, "run", request.path["run_id"])
    page = request.cached(("run", run_id), lambda: read_run_page(request.connection, run_id))
    bindings = {"run_id": run_id}
    content = Run(
        page,
        str(page.run.treatment),
        _find_expression(page),
        _find_order(page),
        _rerun_command(page),
        Sql("its results", _STATEMENTS[page.kind], bindings),
        Sql("its neurons", _MEMBERS, bindings),
        Sql("the tokens that changed most", _CHANGED, bindings),
    )
    title = f"Run {run_id} on {make_visible(page.run.model)}"
    return make_run_page(request, "run", run_id, title, content)


def _find_order(page: RunPage) -> str | None:
    """Return the column by which `find` orders by the run's numbers; None where it has them not."""
    if not page.shown:
        return None
    name, condition = _ORDERS[page.kind], page.run.treatment.condition
    return f"{name}_loss" if condition == ALWAYS else f"{name}[{condition}].loss"


def _find_expression(page: RunPage) -> str | None:
    """Return the definition as a `find` expression on the model; None where it is none."""
    try:
        parse(page.run.definition)
    except NeuronDBError:
        return None
    if page.run.baseline_of is not None or page.run.definition == "every neuron":
        return None
    definition = page.run.definition.strip()
    return f"{f'({definition}) ' if definition else ''}model={quote_name(page.run.model)}"


def _rerun_command(page: RunPage) -> str:
    run = page.run
    if page.kind == _TOGETHER:
        return f"neurondb ablate --rerun {run.baseline_of or run.run_id}"
    selection = (
        f"--where {quote_expression(run.definition)}" if _find_expression(page) else "--where EXPR"
    )
    target = "--attribution" if page.kind == "attribution" else selection
    texts = f" --max-texts {run.n_texts}" if run.n_texts else ""
    condition = f" --condition {run.condition}" if run.condition else ""
    line = f"neurondb ablate-each {shlex.quote(run.model)} {target} --mode {run.mode}{condition}"
    return make_visible(f"{line} --dataset {shlex.quote(run.dataset)}{texts}")
