"""Neurons of one model that were chosen: their vectors, and hooks that set them in a script."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final

from neurondb.api.jobs import run_job
from neurondb.contracts.registry import load_job
from neurondb.contracts.vectors import HooksRequest, NeuronVectors, VectorsRequest
from neurondb.extras import name_missing_extras
from neurondb.find.neuron_sets import Ids, NeuronSet
from neurondb.interventions import Treatment
from neurondb.reading.models import Model

if TYPE_CHECKING:
    from neurondb.api.database import Database

_SHOWN: Final = 8
"""Names that a group shows of itself."""


class NeuronGroup:
    """Neurons of one model, to read their weights or to intervene on them in a script.

    >>> group = db.select("sample-llama", where="weakening layer=0")
    >>> group
    <neurondb.NeuronGroup of sample-llama: 2 neurons, 0.10, 0.52>
    >>> len(group), list(group)
    (2, ['0.10', '0.52'])
    """

    def __init__(self, database: "Database", model: Model, chosen: NeuronSet) -> None:
        self.model: Final = model
        """The stored model."""
        self.definition: Final = chosen.definition
        """The expression, query or list that the group was made of."""
        self.neuron_ids: Final[Ids] = chosen.neuron_ids
        """Their ids in every table, ascending."""
        self._location = database.location

    def __len__(self) -> int:
        return len(self.neuron_ids)

    def __iter__(self) -> Iterator[str]:
        """Go through the neurons' names."""
        return (self.model.name_neuron(int(neuron_id)) for neuron_id in self.neuron_ids)

    def __repr__(self) -> str:
        names = [name for name, _ in zip(self, range(_SHOWN), strict=False)]
        ellipsis = ["…"] if len(self) > _SHOWN else []
        count = f"{len(self):,} neuron{'s' * (len(self) != 1)}"
        return (
            f"<neurondb.NeuronGroup of {self.model.name}: {', '.join([count, *names, *ellipsis])}>"
        )

    def read_vectors(self, *, preprocessed: bool = False) -> NeuronVectors:
        """Return the neurons' weight vectors, a row each, from the model's checkpoint.

        Args:
            preprocessed: Whether norms are folded in and signs are canonical, as for every number
                of the database; else they are as the checkpoint has them.

        Raises:
            MissingExtraError: when the extra `ingest` is not installed.
            NeuronDBError: when the checkpoint is not where it was, or is another one.
        """
        request = VectorsRequest(self.model.name, self.neuron_ids, self._location, preprocessed)
        vectors: NeuronVectors = run_job("vectors", request)
        return vectors

    def hook_for(
        self, model: Any, *, check: bool = True, dataset: str | None = None, **treatment: Any
    ) -> AbstractContextManager[None]:
        """Return a context in which the neurons are set in every run of a model of yours.

        `with group.hook_for(model): model(**inputs)` runs it without them; `mode="mean"`,
        `mode="fix", value=2.0` and `condition="gate-_post+"` are those of `Database.ablate`.
        Values are in canonical sign.

        Args:
            model: The model as transformers made it; what nnsight's `TransformersModel` or
                TransformerLens' bridge wrap around one is looked into.
            check: Whether it must have the weights that the database was made of. Without it, only
                its shape must fit: for a fine-tuned one, say.
            dataset: The dataset whose means are set; None is the one that is shown.
            treatment: `mode`, `condition`, `hook` and `value`.

        Raises:
            MissingExtraError: when the extra `ingest` is not installed.
            UsageError: when the treatment makes no sense, or `model` is no such model, or its
                weights are not loaded yet.
            NeuronDBError: on entering, when it is another model.
        """
        request = self._make_request(treatment, dataset, check=check)
        with name_missing_extras():
            context: AbstractContextManager[None] = load_job("hook-module")(request, model)
        return context

    def make_lens_hooks(
        self, *, dataset: str | None = None, **treatment: Any
    ) -> list[tuple[str, Callable[..., Any]]]:
        """Return the same for TransformerLens: `model.run_with_hooks(tokens, fwd_hooks=hooks)`.

        Arguments and errors are those of `hook_for`. They fit models whose hook points show what
        the checkpoint computes, as `TransformerBridge` does; of weights that were processed on
        loading, hook_pre and hook_post are the same.
        """
        request = self._make_request(treatment, dataset, check=False)
        with name_missing_extras():
            hooks: list[tuple[str, Callable[..., Any]]] = load_job("lens-hooks")(request)
        return hooks

    def _make_request(
        self, treatment: dict[str, Any], dataset: str | None, *, check: bool
    ) -> HooksRequest:
        known = ("mode", "condition", "hook", "value")
        for name in treatment:
            if name not in known:
                raise TypeError(f"no option {name!r}; there is {', '.join(known)}")
        mode, *others = (treatment.get(name) for name in known)
        parsed = Treatment.parse(mode or "zero", *others)
        parsed.check(gated=self.model.gated)
        return HooksRequest(
            self.model.name, self.neuron_ids, parsed, self._location, dataset, check
        )
