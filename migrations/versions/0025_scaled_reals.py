"""Cosines of token lists and values of examples take half the bytes in SQLite: scaled reals.

A real that is an integer takes as few bytes as the integer needs. Multiplied by a power of two,
float32 numbers are integers of four bytes (`neurondb.schema.columns`); the views divide again, and
no bit of any number changes. Rows are changed where they stand, in the transaction of the upgrade;
`neurondb upgrade` and `neurondb check --repair` then give back the room.
"""

from typing import NamedTuple

from alembic import op


revision = '0025'
down_revision = "0024"
branch_labels = None
depends_on = None


class Scaling(NamedTuple):
    """A column that is renamed and multiplied."""

    table: str
    name: str
    bits: int
    comment: str
    former_comment: str


SCALINGS = (
    Scaling('top_token_rows', 'cosine', 31, '2^31 times cos(vector, row of the basis)',
            'cos(vector, row of the basis)'),
    Scaling('example_rows', 'value', 28,
            "2^28 times the signed value there; in and post × the neuron's sign (METHODS §1)",
            "signed value there; in and post × the neuron's sign (METHODS §1)"),
)


def upgrade() -> None:
    for table, name, bits, comment, _ in SCALINGS:
        _multiply(table, name, 2.0**bits)
        _rename(table, name, f'scaled_{name}', comment)


def downgrade() -> None:
    for table, name, bits, _, comment in SCALINGS:
        _rename(table, f'scaled_{name}', name, comment)
        _multiply(table, name, 2.0**-bits)


def _multiply(table: str, name: str, factor: float) -> None:
    if op.get_bind().dialect.name == 'postgresql':  # an UPDATE would leave the former rows behind
        op.execute(f'ALTER TABLE {table} ALTER COLUMN {name} TYPE DOUBLE PRECISION'
                   f' USING {name} * CAST({factor!r} AS DOUBLE PRECISION)')
    else:
        op.execute(f'UPDATE {table} SET {name} = {name} * {factor!r}')


def _rename(table: str, name: str, new_name: str, comment: str) -> None:
    op.execute(f'ALTER TABLE {table} RENAME COLUMN {name} TO {new_name}')
    if op.get_bind().dialect.name == 'postgresql':
        op.alter_column(table, new_name, comment=comment)
