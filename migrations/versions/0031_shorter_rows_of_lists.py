"""Rows of token lists and of examples take fewer bytes in SQLite.

The key of a token list has the token in place of its rank: the index by token, which has the key's
columns beside its own, then has no rank. Examples have list and rank in one column, `place`, from
which the database computes both when they are asked for (`neurondb.schema.places`). No number
changes. Rows are copied into new tables in the order of the new key, in the transaction of the
upgrade; `neurondb upgrade` and `neurondb check --repair` then give back the room.
"""

from collections.abc import Callable

from alembic import op
import sqlalchemy as sa


revision = '0031'
down_revision = "0030"
branch_labels = None
depends_on = None

N_LISTS = 24
"""Lists of examples: four quantities in six sign cases."""

RANKS = 16
"""Ranks of a list that stand side by side, before those of all lists beyond them."""

PLACE = (f'CASE WHEN "rank" < {RANKS} THEN list_id * {RANKS} + "rank"'
         f' ELSE "rank" * {N_LISTS} + list_id END - 128')
TOKEN_KEY = ('neuron_id', 'list_id', 'token_id')
FORMER_TOKEN_KEY = ('neuron_id', 'list_id', '"rank"')
TOKEN_COLUMNS = ('neuron_id', 'list_id', '"rank"', 'token_id', 'scaled_cosine')
EXAMPLE_COLUMNS = ('text_id', 'position', 'scaled_value')


def upgrade() -> None:
    _change_token_key(TOKEN_KEY, 'token; a list has it once')
    columns = ('neuron_id', 'dataset_id', 'place', *EXAMPLE_COLUMNS)
    values = ('neuron_id', 'dataset_id', PLACE, *EXAMPLE_COLUMNS)
    _remake('example_rows', _create_examples, columns, values, 3)


def downgrade() -> None:
    _change_token_key(FORMER_TOKEN_KEY, 'token')
    columns = ('neuron_id', 'dataset_id', 'list_id', '"rank"', *EXAMPLE_COLUMNS)
    _remake('example_rows', _create_former_examples, columns, columns, 4)


def _is_postgresql() -> bool:
    return op.get_bind().dialect.name == 'postgresql'


def _change_token_key(key: tuple[str, ...], comment: str) -> None:
    name = 'top_token_rows'
    if _is_postgresql():
        op.execute(f'ALTER TABLE {name} DROP CONSTRAINT pk_{name}')
        op.execute(f'ALTER TABLE {name} ADD CONSTRAINT pk_{name} PRIMARY KEY ({", ".join(key)})')
        op.alter_column(name, 'token_id', comment=comment)
        return
    indexes = sa.inspect(op.get_bind()).get_indexes(name)
    columns = (*key, *(column for column in TOKEN_COLUMNS if column not in key))
    _remake(name, lambda: _create_tokens(key), columns, columns, 3)
    if indexes:  # an interrupted load has dropped it, and the next builds it
        # As neurondb.writing.indexes does: short runs that are merged from files.
        op.execute('PRAGMA cache_size = -8192')
        op.create_index('ix_top_token_rows_token', name, ['token_id', 'list_id', 'neuron_id'])


def _remake(
    name: str,
    create: Callable[[], None],
    columns: tuple[str, ...],
    values: tuple[str, ...],
    n_keys: int,
) -> None:
    """Copy a table's rows into a new one in the order of its key, the first `n_keys` columns."""
    if _is_postgresql():  # names of keys are those of indexes
        op.execute(f'ALTER TABLE {name} DROP CONSTRAINT pk_{name}')
    op.execute(f'ALTER TABLE {name} RENAME TO former_{name}')
    create()
    order = ', '.join(map(str, range(1, n_keys + 1)))
    op.execute(f'INSERT INTO {name} ({", ".join(columns)}) SELECT {", ".join(values)}'
               f' FROM former_{name} ORDER BY {order}')
    op.execute(f'DROP TABLE former_{name}')


