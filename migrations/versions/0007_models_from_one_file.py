"""How the weights of a model from a GGUF file were quantised."""

from alembic import op
import sqlalchemy as sa


revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None

COLUMNS = {
    "quantisation": "how its weights were quantised, as llama.cpp calls it (Q4_1, Q4_K_M); NULL of "
    "a model in hub format",
    "tensor_types": "JSON: how each kind of tensor of a GGUF file was stored; NULL of a model in "
    "hub format",
}


def upgrade() -> None:
    for name, comment in COLUMNS.items():
        op.add_column("models", sa.Column(name, sa.String(), nullable=True, comment=comment))


def downgrade() -> None:
    for name in COLUMNS:
        op.execute(f"ALTER TABLE models DROP COLUMN {name}")
