"""`neurondb explain` and `Database.explain`: which neurons, who is asked, and what for."""

import hashlib
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Final

from sqlalchemy import Engine

from neurondb.api.requests import SELECTIONS, choose_neurons, name_selections
from neurondb.api.result import Result
from neurondb.contracts.explain import (
    EXPLANATION,
    Answerer,
    EvidenceOptions,
    ExplainReport,
    ScoreOptions,
)
from neurondb.contracts.progress import Progress
from neurondb.database import format_url, translate_errors
from neurondb.errors import NeuronDBError, UnknownNameError, UsageError
from neurondb.explaining.asking import ask_about
from neurondb.explaining.programs import TIMEOUT_S, Function, Program
from neurondb.explaining.tasks import Asked, Explaining, Question, Scoring
from neurondb.find.neuron_sets import select_neurons
from neurondb.reading.models import Model, find_model
from neurondb.reading.texts import find_dataset_by_name
from neurondb.schema import codes
from neurondb.spelling import option
from neurondb.sql import Rows

OPTIONS: Final = (
    *(*SELECTIONS, "draw", "seed", "limit", "dataset", "examples", "radius", "tokens", "score"),
    *("of", "key", "case", "source", "shell", "timeout", "jobs", "again"),
)
"""Names of the options, those of the command with underscores."""
LONGEST_SOURCE: Final = 80
"""Characters of the name of a source."""
_OF_SCORES: Final = ("of", "key", "case")
_STORED: Final = """
SELECT n.layer, n.neuron, a.source, a.key, a.value, a.note, e.command, e.created_at
FROM models m
JOIN neurons n ON n.model_id = m.model_id
JOIN annotations a ON a.neuron_id = n.neuron_id
JOIN explanations e ON e.neuron_id = a.neuron_id AND e.source = a.source
WHERE m.name = :model AND a.source = :source
ORDER BY n.neuron_id, a.key"""
_STORED_SCORES: Final = """
SELECT n.layer, n.neuron, s.*
FROM models m
JOIN neurons n ON n.model_id = m.model_id
JOIN explanation_scores s ON s.neuron_id = n.neuron_id
WHERE m.name = :model AND s.scorer = :source
ORDER BY n.neuron_id, s.source"""

Command = str | Callable[[dict[str, Any]], Any]


@dataclass(frozen=True)
class Prepared:
    """All that a request comes to: whose neurons are asked about, and what.

    Attributes:
        n_found: how many neurons were selected; `neuron_ids` are the first of them.
    """

    model: Model
    neuron_ids: tuple[int, ...]
    n_found: int
    asked: Asked
    source: str


class ExplainRows(Result):
    """What `Database.explain` returns: a row for each neuron, or for each explanation scored.

    Its `sql` reads what is stored of the same source, now and before.
    """

    def __init__(self, report: ExplainReport) -> None:
        statement = _STORED if report.task == "explain" else _STORED_SCORES
        parameters = {"model": report.model, "source": report.source}
        super().__init__(Rows(report.columns, iter(report.rows)), statement, parameters)
        self.report: Final = report
        """How many answers are new and as before, and what failed."""


def explain_neurons(
    engine: Engine,
    model: str,
    command: Command,
    options: Mapping[str, Any],
    progress: Progress,
) -> ExplainRows:
    """Ask a program or a function about neurons, and return what became of each.

    Raises:
        NeuronDBError: one line on what was wrong with the request.
    """
    check_options(options)
    answerer = make_answerer(command, options)
    prepared = prepare(engine, model, answerer.command, options)
    return ExplainRows(run(engine, prepared, answerer, progress, options.get("jobs") or 1))


def check_options(options: Mapping[str, Any]) -> None:
    """Refuse options that make no sense whatever the database holds.

    Raises:
        UsageError: says which.
        TypeError: when one is called as no option is.
    """
    for name in options:
        if name not in OPTIONS:
            raise TypeError(f"explain has no option {name!r}; it has {', '.join(sorted(OPTIONS))}")
    if choose_neurons(options) is None:
        raise UsageError(f"say which neurons by one of {name_selections()}")
    given = [name for name in _OF_SCORES if options.get(name) is not None]
    if given and not options.get("score"):
        raise UsageError(f"{option(given[0])} is about scores; give {option('score')} too")
    case = options.get("case")
    if case is not None and case not in codes.SIGN_CASES:
        raise UsageError(
            f"{option('case')} {case!r} is no sign case; they are {', '.join(codes.SIGN_CASES)}"
        )
    source = options.get("source")
    if source is not None and not 0 < len(source.strip()) <= LONGEST_SOURCE:
        raise UsageError(
            f"{option('source')} has {len(source.strip())} characters; "
            f"1 to {LONGEST_SOURCE} are possible"
        )


