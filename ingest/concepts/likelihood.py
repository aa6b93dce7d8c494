"""The probability of a concept after prompts, with one neuron after the other held at values.

p(concept | prompt) is the sum over its spellings of the product over their tokens, teacher-forced.
Neurons × values × texts are rows of one batch that begins at the neurons' layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from ingest.forward import Batch, batch_tokens, make_batches
from ingest.forward.prefix_cache import CleanPass, PrefixCachedModel, repeat_texts
from ingest.interventions import Intervention, intervene
from ingest.interventions.running_model import RunningModel, make_targets
from neurondb.contracts.concept import Spelling
from neurondb.contracts.progress import Advance
from neurondb.errors import LackingModelError
from neurondb.interventions import Hook
from neurondb.neurons import NeuronPlace

MOST_LOGITS: Final = {"cpu": 1 << 25, "cuda": 1 << 28}
"""Logits that exist at a time."""


class Held(NamedTuple):
    """A neuron held at a value, in canonical sign, at every position."""

    place: NeuronPlace
    value: float


class Measured(NamedTuple):
    """What is measured after each prompt: of one pass, or of each setting.

    Attributes:
        concept: ln p(concept).
        others: the mean of ln p of other words, which tells the concept from all that is rare; NaN
            without any.
    """

    concept: Float[NDArray[np.float64], "*settings prompts"]
    others: Float[NDArray[np.float64], "*settings prompts"]


class _Reading(NamedTuple):
    """A token whose probability is read: in which text, behind which position, for which sum."""

    text: int
    position: int
    token_id: int
    prompt: int
    spelling: int


class ConceptLikelihood:
    """What measures ln p(concept) after prompts.

    Args:
        running: the model.
        prompts: the texts.
        spellings: of the concept; none begins with another.
        others: tokens that other words begin with.

    Raises:
        LackingModelError: when a prompt and the concept are longer than the model's context.
    """

    def __init__(
        self,
        running: RunningModel,
        prompts: Sequence[str],
        spellings: Sequence[Spelling],
        others: Sequence[int] = (),
    ) -> None:
        self._running = running
        self._cached_model = PrefixCachedModel(running.forward)
        self._shape = (len(prompts), len(spellings) + 1)
        self._others = list(dict.fromkeys(others))
        self._texts: list[NDArray[np.int64]] = []
        self._readings: list[_Reading] = []
        for prompt, text in enumerate(prompts):
            self._add_prompt(prompt, running.tokenizer.encode_prompt(text), spellings)

    def _add_prompt(self, prompt: int, ids: list[int], spellings: Sequence[Spelling]) -> None:
        """Add the texts that the probabilities after one prompt are read in."""
        starts = {one.token_ids[:-1] for one in spellings}
        whole = [
            start
            for start in sorted(starts)
            if not any(other != start and other[: len(start)] == start for other in starts)
        ]
        first = len(self._texts)
        self._texts += [np.array([*ids, *start], dtype=np.int64) for start in whole]
        self._check(max(map(len, self._texts)))
        for place, one in enumerate(spellings):
            start = one.token_ids[:-1]
            text = first + next(i for i, w in enumerate(whole) if w[: len(start)] == start)
            for step, token_id in enumerate(one.token_ids):
                position = len(ids) - 1 + step
                self._readings.append(_Reading(text, position, token_id, prompt, place))
        for token_id in self._others:
            self._readings.append(_Reading(first, len(ids) - 1, token_id, prompt, len(spellings)))

    def _check(self, n_tokens: int) -> None:
        if not self._running.fits(n_tokens):
            context = self._running.checkpoint.architecture.context
            raise LackingModelError(
                f"a prompt and the concept are {n_tokens} tokens, the context of "
                f"{self._running.stored.name} only {context}; shorten them"
            )

    @torch.inference_mode()
    def measure(
        self, settings: Sequence[Held], sign: dict[NeuronPlace, int], hook: Hook, advance: Advance
    ) -> tuple[Measured, Measured]:
        """Return what is measured after each prompt: as the model is, and under each setting.

        Args:
            settings: each on its own; neurons of one layer share passes.
            sign: canonical signs of the neurons.
            hook: what is held.
            advance: told of each setting that is done.

        Raises:
            ModelError: when memory is too small.
        """
        sums = np.zeros((len(settings) + 1, *self._shape))
        layers = sorted({one.place.layer for one in settings})
        forward = self._running.forward
        of_layer = {
            n: [i for i, one in enumerate(settings) if one.place.layer == n] for n in layers
        }
        for number, batch in enumerate(self._batches()):
            clean = self._cached_model.run_clean(batch, layers)
            found = self._read(batch, clean.stream.normed, 1)
            self._add(sums, [0], batch, found)
            for layer, rows in of_layer.items():
                for part in _cut(rows, batch_tokens(forward.device) // batch.token_ids.numel()):
                    held = [settings[i] for i in part]
                    found = self._run(clean, layer, held, sign, hook)
                    self._add(sums, [i + 1 for i in part], batch, found)
                    advance(len(part) if number == 0 else 0)
        total = np.logaddexp.reduce(sums[..., :-1], axis=2)
        others = sums[..., -1] / len(self._others) if self._others else sums[..., -1] * np.nan
        return Measured(total[0], others[0]), Measured(total[1:], others[1:])

    def _batches(self) -> Iterator[Batch]:
        device = self._running.forward.device
        for whole in make_batches(self._texts, device, batch_tokens(device)):
            yield from self._running.forward.split_batch(whole)

    def _run(
        self,
        clean: CleanPass,
        layer: int,
        held: Sequence[Held],
        sign: dict[NeuronPlace, int],
        hook: Hook,
    ) -> Float[Tensor, "settings readings"]:
        """Run copies of the batch, in each of which one neuron is held; the others stay, by NaN."""
        places = list(dict.fromkeys(one.place for one in held))
        values = torch.full((len(held), len(places)), torch.nan)
        for row, one in enumerate(held):
            values[row, places.index(one.place)] = one.value
        rows = values.repeat_interleave(len(clean.batch.lengths), 0)
        holding = Intervention(make_targets(self._running.stored, places, sign, rows), hook)
        with intervene(self._running.forward, holding):
            copies = repeat_texts(clean, layer, len(held))
            stream = self._cached_model.run_from(copies, layer)
        return self._read(clean.batch, stream.normed, len(held))

    def _of(self, batch: Batch) -> tuple[list[_Reading], Int[Tensor, " readings"]]:
        """Return the readings in a batch's texts, and which row of the batch each is in."""
        row_of = {int(text): row for row, text in enumerate(batch.ordinals)}
        here = [one for one in self._readings if one.text in row_of]
        return here, torch.tensor([row_of[one.text] for one in here], device=batch.lengths.device)

    def _read(
        self, batch: Batch, normed: Float[Tensor, "rows positions d_model"], copies: int
    ) -> Float[Tensor, "copies readings"]:
        """Return the ln p of each reading, of each copy of the batch."""
        here, rows = self._of(batch)
        device = normed.device
        places = torch.tensor([one.position for one in here], device=device)
        width = normed.shape[1]
        spots, which = torch.unique(rows * width + places, return_inverse=True)
        by_copy = normed.reshape(copies, -1, normed.shape[-1])[:, spots]
        tokens = torch.tensor([one.token_id for one in here], device=device)
        found = torch.empty(copies, len(here))
        limit = MOST_LOGITS.get(device.type, MOST_LOGITS["cpu"])
        d_vocab = self._running.checkpoint.architecture.d_vocab
        step = max(1, limit // (d_vocab * len(spots)))
        for start in range(0, copies, step):
            part = by_copy[start : start + step]
            logits = self._cached_model.logits(part.reshape(-1, part.shape[-1])).float()
            logits = logits.view(len(part), len(spots), -1)
            lowest = logits.logsumexp(-1)[:, which]
            found[start : start + step] = (logits[:, which, tokens] - lowest).cpu()
        return found

    def _add(
        self,
        sums: NDArray[np.float64],
        rows: Sequence[int],
        batch: Batch,
        found: Float[Tensor, "settings readings"],
    ) -> None:
        here, _ = self._of(batch)
        values = found.double().numpy()
        for column, one in enumerate(here):
            sums[rows, one.prompt, one.spelling] += values[:, column]


def _cut(rows: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    step = max(1, size)
    for start in range(0, len(rows), step):
        yield rows[start : start + step]
