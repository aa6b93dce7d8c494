"""Properties of tokens, and what neurons do to tokens that have them (universal-neurons Fig. 5)."""

from sqlalchemy import Column, Double, Index, Integer, Table, Text

from neurondb.schema.columns import CLUSTERED, identity, integer, key, metadata, real, word

properties = Table(
    "properties",
    metadata,
    identity("property_id", "property, of the tokens of any model"),
    word("name", "name: starts with space, is a year", unique=True),
    Column("description", Text, nullable=False, comment="which tokens have it"),
)

token_property_rows = Table(
    "token_property_rows",
    metadata,
    key("model_id", "models.model_id", "model"),
    key("property_id", "properties.property_id", "property"),
    Column(
        "token_id",
        Integer,
        primary_key=True,
        autoincrement=False,
        comment="token of the model that has it",
    ),
    **CLUSTERED,
)

property_effects = Table(
    "property_effects",
    metadata,
    key("neuron_id", "neurons.neuron_id", "neuron; its effect on a token is cos(U_token, out)"),
    key("property_id", "properties.property_id", "property"),
    real(
        "effect",
        "(inside_mean − outside_mean) ÷ standard deviation of the neuron's effects on all tokens",
        nullable=False,
    ),
    real("inside_mean", "mean effect on the tokens that have the property", nullable=False),
    real("outside_mean", "mean effect on all other tokens", nullable=False),
    Index(None, "property_id", "effect"),
    **CLUSTERED,
)

logit_effect_rows = Table(
    "logit_effect_rows",
    metadata,
    key("neuron_id", "neurons.neuron_id", "neuron; its effect on a token is cos(U_token, out)"),
    key("property_id", "properties.property_id", "property that sets its effects apart the most"),
    Column(
        "low",
        Double,
        primary_key=True,
        autoincrement=False,
        comment="lower edge of a bin of effects, which it belongs to",
    ),
    real("high", "upper edge, which belongs to the next bin", nullable=False),
    integer("n", "tokens whose effect is in the bin; bins without any are left out"),
    integer("n_inside", "those of them that have the property"),
    **CLUSTERED,
)
"""Histograms of the neurons whose effects on the vocabulary say something: those with a role
(METHODS §4) and those that act on some property the most, of every layer."""
