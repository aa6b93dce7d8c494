"""Prompts with a subject: read from a file, and cut at the subject's last token.

Fields as in the file of Geva et al. (2023) that Meng et al. published: `subject`, `prompt`, and
`attribute`, what follows the prompt, if it is known. Others are ignored.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingest.attributes.tables import read_objects
from ingest.text.chat import ChatTokenizer
from neurondb.errors import TextError
from neurondb.text_decoding import read_text


@dataclass(frozen=True)
class Prompt:
    """A sentence that breaks off, what it is about, and what would follow."""

    subject: str
    prompt: str
    attribute: str | None = None


def read_prompts(file: Path, max_prompts: int | None = None) -> list[Prompt]:
    """Return the prompts of a JSON, JSON-lines or tab-separated file, all or the first of them.

    Raises:
        TextError: when it cannot be read, lacks a field, or a subject is not in its prompt.
    """
    return [_prompt(file, number, row) for number, row in enumerate(read_objects(file), 1)][
        :max_prompts
    ]


def _prompt(file: Path, number: int, row: Any) -> Prompt:
    where = f"{file}, prompt {number}"
    subject, prompt, attribute = (row.get(name) for name in ("subject", "prompt", "attribute"))
    for name, value in (("subject", subject), ("prompt", prompt)):
        if not isinstance(value, str) or not value.strip():
            raise TextError(f"{where}: no {name!r}; each needs a subject and a prompt")
    if subject not in prompt:
        raise TextError(f"{where}: the subject {subject!r} is not in the prompt {prompt!r}")
    has_attribute = isinstance(attribute, str) and attribute.strip()
    return Prompt(subject, prompt, attribute.strip() if has_attribute else None)


def read_subjects(file: Path) -> dict[str, tuple[str, ...]]:
    """Return the subjects of a file of prompts, or of one with a name a line, each once.

    With each come its answers, `attribute` of the prompts on it, each once; none where no prompt
    says one.

    Raises:
        TextError: when it cannot be read or names none.
    """
    pairs: Iterable[tuple[Any, Any]]
    if file.suffix.lower() == ".txt":
        pairs = ((name, None) for name in read_text(file).split("\n"))
    else:
        pairs = ((row.get("subject"), row.get("attribute")) for row in read_objects(file))
    answers: dict[str, dict[str, None]] = {}
    for name, answer in pairs:
        if not isinstance(name, str) or not name.strip():
            continue
        of_subject = answers.setdefault(name.strip(), {})
        if isinstance(answer, str) and answer.strip():
            of_subject[answer.strip()] = None
    if not answers:
        raise TextError(f"{file}: no subject in it; give prompts, or a name a line in a .txt")
    return {subject: tuple(found) for subject, found in answers.items()}


def cut_at_subject(tokenizer: ChatTokenizer, prompt: Prompt) -> list[int]:
    """Return the prompt's token ids, the prefix token first, up to the subject's last one.

    That is the last token which stands for a character of the subject where it first occurs.
    """
    end = prompt.prompt.index(prompt.subject) + len(prompt.subject)
    ids, offsets = tokenizer.encode_with_offsets(prompt.prompt)
    last_token = max(i for i, (first, _) in enumerate(offsets) if first < end)
    prefix = [] if tokenizer.prefix_token_id is None else [tokenizer.prefix_token_id]
    return [*prefix, *ids[: last_token + 1]]


def find_first_answer_ids(
    tokenizer: ChatTokenizer, prompts: Iterable[Prompt]
) -> Iterator[int | None]:
    """Yield the first token of what follows each prompt, the space in front included."""
    for prompt in prompts:
        if prompt.attribute is None:
            yield None
            continue
        # Tokenised with the prompt: some tokenizers put a space in front of any text.
        before = tokenizer.encode_prompt(prompt.prompt)
        whole = tokenizer.encode_prompt(f"{prompt.prompt.rstrip()} {prompt.attribute}")
        yield whole[len(before)] if whole[: len(before)] == before else None
