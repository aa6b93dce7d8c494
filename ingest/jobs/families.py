"""The job `families`: which test of tokens explains each neuron best (METHODS §9)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool
from sqlalchemy import Connection, Engine, select
from torch import Tensor

from ingest.forward import Batch, batch_tokens, make_batches
from ingest.forward.open_model import refuse_mixture_of_experts
from ingest.interventions.running_model import (
    RunningModel,
    describe_origin,
    explain_memory_errors,
    open_running_model,
)
from ingest.jobs.ablate import open_for_writing
from ingest.relations.families.distributions import (
    MOST_TOKENS,
    ShownValues,
    TokenFacts,
    choose_shown,
    describe_parts,
)
from ingest.relations.families.labelling import Labeller, TextLabels
from ingest.relations.families.streaming import Counts, FamilyPass, count_tests
from ingest.relations.families.sums import count_bytes
from ingest.relations.families.syntax import (
    DEFAULT_TAGGER,
    load_tagger,
    resolve_tagger,
    tag_tokens,
)
from ingest.relations.native import held_sums
from ingest.stages.forward_share import ForwardShare
from ingest.text.corpus import list_remarks
from ingest.text.datasets import fingerprint_texts
from ingest.text.intervention_texts import TokenTexts, read_texts
from ingest.vocabulary.properties.token_text import Reading, read_tokens
from neurondb.contracts.families import (
    AUTO,
    FamiliesReport,
    FamiliesRequest,
    FamilyRecord,
    FamilyTest,
    LayerFamilies,
    Part,
)
from neurondb.contracts.model import Token
from neurondb.contracts.progress import Progress
from neurondb.errors import IngestError
from neurondb.formatting.text import format_ingest_command
from neurondb.reading.concepts import read_fingerprint
from neurondb.reading.families import find_stored_families
from neurondb.reading.models import Model, find_model, find_neuron_id
from neurondb.schema import tables
from neurondb.spelling import option
from neurondb.writing.descriptions import describe_model
from neurondb.writing.families import store_families
from neurondb.writing.rows import transaction

GIB = 2**30


def run(request: FamiliesRequest, progress: Progress) -> FamiliesReport:
    """Find what explains each neuron of a model over some texts, and store it all or nothing.

    The same request is answered from what is stored; any other of the same model and dataset takes
    its place.

    Raises:
        UsageError: when the settings make no sense.
        UnknownNameError: when the model is not in the database.
        TextError: when the texts cannot be read.
        IngestError: when the weights are not ingested, or are no longer where they were.
        ModelError: when the model cannot be read or run.
    """
    started = time.perf_counter()
    request.settings.check()
    held_sums.prepare_library()
    request = _resolve_tagger(request, progress)
    with open_for_writing(request.machine.database) as engine:
        plan = _Plan.make(engine, request, progress)
        with transaction(engine) as connection:
            stored = find_stored_families(connection, plan.key)
        if stored is not None and not request.force:
            return FamiliesReport(stored, False, time.perf_counter() - started)
        with explain_memory_errors(plan.running):
            record = _measure(engine, plan, request, progress, started)
        run_id = store_families(engine, record)
        describe_model(engine.url, request.machine.model, progress, force=request.force)
    return FamiliesReport(run_id, True, time.perf_counter() - started)


def _resolve_tagger(request: FamiliesRequest, progress: Progress) -> FamiliesRequest:
    """Return the request with the tagger that there is."""
    asked = request.settings
    tagger = resolve_tagger(asked.tagger)
    if asked.tagger == AUTO and tagger is None:
        progress.note(
            f"no tests of syntax: they need the extra 'syntax' and its model {DEFAULT_TAGGER} "
            f"(`python -m spacy download {DEFAULT_TAGGER}`)"
        )
    return replace(request, settings=replace(asked, tagger=tagger))


@dataclass(frozen=True)
class _Plan:
    """What a request means.

    Attributes:
        signs: the canonical signs of the neurons, by layer.
        labels: names of the texts' labels, and the label of each text.
        key: the sha256 over all that is asked for.
    """

    running: RunningModel
    texts: TokenTexts
    signs: dict[int, Tensor]
    labels: tuple[Sequence[str], Sequence[int]]
    key: str

    @classmethod
    def make(cls, engine: Engine, request: FamiliesRequest, progress: Progress) -> _Plan:
        """Read what can be read without running the model; raises as `run` does."""
        with transaction(engine) as connection:
            model = find_model(connection, request.machine.model)
            refuse_mixture_of_experts(
                model,
                "whose neurons tests of tokens cannot explain yet: each sees other tokens",
                "`neurondb ingest --stages peaks` stores the tokens that they fire on",
            )
            signs = _read_signs(connection, model)
            running = open_running_model(connection, request.machine)
            fingerprint = read_fingerprint(connection, model)
        architecture = running.checkpoint.architecture
        texts = read_texts(engine, request.texts, running.tokenizer, architecture, progress.note)
        names, of_text = _read_labels(engine, texts)
        spelled = [names[place] if place >= 0 else None for place in of_text]
        of_texts = fingerprint_texts(texts.dataset.texts, spelled)
        key = request.identify(model.model_id, fingerprint, of_texts)
        return cls(running, texts, signs, (names, of_text), key)

    def count(self, batch: Batch) -> Bool[Tensor, "texts positions"]:
        """Return which tokens of a batch count."""
        positions = torch.arange(batch.token_ids.shape[1], device=batch.token_ids.device)
        counted = positions < batch.lengths[:, None]
        return counted & (positions > 0) if self.texts.skip_bos else counted


def _read_signs(connection: Connection, model: Model) -> dict[int, Tensor]:
    n = tables.neurons.c
    rows = connection.execute(
        select(n.layer, n.sign).where(n.model_id == model.model_id).order_by(n.neuron_id)
    ).all()
    if len(rows) < model.n_neurons:
        command = format_ingest_command(model.name, model.source, "weights")
        raise IngestError(
            f"only {len(rows):,} of the {model.n_neurons:,} neurons of {model.name} are ingested, "
            f"so that the signs of the others are unknown: run `{command}`"
        )
    table = torch.tensor([row.sign for row in rows], dtype=torch.float32)
    return dict(enumerate(table.view(model.n_layers, model.d_mlp)))


def _read_labels(engine: Engine, texts: TokenTexts) -> tuple[Sequence[str], Sequence[int]]:
    """Return the labels of the texts: those of their source, else those that are stored."""
    dataset = texts.dataset
    if dataset.labels or texts.dataset_id is None:
        return dataset.labels, dataset.label_of or [-1] * len(dataset.texts)
    t, names = tables.texts.c, tables.labels.c
    with transaction(engine) as connection:
        found = connection.execute(
            select(names.label)
            .select_from(tables.texts)
            .outerjoin(tables.labels, names.label_id == t.label_id)
            .where(t.dataset_id == texts.dataset_id)
            .order_by(t.ordinal)
            .limit(len(dataset.texts))
        ).scalars()
        labels = list(found)
    known = sorted({label for label in labels if label is not None})
    return known, [known.index(label) if label is not None else -1 for label in labels]


def _measure(
    engine: Engine, plan: _Plan, request: FamiliesRequest, progress: Progress, started: float
) -> FamilyRecord:
    texts, running = plan.texts, plan.running
    for line in list_remarks(texts.dataset, running.tokenizer):
        progress.note(line)
    device = running.opened.device
    if device.type == "mps":
        raise IngestError(
            f"sums by test are of float64, which {device} lacks; give {option('device', 'cpu')}"
        )
    batches = list(make_batches(texts.token_ids, torch.device("cpu"), batch_tokens(device)))
    labeller = _make_labeller(plan, request, progress)
    counts = count_tests(labeller, batches, plan.count)
    labeller, counts = counts.drop_rare(labeller, request.settings.min_count)
    layers = _sum_layers(plan, request, labeller.to(device), counts, batches, progress)
    tests = [
        FamilyTest(*name, n, n / counts.n_tokens)
        for name, n in zip(labeller.names, counts.of_test.tolist(), strict=True)
    ]
    parts = _keep_distributions(plan, request, labeller, layers, batches, progress)
    return FamilyRecord(
        describe_origin(running, plan.key),
        request.settings,
        texts.store(engine),
        len(texts.token_ids),
        counts.n_tokens,
        texts.max_len,
        texts.skip_bos,
        int((counts.of_position > 0).sum()),
        tests,
        layers,
        parts,
        time.perf_counter() - started,
    )


def _make_labeller(plan: _Plan, request: FamiliesRequest, progress: Progress) -> Labeller:
    texts, tokenizer, asked = plan.texts, plan.running.tokenizer, request.settings
    names, of_text = plan.labels
    labels = TextLabels(names, torch.tensor(of_text)) if names else None
    tags = None
    if asked.tagger is not None:
        tagger = load_tagger(asked.tagger)
        spans = tokenizer.locate_tokens(texts.dataset.texts, texts.max_len)
        with progress.stage("syntax", len(spans), "texts") as advance:
            tags = tag_tokens(tagger, texts.dataset.texts, spans)
            advance(len(spans))
    readings = _read_vocabulary(plan.running)
    return Labeller.of_texts(
        readings, texts.token_ids, asked.n_words, labels, tags, skip_bos=texts.skip_bos
    )


def _read_vocabulary(running: RunningModel) -> list[Reading]:
    """Return the reading of every row of the vocabulary, also of those that are no token's."""
    d_vocab = running.checkpoint.architecture.d_vocab
    tokens = [Token("", None)] * d_vocab
    ids = running.tokenizer.list_token_ids(d_vocab).tolist()
    for token_id, token in zip(ids, running.tokenizer.list_tokens(d_vocab), strict=True):
        tokens[token_id] = token
    return read_tokens(tokens)


