"""When an annotation was made, and which were removed, so that databases can be merged."""

from alembic import op
import sqlalchemy as sa


revision = '0030'
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('annotations', sa.Column('made_at', sa.String(), nullable=True, comment='when it was said: UTC, ISO 8601, to the microsecond; NULL where that is not known'))
    op.create_table('removed_annotations',
    sa.Column('neuron_id', sa.Integer(), nullable=False, comment='neuron'),
    sa.Column('digest', sa.Text(), nullable=False, comment='sha256 over source, key, value and note of what was said; the words are gone'),
    sa.Column('removed_at', sa.String(), nullable=False, comment='when it was removed: UTC, ISO 8601, to the microsecond'),
    sa.ForeignKeyConstraint(['neuron_id'], ['neurons.neuron_id'], name=op.f('fk_removed_annotations_neuron_id_neurons')),
    sa.PrimaryKeyConstraint('neuron_id', 'digest', name=op.f('pk_removed_annotations')),
    sqlite_with_rowid=False
    )


def downgrade() -> None:
    op.drop_table('removed_annotations')
    op.drop_column('annotations', 'made_at')
