"""Entropy runs, attribute rates and generated texts are stored."""

from alembic import op
import sqlalchemy as sa


revision = '0014'
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('attribute_runs',
    sa.Column('run_id', sa.Integer(), nullable=False, comment='run'),
    sa.Column('model_id', sa.Integer(), nullable=False, comment='model'),
    sa.Column('prompts', sa.String(), nullable=False, comment='name of the file of prompts'),
    sa.Column('prompts_fingerprint', sa.String(), nullable=False, comment='sha256 of that file'),
    sa.Column('sets', sa.String(), nullable=False, comment='name of the file of attribute sets'),
    sa.Column('sets_fingerprint', sa.String(), nullable=False, comment='sha256 of that file'),
    sa.Column('stop_words', sa.String(), nullable=True, comment='name of the file of more stop words'),
    sa.Column('stop_words_fingerprint', sa.String(), nullable=True, comment='sha256 of that file'),
    sa.Column('max_prompts', sa.Integer(), nullable=True, comment='prompts read at most; NULL of all'),
    sa.Column('top_k', sa.Integer(), nullable=False, comment='tokens looked at for each subject and layer'),
    sa.Column('pieces', sa.Boolean(), nullable=False, comment='whether the tokens that an attribute is made of count too'),
    sa.Column('n_prompts', sa.Integer(), nullable=False, comment='prompts measured'),
    sa.Column('n_subjects', sa.Integer(), nullable=False, comment='subjects with attributes'),
    sa.Column('n_answers', sa.Integer(), nullable=False, comment="prompts whose answer's probability was measured"),
    sa.Column('definition', sa.Text(), nullable=True, comment='the SQL or expression of the neurons ablated; NULL of none'),
    sa.Column('n_ablated', sa.Integer(), nullable=False, comment='neurons ablated'),
    sa.Column('mode', sa.String(), nullable=True, comment='zero, mean, fix or clamp (METHODS §6); NULL where none is ablated'),
    sa.Column('hook', sa.String(), nullable=True, comment='what was set: hook_post or hook_pre_linear'),
    sa.Column('condition', sa.String(), nullable=True, comment='signs under which the intervention acts'),
    sa.Column('value', sa.Double(), nullable=True, comment='value of fix and clamp'),
    sa.Column('means_dataset_id', sa.Integer(), nullable=True, comment='dataset whose activations gave the values of mode mean'),
    sa.Column('seed', sa.Integer(), nullable=False, comment='seed of what is random'),
    sa.Column('seconds', sa.Double(), nullable=True, comment='seconds that it took'),
    sa.Column('request', sa.String(), nullable=False, comment='sha256 over all that was asked for: the same is stored once'),
    sa.Column('dtype', sa.String(), nullable=False, comment='dtype of the forward pass'),
    sa.Column('device', sa.String(), nullable=False, comment='device'),
    sa.Column('tool_version', sa.String(), nullable=False, comment='version of neurondb'),
    sa.Column('torch_version', sa.String(), nullable=False, comment='version of torch'),
    sa.Column('fingerprint', sa.String(), nullable=False, comment="fingerprint of the model's weights"),
    sa.Column('created_at', sa.String(), nullable=False, comment='UTC, ISO 8601'),
    sa.ForeignKeyConstraint(['means_dataset_id'], ['dataset_rows.dataset_id'], name=op.f('fk_attribute_runs_means_dataset_id_dataset_rows')),
    sa.ForeignKeyConstraint(['model_id'], ['models.model_id'], name=op.f('fk_attribute_runs_model_id_models')),
    sa.PrimaryKeyConstraint('run_id', name=op.f('pk_attribute_runs')),
    sa.UniqueConstraint('request', name=op.f('uq_attribute_runs_request'))
    )
    with op.batch_alter_table('attribute_runs', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_attribute_runs_model_id'), ['model_id'], unique=False)

    op.create_table('entropy_runs',
    sa.Column('run_id', sa.Integer(), nullable=False, comment='run'),
    sa.Column('model_id', sa.Integer(), nullable=False, comment='model'),
    sa.Column('dataset_id', sa.Integer(), nullable=False, comment='dataset'),
    sa.Column('n_texts', sa.Integer(), nullable=False, comment='texts of it that were run'),
    sa.Column('n_tokens', sa.Integer(), nullable=False, comment='tokens counted'),
    sa.Column('max_len', sa.Integer(), nullable=False, comment='tokens a text at most, the prefix token included'),
    sa.Column('skip_bos', sa.Boolean(), nullable=False, comment='whether the first position of each text was left out'),
    sa.Column('n_random', sa.Integer(), nullable=False, comment='random neurons of the last two layers beside those asked for'),
    sa.Column('seed', sa.Integer(), nullable=False, comment='seed of these'),
    sa.Column('clean_scale', sa.Double(), nullable=True, comment='mean over tokens of what the final norm divides by, nothing fixed'),
    sa.Column('clean_entropy', sa.Double(), nullable=True, comment='mean entropy of the next token, nats, nothing fixed'),
    sa.Column('clean_rank', sa.Double(), nullable=True, comment='mean rank of the correct next token, 0 is the top, nothing fixed'),
    sa.Column('clean_loss', sa.Double(), nullable=True, comment='mean loss, nats, nothing fixed'),
    sa.Column('seconds', sa.Double(), nullable=True, comment='seconds that it took'),
    sa.Column('request', sa.String(), nullable=False, comment='sha256 over all that was asked for: the same is stored once'),
    sa.Column('dtype', sa.String(), nullable=False, comment='dtype of the forward pass'),
    sa.Column('device', sa.String(), nullable=False, comment='device'),
    sa.Column('tool_version', sa.String(), nullable=False, comment='version of neurondb'),
    sa.Column('torch_version', sa.String(), nullable=False, comment='version of torch'),
    sa.Column('fingerprint', sa.String(), nullable=False, comment="fingerprint of the model's weights"),
    sa.Column('created_at', sa.String(), nullable=False, comment='UTC, ISO 8601'),
    sa.ForeignKeyConstraint(['dataset_id'], ['dataset_rows.dataset_id'], name=op.f('fk_entropy_runs_dataset_id_dataset_rows')),
    sa.ForeignKeyConstraint(['model_id'], ['models.model_id'], name=op.f('fk_entropy_runs_model_id_models')),
    sa.PrimaryKeyConstraint('run_id', name=op.f('pk_entropy_runs')),
    sa.UniqueConstraint('request', name=op.f('uq_entropy_runs_request'))
    )
    with op.batch_alter_table('entropy_runs', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_entropy_runs_dataset_id'), ['dataset_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_entropy_runs_model_id'), ['model_id'], unique=False)

    op.create_table('generation_runs',
    sa.Column('run_id', sa.Integer(), nullable=False, comment='run'),
    sa.Column('model_id', sa.Integer(), nullable=False, comment='model'),
    sa.Column('prompt', sa.Text(), nullable=False, comment='the text that was continued'),
    sa.Column('chat', sa.Boolean(), nullable=False, comment='whether the prompt stood in the chat template'),
    sa.Column('hook', sa.String(), nullable=False, comment='what clamps held: hook_pre_linear or hook_post'),
    sa.Column('sign', sa.String(), nullable=False, comment="the sign that values are in: canonical (METHODS §1), or the model's own"),
    sa.Column('ablated', sa.Text(), nullable=True, comment='the find expression whose neurons were set to zero'),
    sa.Column('side_by_side', sa.Boolean(), nullable=False, comment='whether the model as it is continued it too'),
    sa.Column('n_samples', sa.Integer(), nullable=True, comment='samples of each run; NULL of a single text'),
    sa.Column('max_new_tokens', sa.Integer(), nullable=False, comment='tokens generated at most'),
    sa.Column('greedy', sa.Boolean(), nullable=False, comment='whether the most probable token was taken each time'),
    sa.Column('temperature', sa.Double(), nullable=False, comment='what logits were divided by'),
    sa.Column('top_p', sa.Double(), nullable=False, comment='probability that the tokens drawn from have together'),
    sa.Column('seed', sa.Integer(), nullable=False, comment='seed of the first text; those of more samples count on from it'),
    sa.Column('seconds', sa.Double(), nullable=True, comment='seconds that it took'),
    sa.Column('request', sa.String(), nullable=False, comment='sha256 over all that was asked for: the same is stored once'),
    sa.Column('dtype', sa.String(), nullable=False, comment='dtype of the forward pass'),
    sa.Column('device', sa.String(), nullable=False, comment='device'),
    sa.Column('tool_version', sa.String(), nullable=False, comment='version of neurondb'),
    sa.Column('torch_version', sa.String(), nullable=False, comment='version of torch'),
    sa.Column('fingerprint', sa.String(), nullable=False, comment="fingerprint of the model's weights"),
    sa.Column('created_at', sa.String(), nullable=False, comment='UTC, ISO 8601'),
    sa.ForeignKeyConstraint(['model_id'], ['models.model_id'], name=op.f('fk_generation_runs_model_id_models')),
    sa.PrimaryKeyConstraint('run_id', name=op.f('pk_generation_runs')),
    sa.UniqueConstraint('request', name=op.f('uq_generation_runs_request'))
    )
    with op.batch_alter_table('generation_runs', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_generation_runs_model_id'), ['model_id'], unique=False)

    op.create_table('attribute_left_out',
    sa.Column('run_id', sa.Integer(), nullable=False, comment='run'),
    sa.Column('reason', sa.String(), nullable=False, comment='why prompts of the file were left out'),
    sa.Column('n', sa.Integer(), nullable=False, comment='how many'),
    sa.ForeignKeyConstraint(['run_id'], ['attribute_runs.run_id'], name=op.f('fk_attribute_left_out_run_id_attribute_runs')),
    sa.PrimaryKeyConstraint('run_id', 'reason', name=op.f('pk_attribute_left_out')),
    sqlite_with_rowid=False
    )
    op.create_table('attribute_rate_rows',
    sa.Column('run_id', sa.Integer(), nullable=False, comment='run'),
    sa.Column('place', sa.Integer(), autoincrement=False, nullable=False, comment='place of the state in the run (attribute_states)'),
    sa.Column('layer', sa.Integer(), autoincrement=False, nullable=False, comment='layer, from 0'),
    sa.Column('rate', sa.Double(), nullable=True, comment='mean over prompts of the share of kept top tokens that are attributes'),
    sa.Column('n_prompts', sa.Integer(), nullable=False, comment='prompts that have such a share'),
    sa.ForeignKeyConstraint(['run_id'], ['attribute_runs.run_id'], name=op.f('fk_attribute_rate_rows_run_id_attribute_runs')),
    sa.PrimaryKeyConstraint('run_id', 'place', 'layer', name=op.f('pk_attribute_rate_rows')),
    sqlite_with_rowid=False
    )
    op.create_table('attribute_states',
    sa.Column('run_id', sa.Integer(), nullable=False, comment='run'),
    sa.Column('place', sa.Integer(), autoincrement=False, nullable=False, comment='place of the state in the run, from 0'),
    sa.Column('run', sa.String(), nullable=False, comment='clean, ablated, or baseline: as many random neurons of the same layers'),
    sa.Column('draw', sa.Integer(), nullable=True, comment="number of the baseline's draw, from 0; NULL of the others"),
    sa.Column('set_id', sa.Integer(), nullable=True, comment='neurons ablated; NULL of clean'),
    sa.Column('answer_probability', sa.Double(), nullable=True, comment="mean probability of the first token of the prompts' answers"),
    sa.ForeignKeyConstraint(['run_id'], ['attribute_runs.run_id'], name=op.f('fk_attribute_states_run_id_attribute_runs')),
    sa.ForeignKeyConstraint(['set_id'], ['neuron_sets.set_id'], name=op.f('fk_attribute_states_set_id_neuron_sets')),
    sa.PrimaryKeyConstraint('run_id', 'place', name=op.f('pk_attribute_states')),
    sqlite_with_rowid=False
    )
    with op.batch_alter_table('attribute_states', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_attribute_states_set_id'), ['set_id'], unique=False)

    op.create_table('entropy_neurons',
    sa.Column('run_id', sa.Integer(), nullable=False, comment='run'),
    sa.Column('neuron_id', sa.Integer(), nullable=False, comment='neuron, fixed alone'),
    sa.Column('place', sa.Integer(), nullable=False, comment='its place in the run, from 0: those asked for, then the random ones'),
    sa.Column('random', sa.Boolean(), nullable=False, comment='whether it is one of the random neurons'),
    sa.ForeignKeyConstraint(['neuron_id'], ['neurons.neuron_id'], name=op.f('fk_entropy_neurons_neuron_id_neurons')),
    sa.ForeignKeyConstraint(['run_id'], ['entropy_runs.run_id'], name=op.f('fk_entropy_neurons_run_id_entropy_runs')),
    sa.PrimaryKeyConstraint('run_id', 'neuron_id', name=op.f('pk_entropy_neurons')),
    sqlite_with_rowid=False
    )
    with op.batch_alter_table('entropy_neurons', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_entropy_neurons_neuron_id'), ['neuron_id'], unique=False)

    op.create_table('entropy_results',
    sa.Column('run_id', sa.Integer(), nullable=False, comment='run'),
    sa.Column('neuron_id', sa.Integer(), nullable=False, comment='neuron, fixed alone'),
    sa.Column('step', sa.Integer(), autoincrement=False, nullable=False, comment='place of the value, from 0'),
    sa.Column('metric', sa.String(), nullable=False, comment='scale, entropy, rank or loss'),
    sa.Column('value', sa.Double(), nullable=False, comment='what hook_post was fixed at, in canonical sign'),
    sa.Column('fixed', sa.Double(), nullable=True, comment='mean of the metric over tokens, the neuron fixed'),
    sa.Column('frozen', sa.Double(), nullable=True, comment='the same with the final norm dividing by what it divides by in the clean run'),
    sa.ForeignKeyConstraint(['neuron_id'], ['neurons.neuron_id'], name=op.f('fk_entropy_results_neuron_id_neurons')),
    sa.ForeignKeyConstraint(['run_id'], ['entropy_runs.run_id'], name=op.f('fk_entropy_results_run_id_entropy_runs')),
    sa.PrimaryKeyConstraint('run_id', 'neuron_id', 'step', 'metric', name=op.f('pk_entropy_results')),
    sqlite_with_rowid=False
    )
    with op.batch_alter_table('entropy_results', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_entropy_results_neuron_id'), ['neuron_id'], unique=False)

    op.create_table('generation_counts',
    sa.Column('run_id', sa.Integer(), nullable=False, comment='run'),
    sa.Column('run', sa.String(), nullable=False, comment='clean or steered'),
    sa.Column('counted', sa.String(), nullable=False, comment='the text that was counted, as written'),
    sa.Column('hits', sa.Integer(), nullable=False, comment='samples that have it, once or more'),
    sa.Column('n', sa.Integer(), nullable=False, comment='samples'),
    sa.Column('share', sa.Double(), nullable=False, comment='hits / n'),
    sa.Column('low', sa.Double(), nullable=False, comment="lower end of Wilson's 95% interval of the share"),
    sa.Column('high', sa.Double(), nullable=False, comment='upper end'),
    sa.ForeignKeyConstraint(['run_id'], ['generation_runs.run_id'], name=op.f('fk_generation_counts_run_id_generation_runs')),
    sa.PrimaryKeyConstraint('run_id', 'run', 'counted', name=op.f('pk_generation_counts')),
    sqlite_with_rowid=False
    )
    op.create_table('generation_neurons',
    sa.Column('run_id', sa.Integer(), nullable=False, comment='run'),
    sa.Column('neuron_id', sa.Integer(), nullable=False, comment='neuron that was held, with the others of the run'),
    sa.Column('value', sa.Double(), nullable=False, comment="what it was held at, in the run's sign"),
    sa.Column('ablated', sa.Boolean(), nullable=False, comment='whether it is one whose hook_post was set to zero'),
    sa.ForeignKeyConstraint(['neuron_id'], ['neurons.neuron_id'], name=op.f('fk_generation_neurons_neuron_id_neurons')),
    sa.ForeignKeyConstraint(['run_id'], ['generation_runs.run_id'], name=op.f('fk_generation_neurons_run_id_generation_runs')),
    sa.PrimaryKeyConstraint('run_id', 'neuron_id', name=op.f('pk_generation_neurons')),
    sqlite_with_rowid=False
    )
    with op.batch_alter_table('generation_neurons', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_generation_neurons_neuron_id'), ['neuron_id'], unique=False)

    op.create_table('generation_texts',
    sa.Column('run_id', sa.Integer(), nullable=False, comment='run'),
    sa.Column('run', sa.String(), nullable=False, comment='clean or steered'),
    sa.Column('seed', sa.Integer(), autoincrement=False, nullable=False, comment='its seed'),
    sa.Column('text', sa.Text(), nullable=False, comment='what was generated, the prompt left out'),
    sa.Column('n_tokens', sa.Integer(), nullable=False, comment='tokens generated'),
    sa.Column('ended', sa.String(), nullable=False, comment='why it has no more: eos, length or context'),
    sa.ForeignKeyConstraint(['run_id'], ['generation_runs.run_id'], name=op.f('fk_generation_texts_run_id_generation_runs')),
    sa.PrimaryKeyConstraint('run_id', 'run', 'seed', name=op.f('pk_generation_texts')),
    sqlite_with_rowid=False
    )


def downgrade() -> None:
    for name in TABLES.split():
        op.drop_table(name)  # and its indexes


TABLES = """
    generation_counts generation_texts generation_neurons generation_runs
    attribute_rate_rows attribute_states attribute_left_out attribute_runs
    entropy_results entropy_neurons entropy_runs
"""
