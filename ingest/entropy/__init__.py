"""Entropy neurons: which they may be, and what fixing their activation does (METHODS §4, §6).

universal-neurons §5.2, Figure 7: they write a lot where the unembedding sees next to nothing, so
that they act through the final norm's scale.
"""

from ingest.entropy.job import run

__all__ = ["run"]
