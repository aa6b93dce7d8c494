"""What all tables are made of: their metadata, and the kinds of columns they have.

Every column documents itself (`comment=`). Real numbers are stored as float64; those that are
computed in float32 are listed here, as they have 24 significant bits whatever holds them.
"""

from typing import Any, Final

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Computed,
    Double,
    ForeignKey,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
)

from neurondb.schema import places
from neurondb.schema.codes import QUANTITY_COLUMNS

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

CLUSTERED: Final[dict[str, Any]] = {"sqlite_with_rowid": False}
"""Large tables are clustered on their key; PostgreSQL knows no such thing."""

FLOAT32_BY_TABLE: Final = {
    "neurons": ("gate_norm", "in_norm", "out_norm", "gate_bias", "in_bias"),
    "cosines": ("gate_in", "gate_out", "in_out"),
    "tokens": ("unembed_norm", "embed_norm"),
    "top_tokens": ("cosine",),
    "examples": ("value",),
    "control_example_rows": ("value",),
    "sign_case_rows": tuple(
        f"{quantity}_{extreme}" for quantity in QUANTITY_COLUMNS for extreme in ("min", "max")
    ),
}
"""Table or view → its columns that are float32 (METHODS §2), read back as float64. A cosine that
decided between equals is float64 (docs/architecture.md, Ties)."""

FLOAT32_COLUMNS: Final = frozenset(name for names in FLOAT32_BY_TABLE.values() for name in names)
"""The names of these columns, which views and named queries keep."""


def identity(name: str, comment: str) -> Column[int]:
    """Return an integer primary key of its own."""
    return Column(name, Integer, primary_key=True, comment=comment)


def key(name: str, target: str, comment: str) -> Column[int]:
    """Return a part of the primary key that refers to another table."""
    return Column(name, ForeignKey(target), primary_key=True, comment=comment)


def code(name: str, target: str, comment: str) -> Column[int]:
    """Return a part of the primary key that stands for a word."""
    return Column(name, SmallInteger, ForeignKey(target), primary_key=True, comment=comment)


def reference(name: str, target: str, comment: str, *, nullable: bool = False) -> Column[int]:
    """Return a reference to another table."""
    return Column(name, ForeignKey(target), nullable=nullable, comment=comment)


def real(name: str, comment: str, *, nullable: bool = True) -> Column[float]:
    """Return a real number."""
    return Column(name, Double, nullable=nullable, comment=comment)


COSINE_BITS: Final = 31
VALUE_BITS: Final = 28
"""Powers of two that float32 numbers of the largest tables are multiplied by. SQLite keeps a real
that is an integer in as few bytes as the integer needs: four instead of eight for float32 cosines
from 2⁻⁸ to 1, and for values from 2⁻⁵ to 8. Beyond 8 six are needed; all others take eight, as they
do unscaled. A power of two changes the exponent alone: every number is read back to the bit."""


def scaled(name: str, bits: int, comment: str) -> Column[float]:
    """Return a real number that is stored 2^bits times as large, in a column `scaled_NAME`."""
    comment = f"2^{bits} times {comment}"
    return Column(f"scaled_{name}", Double, nullable=False, comment=comment, info={"bits": bits})


def unscale(column: Column[float]) -> ColumnElement[float]:
    """Return the expression that reads the number from a scaled column, labelled with its name."""
    number: ColumnElement[float] = column * 2.0 ** -column.info["bits"]
    return number.label(column.name.removeprefix("scaled_"))


def write_unscaled(name: str, bits: int) -> str:
    """Return the SQL that reads a number from the scaled column of the rows `r`."""
    return f"r.scaled_{name} / {2.0**bits}"


def place(target: str, n_lists: int, comment: str) -> list[Column[int]]:
    """Return a part of the primary key that is a list and a rank in one, and both beside it.

    In SQLite it takes a byte, where two columns take two and one more to say how long they are;
    `list_id` and `rank` are computed when they are read.

    Args:
        target: column with the codes of the lists.
        n_lists: how many lists there are.
        comment: what a rank is.
    """
    packed = f"list and rank in one (neurondb.schema.places, {n_lists} lists)"
    return [
        Column(
            "place",
            Integer,
            primary_key=True,
            autoincrement=False,
            comment=packed,
            info={"n_lists": n_lists},
        ),
        Column(
            "list_id",
            SmallInteger,
            Computed(places.write_list(n_lists)),
            ForeignKey(target),
            nullable=False,
            comment="code of the list, computed from place",
        ),
        Column(
            "rank",
            SmallInteger,
            Computed(places.write_rank(n_lists)),
            nullable=False,
            comment=f"{comment}; computed from place",
        ),
    ]


def list_stored(table: Table) -> list[Column[Any]]:
    """Return the columns that rows are written with: all but those that the database computes."""
    return [column for column in table.columns if column.computed is None]


def find_place(table: Table) -> Column[Any] | None:
    """Return the column that list and rank of a table's rows are computed from, if one is."""
    return next((column for column in table.columns if "n_lists" in column.info), None)


def integer(name: str, comment: str, *, nullable: bool = False) -> Column[int]:
    """Return an integer."""
    return Column(name, Integer, nullable=nullable, comment=comment)


def word(name: str, comment: str, *, nullable: bool = False, **options: Any) -> Column[str]:
    """Return a short text."""
    return Column(name, String, nullable=nullable, comment=comment, **options)


def flag(name: str, comment: str, *, nullable: bool = True) -> Column[bool]:
    """Return a truth value."""
    return Column(name, Boolean, nullable=nullable, comment=comment)


def number(name: str, comment: str) -> Column[int]:
    """Return a part of the primary key that counts from 0."""
    return Column(name, Integer, primary_key=True, autoincrement=False, comment=comment)


def provenance() -> list[Column[str]]:
    """Return what every run that is stored once says of where it came from."""
    return [
        word("request", "sha256 over all that was asked for: the same is stored once", unique=True),
        word("dtype", "dtype of the forward pass"),
        word("device", "device"),
        word("tool_version", "version of neurondb"),
        word("torch_version", "version of torch"),
        word("fingerprint", "fingerprint of the model's weights"),
        word("created_at", "UTC, ISO 8601"),
    ]


def moments(quantity: str, values: str) -> list[Column[float]]:
    """Return the four moments of a quantity, as four columns."""
    return [
        real(f"{quantity}_mean", f"mean of {values}"),
        real(f"{quantity}_variance", f"population variance of {values}"),
        real(f"{quantity}_skewness", f"skewness of {values}"),
        real(f"{quantity}_kurtosis", f"Pearson kurtosis of {values} (a Gaussian has 3)"),
    ]
