"""The bundled model's own world as inputs: prompts, subjects' attributes, paragraphs.

Its facts are known to the last (`tools.tinyworld.relations`), so that what an ablation does to
attributes can be seen where nothing has to be downloaded.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Final

from ingest.attributes.sets import write_sets, write_whole
from ingest.bundled.tinyworld import join_texts, read_facts, read_training_texts

N_PARAGRAPHS: Final = 2_000
PROMPTS, SETS, PARAGRAPHS = "prompts.json", "sets.json", "paragraphs.txt"


def run(directory: Path) -> tuple[Path, Path, Path]:
    """Write prompts, attribute sets and paragraphs of the bundled world; return their files.

    Raises:
        NeuronDBError: when they cannot be written.
    """
    prompts, sets, paragraphs = (directory / name for name in (PROMPTS, SETS, PARAGRAPHS))
    prompt_rows = [
        {
            "subject": fact.subject,
            "attribute": fact.answer,
            "prompt": fact.prompt,
            "relation_id": fact.relation,
        }
        for fact in read_facts()
        # Where an article has changed with the subject, or a capital, it may stand otherwise.
        if fact.subject in fact.prompt
    ]
    write_whole(prompts, json.dumps(prompt_rows, indent=1) + "\n")
    write_sets(collect_world_sets(), sets)
    write_whole(paragraphs, join_texts(read_training_texts(N_PARAGRAPHS)))
    return prompts, sets, paragraphs


def collect_world_sets() -> dict[str, set[str]]:
    """Return the words of the facts about each subject: its attribute set."""
    sets: dict[str, set[str]] = defaultdict(set)
    for fact in read_facts():
        sets[fact.subject].update(fact.answer.split())
    return dict(sets)
