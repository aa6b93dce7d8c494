"""What attribute rates are measured on: prompts cut at their subjects, and sets as tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ingest.attributes.prompts import Prompt, cut_at_subject, find_first_answer_ids
from ingest.attributes.sets import AttributeSets, list_attribute_tokens
from ingest.interventions.running_model import RunningModel
from neurondb.errors import LackingModelError, TextError

NO_SET = "subject without attributes"


@dataclass
class AttributeInputs:
    """Prompts as a model reads them.

    Attributes:
        prompts: those that are used.
        left_out: reason → how many prompts are left out for it.
        cuts: token ids up to the subject's last token, each once.
        subjects: the subject of each cut.
        weights: how many prompts begin with each cut.
        attributes: subject → the words that count as its attributes.
        whole: token ids of the prompts that have an answer.
        answers: the first token of each answer.
    """

    prompts: list[Prompt] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    cuts: list[NDArray[np.int64]] = field(default_factory=list)
    subjects: list[str] = field(default_factory=list)
    weights: list[int] = field(default_factory=list)
    attributes: dict[str, frozenset[str]] = field(default_factory=dict)
    whole: list[NDArray[np.int64]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)


def read_inputs(
    running: RunningModel,
    prompts: Sequence[Prompt],
    sets: AttributeSets,
    stop_words: frozenset[str],
    *,
    pieces: bool,
) -> AttributeInputs:
    """Return what a model is run on, for prompts whose subjects have attributes.

    Args:
        running: the model.
        prompts: the prompts.
        sets: attributes of subjects.
        stop_words: words that never count.
        pieces: whether the tokens that an attribute is made of count too.

    Raises:
        TextError: when no subject has attributes that count.
        LackingModelError: when a prompt is longer than the model's context.
    """
    inputs = AttributeInputs()
    subword_tokenizer = running.tokenizer if pieces else None
    for subject in {prompt.subject for prompt in prompts} & set(sets):
        words = list_attribute_tokens(sets[subject], stop_words, subword_tokenizer)
        if words:
            inputs.attributes[subject] = words
    for prompt in prompts:
        if prompt.subject in inputs.attributes:
            inputs.prompts.append(prompt)
        else:
            inputs.left_out[NO_SET] += 1
    if not inputs.prompts:
        raise TextError("no subject of the prompts has attributes that count; are these its sets?")
    _cut(running, inputs)
    _answer(running, inputs)
    return inputs


def _cut(running: RunningModel, inputs: AttributeInputs) -> None:
    places: dict[tuple[str, tuple[int, ...]], int] = {}
    for prompt in inputs.prompts:
        ids = tuple(cut_at_subject(running.tokenizer, prompt))
        key = (prompt.subject, ids)
        if key not in places:
            places[key] = len(inputs.cuts)
            inputs.cuts.append(np.array(ids, dtype=np.int64))
            inputs.subjects.append(prompt.subject)
            inputs.weights.append(0)
        inputs.weights[places[key]] += 1


def _answer(running: RunningModel, inputs: AttributeInputs) -> None:
    answers = find_first_answer_ids(running.tokenizer, inputs.prompts)
    for prompt, answer in zip(inputs.prompts, answers, strict=True):
        ids = running.tokenizer.encode_prompt(prompt.prompt)
        if not running.fits(len(ids)):
            raise LackingModelError(
                f"the prompt on {prompt.subject!r} is {len(ids)} tokens, the context of "
                f"{running.stored.name} only {running.checkpoint.architecture.context}"
            )
        if answer is not None:
            inputs.whole.append(np.array(ids, dtype=np.int64))
            inputs.answers.append(answer)
