"""One-line descriptions of neurons, composed of what is stored, and their full-text index."""

from alembic import op
import sqlalchemy as sa

from neurondb.full_text import create_full_text, drop_full_text


revision = '0022'
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('descriptions',
    sa.Column('neuron_id', sa.Integer(), nullable=False, comment='neuron'),
    sa.Column('text', sa.Text(), nullable=False, comment='what stands out of what is stored of it, the most telling first, with numbers'),
    sa.ForeignKeyConstraint(['neuron_id'], ['neurons.neuron_id'], name=op.f('fk_descriptions_neuron_id_neurons')),
    sa.PrimaryKeyConstraint('neuron_id', name=op.f('pk_descriptions'))
    )
    op.create_table('description_runs',
    sa.Column('model_id', sa.Integer(), nullable=False, comment='model whose descriptions were composed'),
    sa.Column('basis', sa.String(), nullable=False, comment='sha256 over what was stored then: another one now means that they are stale'),
    sa.Column('tool_version', sa.String(), nullable=False, comment='version of neurondb'),
    sa.Column('finished_at', sa.String(), nullable=False, comment='UTC, ISO 8601'),
    sa.ForeignKeyConstraint(['model_id'], ['models.model_id'], name=op.f('fk_description_runs_model_id_models')),
    sa.PrimaryKeyConstraint('model_id', name=op.f('pk_description_runs'))
    )
    create_full_text(op.get_bind(), "descriptions")


def downgrade() -> None:
    drop_full_text(op.get_bind(), "descriptions")
    op.drop_table('description_runs')
    op.drop_table('descriptions')
