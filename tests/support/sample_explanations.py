"""What the sample database holds of explanations: where they came from, how they were scored.

The texts themselves are annotations, of which the sample has none: tests add their own.
"""

from neurondb.schema import tables
from tests.support.sample_drawing import ModelDrawing
from tests.support.sample_facts import Row

EXPLAINED = (0, 70)
"""The neurons that a program explained, by their place in the model; the first was scored."""
SILENT = 71
"""And the one on which it said nothing."""
SOURCE, SCORER = "explain:<b>peak", "score:token"
COUNTS = {"true_positives": 3, "false_positives": 1, "true_negatives": 3, "false_negatives": 0}
"""Of a score of 7 texts, and one without an answer."""


def draw_explanations(model: ModelDrawing) -> None:
    """Add two explanations, a score of the first, and a failure."""
    origin: Row = {"command": "peak --top 1", "seconds": 0.5, "tool_version": "0"}
    origin |= {"created_at": "2026-01-05T06:07:08+00:00"}
    for at in EXPLAINED:
        key: Row = {"neuron_id": model.first + at, "source": SOURCE}
        model.add(tables.explanations, **key, evidence="e" * 64, version="1.5", **origin)
    scored: Row = {"neuron_id": model.first + EXPLAINED[0], "source": SOURCE, "scorer": SCORER}
    scored |= {"key": "explanation", "sign_case": "gate+_in+" if model.gated else "in+"}
    shares = {"balanced_accuracy": 0.875, "precision": 0.75, "recall": 1.0}
    more: Row = {"texts": "t" * 64, "version": None, "controls": "random", "seed": 3}
    model.add(
        tables.explanation_scores, **scored, **more, **COUNTS, unanswered=1, **shares, **origin
    )
    model.add(
        tables.explanation_failures,
        neuron_id=model.first + SILENT,
        source=SOURCE,
        task="explain",
        reason="silent",
        message="it printed nothing",
        **origin,
    )
