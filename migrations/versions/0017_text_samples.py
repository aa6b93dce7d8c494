"""Of a dataset whose texts were drawn at random: for how many tokens, by which seed, from how many."""

from alembic import op
import sqlalchemy as sa


revision = '0017'
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('text_samples',
    sa.Column('dataset_id', sa.Integer(), nullable=False, comment='dataset whose texts were drawn at random'),
    sa.Column('tokens', sa.Integer(), nullable=False, comment='tokens that were asked for'),
    sa.Column('seed', sa.Integer(), nullable=False, comment='seed of the draw'),
    sa.Column('n_source_texts', sa.Integer(), nullable=False, comment='texts that its own were drawn from'),
    sa.ForeignKeyConstraint(['dataset_id'], ['dataset_rows.dataset_id'], name=op.f('fk_text_samples_dataset_id_dataset_rows')),
    sa.PrimaryKeyConstraint('dataset_id', name=op.f('pk_text_samples')),
    sqlite_with_rowid=False
    )


def downgrade() -> None:
    op.drop_table('text_samples')
