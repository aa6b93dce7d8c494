"""Neurons that activate and deactivate attention heads."""

from alembic import op
import sqlalchemy as sa


revision = '0020'
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('head_runs',
    sa.Column('run_id', sa.Integer(), nullable=False, comment='run'),
    sa.Column('model_id', sa.Integer(), nullable=False, comment='model; it has one run'),
    sa.Column('bos_token_id', sa.Integer(), nullable=False, comment='token that stood for BOS, the one that texts begin with'),
    sa.Column('per_neuron', sa.Integer(), nullable=False, comment='heads kept of each neuron on each side'),
    sa.Column('per_head', sa.Integer(), nullable=False, comment='neurons kept of each head on each side'),
    sa.Column('n_random', sa.Integer(), nullable=False, comment='random directions that the scores are compared with'),
    sa.Column('seed', sa.Integer(), nullable=False, comment='seed of these, and of the positions that are kept'),
    sa.Column('n_pairs', sa.Integer(), nullable=False, comment='pairs of a neuron and a head in a later layer'),
    sa.Column('baseline_std', sa.Double(), nullable=True, comment='standard deviation of the score of a random direction, over all heads'),
    sa.Column('ignored', sa.String(), nullable=True, comment='what of attention the score leaves out, in words'),
    sa.Column('dataset_id', sa.Integer(), nullable=True, comment='dataset that heads were measured on; NULL of scores alone'),
    sa.Column('n_texts', sa.Integer(), nullable=True, comment='texts of it that were run'),
    sa.Column('n_tokens', sa.Integer(), nullable=True, comment='positions of their second halves, which were measured'),
    sa.Column('max_len', sa.Integer(), nullable=True, comment='tokens a text at most, BOS included'),
    sa.Column('norm_ratio', sa.Double(), nullable=True, comment='median over heads of norm_ratio (attention_heads)'),
    sa.Column('seconds', sa.Double(), nullable=True, comment='seconds that it took'),
    sa.Column('request', sa.String(), nullable=False, comment='sha256 over all that was asked for: the same is stored once'),
    sa.Column('dtype', sa.String(), nullable=False, comment='dtype of the forward pass'),
    sa.Column('device', sa.String(), nullable=False, comment='device'),
    sa.Column('tool_version', sa.String(), nullable=False, comment='version of neurondb'),
    sa.Column('torch_version', sa.String(), nullable=False, comment='version of torch'),
    sa.Column('fingerprint', sa.String(), nullable=False, comment="fingerprint of the model's weights"),
    sa.Column('created_at', sa.String(), nullable=False, comment='UTC, ISO 8601'),
    sa.ForeignKeyConstraint(['dataset_id'], ['dataset_rows.dataset_id'], name=op.f('fk_head_runs_dataset_id_dataset_rows')),
    sa.ForeignKeyConstraint(['model_id'], ['models.model_id'], name=op.f('fk_head_runs_model_id_models')),
    sa.PrimaryKeyConstraint('run_id', name=op.f('pk_head_runs')),
    sa.UniqueConstraint('request', name=op.f('uq_head_runs_request'))
    )
    op.create_index(op.f('ix_head_runs_dataset_id'), 'head_runs', ['dataset_id'], unique=False)
    op.create_index(op.f('ix_head_runs_model_id'), 'head_runs', ['model_id'], unique=False)
    op.create_table('attention_heads',
    sa.Column('run_id', sa.Integer(), nullable=False, comment='run'),
    sa.Column('layer', sa.Integer(), autoincrement=False, nullable=False, comment='layer, from 0'),
    sa.Column('head', sa.Integer(), autoincrement=False, nullable=False, comment='head, from 0'),
    sa.Column('key_head', sa.Integer(), nullable=False, comment='head of the keys that it shares with others (grouped queries)'),
    sa.Column('query_norm', sa.Double(), nullable=True, comment='norm of W_Q k_BOS / √d_head: the largest score that a neuron can have'),
    sa.Column('baseline_std', sa.Double(), nullable=True, comment='standard deviation of the score of a random direction'),
    sa.Column('n_deactivating', sa.Integer(), nullable=False, comment='neurons of earlier layers with a standardised score of 4 or more'),
    sa.Column('n_activating', sa.Integer(), nullable=False, comment='those of −4 or less'),
    sa.Column('bos_norm', sa.Double(), nullable=True, comment='norm of W_O v_BOS: what the head writes where it attends to BOS alone'),
    sa.Column('other_norm', sa.Double(), nullable=True, comment='mean norm of W_O v over the other tokens'),
    sa.Column('norm_ratio', sa.Double(), nullable=True, comment='other_norm / bos_norm (the median is 19.4 in universal-neurons §5.3)'),
    sa.Column('bos_attention', sa.Double(), nullable=True, comment='mean attention to BOS in the second halves of texts'),
    sa.ForeignKeyConstraint(['run_id'], ['head_runs.run_id'], name=op.f('fk_attention_heads_run_id_head_runs')),
    sa.PrimaryKeyConstraint('run_id', 'layer', 'head', name=op.f('pk_attention_heads')),
    sqlite_with_rowid=False
    )
    op.create_table('head_ablation_tokens',
    sa.Column('run_id', sa.Integer(), nullable=False, comment='run'),
    sa.Column('neuron_id', sa.Integer(), nullable=False, comment='neuron'),
    sa.Column('head_layer', sa.Integer(), autoincrement=False, nullable=False, comment='layer of the head'),
    sa.Column('head', sa.Integer(), autoincrement=False, nullable=False, comment='head of this layer, from 0'),
    sa.Column('place', sa.Integer(), autoincrement=False, nullable=False, comment='place among the positions that were drawn, from 0'),
    sa.Column('activation', sa.Double(), nullable=False, comment='hook_post, in canonical sign'),
    sa.Column('bos_clean', sa.Double(), nullable=False, comment='attention to BOS of the model as it is'),
    sa.Column('bos_ablated', sa.Double(), nullable=False, comment="the same without the neuron in the head's query"),
    sa.Column('norm_clean', sa.Double(), nullable=False, comment="norm of the head's output of the model as it is"),
    sa.Column('norm_ablated', sa.Double(), nullable=False, comment="the same without the neuron in the head's query"),
    sa.ForeignKeyConstraint(['neuron_id'], ['neurons.neuron_id'], name=op.f('fk_head_ablation_tokens_neuron_id_neurons')),
    sa.ForeignKeyConstraint(['run_id'], ['head_runs.run_id'], name=op.f('fk_head_ablation_tokens_run_id_head_runs')),
    sa.PrimaryKeyConstraint('run_id', 'neuron_id', 'head_layer', 'head', 'place', name=op.f('pk_head_ablation_tokens')),
    sqlite_with_rowid=False
    )
    op.create_index(op.f('ix_head_ablation_tokens_neuron_id'), 'head_ablation_tokens', ['neuron_id'], unique=False)
    op.create_table('head_ablations',
    sa.Column('run_id', sa.Integer(), nullable=False, comment='run'),
    sa.Column('neuron_id', sa.Integer(), nullable=False, comment="neuron whose writing was taken from the head's query"),
    sa.Column('head_layer', sa.Integer(), autoincrement=False, nullable=False, comment='layer of the head'),
    sa.Column('head', sa.Integer(), autoincrement=False, nullable=False, comment='head of this layer, from 0'),
    sa.Column('score', sa.Double(), nullable=False, comment='the score of the pair (METHODS §7)'),
    sa.Column('standardised', sa.Double(), nullable=False, comment='the same in standard deviations of random directions'),
    sa.Column('n', sa.Integer(), nullable=False, comment='positions measured, in the second halves of texts'),
    sa.Column('n_firing', sa.Integer(), nullable=False, comment='those where hook_post is above 0, in canonical sign'),
    sa.Column('activation', sa.Double(), nullable=True, comment='mean of hook_post, in canonical sign'),
    sa.Column('bos_attention', sa.Double(), nullable=True, comment='mean attention to BOS of the model as it is'),
    sa.Column('bos_change', sa.Double(), nullable=True, comment='mean of ablated − clean attention to BOS'),
    sa.Column('output_norm', sa.Double(), nullable=True, comment="mean norm of the head's output of the model as it is"),
    sa.Column('norm_change', sa.Double(), nullable=True, comment="mean of ablated − clean norm of the head's output"),
    sa.Column('firing_activation', sa.Double(), nullable=True, comment='as activation, where the neuron fires'),
    sa.Column('firing_bos_attention', sa.Double(), nullable=True, comment='as bos_attention, where the neuron fires'),
    sa.Column('firing_bos_change', sa.Double(), nullable=True, comment='as bos_change, where the neuron fires'),
    sa.Column('firing_output_norm', sa.Double(), nullable=True, comment='as output_norm, where the neuron fires'),
    sa.Column('firing_norm_change', sa.Double(), nullable=True, comment='as norm_change, where the neuron fires'),
    sa.Column('bos_correlation', sa.Double(), nullable=True, comment='Pearson correlation of hook_post with the change of BOS attention'),
    sa.Column('norm_correlation', sa.Double(), nullable=True, comment='Pearson correlation of hook_post with the change of the norm'),
    sa.ForeignKeyConstraint(['neuron_id'], ['neurons.neuron_id'], name=op.f('fk_head_ablations_neuron_id_neurons')),
    sa.ForeignKeyConstraint(['run_id'], ['head_runs.run_id'], name=op.f('fk_head_ablations_run_id_head_runs')),
    sa.PrimaryKeyConstraint('run_id', 'neuron_id', 'head_layer', 'head', name=op.f('pk_head_ablations')),
    sqlite_with_rowid=False
    )
    op.create_index(op.f('ix_head_ablations_neuron_id'), 'head_ablations', ['neuron_id'], unique=False)
    op.create_table('head_score_counts',
    sa.Column('run_id', sa.Integer(), nullable=False, comment='run'),
    sa.Column('standardised', sa.Boolean(), nullable=False, comment='whether scores are counted in standard deviations of random directions'),
    sa.Column('bin', sa.Integer(), autoincrement=False, nullable=False, comment='bin, from 0; bins without scores are left out'),
    sa.Column('low', sa.Double(), nullable=False, comment='lower edge of the bin, which belongs to it'),
    sa.Column('high', sa.Double(), nullable=False, comment='upper edge, which belongs to the next'),
    sa.Column('n_neurons', sa.Integer(), nullable=False, comment='pairs of a neuron and a head in a later layer'),
    sa.Column('n_random', sa.Integer(), nullable=False, comment='pairs of a random direction and a head in a later layer'),
    sa.ForeignKeyConstraint(['run_id'], ['head_runs.run_id'], name=op.f('fk_head_score_counts_run_id_head_runs')),
    sa.PrimaryKeyConstraint('run_id', 'standardised', 'bin', name=op.f('pk_head_score_counts')),
    sqlite_with_rowid=False
    )
    op.create_table('neuron_head_rows',
    sa.Column('neuron_id', sa.Integer(), nullable=False, comment='neuron'),
    sa.Column('head_layer', sa.Integer(), autoincrement=False, nullable=False, comment="layer of the head, later than the neuron's"),
    sa.Column('head', sa.Integer(), autoincrement=False, nullable=False, comment='head of this layer, from 0'),
    sa.Column('score', sa.Double(), nullable=False, comment='(out/‖out‖)ᵀ W_Q k_BOS / √d_head (METHODS §7)'),
    sa.Column('standardised', sa.Double(), nullable=False, comment='score in standard deviations of that of random directions at this head'),
    sa.Column('rank', sa.Integer(), nullable=True, comment="place among the neuron's heads on the side of its sign, 0 the strongest; NULL beyond"),
    sa.Column('head_rank', sa.Integer(), nullable=True, comment="place among the head's neurons on this side; NULL beyond"),
    sa.ForeignKeyConstraint(['neuron_id'], ['neurons.neuron_id'], name=op.f('fk_neuron_head_rows_neuron_id_neurons')),
    sa.PrimaryKeyConstraint('neuron_id', 'head_layer', 'head', name=op.f('pk_neuron_head_rows')),
    sqlite_with_rowid=False
    )
    op.create_index(op.f('ix_neuron_head_rows_head_layer_head'), 'neuron_head_rows', ['head_layer', 'head'], unique=False)


def downgrade() -> None:
    op.drop_index(op.f('ix_neuron_head_rows_head_layer_head'), table_name='neuron_head_rows')
    op.drop_table('neuron_head_rows')
    op.drop_table('head_score_counts')
    op.drop_index(op.f('ix_head_ablations_neuron_id'), table_name='head_ablations')
    op.drop_table('head_ablations')
    op.drop_index(op.f('ix_head_ablation_tokens_neuron_id'), table_name='head_ablation_tokens')
    op.drop_table('head_ablation_tokens')
    op.drop_table('attention_heads')
    op.drop_index(op.f('ix_head_runs_model_id'), table_name='head_runs')
    op.drop_index(op.f('ix_head_runs_dataset_id'), table_name='head_runs')
    op.drop_table('head_runs')
