"""Universality, and path ablations of attention heads, by sign case."""

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

    op.create_table('head_ablation_cases',
    sa.Column('run_id', sa.Integer(), nullable=False, comment='run'),
    sa.Column('neuron_id', sa.Integer(), nullable=False, comment="neuron whose writing was taken from the head's query"),
    sa.Column('head_layer', sa.Integer(), autoincrement=False, nullable=False, comment='layer of the head'),
    sa.Column('head', sa.Integer(), autoincrement=False, nullable=False, comment='head of this layer, from 0'),
    sa.Column('case_id', sa.SmallInteger(), nullable=False, comment="code of the sign case that the neuron is in at the query's token"),
    sa.Column('n', sa.Integer(), nullable=False, comment='positions measured in the case, in the second halves of texts'),
    sa.Column('activation', sa.Double(), nullable=True, comment='mean of hook_post over them, in canonical sign; NULL where there are none'),
    sa.Column('bos_attention', sa.Double(), nullable=True, comment='mean attention to BOS of the model as it is'),
    sa.Column('bos_change', sa.Double(), nullable=True, comment='mean of ablated − clean attention to BOS'),
    sa.Column('output_norm', sa.Double(), nullable=True, comment="mean norm of the head's output of the model as it is"),
    sa.Column('norm_change', sa.Double(), nullable=True, comment="mean of ablated − clean norm of the head's output"),
    sa.ForeignKeyConstraint(['case_id'], ['sign_case_names.sign_case_id'], name=op.f('fk_head_ablation_cases_case_id_sign_case_names')),
    sa.ForeignKeyConstraint(['neuron_id'], ['neurons.neuron_id'], name=op.f('fk_head_ablation_cases_neuron_id_neurons')),
    sa.ForeignKeyConstraint(['run_id'], ['head_runs.run_id'], name=op.f('fk_head_ablation_cases_run_id_head_runs')),
    sa.PrimaryKeyConstraint('run_id', 'neuron_id', 'head_layer', 'head', 'case_id', name=op.f('pk_head_ablation_cases')),
    sqlite_with_rowid=False
    )
    with op.batch_alter_table('head_ablation_cases', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_head_ablation_cases_neuron_id'), ['neuron_id'], unique=False)


def downgrade() -> None:
    op.drop_table('head_ablation_cases')
    op.drop_table('universality_cases')
