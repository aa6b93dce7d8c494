"""An ablation session: runs over one model and one set of texts, carried out and stored.

The runs of a request share the model, the texts and the clean pass. What is stored already is not
run again; runs are stored some at a time, so that little is lost when the rest is interrupted.
"""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import torch
from sqlalchemy import Engine

from ingest.executors import Executor, Listener
from ingest.forward.devices import pick_dtype
from ingest.forward.open_model import OpenModel, open_stored_model
from ingest.interventions.ablation_pass import DividedRunner
from ingest.interventions.building import BuiltIntervention, build_intervention
from ingest.interventions.changed_tokens import pick_changed_tokens
from ingest.interventions.statistics import compute_results, count_bins, count_left_out
from ingest.interventions.token_file import open_token_file
from ingest.interventions.token_values import TokenValues
from ingest.text.corpus import list_remarks
from ingest.text.intervention_texts import TokenTexts, read_texts
from ingest.text.tokenizer import Tokenizer
from neurondb.contracts.ablate import AblationRecord, AblationResult, AblationSettings
from neurondb.contracts.inputs import TextsRequest
from neurondb.contracts.progress import Progress
from neurondb.find.neuron_sets import NeuronSet
from neurondb.interventions import Treatment
from neurondb.reading.models import Model
from neurondb.reading.runs import find_ablation_run, find_stored_run
from neurondb.spelling import option
from neurondb.writing.ablations import store_run
from neurondb.writing.changed_tokens import store_changed_tokens
from neurondb.writing.rows import transaction

RUNS_AT_A_TIME: Final = 8
"""What is finished is stored after so many, and is not lost with the rest; more where they are
short."""
GROUP_SECONDS: Final = 30.0
"""How long the runs may take that are stored together. Each time costs a clean pass."""
CLUSTER_GROUP_SECONDS: Final = 300.0
"""The same on a cluster, where each task may have to load the model."""


class RunPlan(NamedTuple):
    """A run that is to be done: neurons, and what is done to them.

    Attributes:
        neurons: The set of neurons.
        treatment: The treatment of each of them.
        baseline_of: Place, in the list of plans, of the one before that it is the baseline of.
        means_dataset_id: The dataset whose activations give means; None leaves the choice to
            `build_intervention`.
    """

    neurons: NeuronSet
    treatment: Treatment
    baseline_of: int | None = None
    means_dataset_id: int | None = None

    def shift(self, n_before: int) -> "RunPlan":
        """Return the plan for a list with `n_before` other plans in front."""
        return (
            self
            if self.baseline_of is None
            else self._replace(baseline_of=self.baseline_of + n_before)
        )


class RunOutcome(NamedTuple):
    """What became of a plan.

    Attributes:
        run_id: The id of the run that is stored, now or before.
        is_new: Whether it was stored now.
        difference: By how much any statistic of a stored run differs when it is run again, at
            most.
    """

    run_id: int
    is_new: bool
    difference: float | None = None


class RunOptions(NamedTuple):
    """How plans are to be carried out.

    Attributes:
        force: Run and store what is stored already.
        again: Run what is stored already, and compare.
        save_tokens: File for the values of every token.
    """

    force: bool = False
    again: bool = False
    save_tokens: str | None = None


