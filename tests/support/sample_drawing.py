"""The chance that fills the sample database: one model's generators, and the rows drawn so far."""

import random
from typing import Any

from sqlalchemy import Table

from tests.support.sample_facts import NEURONS, VOCABULARY, Insertions, Row, Sample


class ModelDrawing:
    """One model's rows, drawn reproducibly, and the sample that remembers what they are."""

    def __init__(self, model_id: int, gated: bool, sample: Sample) -> None:
        self.model_id, self.gated, self.sample = model_id, gated, sample
        self.name = "sample-llama" if gated else "sample-gpt"
        self.first = (model_id - 1) * NEURONS
        self.draw = random.Random(model_id)
        self.effect = random.Random(f"effects {model_id}")
        self.more = random.Random(f"summaries {model_id}")  # leaves what `draw` gives as it was
        # The second model has the same texts under other ids, and one of its own.
        own = [*VOCABULARY] if gated else [*reversed(VOCABULARY), " only-gpt"]
        self.vocabulary = own
        self.rows: Insertions = {}

    def add(self, table: Table, **row: Any) -> Row:
        """Keep a row to be inserted, and return it."""
        self.rows.setdefault(table, []).append(row)
        return row

    def share(self) -> float:
        """Draw a frequency that others have too, so that equality is worth testing."""
        return round(self.draw.random(), 1)

    def cosine(self) -> float:
        """Draw a cosine of two digits."""
        return round(self.draw.uniform(-1, 1), 2)
