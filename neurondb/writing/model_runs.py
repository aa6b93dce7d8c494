"""Entropy runs, attribute rates and generated texts → rows; each whole or not at all, and once."""

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import Connection, Engine, select

from neurondb.contracts.attributes import AttributesRecord
from neurondb.contracts.entropy import EntropyRecord
from neurondb.contracts.generate import GenerationRecord, SampleShare, count_samples
from neurondb.interventions import ENTROPY_METRICS
from neurondb.schema import tables
from neurondb.writing.ablations import store_set
from neurondb.writing.rows import insert_one, transaction
from neurondb.writing.run_rows import Rows, describe_origin, forget_same_request, insert_rows

ENTROPY_PARTS: Final = (tables.entropy_results, tables.entropy_neurons)
ATTRIBUTE_PARTS: Final = (
    tables.attribute_rate_rows,
    tables.attribute_states,
    tables.attribute_left_out,
)
GENERATION_PARTS: Final = (
    tables.generation_counts,
    tables.generation_texts,
    tables.generation_neurons,
)


def store_entropy(engine: Engine, record: EntropyRecord) -> int:
    """Write an entropy run, in place of one that was asked for in the same way; return its id.

    Raises:
        DatabaseError: when the database cannot be written.
    """
    curves = record.curves
    values = {
        **describe_origin(record.origin),
        "dataset_id": record.dataset_id,
        "n_texts": record.n_texts,
        "n_tokens": curves.n_tokens,
        "max_len": record.max_len,
        "skip_bos": record.skip_bos,
        "n_random": len(curves.baseline),
        "seed": record.request.seed,
        "seconds": record.seconds,
        **{f"clean_{metric}": curves.clean[metric] for metric in ENTROPY_METRICS},
    }
    with transaction(engine) as connection:
        runs = tables.entropy_runs
        forget_same_request(connection, runs, ENTROPY_PARTS, record.origin.request)
        run_id = insert_one(connection, runs, _without_nan(values))
        n_asked = len(curves.neurons)
        neurons = [
            {"neuron_id": neuron_id, "place": place, "random": place >= n_asked}
            for place, neuron_id in enumerate(record.neuron_ids)
        ]
        insert_rows(connection, tables.entropy_neurons, run_id, neurons)
        insert_rows(connection, tables.entropy_results, run_id, list(_list_results(record)))
    return run_id


def _without_nan(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value if value == value else None for name, value in values.items()}


def _list_results(record: EntropyRecord) -> Iterator[dict[str, Any]]:
    curves = record.curves
    for place, neuron_id in enumerate(record.neuron_ids):
        for step, value in enumerate(curves.values.tolist()):
            for metric in ENTROPY_METRICS:
                yield {
                    "neuron_id": neuron_id,
                    "step": step,
                    "metric": metric,
                    "value": value,
                    "fixed": float(curves.fixed[metric][place, step]),
                    "frozen": float(curves.frozen[metric][place, step]),
                }


def store_attributes(engine: Engine, record: AttributesRecord) -> int:
    """Write attribute rates, in place of those that were asked for in the same way.

    Returns:
        The id of the run.

    Raises:
        DatabaseError: when the database cannot be written.
    """
    rates = record.rates
    with transaction(engine) as connection:
        runs = tables.attribute_runs
        forget_same_request(connection, runs, ATTRIBUTE_PARTS, record.origin.request)
        run_id = insert_one(connection, runs, _describe_attributes(record))
        left_out = [{"reason": reason, "n": n} for reason, n in rates.left_out.items()]
        insert_rows(connection, tables.attribute_left_out, run_id, left_out)
        states: Rows = []
        for place, (curve, neurons) in enumerate(zip(rates.curves, record.neurons, strict=True)):
            set_id = None if neurons is None else store_set(connection, neurons)
            of_curve = {"run": curve.run, "draw": curve.draw, "answer_probability": curve.answer}
            states.append({"place": place, "set_id": set_id} | of_curve)
        insert_rows(connection, tables.attribute_states, run_id, states)
        insert_rows(connection, tables.attribute_rate_rows, run_id, list(_list_rates(record)))
    return run_id