def _create_tokens(key: tuple[str, ...]) -> None:
    op.create_table('top_token_rows',
    sa.Column('neuron_id', sa.Integer(), nullable=False, comment='neuron'),
    sa.Column('list_id', sa.SmallInteger(), nullable=False, comment='code of the list'),
    sa.Column('rank', sa.SmallInteger(), nullable=False, comment='place in the list, from 0, which is the most extreme'),
    sa.Column('token_id', sa.Integer(), autoincrement=False, nullable=False, comment='token; a list has it once'),
    sa.Column('scaled_cosine', sa.Double(), nullable=False, comment='2^31 times cos(vector, row of the basis)'),
    sa.ForeignKeyConstraint(['list_id'], ['token_lists.list_id'], name=op.f('fk_top_token_rows_list_id_token_lists')),
    sa.ForeignKeyConstraint(['neuron_id'], ['neurons.neuron_id'], name=op.f('fk_top_token_rows_neuron_id_neurons')),
    sa.PrimaryKeyConstraint(*(column.strip('"') for column in key), name=op.f('pk_top_token_rows')),
    sqlite_with_rowid=False
    )


def _create_examples() -> None:
    op.create_table('example_rows',
    *_list_key_columns(),
    sa.Column('place', sa.Integer(), autoincrement=False, nullable=False, comment='list and rank in one (neurondb.schema.places, 24 lists)'),
    sa.Column('list_id', sa.SmallInteger(), _compute(f'/ {RANKS}', f'% {N_LISTS}'), nullable=False, comment='code of the list, computed from place'),
    sa.Column('rank', sa.SmallInteger(), _compute(f'% {RANKS}', f'/ {N_LISTS}'), nullable=False, comment='place in the list, from 0, which has the largest |value|; computed from place'),
    *_list_example_columns(),
    sa.PrimaryKeyConstraint('neuron_id', 'dataset_id', 'place', name=op.f('pk_example_rows')),
    sqlite_with_rowid=False
    )


def _compute(near: str, far: str) -> sa.Computed:
    """Return a column's expression, computed when it is read; PostgreSQL before 18 stores it."""
    first_far = N_LISTS * RANKS - 128
    expression = (f'CASE WHEN place < {first_far} THEN (place + 128) {near}'
                  f' ELSE (place + 128) {far} END')
    return sa.Computed(expression, persisted=True if _is_postgresql() else None)


def _create_former_examples() -> None:
    op.create_table('example_rows',
    *_list_key_columns(),
    sa.Column('list_id', sa.SmallInteger(), nullable=False, comment='code of the list'),
    sa.Column('rank', sa.SmallInteger(), nullable=False, comment='place in the list, from 0, which has the largest |value|'),
    *_list_example_columns(),
    sa.PrimaryKeyConstraint('neuron_id', 'dataset_id', 'list_id', 'rank', name=op.f('pk_example_rows')),
    sqlite_with_rowid=False
    )


def _list_key_columns() -> list[sa.Column]:
    return [
    sa.Column('neuron_id', sa.Integer(), nullable=False, comment='neuron'),
    sa.Column('dataset_id', sa.Integer(), nullable=False, comment='dataset'),
    ]


def _list_example_columns() -> list[sa.schema.SchemaItem]:
    return [
    sa.Column('text_id', sa.Integer(), nullable=False, comment='text'),
    sa.Column('position', sa.Integer(), nullable=False, comment='token position in the text; the prefix token has 0; -1 where an import does not say, which the view shows as NULL'),
    sa.Column('scaled_value', sa.Double(), nullable=False, comment="2^28 times the signed value there; in and post × the neuron's sign (METHODS §1)"),
    sa.ForeignKeyConstraint(['dataset_id'], ['dataset_rows.dataset_id'], name=op.f('fk_example_rows_dataset_id_dataset_rows')),
    sa.ForeignKeyConstraint(['list_id'], ['example_lists.list_id'], name=op.f('fk_example_rows_list_id_example_lists')),
    sa.ForeignKeyConstraint(['neuron_id'], ['neurons.neuron_id'], name=op.f('fk_example_rows_neuron_id_neurons')),
    sa.ForeignKeyConstraint(['text_id'], ['texts.text_id'], name=op.f('fk_example_rows_text_id_texts')),
    ]
