"""Neurons of one model matched with those of others."""

from alembic import op
import sqlalchemy as sa


revision = '0018'
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('universality_runs',
    sa.Column('run_id', sa.Integer(), nullable=False, comment='run'),
    sa.Column('model_id', sa.Integer(), nullable=False, comment='model whose neurons were matched'),
    sa.Column('dataset_id', sa.Integer(), nullable=False, comment='dataset'),
    sa.Column('n_texts', sa.Integer(), nullable=False, comment='texts of it that were run'),
    sa.Column('max_len', sa.Integer(), nullable=False, comment='tokens a text at most, the prefix token included'),
    sa.Column('layer_window', sa.Integer(), nullable=True, comment='layers on each side of the same relative depth that were compared; NULL of all'),
    sa.Column('seed', sa.Integer(), nullable=False, comment='seed of the random matrices of the baseline'),
    sa.Column('seconds', sa.Double(), nullable=True, comment='seconds that it took'),
    sa.Column('request', sa.String(), nullable=False, comment='sha256 over all that was asked for: the same is stored once'),
    sa.Column('dtype', sa.String(), nullable=False, comment='dtype of the forward pass'),
    sa.Column('device', sa.String(), nullable=False, comment='device'),
    sa.Column('tool_version', sa.String(), nullable=False, comment='version of neurondb'),
    sa.Column('torch_version', sa.String(), nullable=False, comment='version of torch'),
    sa.Column('fingerprint', sa.String(), nullable=False, comment="fingerprint of the model's weights"),
    sa.Column('created_at', sa.String(), nullable=False, comment='UTC, ISO 8601'),
    sa.ForeignKeyConstraint(['dataset_id'], ['dataset_rows.dataset_id'], name=op.f('fk_universality_runs_dataset_id_dataset_rows')),
    sa.ForeignKeyConstraint(['model_id'], ['models.model_id'], name=op.f('fk_universality_runs_model_id_models')),
    sa.PrimaryKeyConstraint('run_id', name=op.f('pk_universality_runs')),
    sa.UniqueConstraint('request', name=op.f('uq_universality_runs_request'))
    )
    with op.batch_alter_table('universality_runs', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_universality_runs_dataset_id'), ['dataset_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_universality_runs_model_id'), ['model_id'], unique=False)

    op.create_table('universality',
    sa.Column('neuron_id', sa.Integer(), nullable=False, comment='neuron'),
    sa.Column('run_id', sa.Integer(), nullable=False, comment='run'),
    sa.Column('place', sa.Integer(), autoincrement=False, nullable=False, comment='place of the other model in the run (universality_models)'),
    sa.Column('correlation', sa.Double(), nullable=True, comment='largest correlation of hook_post with a neuron of it; NULL if constant'),
    sa.Column('best_id', sa.Integer(), nullable=True, comment='that neuron'),
    sa.Column('baseline', sa.Double(), nullable=True, comment='largest correlation with a random mixture of neurons of a layer of it'),
    sa.Column('lowest', sa.Double(), nullable=True, comment='smallest, most negative, correlation with a neuron of it'),
    sa.Column('lowest_id', sa.Integer(), nullable=True, comment='that neuron'),
    sa.ForeignKeyConstraint(['best_id'], ['neurons.neuron_id'], name=op.f('fk_universality_best_id_neurons')),
    sa.ForeignKeyConstraint(['lowest_id'], ['neurons.neuron_id'], name=op.f('fk_universality_lowest_id_neurons')),
    sa.ForeignKeyConstraint(['neuron_id'], ['neurons.neuron_id'], name=op.f('fk_universality_neuron_id_neurons')),
    sa.ForeignKeyConstraint(['run_id'], ['universality_runs.run_id'], name=op.f('fk_universality_run_id_universality_runs')),
    sa.PrimaryKeyConstraint('neuron_id', 'run_id', 'place', name=op.f('pk_universality')),
    sqlite_with_rowid=False
    )
    with op.batch_alter_table('universality', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_universality_best_id'), ['best_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_universality_run_id_place'), ['run_id', 'place'], unique=False)

    op.create_table('universality_models',
    sa.Column('run_id', sa.Integer(), nullable=False, comment='run'),
    sa.Column('place', sa.Integer(), autoincrement=False, nullable=False, comment='place of the other model in the run, from 0'),
    sa.Column('other_id', sa.Integer(), nullable=False, comment='the other model'),
    sa.Column('other_fingerprint', sa.String(), nullable=False, comment='fingerprint of its weights'),
    sa.Column('aligned_by', sa.String(), nullable=False, comment='tokens: both models read the same tokens; characters: tokens are compared that end after the same character'),
    sa.Column('n_tokens', sa.Integer(), nullable=False, comment='tokens compared: not padding, BOS or newlines'),
    sa.Column('n_unaligned', sa.Integer(), nullable=False, comment='tokens left out because no token of the other model ends where they do'),
    sa.Column('n_tiles', sa.Integer(), nullable=False, comment='pairs of layers compared'),
    sa.Column('n_passes', sa.Integer(), nullable=False, comment='passes over the texts'),
    sa.ForeignKeyConstraint(['other_id'], ['models.model_id'], name=op.f('fk_universality_models_other_id_models')),
    sa.ForeignKeyConstraint(['run_id'], ['universality_runs.run_id'], name=op.f('fk_universality_models_run_id_universality_runs')),
    sa.PrimaryKeyConstraint('run_id', 'place', name=op.f('pk_universality_models')),
    sqlite_with_rowid=False
    )
    with op.batch_alter_table('universality_models', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_universality_models_other_id'), ['other_id'], unique=False)


def downgrade() -> None:
    for name in TABLES.split():
        op.drop_table(name)  # and its indexes


TABLES = "universality universality_models universality_runs"