def _describe_attributes(record: AttributesRecord) -> dict[str, Any]:
    asked, files, rates = record.request, record.files, record.rates
    treatment, ablates = asked.treatment, rates.definition is not None
    return {
        **describe_origin(record.origin),
        "prompts": files.prompts.name,
        "prompts_fingerprint": files.prompts.fingerprint,
        "sets": files.sets.name,
        "sets_fingerprint": files.sets.fingerprint,
        "stop_words": files.stop_words and files.stop_words.name,
        "stop_words_fingerprint": files.stop_words and files.stop_words.fingerprint,
        "max_prompts": asked.max_prompts,
        "top_k": rates.top_k,
        "pieces": asked.pieces,
        "n_prompts": rates.n_prompts,
        "n_subjects": rates.n_subjects,
        "n_answers": rates.n_answers,
        "definition": rates.definition,
        "n_ablated": rates.n_ablated,
        "mode": treatment.mode if ablates else None,
        "hook": treatment.hook if ablates else None,
        "condition": (str(treatment.condition) or None) if ablates else None,
        "value": treatment.value if ablates else None,
        "means_dataset_id": record.means_dataset_id,
        "seed": asked.seed,
        "seconds": record.seconds,
    }


def _list_rates(record: AttributesRecord) -> Iterator[dict[str, Any]]:
    for place, curve in enumerate(record.rates.curves):
        for layer, (rate, n) in enumerate(zip(curve.rate, curve.n_prompts, strict=True)):
            yield {"place": place, "layer": layer, "rate": float(rate), "n_prompts": int(n)}


def store_generation(engine: Engine, record: GenerationRecord) -> int:
    """Write generated texts, in place of those that were asked for in the same way.

    Returns:
        The id of the run.

    Raises:
        DatabaseError: when the database cannot be written.
    """
    asked, sampling = record.request, record.request.sampling
    values = {
        **describe_origin(record.origin),
        **{name: getattr(asked, name) for name in ("prompt", "chat", "sign", "ablated")},
        **{name: getattr(asked, name) for name in ("side_by_side", "max_new_tokens")},
        **vars(sampling),
        "hook": record.hook,
        "n_samples": record.n_samples,
        "seconds": record.seconds,
    }
    clamped = zip(record.clamped_ids, asked.clamps, strict=True)
    neurons: Rows = [
        {"neuron_id": neuron_id, "value": clamp.value, "ablated": False}
        for neuron_id, clamp in clamped
    ]
    neurons += [{"neuron_id": i, "value": 0.0, "ablated": True} for i in record.zeroed_ids]
    texts = [one._asdict() for one in record.texts]
    with transaction(engine) as connection:
        runs = tables.generation_runs
        forget_same_request(connection, runs, GENERATION_PARTS, record.origin.request)
        run_id = insert_one(connection, runs, values)
        insert_rows(connection, tables.generation_neurons, run_id, neurons)
        insert_rows(connection, tables.generation_texts, run_id, texts)
        store_shares(connection, run_id, count_samples(record.texts, record.counted))
    return run_id


def store_shares(connection: Connection, run_id: int, shares: list[SampleShare]) -> None:
    """Write the shares of texts in the samples of a run, but those that are there already."""
    c = tables.generation_counts.c
    stored = {
        tuple(row) for row in connection.execute(select(c.run, c.counted).where(c.run_id == run_id))
    }
    rows: Rows = []
    for one in shares:
        if (one.run, one.counted) not in stored:
            low, high = one.interval
            rows.append({**one._asdict(), "share": one.share, "low": low, "high": high})
    insert_rows(connection, tables.generation_counts, run_id, rows)
