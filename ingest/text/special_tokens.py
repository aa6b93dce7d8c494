"""Which tokens a model directory calls BOS and EOS, and in which of its files."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from neurondb.errors import CheckpointError, TextError
from neurondb.text_decoding import read_text

ROLES: Final = ("bos_token", "eos_token")
"""In the order in which they are put in front of a text (METHODS §5)."""


def read_special_tokens(directory: Path) -> dict[str, str]:
    """Return the tokens that the tokenizer's files name, by role; CheckpointError for no JSON."""
    special: dict[str, str] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        special |= _tokens_of(_json(directory / name))
    return special


def read_configured_ids(directory: Path) -> dict[str, list[int]]:
    """Return the token ids that config.json names, by role.

    A model of several kinds has those of its language model in a section. A role has several ids
    where texts end at any of several tokens. generation_config.json is about when to stop, not
    about how texts begin, and is not asked.
    """
    config = _json(directory / "config.json")
    sections = [
        section for section in (config.get("text_config"), config) if isinstance(section, Mapping)
    ]
    return {
        role: [i for section in sections for i in _ids(section.get(f"{role}_id"))] for role in ROLES
    }


def _ids(value: object) -> list[int]:
    listed = value if isinstance(value, list) else [value]
    return [
        token_id
        for token_id in listed
        if isinstance(token_id, int) and not isinstance(token_id, bool)
    ]


def _json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_text(file)) if file.is_file() else {}
    except TextError as error:
        raise CheckpointError(str(error)) from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{file}: not JSON ({error})") from error
    return content if isinstance(content, dict) else {}


def _tokens_of(entries: dict[str, Any]) -> dict[str, str]:
    named = {role: entries.get(role) for role in ROLES}
    contents = {k: v.get("content") if isinstance(v, dict) else v for k, v in named.items()}
    return {k: v for k, v in contents.items() if isinstance(v, str)}
