"""What a neuron does to classes of tokens: years, names, suffixes (universal-neurons Fig. 5)."""

from dataclasses import dataclass

from sqlalchemy import Connection, select

from neurondb.schema import tables


@dataclass(frozen=True)
class PropertyEffect:
    """How a neuron's `out` acts on the tokens that have a property, against all others.

    Attributes:
        property: name of the property, such as `is a year`.
        effect: difference of the means in standard deviations over the vocabulary; above zero the
            tokens are promoted.
        inside_mean: mean cos(U, out) of the tokens that have it.
        outside_mean: of all others.
    """

    property: str
    description: str
    effect: float
    inside_mean: float
    outside_mean: float


def property_effects(connection: Connection, neuron_id: int) -> tuple[PropertyEffect, ...]:
    """Return what a neuron does to every property, the most promoted one first."""
    e, p = tables.property_effects.c, tables.properties.c
    rows = connection.execute(
        select(p.name, p.description, e.effect, e.inside_mean, e.outside_mean)
        .join_from(tables.property_effects, tables.properties, p.property_id == e.property_id)
        .where(e.neuron_id == neuron_id)
        .order_by(e.effect.desc(), p.name)
    )
    return tuple(PropertyEffect(*row) for row in rows)


@dataclass(frozen=True)
class TokenProperty:
    """A property that a token has."""

    name: str
    description: str


def properties_of_token(
    connection: Connection, model_id: int, token_id: int
) -> tuple[TokenProperty, ...]:
    """Return the properties of a token, by name."""
    r, p = tables.token_property_rows.c, tables.properties.c
    has_it = (r.model_id == model_id) & (r.property_id == p.property_id) & (r.token_id == token_id)
    rows = connection.execute(
        # From the few properties to the clustered key; there is no index by token.
        select(p.name, p.description)
        .where(select(r.token_id).where(has_it).exists())
        .order_by(p.name)
    )
    return tuple(TokenProperty(*row) for row in rows)
