"""Full-text search over texts and annotations."""

from alembic import op

from neurondb.full_text import create_full_text, drop_full_text


revision = '0010'
down_revision = '0009'
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_full_text(op.get_bind(), "texts", "annotations")


def downgrade() -> None:
    drop_full_text(op.get_bind(), "texts", "annotations")
