"""How many rows of the embedding no token has."""

from alembic import op
import sqlalchemy as sa


revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None

UNUSED = (
    "rows of U and E that no token has, left out of token lists and moments; NULL where that is "
    "not known: no tokenizer, no vocabulary yet, or one of an earlier version"
)
ROWS = "rows of U and of E; tokens of the vocabulary are at most as many"

# A row without a token was stored as one without a spelling. Where there is none, none was counted.
NONE_UNUSED = """
UPDATE models SET n_unused_rows = 0 WHERE model_id IN (SELECT model_id FROM tokens)
AND model_id NOT IN (SELECT model_id FROM tokens WHERE piece IS NULL)
"""


def upgrade() -> None:
    op.add_column("models", sa.Column("n_unused_rows", sa.Integer(), nullable=True, comment=UNUSED))
    if op.get_bind().dialect.supports_comments:
        op.execute(f"COMMENT ON COLUMN models.d_vocab IS '{ROWS}'")
    op.execute(NONE_UNUSED)


def downgrade() -> None:
    op.execute("ALTER TABLE models DROP COLUMN n_unused_rows")