@dataclass
class AblationSession:
    """A stored model whose checkpoint is at hand, and texts for it.

    Attributes:
        engine: The database, to be written to.
        model: The stored model.
        opened: Its checkpoint, and where and in which precision it runs.
        executor: Runs it, on the devices that were asked for; `opened` has the first of them.
        texts: The texts that it runs over, tokenised.
        progress: Shows how far runs are, and notes on texts that are cut.
    """

    engine: Engine
    model: Model
    opened: OpenModel
    executor: Executor
    texts: TokenTexts
    progress: Progress

    @classmethod
    def open(
        cls,
        engine: Engine,
        model: Model,
        texts: TextsRequest,
        machine: tuple[Executor, str],
        progress: Progress,
    ) -> "AblationSession":
        """Find the checkpoint and read the texts.

        Args:
            engine: The database, to be written to.
            model: The stored model.
            texts: The dataset to read, and how much of it.
            machine: What runs the model, and the requested dtype.
            progress: Gets a note where texts are cut.

        Raises:
            IngestError: when the checkpoint is gone or another one, or there is no such device.
            ModelError: when it cannot be read.
            TextError: when the texts cannot be.
            LackingModelError: when they are to be longer than the model's context.
        """
        with transaction(engine) as connection:
            stored = open_stored_model(connection, model)
        executor, dtype = machine
        device = torch.device(executor.devices[0])
        dtype_there = pick_dtype(dtype, device, stored.checkpoint.config)
        opened = OpenModel(stored.checkpoint, device, dtype_there)
        tokenizer = Tokenizer(opened.checkpoint.settings)
        tokenizer.check(opened.architecture.d_vocab)
        token_texts = read_texts(engine, texts, tokenizer, opened.architecture, progress.note)
        for line in list_remarks(token_texts.dataset, tokenizer):
            progress.note(line)
        if token_texts.n_truncated:
            progress.note(
                f"{token_texts.n_truncated} of {len(token_texts.token_ids)} texts cut at "
                f"{token_texts.max_len} tokens ({option('max_len')}, and the model's context)"
            )
        return cls(engine, model, opened, executor, token_texts, progress)

    @cached_property
    def runner(self) -> DividedRunner:
        """The model, loaded where it runs when the first run needs it."""
        return DividedRunner(self.opened, self.texts, self.executor)

    @cached_property
    def fingerprint(self) -> str:
        """The checkpoint's: of its configuration and weights."""
        return self.opened.checkpoint.fingerprint()

    def make_settings(self, dataset_id: int) -> AblationSettings:
        """Return what all runs of this session have in common, as it is stored."""
        return AblationSettings(
            model_id=self.model.model_id,
            dataset_id=dataset_id,
            n_texts=len(self.texts.token_ids),
            max_len=self.texts.max_len,
            skip_bos=self.texts.skip_bos,
            dtype=self.opened.dtype_name,
            device=str(self.opened.device),
            fingerprint=self.fingerprint,
        )

    def build_plan(self, plan: RunPlan) -> BuiltIntervention:
        """Return the intervention of a plan; raises as `build_intervention` does."""
        with transaction(self.engine) as connection:
            ids, means = plan.neurons.neuron_ids, plan.means_dataset_id or self.texts.dataset_id
            return build_intervention(connection, self.model, ids, plan.treatment, means)

    def run_plans(self, plans: Sequence[RunPlan], options: RunOptions) -> list[RunOutcome]:
        """Do the runs that are not stored, and return what became of each.

        Each run is stored whole or not at all, as soon as those that are run together with it are
        done.

        Raises:
            NeuronDBError: one line on what was wrong; finished runs stay.
        """
        stored = [None] * len(plans) if options.force else self._stored(plans)
        pending = [i for i, run_id in enumerate(stored) if run_id is None or options.again]
        outcomes = {
            i: RunOutcome(run_id, is_new=False) for i, run_id in enumerate(stored) if run_id
        }
        built = {i: self.build_plan(plans[i]) for i in pending}
        total = self.texts.n_tokens * len(pending)
        with ExitStack() as stack:
            advance = stack.enter_context(self.progress.stage("interventions", total, "tokens"))
            file = stack.enter_context(open_token_file(options.save_tokens))
            listener = Listener(advance, self.progress)
            for group in _groups(pending, cluster=not self.executor.shares_files):
                values = self.runner.run([built[i].intervention for i in group], listener)
                for run, i in enumerate(group):
                    record = self._record(plans[i], built[i], values, run)
                    parent = plans[i].baseline_of
                    baseline_of = None if parent is None else outcomes[parent].run_id
                    outcomes[i] = self._store_or_compare(record, stored[i], baseline_of)
                    if file is not None:
                        file.write(outcomes[i].run_id, baseline_of, self.runner, values, run)
        return [outcomes[i] for i in range(len(plans))]

    def _stored(self, plans: Sequence[RunPlan]) -> list[int | None]:
        run_ids: list[int | None] = []
        if self.texts.dataset_id is None:
            return [None] * len(plans)
        settings = self.make_settings(self.texts.dataset_id)
        with transaction(self.engine) as connection:
            for plan in plans:
                baseline_of = None if plan.baseline_of is None else run_ids[plan.baseline_of]
                if plan.baseline_of is not None and baseline_of is None:
                    run_ids.append(None)
                    continue
                ids = plan.neurons.neuron_ids
                run_ids.append(
                    find_stored_run(connection, settings, plan.treatment, ids, baseline_of)
                )
        return run_ids

    def _record(
        self, plan: RunPlan, built: BuiltIntervention, values: TokenValues, run: int
    ) -> AblationRecord:
        runner = self.runner
        left_out = count_left_out(runner.clean, values, run, runner.places.has_next())
        if left_out:
            advice = f"; try {option('dtype', 'bfloat16')} or float32"
            self.progress.note(
                f"{left_out:,} tokens have a loss that is NaN or infinite, and are left out"
                + advice * (self.opened.dtype == torch.float16)
            )
        token_ids = self.texts.token_ids
        changed = pick_changed_tokens(runner.clean, values, run, runner.places, token_ids)
        return AblationRecord(
            settings=self.make_settings(self.texts.store(self.engine)),
            neurons=plan.neurons.record,
            treatment=plan.treatment,
            seed=plan.neurons.seed,
            means_dataset_id=built.means_dataset_id,
            n_tokens=runner.places.n_tokens,
            torch_version=str(torch.__version__),
            results=compute_results(runner.clean, values, run),
            bins=count_bins(runner.clean, values, run),
            changed=changed,
            token_ids={token.ordinal: token_ids[token.ordinal] for token in changed},
        )

    def _store_or_compare(
        self, record: AblationRecord, stored: int | None, baseline_of: int | None
    ) -> RunOutcome:
        if stored is None:
            return RunOutcome(store_run(self.engine, record, baseline_of), is_new=True)
        with transaction(self.engine) as connection:
            before = find_ablation_run(connection, stored).results
        difference = _difference(before, record.results)
        if difference == 0:  # a run of an earlier version has no changed tokens yet
            store_changed_tokens(self.engine, stored, record)
        return RunOutcome(stored, is_new=False, difference=difference)


def _groups(pending: Sequence[int], *, cluster: bool) -> Iterator[Sequence[int]]:
    """Yield the runs to do together next, as many as those before them show to take not long."""
    remaining, size = pending, RUNS_AT_A_TIME
    most_seconds = CLUSTER_GROUP_SECONDS if cluster else GROUP_SECONDS
    while remaining:
        group, remaining = remaining[:size], remaining[size:]
        started = time.perf_counter()
        yield group
        seconds_a_run = (time.perf_counter() - started) / len(group)
        size = max(RUNS_AT_A_TIME, int(most_seconds / max(seconds_a_run, 1e-6)))


def _difference(
    before: Mapping[tuple[str, str], AblationResult], after: Sequence[AblationResult]
) -> float:
    """Return by how much a statistic differs at most; infinity where one is missing."""
    largest = 0.0
    for result in after:
        earlier = before.get((result.metric, result.filter))
        if earlier is None:
            return math.inf
        for old, new in zip(earlier[2:], result[2:], strict=True):
            if not (math.isnan(old) and math.isnan(new)):
                largest = max(largest, abs(old - new))
    return largest
