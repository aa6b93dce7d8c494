"""Series of models: checkpoints of a training, quantisations."""

from alembic import op
import sqlalchemy as sa


revision = '0023'
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('series',
    sa.Column('series_id', sa.Integer(), nullable=False, comment='series'),
    sa.Column('created_at', sa.String(), nullable=False, comment='UTC, ISO 8601'),
    sa.Column('tool_version', sa.String(), nullable=False, comment='version of neurondb'),
    sa.PrimaryKeyConstraint('series_id', name=op.f('pk_series'))
    )
    op.create_table('series_models',
    sa.Column('series_id', sa.Integer(), nullable=False, comment='series'),
    sa.Column('step', sa.Integer(), autoincrement=False, nullable=False, comment='place of the model in it; 0 is the first'),
    sa.Column('model_id', sa.Integer(), nullable=False, comment='model'),
    sa.ForeignKeyConstraint(['model_id'], ['models.model_id'], name=op.f('fk_series_models_model_id_models')),
    sa.ForeignKeyConstraint(['series_id'], ['series.series_id'], name=op.f('fk_series_models_series_id_series')),
    sa.PrimaryKeyConstraint('series_id', 'step', name=op.f('pk_series_models'))
    )
    with op.batch_alter_table('series_models', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_series_models_model_id'), ['model_id'], unique=False)


def downgrade() -> None:
    op.drop_table('series_models')
    op.drop_table('series')