def make_answerer(command: Command, options: Mapping[str, Any]) -> Answerer:
    """Return who is asked: the program of a command line, or a function.

    Raises:
        UsageError: when the command line is empty or broken.
        NeuronDBError: when there is no such program.
    """
    if callable(command):
        return Function(command)
    timeout = options.get("timeout") or TIMEOUT_S
    return Program(command, shell=bool(options.get("shell")), timeout=timeout)


def name_source(command: str, task: str) -> str:
    """Return what answers of a command are called unless told otherwise.

    It is the command without folders; what would be too long ends in a part of its sha256.
    """
    try:
        parts = [PurePath(part).name or part for part in shlex.split(command)]
    except ValueError:
        parts = [command]
    name = f"{task}:{' '.join(' '.join(parts).split())}"
    if len(name) <= LONGEST_SOURCE:
        return name
    digest = hashlib.sha256(command.encode()).hexdigest()[:8]
    return f"{name[: LONGEST_SOURCE - len(digest) - 2]}… {digest}"


def prepare(
    engine: Engine, model_name: str, command: str | None, options: Mapping[str, Any]
) -> Prepared:
    """Return whom a request asks about what.

    Args:
        engine: the database.
        model_name: the model's name, or the hub id or directory that it was read from.
        command: who is asked, for the name of the source; None where nobody is.
        options: those of `OPTIONS`, checked.

    Raises:
        UnknownNameError: when a name is not there, or no neuron fits.
        ExpressionError: when the expression cannot be understood.
    """
    with translate_errors(format_url(engine.url)), engine.connect() as connection:
        model = find_model(connection, model_name)
        if options.get("dataset") is not None:
            find_dataset_by_name(connection, options["dataset"])
    _check_case(model, options.get("case"))
    selection = choose_neurons(options)
    assert selection is not None
    found = select_neurons(engine, model, selection, options.get("seed") or 0).neuron_ids.tolist()
    task = "score" if options.get("score") else "explain"
    source = (options.get("source") or name_source(command or "", task)).strip()
    asked = _make_asked(model, source, options)
    limit = options.get("limit") or len(found)
    return Prepared(model, tuple(found[:limit]), len(found), asked, source)


def _check_case(model: Model, case: str | None) -> None:
    of_model = codes.GATED_CASES if model.gated else codes.UNGATED_CASES
    cases = [codes.SIGN_CASES[code] for code in of_model]
    if case is not None and case not in cases:
        raise UnknownNameError(
            f"{model.name} has no sign case {case!r}; it has: {', '.join(cases)}"
        )


def _make_asked(model: Model, source: str, options: Mapping[str, Any]) -> Asked:
    names = ("dataset", "examples", "radius", "tokens")
    evidence = EvidenceOptions(
        **{name: options[name] for name in names if options.get(name) is not None}
    )
    again = bool(options.get("again"))
    if not options.get("score"):
        return Explaining(model, source, evidence, again)
    scored = ScoreOptions(
        options.get("of"),
        options.get("key") or EXPLANATION,
        options.get("case"),
        options.get("seed") or 0,
    )
    return Scoring(model, source, scored, evidence, again)


def read_first_given(engine: Engine, prepared: Prepared) -> bytes:
    """Return what a program would be given of the first neuron that there is a question about.

    Raises:
        NeuronDBError: when there is none.
    """
    asked, reason = prepared.asked.ask_again(), _explain_nothing(prepared)
    with translate_errors(format_url(engine.url)), engine.connect() as connection:
        for neuron_id in prepared.neuron_ids:
            for one in asked.prepare(connection, neuron_id):
                if isinstance(one, Question):
                    return one.given
                if one.trouble is not None:
                    reason = f"{one.name}: {one.trouble.message}"
    raise NeuronDBError(reason)


def run(
    engine: Engine, prepared: Prepared, answerer: Answerer, progress: Progress, jobs: int
) -> ExplainReport:
    """Ask, store, and return what became of each neuron.

    Raises:
        NeuronDBError: when there is nothing to ask about.
        DatabaseError: when the database cannot be read or written.
    """
    report = ask_about(
        engine.url,
        prepared.model,
        prepared.neuron_ids,
        prepared.asked,
        answerer,
        prepared.source,
        progress,
        jobs=jobs,
    )
    if not report.outcomes:
        raise NeuronDBError(_explain_nothing(prepared))
    return report


def _explain_nothing(prepared: Prepared) -> str:
    n = len(prepared.neuron_ids)
    which = f"none of these {n:,} neurons has" if n > 1 else "the neuron has no"
    what = "an explanation" if n > 1 else "explanation"
    return (
        f"{which} {what} to score; explain them first, without {option('score')}, "
        f"or name the source of annotations by {option('of')} and their {option('key')}"
    )
