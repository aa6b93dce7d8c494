"""What `attributes rate` and `attributes build` are asked for, and what they hand back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from neurondb.contracts.ablate import NeuronSetRecord
from neurondb.contracts.concept import RunOrigin, identify_request
from neurondb.contracts.inputs import Machine, NeuronSelection
from neurondb.interventions import ZERO, Treatment

if TYPE_CHECKING:  # a request need not wait for numpy
    import numpy as np
    from jaxtyping import Float, Int
    from numpy.typing import NDArray


@dataclass(frozen=True)
class AttributeRateRequest:
    """Everything that `neurondb attributes rate` is asked for (weakening-neurons App. D.3)."""

    machine: Machine
    prompts: Path
    """File of prompts with their subjects."""
    sets: Path
    """File of subjects' attributes."""
    selection: NeuronSelection | None = None
    """The neurons to ablate; None measures only the model as it is."""
    treatment: Treatment = ZERO
    baseline: int = 0
    """How many times to draw as many random neurons of the same layers."""
    seed: int = 0
    top_k: int = 50
    """Tokens looked at for each subject and layer."""
    stop_words: Path | None = None
    """File of words to leave out besides the built-in ones."""
    pieces: bool = True
    """Whether the tokens of which an attribute is made count as attributes."""
    max_prompts: int | None = None
    store: bool = True
    """Whether the run is stored, and answered from there where it is."""
    force: bool = False
    """Run again what is stored already, and replace it."""

    def identify(
        self,
        model_id: int,
        fingerprint: str,
        files: AttributeFiles,
        neuron_ids: Sequence[int],
        means_dataset_id: int | None,
    ) -> str:
        """Return the sha256 over all that is asked of a model.

        Files count by their contents, a selection by the neurons that it means now, and the mode
        mean by the dataset whose activations it takes.
        """
        names = ("baseline", "seed", "top_k", "pieces", "max_prompts")
        return identify_request(
            model_id,
            fingerprint,
            attributes_of=[file and file.fingerprint for file in files],
            neurons=list(neuron_ids),
            selection=None if self.selection is None else vars(self.selection),
            treatment=str(self.treatment),
            means=means_dataset_id,
            device=self.machine.device,
            dtype=self.machine.dtype,
            **{name: getattr(self, name) for name in names},
        )


class InputFile(NamedTuple):
    """A file that was read, by its name without a directory, and the sha256 of its contents."""

    name: str
    fingerprint: str


class AttributeFiles(NamedTuple):
    """The files that attribute rates are measured with."""

    prompts: InputFile
    sets: InputFile
    stop_words: InputFile | None


class RateCurve(NamedTuple):
    """Attribute rate by layer, of the model in one state.

    Attributes:
        run: One of clean, ablated and baseline.
        draw: The number of the baseline's draw, from 0; None for the other runs.
        rate: The mean over prompts of the share of kept top tokens that are attributes; NaN where
            no prompt has a token to keep.
        n_prompts: How many prompts have one.
        answer: The mean probability of the first token of each prompt's answer; None without
            answers.
    """

    run: str
    draw: int | None
    rate: Float[NDArray[np.float64], " layers"]
    n_prompts: Int[NDArray[np.int64], " layers"]
    answer: float | None


@dataclass(frozen=True)
class AttributeRates:
    """Attribute rates of a model as it is, with neurons ablated, and with random ones ablated."""

    top_k: int
    n_prompts: int
    n_subjects: int
    left_out: dict[str, int]
    """Why prompts of the file were left out → how many."""
    n_answers: int
    """How many prompts had their answer's probability measured."""
    definition: str | None
    n_ablated: int
    curves: tuple[RateCurve, ...]
    run_id: int | None = None
    """Under which they are stored; None where they are not."""
    is_new: bool = True
    """Whether they were measured now; False where they were stored already."""

    def of(self, run: str) -> tuple[RateCurve, ...]:
        """Return the curves of one kind of run."""
        return tuple(curve for curve in self.curves if curve.run == run)


@dataclass(frozen=True)
class AttributesRecord:
    """A run as it is stored."""

    origin: RunOrigin
    request: AttributeRateRequest
    files: AttributeFiles
    rates: AttributeRates
    neurons: tuple[NeuronSetRecord | None, ...]
    """The set that was ablated for each curve; None of the clean one."""
    means_dataset_id: int | None
    """The dataset whose activations gave the values of mode mean."""
    seconds: float


@dataclass(frozen=True)
class AttributeSetsRequest:
    """Everything that `neurondb attributes build` is asked for."""

    paragraphs: str
    """File, directory or hub id of paragraphs."""
    subjects: Path
    """File of subjects: prompts, or a name a line."""
    output: Path
    top_k: int = 100
    """The most paragraphs that a subject has."""
    mentioning: bool = False
    """Take only paragraphs that contain the subject's name."""
    stop_words: Path | None = None


class SubjectSet(NamedTuple):
    """What was found on a subject.

    Attributes:
        subject: Its name.
        n_paragraphs: Paragraphs that its attributes are of.
        n_mentioning: Those of them in which the whole name stands; others share words with it.
        n_attributes: Words in its set.
        found: Its answers, known from the prompts, all words of which are in the set.
        missed: Those of which a word is not.
    """

    subject: str
    n_paragraphs: int
    n_mentioning: int
    n_attributes: int
    found: tuple[str, ...]
    missed: tuple[str, ...]


class AttributeSetsReport(NamedTuple):
    """What `neurondb attributes build` wrote, and how good it is.

    Attributes:
        subjects: What was found on each subject.
        n_paragraphs: Paragraphs that were searched.
        chance: The share of the other subjects' sets that have an answer, in the mean over the
            answers, empty sets and their subjects left out: what sets that say nothing about their
            subjects would have. None without answers, or without another subject.
    """

    subjects: tuple[SubjectSet, ...]
    n_paragraphs: int
    chance: float | None
