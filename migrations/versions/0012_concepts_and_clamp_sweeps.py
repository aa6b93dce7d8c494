"""Clamp sweeps, and the neurons that make a model say a concept."""

from alembic import op
import sqlalchemy as sa


revision = '0012'
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('clamp_runs',
    sa.Column('run_id', sa.Integer(), nullable=False, comment='sweep'),
    sa.Column('model_id', sa.Integer(), nullable=False, comment='model'),
    sa.Column('prompt', sa.Text(), nullable=False, comment='the text whose next token was looked at'),
    sa.Column('chat', sa.Boolean(), nullable=False, comment='whether the prompt stood in the chat template'),
    sa.Column('hook', sa.String(), nullable=False, comment='what was held: hook_pre_linear or hook_post'),
    sa.Column('position', sa.String(), nullable=False, comment='where it was held: at all positions of the prompt, or at the last'),
    sa.Column('sign', sa.String(), nullable=False, comment="the sign that values are in: canonical (METHODS §1), or the model's own"),
    sa.Column('n_prompt', sa.Integer(), nullable=False, comment='tokens of the prompt, the prefix token included'),
    sa.Column('request', sa.String(), nullable=False, comment='sha256 over all that was asked for: the same is stored once'),
    sa.Column('dtype', sa.String(), nullable=False, comment='dtype of the forward pass'),
    sa.Column('device', sa.String(), nullable=False, comment='device'),
    sa.Column('tool_version', sa.String(), nullable=False, comment='version of neurondb'),
    sa.Column('torch_version', sa.String(), nullable=False, comment='version of torch'),
    sa.Column('fingerprint', sa.String(), nullable=False, comment="fingerprint of the model's weights"),
    sa.Column('created_at', sa.String(), nullable=False, comment='UTC, ISO 8601'),
    sa.ForeignKeyConstraint(['model_id'], ['models.model_id'], name=op.f('fk_clamp_runs_model_id_models')),
    sa.PrimaryKeyConstraint('run_id', name=op.f('pk_clamp_runs')),
    sa.UniqueConstraint('request', name=op.f('uq_clamp_runs_request'))
    )
    with op.batch_alter_table('clamp_runs', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_clamp_runs_model_id'), ['model_id'], unique=False)

    op.create_table('concept_runs',
    sa.Column('run_id', sa.Integer(), nullable=False, comment='run'),
    sa.Column('model_id', sa.Integer(), nullable=False, comment='model'),
    sa.Column('concept', sa.String(), nullable=False, comment='the word or phrase'),
    sa.Column('hook', sa.String(), nullable=False, comment='what was held: hook_pre_linear or hook_post'),
    sa.Column('n_candidates', sa.Integer(), nullable=False, comment='neurons of each vector, direction and sign that were tried'),
    sa.Column('n_random', sa.Integer(), nullable=False, comment='random neurons of the same layers beside them'),
    sa.Column('seed', sa.Integer(), nullable=False, comment='seed of these'),
    sa.Column('scale', sa.Double(), nullable=True, comment="ends of the sweep, in multiples of a neuron's largest |value| on its dataset"),
    sa.Column('low', sa.Double(), nullable=True, comment='lower end of the sweep where it is the same for all neurons'),
    sa.Column('high', sa.Double(), nullable=True, comment='upper end, the same'),
    sa.Column('clean_log_probability', sa.Double(), nullable=True, comment='mean of ln p(concept) over the prompts, no neuron held'),
    sa.Column('clean_probability', sa.Double(), nullable=True, comment='mean of p(concept) over the prompts, no neuron held'),
    sa.Column('seconds', sa.Double(), nullable=True, comment='seconds that it took'),
    sa.Column('request', sa.String(), nullable=False, comment='sha256 over all that was asked for: the same is stored once'),
    sa.Column('dtype', sa.String(), nullable=False, comment='dtype of the forward pass'),
    sa.Column('device', sa.String(), nullable=False, comment='device'),
    sa.Column('tool_version', sa.String(), nullable=False, comment='version of neurondb'),
    sa.Column('torch_version', sa.String(), nullable=False, comment='version of torch'),
    sa.Column('fingerprint', sa.String(), nullable=False, comment="fingerprint of the model's weights"),
    sa.Column('created_at', sa.String(), nullable=False, comment='UTC, ISO 8601'),
    sa.ForeignKeyConstraint(['model_id'], ['models.model_id'], name=op.f('fk_concept_runs_model_id_models')),
    sa.PrimaryKeyConstraint('run_id', name=op.f('pk_concept_runs')),
    sa.UniqueConstraint('request', name=op.f('uq_concept_runs_request'))
    )
    with op.batch_alter_table('concept_runs', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_concept_runs_model_id_concept'), ['model_id', 'concept'], unique=False)

    op.create_table('clamp_results',
    sa.Column('run_id', sa.Integer(), nullable=False, comment='sweep'),
    sa.Column('step', sa.Integer(), autoincrement=False, nullable=False, comment='place of the value in the sweep; 0 is the clean run'),
    sa.Column('token_id', sa.Integer(), autoincrement=False, nullable=False, comment='next token that was followed'),
    sa.Column('value', sa.Double(), nullable=True, comment="what the neurons were held at, in the run's sign; NULL of the clean run"),
    sa.Column('probability', sa.Double(), nullable=False, comment='probability of the token'),
    sa.Column('rank', sa.Integer(), nullable=False, comment='tokens of larger probability; 0 is the most probable one'),
    sa.ForeignKeyConstraint(['run_id'], ['clamp_runs.run_id'], name=op.f('fk_clamp_results_run_id_clamp_runs')),
    sa.PrimaryKeyConstraint('run_id', 'step', 'token_id', name=op.f('pk_clamp_results')),
    sqlite_with_rowid=False
    )
    op.create_table('clamp_run_neurons',
    sa.Column('run_id', sa.Integer(), nullable=False, comment='sweep'),
    sa.Column('neuron_id', sa.Integer(), nullable=False, comment='neuron that was held, with the others of the sweep'),
    sa.Column('clean_value', sa.Double(), nullable=True, comment="what it has at the last position by itself, in the run's sign"),
    sa.ForeignKeyConstraint(['neuron_id'], ['neurons.neuron_id'], name=op.f('fk_clamp_run_neurons_neuron_id_neurons')),
    sa.ForeignKeyConstraint(['run_id'], ['clamp_runs.run_id'], name=op.f('fk_clamp_run_neurons_run_id_clamp_runs')),
    sa.PrimaryKeyConstraint('run_id', 'neuron_id', name=op.f('pk_clamp_run_neurons')),
    sqlite_with_rowid=False
    )
    with op.batch_alter_table('clamp_run_neurons', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_clamp_run_neurons_neuron_id'), ['neuron_id'], unique=False)

    op.create_table('concept_candidates',
    sa.Column('run_id', sa.Integer(), nullable=False, comment='run'),
    sa.Column('neuron_id', sa.Integer(), nullable=False, comment='neuron, held alone'),
    sa.Column('random', sa.Boolean(), nullable=False, comment='whether it is one of the random neurons instead'),
    sa.Column('vector', sa.String(), nullable=True, comment='the vector that lies nearest a direction: gate, in or out'),
    sa.Column('direction', sa.String(), nullable=True, comment='that direction: unembed, token 1, …, or residual'),
    sa.Column('cosine', sa.Double(), nullable=True, comment='its cosine with it, in canonical sign; NULL of a random neuron'),
    sa.Column('low', sa.Double(), nullable=False, comment='lower value that it was held at, in canonical sign'),
    sa.Column('high', sa.Double(), nullable=False, comment='upper value'),
    sa.Column('low_change', sa.Double(), nullable=True, comment='mean over the prompts of ln p(concept), held at low − clean'),
    sa.Column('high_change', sa.Double(), nullable=True, comment='the same, held at high'),
    sa.Column('low_probability', sa.Double(), nullable=True, comment='mean over the prompts of p(concept), held at low'),
    sa.Column('high_probability', sa.Double(), nullable=True, comment='the same, held at high'),
    sa.Column('low_other_change', sa.Double(), nullable=True, comment='mean over the prompts and other words of ln p, held at low − clean'),
    sa.Column('high_other_change', sa.Double(), nullable=True, comment='the same, held at high'),
    sa.Column('change', sa.Double(), nullable=True, comment='the larger of the two changes: what the neuron can do for the concept'),
    sa.Column('rank', sa.Integer(), nullable=False, comment='place by change among the candidates, or among the random ones; 0 is first'),
    sa.Column('stronger', sa.Integer(), nullable=True, comment='random neurons whose change is as large at least'),
    sa.ForeignKeyConstraint(['neuron_id'], ['neurons.neuron_id'], name=op.f('fk_concept_candidates_neuron_id_neurons')),
    sa.ForeignKeyConstraint(['run_id'], ['concept_runs.run_id'], name=op.f('fk_concept_candidates_run_id_concept_runs')),
    sa.PrimaryKeyConstraint('run_id', 'neuron_id', name=op.f('pk_concept_candidates')),
    sqlite_with_rowid=False
    )
    with op.batch_alter_table('concept_candidates', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_concept_candidates_neuron_id'), ['neuron_id'], unique=False)

    op.create_table('concept_points',
    sa.Column('run_id', sa.Integer(), nullable=False, comment='run'),
    sa.Column('neuron_id', sa.Integer(), nullable=False, comment='one of the strongest neurons, held alone'),
    sa.Column('step', sa.Integer(), autoincrement=False, nullable=False, comment='place of the value in the sweep'),
    sa.Column('value', sa.Double(), nullable=False, comment='what it was held at, in canonical sign'),
    sa.Column('change', sa.Double(), nullable=True, comment='mean over the prompts of ln p(concept), held − clean'),
    sa.Column('probability', sa.Double(), nullable=True, comment='mean over the prompts of p(concept)'),
    sa.ForeignKeyConstraint(['neuron_id'], ['neurons.neuron_id'], name=op.f('fk_concept_points_neuron_id_neurons')),
    sa.ForeignKeyConstraint(['run_id'], ['concept_runs.run_id'], name=op.f('fk_concept_points_run_id_concept_runs')),
    sa.PrimaryKeyConstraint('run_id', 'neuron_id', 'step', name=op.f('pk_concept_points')),
    sqlite_with_rowid=False
    )
    with op.batch_alter_table('concept_points', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_concept_points_neuron_id'), ['neuron_id'], unique=False)

    op.create_table('concept_texts',
    sa.Column('run_id', sa.Integer(), nullable=False, comment='run'),
    sa.Column('kind', sa.String(), nullable=False, comment='spelling of the concept; prompt after which its probability was measured; context in which its residual stream was read; other concept it was compared with there'),
    sa.Column('place', sa.Integer(), autoincrement=False, nullable=False, comment='its place among those of its kind, from 0'),
    sa.Column('text', sa.Text(), nullable=False, comment='the text'),
    sa.Column('log_probability', sa.Double(), nullable=True, comment='of a prompt: ln p(concept) after it, no neuron held'),
    sa.ForeignKeyConstraint(['run_id'], ['concept_runs.run_id'], name=op.f('fk_concept_texts_run_id_concept_runs')),
    sa.PrimaryKeyConstraint('run_id', 'kind', 'place', name=op.f('pk_concept_texts')),
    sqlite_with_rowid=False
    )
    op.create_table('concept_tokens',
    sa.Column('run_id', sa.Integer(), nullable=False, comment='run'),
    sa.Column('spelling', sa.Integer(), autoincrement=False, nullable=False, comment='place of the spelling in concept_texts'),
    sa.Column('place', sa.Integer(), autoincrement=False, nullable=False, comment='place of the token in the spelling, from 0'),
    sa.Column('token_id', sa.Integer(), nullable=False, comment='token'),
    sa.ForeignKeyConstraint(['run_id'], ['concept_runs.run_id'], name=op.f('fk_concept_tokens_run_id_concept_runs')),
    sa.PrimaryKeyConstraint('run_id', 'spelling', 'place', name=op.f('pk_concept_tokens')),
    sqlite_with_rowid=False
    )


def downgrade() -> None:
    for name in TABLES.split():
        op.drop_table(name)  # and its indexes


TABLES = """
    concept_tokens concept_texts concept_points concept_candidates clamp_run_neurons
    clamp_results concept_runs clamp_runs
"""
