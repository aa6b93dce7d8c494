"""Which tests of tokens explain what neurons do."""

from alembic import op
import sqlalchemy as sa


revision = '0021'
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('family_runs',
    sa.Column('run_id', sa.Integer(), nullable=False, comment='run, one of a model and a dataset: a new one replaces it'),
    sa.Column('model_id', sa.Integer(), nullable=False, comment='model'),
    sa.Column('dataset_id', sa.Integer(), nullable=False, comment='dataset that the tests were run over'),
    sa.Column('n_texts', sa.Integer(), nullable=False, comment='texts'),
    sa.Column('n_tokens', sa.Integer(), nullable=False, comment='tokens counted'),
    sa.Column('max_len', sa.Integer(), nullable=False, comment='tokens a text at most'),
    sa.Column('skip_bos', sa.Boolean(), nullable=False, comment='whether the first position of each text was left out'),
    sa.Column('n_words', sa.Integer(), nullable=False, comment='frequent words that were a test each, at each place'),
    sa.Column('min_count', sa.Integer(), nullable=False, comment='tokens that a test must hold for, and not hold for, at least'),
    sa.Column('least_score', sa.Double(), nullable=True, comment='families of smaller score are stored only where they are the best'),
    sa.Column('tagger', sa.String(), nullable=True, comment='spaCy model of the syntax tests; NULL without them'),
    sa.Column('n_positions', sa.Integer(), nullable=False, comment='positions that occurred, for what chance gives to the information'),
    sa.Column('seconds', sa.Double(), nullable=True, comment='seconds that it took'),
    sa.Column('request', sa.String(), nullable=False, comment='sha256 over all that was asked for: the same is stored once'),
    sa.Column('dtype', sa.String(), nullable=False, comment='dtype of the forward pass'),
    sa.Column('device', sa.String(), nullable=False, comment='device'),
    sa.Column('tool_version', sa.String(), nullable=False, comment='version of neurondb'),
    sa.Column('torch_version', sa.String(), nullable=False, comment='version of torch'),
    sa.Column('fingerprint', sa.String(), nullable=False, comment="fingerprint of the model's weights"),
    sa.Column('created_at', sa.String(), nullable=False, comment='UTC, ISO 8601'),
    sa.ForeignKeyConstraint(['dataset_id'], ['dataset_rows.dataset_id'], name=op.f('fk_family_runs_dataset_id_dataset_rows')),
    sa.ForeignKeyConstraint(['model_id'], ['models.model_id'], name=op.f('fk_family_runs_model_id_models')),
    sa.PrimaryKeyConstraint('run_id', name=op.f('pk_family_runs')),
    sa.UniqueConstraint('model_id', 'dataset_id', name=op.f('uq_family_runs_model_id_dataset_id')),
    sa.UniqueConstraint('request', name=op.f('uq_family_runs_request'))
    )
    op.create_table('family_activations',
    sa.Column('neuron_id', sa.Integer(), nullable=False, comment='one of the neurons that a family explains best'),
    sa.Column('run_id', sa.Integer(), nullable=False, comment='run'),
    sa.Column('split', sa.String(), nullable=False, comment="what tokens are parted by: test (the neuron's best), position, next_token"),
    sa.Column('place', sa.Integer(), autoincrement=False, nullable=False, comment='place of the part, from 0'),
    sa.Column('part', sa.Text(), nullable=False, comment='holds, elsewhere, a place in a word, a token'),
    sa.Column('n', sa.Integer(), nullable=False, comment='tokens in the part'),
    sa.Column('mean', sa.Double(), nullable=False, comment='mean of canonical hook_post over them'),
    sa.Column('q05', sa.Double(), nullable=False, comment='5% quantile of canonical hook_post'),
    sa.Column('q25', sa.Double(), nullable=False, comment='25% quantile of canonical hook_post'),
    sa.Column('q50', sa.Double(), nullable=False, comment='50% quantile of canonical hook_post'),
    sa.Column('q75', sa.Double(), nullable=False, comment='75% quantile of canonical hook_post'),
    sa.Column('q95', sa.Double(), nullable=False, comment='95% quantile of canonical hook_post'),
    sa.ForeignKeyConstraint(['neuron_id'], ['neurons.neuron_id'], name=op.f('fk_family_activations_neuron_id_neurons')),
    sa.ForeignKeyConstraint(['run_id'], ['family_runs.run_id'], name=op.f('fk_family_activations_run_id_family_runs')),
    sa.PrimaryKeyConstraint('neuron_id', 'run_id', 'split', 'place', name=op.f('pk_family_activations')),
    sqlite_with_rowid=False
    )
    op.create_table('neuron_families',
    sa.Column('neuron_id', sa.Integer(), nullable=False, comment='neuron'),
    sa.Column('run_id', sa.Integer(), nullable=False, comment='run'),
    sa.Column('case_id', sa.SmallInteger(), autoincrement=False, nullable=False, comment='code of the sign case that hook_post is restricted to (0 elsewhere); -1 for none'),
    sa.Column('rank', sa.SmallInteger(), autoincrement=False, nullable=False, comment='place of the family among those of the neuron and case; 0 explains the most'),
    sa.Column('test', sa.Integer(), nullable=False, comment='its best test in this family'),
    sa.Column('score', sa.Double(), nullable=False, comment='reduction in variance of hook_post by the test'),
    sa.Column('inside_mean', sa.Double(), nullable=False, comment='mean canonical hook_post where the test holds'),
    sa.Column('outside_mean', sa.Double(), nullable=False, comment='mean canonical hook_post where it does not'),
    sa.ForeignKeyConstraint(['neuron_id'], ['neurons.neuron_id'], name=op.f('fk_neuron_families_neuron_id_neurons')),
    sa.ForeignKeyConstraint(['run_id'], ['family_runs.run_id'], name=op.f('fk_neuron_families_run_id_family_runs')),
    sa.PrimaryKeyConstraint('neuron_id', 'run_id', 'case_id', 'rank', name=op.f('pk_neuron_families')),
    sqlite_with_rowid=False
    )
    with op.batch_alter_table('neuron_families', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_neuron_families_run_id_test_score'), ['run_id', 'test', 'score'], unique=False)

    op.create_table('position_information',
    sa.Column('neuron_id', sa.Integer(), nullable=False, comment='neuron'),
    sa.Column('run_id', sa.Integer(), nullable=False, comment='run'),
    sa.Column('information', sa.Double(), nullable=True, comment='mutual information of x_pre > 0 and the position, in nats'),
    sa.ForeignKeyConstraint(['neuron_id'], ['neurons.neuron_id'], name=op.f('fk_position_information_neuron_id_neurons')),
    sa.ForeignKeyConstraint(['run_id'], ['family_runs.run_id'], name=op.f('fk_position_information_run_id_family_runs')),
    sa.PrimaryKeyConstraint('neuron_id', 'run_id', name=op.f('pk_position_information')),
    sqlite_with_rowid=False
    )
    op.create_table('token_tests',
    sa.Column('run_id', sa.Integer(), nullable=False, comment='run'),
    sa.Column('test', sa.Integer(), autoincrement=False, nullable=False, comment='test of tokens, by its place in the run'),
    sa.Column('family', sa.String(), nullable=False, comment='family: unigram, alphabet, spelling, word_class, word_position, …'),
    sa.Column('name', sa.String(), nullable=False, comment='name: starts_with_space, previous:word:the'),
    sa.Column('description', sa.Text(), nullable=False, comment='what a token is where the test holds'),
    sa.Column('n', sa.Integer(), nullable=False, comment='tokens that it holds for'),
    sa.Column('share', sa.Double(), nullable=False, comment='share of the counted tokens that it holds for (β)'),
    sa.ForeignKeyConstraint(['run_id'], ['family_runs.run_id'], name=op.f('fk_token_tests_run_id_family_runs')),
    sa.PrimaryKeyConstraint('run_id', 'test', name=op.f('pk_token_tests')),
    sqlite_with_rowid=False
    )


def downgrade() -> None:
    for name in TABLES.split():
        op.drop_table(name)  # and its indexes


TABLES = """
    family_activations position_information neuron_families token_tests family_runs
"""
