"""The sums of the weight analysis in C, for processors: compiled at first use."""

from ingest.weights.native.measuring import measure_natively
from ingest.weights.native.sums import prepare_library

__all__ = ["measure_natively", "prepare_library"]
