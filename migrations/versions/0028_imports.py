"""What others computed: counts of tokens that an import does not say, places that it does not know.

SQLite cannot drop a NOT NULL: the two tables, which have a row or four of each neuron, are copied.
"""

from alembic import op
import sqlalchemy as sa


revision = '0028'
down_revision = "0027"
branch_labels = None
depends_on = None


NULLABLE = (
    ('activation_stats', 'n_tokens', 'tokens counted; NULL where an import does not say', 'tokens counted'),
    ('sign_case_rows', 'count', 'tokens in the case; NULL where an import does not say', 'tokens in the case'),
)
COMMENTED = (
    ('example_rows', 'position', 'token position in the text; the prefix token has 0; -1 where an import does not say, which the view shows as NULL', 'token position in the text; the prefix token has 0'),
    ('models', 'd_model', 'width of the residual stream; 0 of a model known from imports alone', 'width of the residual stream'),
    ('models', 'd_vocab', 'rows of U and of E; tokens of the vocabulary are at most as many; 0 of a model known from imports alone', 'rows of U and of E; tokens of the vocabulary are at most as many'),
    ('neurons', 'sign', 's of METHODS §1: in and out were × s; 0 where the weights are not ingested', 's of METHODS §1: in and out were × s'),
)


def upgrade() -> None:
    for table, column, comment, _ in NULLABLE:
        _alter(table, column, comment, nullable=True)
    for table, column, comment, _ in COMMENTED:
        _comment(table, column, comment)


def downgrade() -> None:
    for table, column, _, comment in COMMENTED:
        _comment(table, column, comment)
    for table, column, _, comment in NULLABLE:
        op.execute(f'DELETE FROM {table} WHERE {column} IS NULL')
        _alter(table, column, comment, nullable=False)


def _alter(table: str, column: str, comment: str, nullable: bool) -> None:
    with op.batch_alter_table(table, table_kwargs={'sqlite_with_rowid': False}) as batch_op:
        batch_op.alter_column(column, existing_type=sa.Integer(), nullable=nullable, comment=comment)


def _comment(table: str, column: str, comment: str) -> None:
    if op.get_bind().dialect.name == 'postgresql':
        op.alter_column(table, column, comment=comment)
