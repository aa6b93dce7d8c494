"""Where the numbers of a report come from: weights, preprocessing, texts, tokens, versions."""

from collections.abc import Iterable, Iterator

from sqlalchemy import select

from neurondb import __version__
from neurondb.documents.markup import Block, Code, Facts, Heading, Note, Text
from neurondb.documents.report.subject import Subject, shorten_source
from neurondb.formatting.numbers import format_count, format_time
from neurondb.reading.models import Model
from neurondb.reading.provenance import (
    LatestRun,
    Reading,
    find_latest_run,
    find_reading,
    list_outdated_steps,
)
from neurondb.schema import REVISION, tables

_CHOICES = {
    "fold": ("gain of the norm in front folded into gate and in", "norm gains not folded"),
    "center": ("vectors and U mean-centred where METHODS §1 says so", "nothing mean-centred"),
    "center_gate": ("gate mean-centred too", ""),
    "fold_post_norm": ("gain after the MLP folded into out", ""),
    "canonicalise": ("signs made canonical: gate·in ≥ 0", "signs as they are"),
}
"""Choice of METHODS §1 → what a reader has to know where it was made, and where it was not."""


def write_provenance(subject: Subject) -> Iterator[Block]:
    """Yield the section that says which weights were read, how, over which texts, by what."""
    model, connection = subject.model, subject.connection
    run, reading = find_latest_run(connection, model), find_reading(connection, model)
    yield Heading("Where the numbers come from", 2, "provenance")
    yield Facts(
        (
            *_describe_weights(subject),
            *([] if run is None else [("preprocessing", ", ".join(_list_choices(run)))]),
            ("classes", f"at τ = {model.threshold:g}, strict"),
            *_describe_texts(subject, reading),
            *_describe_runs(subject),
            ("this report", f"NeuronDB {__version__}, schema {REVISION}"),
        )
    )
    outdated = list_outdated_steps(connection, model.model_id)
    if outdated:
        yield Note(
            f"{format_count(len(outdated), 'step')} of an earlier version counted rows of the "
            "embedding that no token has; they stand in the numbers over the vocabulary.",
            warning=True,
        )


def _describe_weights(subject: Subject) -> Iterator[tuple[str, Text]]:
    model, m = subject.model, tables.models.c
    fingerprint, tokenizer = subject.connection.execute(
        select(m.fingerprint, m.tokenizer_fingerprint).where(m.model_id == model.model_id)
    ).one()
    yield "model", model.name
    yield "read from", shorten_source(model.source)
    if model.revision:
        yield "revision", Code(model.revision)
    yield "architecture", describe_architecture(model)
    yield "size", describe_size(model)
    if model.quantisation:
        yield "quantisation", model.quantisation
    yield "fingerprint of the weights", Code(fingerprint)
    if tokenizer:
        yield "fingerprint of the tokenizer", Code(tokenizer)


def read_fingerprint(subject: Subject) -> str:
    """Return the fingerprint of a model's weights."""
    m = tables.models.c
    query = select(m.fingerprint).where(m.model_id == subject.model.model_id)
    return str(subject.connection.execute(query).scalar_one())


def describe_architecture(model: Model) -> str:
    """Return a model's architecture, and how its MLP works."""
    kind = "gated MLP" if model.gated else "ungated MLP"
    return f"{model.architecture}, {kind}, {model.activation}"


def describe_size(model: Model) -> str:
    """Return the numbers of a model's layers, neurons, dimensions and tokens."""
    return (
        f"{model.describe_layers()} ({model.n_neurons:,} in all), {model.d_model:,} dimensions, "
        f"{model.n_tokens:,} tokens"
    )


def _list_choices(run: LatestRun) -> Iterator[str]:
    for choice, (made, not_made) in _CHOICES.items():
        value = getattr(run, choice)
        words = made if value else not_made
        if value is not None and words:
            yield words


def _describe_texts(subject: Subject, reading: Reading | None) -> Iterator[tuple[str, Text]]:
    if reading is None:
        return
    d = tables.dataset_rows.c
    fingerprint = subject.connection.execute(
        select(d.fingerprint).where(d.dataset_id == subject.model.dataset_id)
    ).scalar_one()
    yield "texts", (reading.dataset, f": {describe_reading(reading)}")
    yield "fingerprint of the texts", Code(fingerprint)


def describe_reading(reading: Reading) -> str:
    """Return how many texts and tokens a model read, and how."""
    parts = [format_count(reading.n_texts, "text")]
    if reading.n_tokens is not None:
        parts.append(format_count(reading.n_tokens, "token"))
    if reading.max_len is not None:
        parts.append(f"at most {reading.max_len:,} of a text")
    if reading.skip_bos is not None:
        parts.append(f"first position {'left out' if reading.skip_bos else 'counted'}")
    return ", ".join(parts)


def _describe_runs(subject: Subject) -> Iterator[tuple[str, Text]]:
    r = tables.ingest_runs.c
    rows = subject.connection.execute(
        select(r.tool_version, r.torch_version, r.dtype, r.device, r.seed, r.started_at)
        .where(r.model_id == subject.model.model_id)
        .order_by(r.run_id)
    ).all()
    if not rows:
        return
    versions, torches, dtypes, devices, seeds, times = zip(*rows, strict=True)
    yield "computed by", f"NeuronDB {_join(versions)}, torch {_join(torches)}"
    yield "forward pass", f"{_join(dtypes)} on {_join(devices)}, seed {_join(seeds)}"
    yield "computed (UTC)", _join((format_time(times[0]), format_time(times[-1])), " to ")


def _join(values: Iterable[object], separator: str = ", ") -> str:
    """Return values as words, each once."""
    return separator.join(dict.fromkeys(map(str, values)))
