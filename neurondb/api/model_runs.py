"""What a running model can be asked of an open database: entropy, attribute rates, texts.

Each is a command with the same options; what it measures is stored, and returned as rows.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from neurondb.api.families import ROWS as FAMILY_ROWS
from neurondb.api.families import make_families_request
from neurondb.api.generations import answer_samples, answer_text
from neurondb.api.jobs import run_job
from neurondb.api.prompts import Neurons, parse_places
from neurondb.api.requests import TEXTS, TREATMENT, choose_neurons, make_texts_request
from neurondb.api.result import Result
from neurondb.contracts.attributes import AttributeRateRequest, AttributeRates
from neurondb.contracts.entropy import EntropyCurves, EntropyRequest
from neurondb.contracts.families import FamiliesReport
from neurondb.contracts.generate import (
    Clamp,
    GenerateRequest,
    Sample,
    SampleRequest,
    SampleShare,
    Sampling,
)
from neurondb.contracts.heads import HeadsRequest, HeadsResult, parse_pairs
from neurondb.contracts.inputs import Machine
from neurondb.contracts.progress import Progress
from neurondb.contracts.universality import (
    DEFAULT_MEMORY,
    DEFAULT_WINDOW,
    UniversalityReport,
    UniversalityRequest,
)
from neurondb.errors import DatabaseError
from neurondb.interventions import ZERO, Treatment
from neurondb.neurons import NeuronPlace

_ENTROPY: Final = """
    SELECT run_id, model, name, neuron_id, random, value, metric, clean, fixed, total, direct,
           through_norm
    FROM entropy_effects
    WHERE run_id = :run
    ORDER BY place, step, metric"""
_MATCHES: Final = """
    SELECT run_id, model, name, neuron_id, other_model, aligned_by, correlation, best_name,
           best_neuron_id, baseline, excess, lowest, lowest_name
    FROM neuron_universality
    WHERE run_id = :run
    ORDER BY neuron_id, place"""
_RATES: Final = """
    SELECT run_id, model, run, draw, layer, rate, n_prompts, answer_probability, definition, mode,
           hook, condition, value
    FROM attribute_rates
    WHERE run_id = :run
    ORDER BY CASE run WHEN 'clean' THEN 0 WHEN 'ablated' THEN 1 ELSE 2 END, draw, layer"""
_HEADS: Final = """
    SELECT model, name, neuron_id, head_layer, head, head_name, effect, score, standardised, rank,
           head_rank
    FROM neuron_heads
    WHERE model = (SELECT m.name FROM models m JOIN head_runs r ON r.model_id = m.model_id
                   WHERE r.run_id = :run)
    ORDER BY neuron_id, ABS(standardised) DESC"""
HEAD_COUNTS: Final = ("per_neuron", "per_head", "n_pairs")
_SAMPLING: Final = ("greedy", "temperature", "top_p", "seed")


class ModelRuns(ABC):
    """What a database asks of the models whose weights are still there, and stores."""

    location: str | None
    """What was opened, as it was given."""

    @abstractmethod
    def sql(self, statement: str, /, **parameters: Any) -> Result:
        """Ask in SQL, read-only."""

    def entropy(
        self,
        model: str,
        neurons: Neurons,
        *,
        values: Sequence[float] = (0, 1, 2, 3, 4, 5, 6),
        progress: Progress | None = None,
        **options: Any,
    ) -> Result:
        """Fix single neurons at values, beside random ones, and store what was measured.

        `db.entropy("gpt2-medium", "23.945", dataset="texts.jsonl", max_texts=100)` is `neurondb
        entropy gpt2-medium --neurons 23.945 --dataset texts.jsonl --max-texts 100`; what is stored
        already is not run again.

        Args:
            model: Its name in the database; its weights must be where they were read from.
            neurons: `23.945,22.2882`, or a sequence of these or of pairs.
            values: What hook_post is fixed at, in canonical sign.
            progress: What is told how far the work is; None shows bars on stderr.
            options: `dataset` and the like, `random`, `seed`, `device`, `executor`, `dtype`,
                `force`.

        Returns:
            A row of `entropy_effects` for each neuron, value and metric; the random ones follow.

        Raises:
            MissingExtraError: when the extra `ingest` is not installed.
            NeuronDBError: one line on what was wrong.
        """
        machine = ("device", "executor", "dtype")
        _refuse_unknown("entropy", options, (*TEXTS, "random", *machine, "force"))
        request = EntropyRequest(
            self._make_machine(model, options),
            parse_places(neurons),
            tuple(map(float, values)),
            make_texts_request(options),
            options.get("random", 20),
            options.get("seed", 0),
            force=bool(options.get("force")),
            executor=options.get("executor") or "local",
        )
        curves: EntropyCurves = run_job("entropy", request, progress)
        return self.sql(_ENTROPY, run=_require_stored(curves.run_id))

    def universality(
        self,
        model: str,
        others: str | Sequence[str],
        *,
        progress: Progress | None = None,
        **options: Any,
    ) -> Result:
        """Match a model's neurons with those of others that fire as they do, and store the matches.

        `db.universality("pythia-160m", ["pythia-410m"], dataset="texts.jsonl")` is `neurondb
        universality pythia-160m pythia-410m --dataset texts.jsonl`; what is stored already is not
        run again.

        Args:
            model: Its name in the database; its weights must be where they were read from.
            others: The names of the other models, or of one.
            progress: What is told how far the work is; None shows bars on stderr.
            options: `dataset` and the like; `layer_window`, layers beside the same depth, or
                None for all of them; `sign_cases`, to match neurons in each of these too;
                `memory` in GiB, `seed`, `device`, `dtype`, `force`.

        Returns:
            A row of `neuron_universality` for each neuron and other model.

        Raises:
            MissingExtraError: when the extra `ingest` is not installed.
            NeuronDBError: one line on what was wrong.
        """
        known = ("layer_window", "sign_cases", "memory", "device", "dtype", "force")
        _refuse_unknown("universality", options, (*TEXTS, *known))
        request = UniversalityRequest(
            self._make_machine(model, options),
            (others,) if isinstance(others, str) else tuple(others),
            make_texts_request(options),
            options.get("layer_window", DEFAULT_WINDOW),
            options.get("seed", 0),
            options.get("memory", DEFAULT_MEMORY),
            sign_cases=bool(options.get("sign_cases")),
            force=bool(options.get("force")),
        )
        report: UniversalityReport = run_job("universality", request, progress)
        return self.sql(_MATCHES, run=report.run_id)

    def heads(
        self, model: str, *, pairs: str = "", progress: Progress | None = None, **options: Any
    ) -> Result:
        """Find the neurons that turn attention heads on and off, and store them (METHODS §7).

        Args:
            model: Its name in the database; its weights must be where they were read from.
            pairs: `4.3594:5.0,7.12:9.3`, whose path is ablated on texts; none takes the strongest.
            progress: What is told how far the work is; None shows bars on stderr.
            options: `dataset` and the like, without which there are scores alone; `per_neuron`,
                `per_head`, `n_pairs`, `random`, `kept`, `seed`, `device`, `dtype`, `force`.

        Returns:
            A row of `neuron_heads` for each pair that is kept.

        Raises:
            MissingExtraError: when the extra `ingest` is not installed.
            NeuronDBError: one line on what was wrong.
        """
        counts = {name: options[name] for name in HEAD_COUNTS if name in options}
        texts = tuple(name for name in TEXTS if name != "skip_bos")  # second halves have no BOS
        others = ("random", "kept", "device", "dtype", "force")
        _refuse_unknown("heads", options, (*texts, *HEAD_COUNTS, *others))
        request = HeadsRequest(
            self._make_machine(model, options),
            make_texts_request(options) if options.get("dataset") is not None else None,
            parse_pairs(pairs) if pairs else (),
            n_random=options.get("random", 10_000),
            n_kept=options.get("kept", 200),
            seed=options.get("seed", 0),
            force=bool(options.get("force")),
            **counts,
        )
        result: HeadsResult = run_job("heads", request, progress)
        return self.sql(_HEADS, run=result.run_id)

    def families(self, model: str, *, progress: Progress | None = None, **options: Any) -> Result:
        """Find which test of tokens explains each neuron best, and store it.

        `db.families("llama-3.2-1b", dataset="texts.jsonl", max_tokens=1_000_000)` is `neurondb
        families llama-3.2-1b --dataset texts.jsonl --max-tokens 1000000`; what is stored already
        is not computed again.

        Args:
            model: Its name in the database; its weights must be where they were read from.
            progress: What is told how far the work is; None shows bars on stderr.
            options: The options of the command, by their names.

        Returns:
            The best test of each neuron over all tokens, the best explained neuron first; the view
            `families` has the others.

        Raises:
            MissingExtraError: when the extra `ingest` is not installed.
            NeuronDBError: one line on what was wrong.
        """
        request = make_families_request(model, self.location, options)
        report: FamiliesReport = run_job("families", request, progress)
        return self.sql(FAMILY_ROWS, run=report.run_id)

    def attribute_rate(
        self,
        model: str,
        prompts: str | Path,
        sets: str | Path,
        *,
        progress: Progress | None = None,
        **options: Any,
    ) -> Result:
        """Measure attribute rates by layer, clean and with neurons ablated, and store them.

        Args:
            model: Its name in the database; its weights must be where they were read from.
            prompts: File of prompts with their subjects.
            sets: File of subjects' attributes.
            progress: What is told how far the work is; None shows bars on stderr.
            options: The options of `neurondb attributes rate`: the neurons by one of `where`,
                `sql`, `neurons`, `class_` (and `draw`) or `set_`; `mode`, `condition`, `hook`,
                `value`; `baseline`, `seed`, `top_k`, `stop_words`, `pieces`, `max_prompts`,
                `device`, `dtype`, `force`.

        Returns:
            A row of `attribute_rates` for each run and layer.

        Raises:
            MissingExtraError: when the extra `ingest` is not installed.
            NeuronDBError: one line on what was wrong.
        """
        settings = ("baseline", "seed", "top_k", "pieces", "max_prompts", "force")
        selections = ("where", "sql", "neurons", "class_", "draw", "set_")
        others = (*selections, *TREATMENT, *settings, "stop_words", "device", "dtype")
        _refuse_unknown("attribute_rate", options, others)
        mode, *treatment = (options.get(name) for name in TREATMENT)
        selection = choose_neurons(options)
        words = options.get("stop_words")
        request = AttributeRateRequest(
            self._make_machine(model, options),
            Path(prompts),
            Path(sets),
            selection,
            ZERO if selection is None else Treatment.parse(mode or "zero", *treatment),
            stop_words=None if words is None else Path(words),
            **{name: options[name] for name in settings if options.get(name) is not None},
        )
        rates: AttributeRates = run_job("attributes", request, progress)
        return self.sql(_RATES, run=_require_stored(rates.run_id))

    def generate(
        self,
        model: str,
        prompt: str,
        *,
        clamps: Mapping[str, float] | None = None,
        **options: Any,
    ) -> tuple[Sample, ...]:
        """Continue a prompt with neurons held, store the texts, and return them.

        `db.generate("llama-3.1-8b", "I live in", clamps={"25.1442": 145}, sign="model")` is
        `neurondb generate llama-3.1-8b "I live in" --clamp 25.1442=145 --sign model`.

        Args:
            model: Its name in the database; its weights must be where they were read from.
            prompt: The text to go on with.
            clamps: Neuron → what it is held at.
            options: `sign`, `hook`, `chat`, `max_new_tokens`, `side_by_side`, `greedy`,
                `temperature`, `top_p`, `seed`, `device`, `dtype`, `force`.

        Returns:
            The text of each run, clean or steered.

        Raises:
            MissingExtraError: when the extra `ingest` is not installed.
            NeuronDBError: one line on what was wrong.
        """
        force = bool(options.pop("force", False))
        return answer_text(self._make_texts(model, prompt, clamps, options), force=force)

    def sample(
        self,
        model: str,
        prompt: str,
        n: int,
        *,
        clamps: Mapping[str, float] | None = None,
        count: Sequence[str] = (),
        progress: Progress | None = None,
        **options: Any,
    ) -> tuple[tuple[Sample, ...], list[SampleShare]]:
        """Continue a prompt n times, as the model is and with neurons held; store the texts.

        Args:
            model: Its name in the database; its weights must be where they were read from.
            prompt: The text to go on with.
            n: Samples of each run.
            clamps: Neuron → what it is held at.
            count: Texts whose share of the samples is told.
            progress: What is told how far the work is; None shows bars on stderr.
            options: As `generate` takes them, but `side_by_side` and `greedy`.

        Returns:
            The samples, and the shares with their 95% intervals.

        Raises:
            MissingExtraError: when the extra `ingest` is not installed.
            NeuronDBError: one line on what was wrong.
        """
        force = bool(options.pop("force", False))
        request = self._make_texts(model, prompt, clamps, options)
        asked = SampleRequest(request, n, tuple(dict.fromkeys(count)))
        return answer_samples(asked, progress, force=force)

    def _make_texts(
        self,
        model: str,
        prompt: str,
        clamps: Mapping[str, float] | None,
        options: Mapping[str, Any],
    ) -> GenerateRequest:
        settings = ("sign", "hook", "chat", "max_new_tokens", "side_by_side")
        _refuse_unknown("generate", options, (*settings, *_SAMPLING, "device", "dtype"))
        held = tuple(
            Clamp(_parse_one(name), float(value)) for name, value in (clamps or {}).items()
        )
        sampling = Sampling(**{name: options[name] for name in _SAMPLING if name in options})
        return GenerateRequest(
            self._make_machine(model, options),
            prompt,
            held,
            sampling=sampling,
            **{name: options[name] for name in settings if name in options},
        )

    def _make_machine(self, model: str, options: Mapping[str, Any]) -> Machine:
        device, dtype = (options.get(name) or "auto" for name in ("device", "dtype"))
        return Machine(model, self.location, device, dtype)


def _parse_one(name: str) -> NeuronPlace:
    (place,) = parse_places(name)
    return place


def _refuse_unknown(job: str, options: Mapping[str, Any], known: Sequence[str]) -> None:
    for name in options:
        if name not in known:
            raise TypeError(f"{job} has no option {name!r}; it has {', '.join(sorted(known))}")


def _require_stored(run_id: int | None) -> int:
    if run_id is None:
        raise DatabaseError("what was measured is not stored, as the database cannot be written")
    return run_id
