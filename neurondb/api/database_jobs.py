"""The jobs of an open database: what needs a model, and the extra `ingest`."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from neurondb.api.comparisons import compare_models
from neurondb.api.concepts import ROWS as _CONCEPT_ROWS
from neurondb.api.concepts import answer_concepts, make_concept_request
from neurondb.api.jobs import run_job
from neurondb.api.model_runs import ModelRuns
from neurondb.api.prompts import Neurons, explain_prompt, watch_neurons
from neurondb.api.relations import CONNECTIONS, compute_neighbours
from neurondb.api.requests import make_ablation_request
from neurondb.api.result import AblationRows, Result
from neurondb.contracts.ablate import AblationReport
from neurondb.contracts.progress import Progress
from neurondb.reading.prompt import PromptPage
from neurondb.reading.text_activations import ActivationsPage

_ABLATIONS: Final = """
    SELECT r.run_id, r.baseline_of, r.mode, r.hook, r.condition, r.value, r.seed, r.n_tokens,
           x.metric, x.filter, x.n, x.mean, x.std, x.q25, x.q50, x.q75, x.min, x.max,
           x.clean_mean, x.ablated_mean
    FROM ablation_runs r
    JOIN ablation_results x ON x.run_id = r.run_id
    WHERE r.run_id IN ({runs}) OR r.baseline_of IN ({runs})
    ORDER BY COALESCE(r.baseline_of, r.run_id), r.run_id, x.metric, x.filter"""

_CHANGED_TOKENS: Final = """
    SELECT c.run_id, r.baseline_of, c.metric, c.rank, c.clean - c.ablated AS difference, c.clean,
           c.ablated, t.ordinal AS text, c.position, v.token, c.text_id, c.token_id
    FROM ablation_runs r
    JOIN changed_tokens c ON c.run_id = r.run_id
    JOIN texts t ON t.text_id = c.text_id
    LEFT JOIN tokens v ON v.model_id = r.model_id AND v.token_id = c.token_id
    WHERE r.run_id IN ({runs}) OR r.baseline_of IN ({runs})
    ORDER BY COALESCE(r.baseline_of, r.run_id), r.run_id, c.metric, c.rank"""


class DatabaseJobs(ModelRuns):
    """What `Database` can do with the models whose weights are still there."""

    def ablate(
        self, model: str, *, progress: Progress | None = None, **options: Any
    ) -> AblationRows:
        """Intervene on neurons of a model, store the runs, and return what changed.

        `db.ablate("llama-3.2-3b", where="weakening freq>0.6", dataset="texts.jsonl", baseline=5)`
        is `neurondb ablate llama-3.2-3b --where "weakening freq>0.6" --dataset texts.jsonl
        --baseline 5`; what is stored already is not run again.

        Args:
            model: Its name in the database; its weights must be where they were read from.
            progress: What is told how far the work is; None shows bars on stderr.
            options: The options of the command by their names, with underscores: the neurons by
                one of `where`, `sql`, `neurons`, `class_` (and `draw`) or `set_`; `dataset` and
                the like; `mode`, `value`, `hook`, `condition`; `baseline`, `seed`, `device`,
                `executor`, `dtype`, `name`, `force`.

        Returns:
            A row for each run, metric and filter; baselines follow their run. Differences are
            clean − ablated. Its `changed_tokens` are the tokens that changed most.

        Raises:
            MissingExtraError: when the extra `ingest` is not installed.
            UsageError: when the options name no neurons or no texts, or make no sense together.
            NeuronDBError: when the model or the texts cannot be read.
        """
        request = make_ablation_request(model, self.location, options)
        report: AblationReport = run_job("ablate", request, progress)
        values = {f"run{place}": run for place, run in enumerate(report.run_ids)}
        runs = ", ".join(f":{name}" for name in values)
        found = self.sql(_ABLATIONS.format(runs=runs), **values)
        found.read_all()
        tokens = partial(self.sql, _CHANGED_TOKENS.format(runs=runs), **values)
        return AblationRows(found.stream(), found.sql, values, tokens)

    def concept(
        self,
        model: str,
        concept: str | Sequence[str],
        *,
        progress: Progress | None = None,
        **options: Any,
    ) -> Result:
        """Find the neurons that are a word or phrase, proven by cause, and store the runs.

        `db.concept("llama-3.1-8b", "Sherlock Holmes", random=200)` is `neurondb concept
        llama-3.1-8b "Sherlock Holmes" --random 200`; what is stored already is not run again.

        Args:
            model: Its name in the database; its weights must be where they were read from.
            concept: A word or phrase, or several.
            progress: What is told how far the work is; None shows bars on stderr.
            options: The options of the command by their names: `prompts` and `contexts`, each a
                sequence; `candidates`, `random`, `seed`; `hook`, `scale` or `from_` and `to`,
                `steps`, `sweeps`; `device`, `dtype`, `force`.

        Returns:
            A row for each neuron that was held, of `concept_neurons`: the candidates by rank, then
            the random neurons.

        Raises:
            MissingExtraError: when the extra `ingest` is not installed.
            UsageError: when a concept is empty or too long, or the options make no sense together.
            NeuronDBError: when the model cannot be read.
        """
        concepts = (concept,) if isinstance(concept, str) else tuple(concept)
        request = make_concept_request(model, self.location, concepts, options)
        report = answer_concepts(request, progress)
        values = {f"run{place}": run for place, run in enumerate(report.run_ids)}
        runs = ", ".join(f":{name}" for name in values)
        return self.sql(_CONCEPT_ROWS.format(runs=runs), **values)

    def compare(
        self, *models: str, force: bool = False, progress: Progress | None = None
    ) -> Result:
        """Compare two models neuron by neuron, or a series of models, and store what was found.

        `db.compare("llama-3.1-8b", "llama-3.1-8b-instruct")` is `neurondb compare` of both; with
        three or more it compares each with the one before it and with the first. What is stored
        already, and still holds, is not compared again.

        Args:
            models: Their names in the database, in the order of their making; their weights must be
                where they were read from.
            force: Whether to compare again what is stored.
            progress: What is told how far the work is; None shows bars on stderr.

        Returns:
            Of two models the rows of `compared_neurons`, those that moved most first; of a series
            those of `series_neurons`, a row for each neuron and step.

        Raises:
            MissingExtraError: when the extra `ingest` is not installed.
            UsageError: when fewer than two models are named, or one twice.
            NeuronDBError: when the models have not one shape, or their weights cannot be read.
        """
        statement, number = compare_models(self.location, models, progress, force=force)
        return self.sql(statement, number=number)

    def neighbours(self, model: str, *, progress: Progress | None = None, **options: Any) -> Result:
        """Find the neurons that resemble each other and those that feed each other; store them.

        `db.neighbours("llama-3.2-3b", top=8)` is `neurondb neighbours llama-3.2-3b --top 8`; what
        is stored already is not computed again. The views `neighbours` and `connections` have both.

        Args:
            model: Its name in the database; its weights must be where they were read from.
            progress: What is told how far the work is; None shows bars on stderr.
            options: `top`, `threshold`, `random`, `seed`, `memory`, `device`, `force`.

        Returns:
            A row for each stored connection, by writer.

        Raises:
            MissingExtraError: when the extra `ingest` is not installed.
            NeuronDBError: one line on what was wrong.
        """
        report = compute_neighbours(self.location, model, options, progress)
        return self.sql(CONNECTIONS, run=report.run_id)

    def prompt(self, model: str, text: str, **options: Any) -> PromptPage:
        """Return which neurons matter at the tokens of a text: what `neurondb prompt` shows.

        `db.prompt("llama-3.2-1b", "The Eiffel Tower is in", top=5, without="15.808,12.1")` loads
        the model and runs it. `pandas.DataFrame(page.positions[-1].neurons)` is a frame of them.

        Args:
            model: Its name in the database; its weights must be where they were read from.
            text: The prompt.
            options: The options of the command by their names, with underscores: `top`, `at` (last,
                all or a number), `by`, `target`, `where`, `with_gradient`, `without`,
                `without_set`, `store`, `chat`, `device`, `dtype`; and `progress`, what is told how
                far the work is.

        Raises:
            MissingExtraError: when the extra `ingest` is not installed.
            NeuronDBError: one line on what was wrong.
        """
        return explain_prompt(self.location, model, text, **options)

    def activations(
        self, model: str, neurons: Neurons, text: str, **options: Any
    ) -> tuple[ActivationsPage, ...]:
        """Return what neurons do at every token of a text: what `neurondb activations` shows.

        Args:
            model: Its name in the database; its weights must be where they were read from.
            neurons: `31.9634`, a list like `27.8000,26.1`, or a sequence of these or of pairs.
            text: The text.
            options: `chat`, `device`, `dtype` and `progress`.

        Returns:
            A page for each neuron, whose `tokens` have gate, in and post in canonical sign.

        Raises:
            MissingExtraError: when the extra `ingest` is not installed.
            NeuronDBError: one line on what was wrong.
        """
        return watch_neurons(self.location, model, neurons, text, **options)
