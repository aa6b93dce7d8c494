"""Universality by sign case."""

from alembic import op
import sqlalchemy as sa


revision = '0024'
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('universality_cases',
    sa.Column('neuron_id', sa.Integer(), nullable=False, comment='neuron'),
    sa.Column('run_id', sa.Integer(), nullable=False, comment='run'),
    sa.Column('place', sa.Integer(), autoincrement=False, nullable=False, comment='place of the other model in the run (universality_models)'),
    sa.Column('case_id', sa.SmallInteger(), nullable=False, comment='code of the sign case that hook_post of both neurons is restricted to (0 elsewhere)'),
    sa.Column('n_tokens', sa.Integer(), nullable=False, comment='tokens compared at which the neuron is in the case'),
    sa.Column('correlation', sa.Double(), nullable=True, comment='largest correlation with a neuron in the case; NULL if it never is in it'),
    sa.Column('best_id', sa.Integer(), nullable=True, comment='that neuron'),
    sa.Column('baseline', sa.Double(), nullable=True, comment='largest correlation with a random mixture of neurons of a layer, each in it'),
    sa.ForeignKeyConstraint(['best_id'], ['neurons.neuron_id'], name=op.f('fk_universality_cases_best_id_neurons')),
    sa.ForeignKeyConstraint(['case_id'], ['sign_case_names.sign_case_id'], name=op.f('fk_universality_cases_case_id_sign_case_names')),
    sa.ForeignKeyConstraint(['neuron_id'], ['neurons.neuron_id'], name=op.f('fk_universality_cases_neuron_id_neurons')),
    sa.ForeignKeyConstraint(['run_id'], ['universality_runs.run_id'], name=op.f('fk_universality_cases_run_id_universality_runs')),
    sa.PrimaryKeyConstraint('neuron_id', 'run_id', 'place', 'case_id', name=op.f('pk_universality_cases')),
    sqlite_with_rowid=False
    )
    with op.batch_alter_table('universality_cases', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_universality_cases_best_id'), ['best_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_universality_cases_run_id'), ['run_id'], unique=False)


def downgrade() -> None:
    op.drop_table('universality_cases')
