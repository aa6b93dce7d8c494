"""What programs said of neurons: how each explanation was made, how well it tells texts apart.

The text of an explanation is an annotation of the same neuron and source (`annotations`), so that
it is found and shown as all annotations are.
"""

from typing import Any

from sqlalchemy import Column, String, Table, Text

from neurondb.schema.columns import CLUSTERED, integer, key, metadata, real, word


def _answer() -> list[Column[Any]]:
    """Return what every answer of a program says of where it came from."""
    return [
        Column("command", Text, nullable=False, comment="the program and its arguments, as given"),
        real("seconds", "seconds that it took", nullable=False),
        word("tool_version", "version of neurondb"),
        word("created_at", "UTC, ISO 8601"),
    ]


explanations = Table(
    "explanations",
    metadata,
    key("neuron_id", "neurons.neuron_id", "neuron"),
    Column("source", String, primary_key=True, comment="who explained it, as in annotations"),
    word("evidence", "sha256 of the evidence that was given, as on standard input"),
    word("version", "version of the program, if it told one", nullable=True),
    *_answer(),
    **CLUSTERED,
)

explanation_scores = Table(
    "explanation_scores",
    metadata,
    key("neuron_id", "neurons.neuron_id", "neuron"),
    Column("source", String, primary_key=True, comment="who explained it, as in annotations"),
    Column("key", String, primary_key=True, comment="the annotation that was scored"),
    Column("sign_case", String, primary_key=True, comment="whose held-out examples are to be told"),
    Column("scorer", String, primary_key=True, comment="who told the texts apart"),
    word("texts", "sha256 of the explanation and the texts that were given"),
    word("version", "version of the program, if it told one", nullable=True),
    word("controls", "random: control texts; others: examples of other neurons of the layer"),
    integer("seed", "of the choice of texts, and of their order"),
    integer("true_positives", "held-out examples that were said to activate the neuron"),
    integer("false_positives", "controls that were said to"),
    integer("true_negatives", "controls that were said not to"),
    integer("false_negatives", "held-out examples that were said not to"),
    integer("unanswered", "texts of which nothing was said; they are in none of the four"),
    real("balanced_accuracy", "mean of the shares of examples and of controls told right"),
    real("precision", "true positives ÷ all said to activate it; NULL where none was"),
    real("recall", "true positives ÷ held-out examples; NULL where none was answered"),
    *_answer(),
    **CLUSTERED,
)

explanation_failures = Table(
    "explanation_failures",
    metadata,
    key("neuron_id", "neurons.neuron_id", "neuron"),
    Column("source", String, primary_key=True, comment="who was asked: the explainer or scorer"),
    Column("task", String, primary_key=True, comment="explain or score"),
    word("reason", "not started, failed, timeout, silent, too long, invalid or no texts"),
    Column("message", Text, nullable=False, comment="what was wrong, in a line"),
    *_answer(),
    **CLUSTERED,
)