def _sum_layers(
    plan: _Plan,
    request: FamiliesRequest,
    labeller: Labeller,
    counts: Counts,
    batches: Sequence[Batch],
    progress: Progress,
) -> list[LayerFamilies]:
    """Return the families of every layer, as many layers a pass as memory is allowed for."""
    forward, model = plan.running.forward, plan.running.stored
    shape = (len(labeller.names), model.d_mlp, len(counts.of_position))
    per_layer = count_bytes(*shape, gated=model.gated)
    at_once = max(1, int(request.memory * GIB // per_layer))
    groups = [
        range(first, min(first + at_once, model.n_layers))
        for first in range(0, model.n_layers, at_once)
    ]
    if len(groups) > 1:
        progress.note(
            f"the sums of a layer take {per_layer / GIB:.2f} GiB, so that {len(groups)} passes of "
            f"{at_once} layers go over the texts; --memory allows for more"
        )
    found: list[LayerFamilies] = []
    share = ForwardShare(forward.device)
    total = sum(batch.n_tokens for batch in batches) * len(groups)
    with progress.stage("families", total, "tokens") as advance:
        for group in groups:
            signs = {layer: plan.signs[layer].to(forward.device) for layer in group}
            timed, gated = share.time_consumers, model.gated
            sums = FamilyPass(labeller, signs, plan.count, shape, gated=gated, timed=timed)
            for batch in batches:
                with share.time_batch():
                    forward.run(batch.to(forward.device), [sums])
                advance(batch.n_tokens, str(share))
            found += sums.summarise(counts, request.settings.least_score)
    _tell_nonfinite(found, progress)
    return found


def _tell_nonfinite(layers: Sequence[LayerFamilies], progress: Progress) -> None:
    n = sum(layer.n_nonfinite for layer in layers)
    if n:
        progress.note(
            f"{n:,} neurons have activations that are NaN or infinite, and therefore no family"
        )


def _keep_distributions(
    plan: _Plan,
    request: FamiliesRequest,
    labeller: Labeller,
    layers: Sequence[LayerFamilies],
    batches: Sequence[Batch],
    progress: Progress,
) -> list[Part]:
    """Return what box plots of the neurons are drawn from that a family explains best."""
    shown = choose_shown(layers, labeller.names, request.settings.n_shown)
    if not shown:
        return []
    kept = list(_take_first(batches, MOST_TOKENS))
    forward, model = plan.running.forward, plan.running.stored
    signs = {layer: sign.to(forward.device) for layer, sign in plan.signs.items()}
    values = ShownValues(shown, signs, plan.count)
    with progress.stage("distributions", sum(b.n_tokens for b in kept), "tokens") as advance:
        for batch in kept:
            forward.run(batch.to(forward.device), [values])
            advance(batch.n_tokens)
    facts = TokenFacts.read(kept, labeller, shown, plan.count)
    ids = [find_neuron_id(model, *one.place) for one in shown]
    find_text = plan.running.tokenizer.find_token_text
    return list(describe_parts(shown, ids, values.join(), facts, labeller.names, find_text))


def _take_first(batches: Sequence[Batch], most: int) -> Iterator[Batch]:
    """Yield batches, spread over all, until they have `most` tokens; one at least."""
    total = sum(batch.n_tokens for batch in batches)
    step = max(1, -(-total // most))
    yield from batches[::step]
