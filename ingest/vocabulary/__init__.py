"""Vocabulary projections: what tokens a neuron reads and writes (METHODS §4).

Everything is done on tiles of neurons × tokens, so memory is bounded whatever the vocabulary.
Sources: weakening-neurons App. E, F; universal-neurons §5.1; specialised-feature-neurons §2.
"""

from ingest.vocabulary.candidates import Candidates
from ingest.vocabulary.lm_head import LmHead, find_lm_head_tokens
from ingest.vocabulary.products import Operand, Precision, multiply_tiles
from ingest.vocabulary.projector import Projector, normalise_rows
from ingest.vocabulary.tie_breaking import break_ties

__all__ = [
    "Candidates",
    "LmHead",
    "Operand",
    "Precision",
    "Projector",
    "break_ties",
    "find_lm_head_tokens",
    "multiply_tiles",
    "normalise_rows",
]
