"""The schema of the first release.

Its number is that of the last of the migrations that led to it, none of which was ever released: a
database of that revision has this very schema and goes on from here.
"""

from alembic import op
import sqlalchemy as sa


revision = '0008'
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('control_kinds',
    sa.Column('kind_id', sa.SmallInteger(), nullable=False, comment='code'),
    sa.Column('kind', sa.String(), nullable=False, comment='random, or the quarter of the drawn texts by |peak|'),
    sa.PrimaryKeyConstraint('kind_id', name=op.f('pk_control_kinds')),
    sa.UniqueConstraint('kind', name=op.f('uq_control_kinds_kind'))
    )
    op.create_table('dataset_rows',
    sa.Column('dataset_id', sa.Integer(), nullable=False, comment='dataset'),
    sa.Column('name', sa.String(), nullable=False, comment='name, unique'),
    sa.Column('source', sa.String(), nullable=False, comment='file, directory or hub id it was read from'),
    sa.Column('fingerprint', sa.String(), nullable=False, comment='sha256 over its texts in order'),
    sa.Column('n_texts', sa.Integer(), nullable=False, comment='texts'),
    sa.PrimaryKeyConstraint('dataset_id', name=op.f('pk_dataset_rows')),
    sa.UniqueConstraint('name', name=op.f('uq_dataset_rows_name'))
    )
    op.create_table('example_lists',
    sa.Column('list_id', sa.SmallInteger(), nullable=False, comment='code'),
    sa.Column('sign_case', sa.String(), nullable=False, comment='sign case'),
    sa.Column('quantity', sa.String(), nullable=False, comment='hook_post, hook_pre_linear, hook_pre or swish'),
    sa.PrimaryKeyConstraint('list_id', name=op.f('pk_example_lists')),
    sa.UniqueConstraint('sign_case', 'quantity', name=op.f('uq_example_lists_sign_case_quantity'))
    )
    op.create_table('neuron_sets',
    sa.Column('set_id', sa.Integer(), nullable=False, comment='set'),
    sa.Column('name', sa.String(), nullable=True, comment='name'),
    sa.Column('definition', sa.Text(), nullable=False, comment='the SQL or expression that made it'),
    sa.PrimaryKeyConstraint('set_id', name=op.f('pk_neuron_sets'))
    )
    op.create_table('properties',
    sa.Column('property_id', sa.Integer(), nullable=False, comment='property, of the tokens of any model'),
    sa.Column('name', sa.String(), nullable=False, comment='name: starts with space, is a year'),
    sa.Column('description', sa.Text(), nullable=False, comment='which tokens have it'),
    sa.PrimaryKeyConstraint('property_id', name=op.f('pk_properties')),
    sa.UniqueConstraint('name', name=op.f('uq_properties_name'))
    )
    op.create_table('quantities',
    sa.Column('quantity_id', sa.SmallInteger(), nullable=False, comment='code'),
    sa.Column('quantity', sa.String(), nullable=False, comment='hook_post, hook_pre_linear, hook_pre or swish'),
    sa.PrimaryKeyConstraint('quantity_id', name=op.f('pk_quantities')),
    sa.UniqueConstraint('quantity', name=op.f('uq_quantities_quantity'))
    )
    op.create_table('rw_classes',
    sa.Column('class_id', sa.SmallInteger(), nullable=False, comment='0–10 in the published order'),
    sa.Column('name', sa.String(), nullable=False, comment='name of weakening-neurons'),
    sa.Column('io_name', sa.String(), nullable=False, comment='name of input-output-functionality'),
    sa.PrimaryKeyConstraint('class_id', name=op.f('pk_rw_classes')),
    sa.UniqueConstraint('name', name=op.f('uq_rw_classes_name'))
    )
    op.create_table('sign_case_names',
    sa.Column('sign_case_id', sa.SmallInteger(), nullable=False, comment='code'),
    sa.Column('sign_case', sa.String(), nullable=False, comment='signs of x_gate and canonical x_in (METHODS §5)'),
    sa.PrimaryKeyConstraint('sign_case_id', name=op.f('pk_sign_case_names')),
    sa.UniqueConstraint('sign_case', name=op.f('uq_sign_case_names_sign_case'))
    )
    op.create_table('token_lists',
    sa.Column('list_id', sa.SmallInteger(), nullable=False, comment='code'),
    sa.Column('vector', sa.String(), nullable=False, comment='gate, in or out'),
    sa.Column('basis', sa.String(), nullable=False, comment='unembed (U, folded and centred) or embed (E, as stored)'),
    sa.Column('direction', sa.String(), nullable=False, comment='top or bottom'),
    sa.PrimaryKeyConstraint('list_id', name=op.f('pk_token_lists')),
    sa.UniqueConstraint('vector', 'basis', 'direction', name=op.f('uq_token_lists_vector_basis_direction'))
    )
    op.create_table('vectors',
    sa.Column('vector_id', sa.SmallInteger(), nullable=False, comment='code'),
    sa.Column('vector', sa.String(), nullable=False, comment='gate, in or out'),
    sa.PrimaryKeyConstraint('vector_id', name=op.f('pk_vectors')),
    sa.UniqueConstraint('vector', name=op.f('uq_vectors_vector'))
    )
    op.create_table('labels',
    sa.Column('label_id', sa.Integer(), nullable=False, comment='label'),
    sa.Column('dataset_id', sa.Integer(), nullable=False, comment='dataset whose texts it tells apart'),
    sa.Column('label', sa.String(), nullable=False, comment='name of that part of the dataset: a sub-corpus, a language'),
    sa.ForeignKeyConstraint(['dataset_id'], ['dataset_rows.dataset_id'], name=op.f('fk_labels_dataset_id_dataset_rows')),
    sa.PrimaryKeyConstraint('label_id', name=op.f('pk_labels')),
    sa.UniqueConstraint('dataset_id', 'label', name=op.f('uq_labels_dataset_id_label'))
    )
    op.create_table('models',
    sa.Column('model_id', sa.Integer(), nullable=False, comment='model'),
    sa.Column('name', sa.String(), nullable=False, comment='slug by which commands and queries know it'),
    sa.Column('source', sa.String(), nullable=False, comment='hub id or directory it was read from'),
    sa.Column('revision', sa.String(), nullable=True, comment='commit of the hub repository'),
    sa.Column('architecture', sa.String(), nullable=False, comment='model_type of its config'),
    sa.Column('gated', sa.Boolean(), nullable=False, comment='whether its MLP multiplies a gate'),
    sa.Column('activation', sa.String(), nullable=False, comment='activation function of the MLP, as its config names it'),
    sa.Column('n_layers', sa.Integer(), nullable=False, comment='layers'),
    sa.Column('d_model', sa.Integer(), nullable=False, comment='width of the residual stream'),
    sa.Column('d_mlp', sa.Integer(), nullable=False, comment='neurons a layer'),
    sa.Column('d_vocab', sa.Integer(), nullable=False, comment='rows of U and of E; tokens of the vocabulary are at most as many'),
    sa.Column('fingerprint', sa.String(), nullable=False, comment='sha256 over config and tensors, see ingest.checkpoint.reader'),
    sa.Column('tokenizer_fingerprint', sa.String(), nullable=True, comment='sha256 of its tokenizer.json'),
    sa.Column('first_neuron_id', sa.Integer(), nullable=False, comment='its neurons have n_layers·d_mlp consecutive ids from here'),
    sa.Column('threshold', sa.Double(), nullable=False, comment='τ of the class that neuron_overview shows'),
    sa.Column('dataset_id', sa.Integer(), nullable=True, comment='dataset neuron_overview shows'),
    sa.Column('each_run_id', sa.Integer(), nullable=True, comment='run whose effects neuron_overview shows'),
    sa.Column('attribution_run_id', sa.Integer(), nullable=True, comment='run whose attributions neuron_overview shows'),
    sa.Column('n_unused_rows', sa.Integer(), nullable=True, comment='rows of U and E that no token has, left out of token lists and moments; NULL where that is not known: no tokenizer, no vocabulary yet, or one of an earlier version'),
    sa.Column('quantisation', sa.String(), nullable=True, comment='how its weights were quantised, as llama.cpp calls it (Q4_1, Q4_K_M); NULL of a model in hub format'),
    sa.Column('tensor_types', sa.String(), nullable=True, comment='JSON: how each kind of tensor of a GGUF file was stored; NULL of a model in hub format'),
    sa.ForeignKeyConstraint(['dataset_id'], ['dataset_rows.dataset_id'], name=op.f('fk_models_dataset_id_dataset_rows')),
    sa.PrimaryKeyConstraint('model_id', name=op.f('pk_models')),
    sa.UniqueConstraint('name', name=op.f('uq_models_name'))
    )
    op.create_table('ablation_runs',
    sa.Column('run_id', sa.Integer(), nullable=False, comment='run'),
    sa.Column('model_id', sa.Integer(), nullable=False, comment='model'),
    sa.Column('dataset_id', sa.Integer(), nullable=False, comment='dataset'),
    sa.Column('set_id', sa.Integer(), nullable=False, comment='neurons intervened on'),
    sa.Column('mode', sa.String(), nullable=False, comment='zero, mean, fix or clamp (METHODS §6)'),
    sa.Column('condition', sa.String(), nullable=True, comment='signs under which the intervention acts'),
    sa.Column('value', sa.Double(), nullable=True, comment='value of fix and clamp'),
    sa.Column('baseline_of', sa.Integer(), nullable=True, comment='run it is the baseline of'),
    sa.Column('seed', sa.Integer(), nullable=True, comment='seed of a random set'),
    sa.Column('hook', sa.String(), server_default='hook_post', nullable=False, comment='what was set: hook_post, or hook_pre_linear of clamp'),
    sa.Column('n_texts', sa.Integer(), nullable=True, comment='texts run: the first so many of the dataset'),
    sa.Column('n_tokens', sa.Integer(), nullable=True, comment='tokens counted'),
    sa.Column('max_len', sa.Integer(), nullable=True, comment='tokens a text at most, the prefix token included'),
    sa.Column('skip_bos', sa.Boolean(), nullable=True, comment='whether the first position of each text was left out of the counts'),
    sa.Column('dtype', sa.String(), nullable=True, comment='dtype of the forward pass'),
    sa.Column('device', sa.String(), nullable=True, comment='device'),
    sa.Column('tool_version', sa.String(), nullable=True, comment='version of neurondb'),
    sa.Column('torch_version', sa.String(), nullable=True, comment='version of torch'),
    sa.Column('fingerprint', sa.String(), nullable=True, comment="fingerprint of the model's weights"),
    sa.Column('created_at', sa.String(), nullable=True, comment='UTC, ISO 8601'),
    sa.Column('means_dataset_id', sa.Integer(), nullable=True, comment='dataset whose activations gave the values of mode mean'),
    sa.Column('kind', sa.String(), server_default='together', nullable=False, comment='together: all neurons of the set at once; each: one after the other (neuron_effects); attribution: first-order estimates (neuron_attributions)'),
    sa.Column('finished', sa.Boolean(), server_default=sa.true(), nullable=False, comment='whether it has gone through all of its neurons'),
    sa.Column('seconds', sa.Double(), nullable=True, comment='seconds that the forward passes took; NULL if unknown'),
    sa.ForeignKeyConstraint(['baseline_of'], ['ablation_runs.run_id'], name=op.f('fk_ablation_runs_baseline_of_ablation_runs')),
    sa.ForeignKeyConstraint(['dataset_id'], ['dataset_rows.dataset_id'], name=op.f('fk_ablation_runs_dataset_id_dataset_rows')),
    sa.ForeignKeyConstraint(['means_dataset_id'], ['dataset_rows.dataset_id'], name=op.f('fk_ablation_runs_means_dataset_id_dataset_rows')),
    sa.ForeignKeyConstraint(['model_id'], ['models.model_id'], name=op.f('fk_ablation_runs_model_id_models')),
    sa.ForeignKeyConstraint(['set_id'], ['neuron_sets.set_id'], name=op.f('fk_ablation_runs_set_id_neuron_sets')),
    sa.PrimaryKeyConstraint('run_id', name=op.f('pk_ablation_runs'))
    )
    op.create_table('baselines',
    sa.Column('model_id', sa.Integer(), nullable=False, comment='model'),
    sa.Column('layer', sa.Integer(), nullable=False, comment='layer'),
    sa.Column('kind', sa.String(), nullable=False, comment='gaussian or mismatched (METHODS §3)'),
    sa.Column('pair', sa.String(), nullable=False, comment='gate_in, gate_out or in_out'),
    sa.Column('low', sa.Double(), nullable=False, comment='lower end of the random region'),
    sa.Column('high', sa.Double(), nullable=False, comment='upper end of the random region'),
    sa.Column('n_pairs', sa.Integer(), nullable=True, comment='mismatched pairs looked at; NULL for the closed form'),
    sa.Column('standard_error', sa.Double(), nullable=True, comment='estimated error of the worse end; 0 when exact'),
    sa.ForeignKeyConstraint(['model_id'], ['models.model_id'], name=op.f('fk_baselines_model_id_models')),
    sa.PrimaryKeyConstraint('model_id', 'layer', 'kind', 'pair', name=op.f('pk_baselines')),
    sqlite_with_rowid=False
    )
    op.create_table('comparisons',
    sa.Column('comparison_id', sa.Integer(), nullable=False, comment='comparison'),
    sa.Column('model_a', sa.Integer(), nullable=False, comment='model before: the one that the other came from'),
    sa.Column('model_b', sa.Integer(), nullable=False, comment='model after, of as many layers and neurons'),
    sa.Column('created_at', sa.String(), nullable=False, comment='UTC, ISO 8601'),
    sa.Column('tool_version', sa.String(), nullable=False, comment='version of neurondb'),
    sa.Column('share_same_token', sa.Double(), nullable=True, comment='share of neurons with the same top token of the LM-head decoding in both (specialised-feature-neurons §2), of those that have one in both; NULL if none has'),
    sa.ForeignKeyConstraint(['model_a'], ['models.model_id'], name=op.f('fk_comparisons_model_a_models')),
    sa.ForeignKeyConstraint(['model_b'], ['models.model_id'], name=op.f('fk_comparisons_model_b_models')),
    sa.PrimaryKeyConstraint('comparison_id', name=op.f('pk_comparisons')),
    sa.UniqueConstraint('model_a', 'model_b', name=op.f('uq_comparisons_model_a_model_b'))
    )
    op.create_table('ingest_runs',
    sa.Column('run_id', sa.Integer(), nullable=False, comment='run'),
    sa.Column('model_id', sa.Integer(), nullable=False, comment='model'),
    sa.Column('dataset_id', sa.Integer(), nullable=True, comment='dataset, when one was read'),
    sa.Column('tool_version', sa.String(), nullable=False, comment='version of neurondb'),
    sa.Column('torch_version', sa.String(), nullable=False, comment='version of torch'),
    sa.Column('fingerprint', sa.String(), nullable=False, comment="fingerprint of the model's weights"),
    sa.Column('stages', sa.String(), nullable=False, comment='stages asked for'),
    sa.Column('fold', sa.Boolean(), nullable=True, comment='norm gains and biases folded (METHODS §1)'),
    sa.Column('center', sa.Boolean(), nullable=True, comment='in and out of LayerNorm models centred over d; U centred over the vocabulary'),
    sa.Column('center_gate', sa.Boolean(), nullable=True, comment='LayerNorm models: gate mean-centred too'),
    sa.Column('fold_post_norm', sa.Boolean(), nullable=True, comment='gain after the MLP folded into out'),
    sa.Column('canonicalise', sa.Boolean(), nullable=True, comment='signs made canonical'),
    sa.Column('dtype', sa.String(), nullable=False, comment='dtype of the forward pass'),
    sa.Column('device', sa.String(), nullable=False, comment='device'),
    sa.Column('seed', sa.Integer(), nullable=False, comment='seed of the sampled baselines'),
    sa.Column('started_at', sa.String(), nullable=False, comment='UTC, ISO 8601'),
    sa.Column('finished_at', sa.String(), nullable=True, comment='UTC, ISO 8601; NULL while running or when interrupted'),
    sa.ForeignKeyConstraint(['dataset_id'], ['dataset_rows.dataset_id'], name=op.f('fk_ingest_runs_dataset_id_dataset_rows')),
    sa.ForeignKeyConstraint(['model_id'], ['models.model_id'], name=op.f('fk_ingest_runs_model_id_models')),
    sa.PrimaryKeyConstraint('run_id', name=op.f('pk_ingest_runs'))
    )
    op.create_table('layers',
    sa.Column('layer_id', sa.Integer(), nullable=False, comment='layer of a model'),
    sa.Column('model_id', sa.Integer(), nullable=False, comment='its model'),
    sa.Column('layer', sa.Integer(), nullable=False, comment='number of the layer, from 0'),
    sa.ForeignKeyConstraint(['model_id'], ['models.model_id'], name=op.f('fk_layers_model_id_models')),
    sa.PrimaryKeyConstraint('layer_id', name=op.f('pk_layers')),
    sa.UniqueConstraint('model_id', 'layer', name=op.f('uq_layers_model_id_layer'))
    )
    op.create_table('neurons',
    sa.Column('neuron_id', sa.Integer(), nullable=False, comment='first_neuron_id of the model + layer·d_mlp + neuron'),
    sa.Column('model_id', sa.Integer(), nullable=False, comment='its model'),
    sa.Column('layer', sa.Integer(), nullable=False, comment='its layer, from 0'),
    sa.Column('neuron', sa.Integer(), nullable=False, comment='its number within the layer, from 0'),
    sa.Column('sign', sa.SmallInteger(), nullable=False, comment='s of METHODS §1: in and out were × s'),
    sa.Column('gate_norm', sa.Double(), nullable=True, comment='‖gate‖ after preprocessing; NULL when ungated'),
    sa.Column('in_norm', sa.Double(), nullable=True, comment='‖in‖ after preprocessing'),
    sa.Column('out_norm', sa.Double(), nullable=True, comment='‖out‖ after preprocessing'),
    sa.Column('gate_bias', sa.Double(), nullable=True, comment='bias of x_gate after folding; NULL when there is none'),
    sa.Column('in_bias', sa.Double(), nullable=True, comment='bias of canonical x_in after folding; NULL when there is none'),
    sa.Column('penalty', sa.Double(), nullable=True, comment='weight-decay penalty ‖in‖² + ‖out‖² (+ ‖gate‖²)'),
    sa.ForeignKeyConstraint(['model_id'], ['models.model_id'], name=op.f('fk_neurons_model_id_models')),
    sa.PrimaryKeyConstraint('neuron_id', name=op.f('pk_neurons')),
    sa.UniqueConstraint('model_id', 'layer', 'neuron', name=op.f('uq_neurons_model_id_layer_neuron'))
    )
    op.create_table('texts',
    sa.Column('text_id', sa.Integer(), nullable=False, comment='text'),
    sa.Column('dataset_id', sa.Integer(), nullable=False, comment='its dataset'),
    sa.Column('ordinal', sa.Integer(), nullable=False, comment='place in the dataset, from 0'),
    sa.Column('text', sa.Text(), nullable=False, comment='the text, stripped'),
    sa.Column('label_id', sa.Integer(), nullable=True, comment='its label, if it has one'),
    sa.ForeignKeyConstraint(['dataset_id'], ['dataset_rows.dataset_id'], name=op.f('fk_texts_dataset_id_dataset_rows')),
    sa.ForeignKeyConstraint(['label_id'], ['labels.label_id'], name=op.f('fk_texts_label_id_labels')),
    sa.PrimaryKeyConstraint('text_id', name=op.f('pk_texts')),
    sa.UniqueConstraint('dataset_id', 'ordinal', name=op.f('uq_texts_dataset_id_ordinal'))
    )
    op.create_table('token_property_rows',
    sa.Column('model_id', sa.Integer(), nullable=False, comment='model'),
    sa.Column('property_id', sa.Integer(), nullable=False, comment='property'),
    sa.Column('token_id', sa.Integer(), autoincrement=False, nullable=False, comment='token of the model that has it'),
    sa.ForeignKeyConstraint(['model_id'], ['models.model_id'], name=op.f('fk_token_property_rows_model_id_models')),
    sa.ForeignKeyConstraint(['property_id'], ['properties.property_id'], name=op.f('fk_token_property_rows_property_id_properties')),
    sa.PrimaryKeyConstraint('model_id', 'property_id', 'token_id', name=op.f('pk_token_property_rows')),
    sqlite_with_rowid=False
    )
    op.create_table('tokenizations',
    sa.Column('model_id', sa.Integer(), nullable=False, comment='model whose tokenizer was used'),
    sa.Column('dataset_id', sa.Integer(), nullable=False, comment='dataset'),
    sa.Column('max_len', sa.Integer(), nullable=False, comment='tokens a text at most, the prefix token included'),
    sa.Column('prefix_token_id', sa.Integer(), nullable=True, comment='token put first: BOS, or EOS where there is none'),
    sa.Column('skip_bos', sa.Boolean(), nullable=False, comment='whether the first position is left out of the counts'),
    sa.Column('n_tokens', sa.Integer(), nullable=False, comment='tokens counted'),
    sa.Column('n_truncated', sa.Integer(), nullable=False, comment='texts cut at max_len'),
    sa.ForeignKeyConstraint(['dataset_id'], ['dataset_rows.dataset_id'], name=op.f('fk_tokenizations_dataset_id_dataset_rows')),
    sa.ForeignKeyConstraint(['model_id'], ['models.model_id'], name=op.f('fk_tokenizations_model_id_models')),
    sa.PrimaryKeyConstraint('model_id', 'dataset_id', name=op.f('pk_tokenizations')),
    sqlite_with_rowid=False
    )
    op.create_table('tokens',
    sa.Column('model_id', sa.Integer(), nullable=False, comment='model'),
    sa.Column('token_id', sa.Integer(), autoincrement=False, nullable=False, comment='row of E and U'),
    sa.Column('token', sa.String(), nullable=False, comment="its text, as it stands in a text: ' dog'; lone bytes as \\xNN"),
    sa.Column('piece', sa.String(), nullable=True, comment="its spelling in the tokenizer's own vocabulary: 'Ġdog'"),
    sa.Column('unembed_norm', sa.Double(), nullable=True, comment='norm of its row of U, folded and centred (METHODS §1); NULL if unknown'),
    sa.Column('embed_norm', sa.Double(), nullable=True, comment='norm of its row of E, as stored; NULL if unknown'),
    sa.ForeignKeyConstraint(['model_id'], ['models.model_id'], name=op.f('fk_tokens_model_id_models')),
    sa.PrimaryKeyConstraint('model_id', 'token_id', name=op.f('pk_tokens')),
    sqlite_with_rowid=False
    )
    with op.batch_alter_table('tokens', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_tokens_token_model_id'), ['token', 'model_id'], unique=False)

    op.create_table('ablation_histograms',
    sa.Column('run_id', sa.Integer(), nullable=False, comment='run'),
    sa.Column('metric', sa.String(), nullable=False, comment='loss, entropy, rank or scale'),
    sa.Column('low', sa.Double(), autoincrement=False, nullable=False, comment='lower edge of a bin of clean − ablated'),
    sa.Column('high', sa.Double(), nullable=False, comment='upper edge; an edge belongs to the bin beyond it, seen from 0'),
    sa.Column('n', sa.Integer(), nullable=False, comment='tokens in the bin; those that did not change are in none'),
    sa.ForeignKeyConstraint(['run_id'], ['ablation_runs.run_id'], name=op.f('fk_ablation_histograms_run_id_ablation_runs')),
    sa.PrimaryKeyConstraint('run_id', 'metric', 'low', name=op.f('pk_ablation_histograms')),
    sqlite_with_rowid=False
    )
    op.create_table('ablation_results',
    sa.Column('run_id', sa.Integer(), nullable=False, comment='run'),
    sa.Column('metric', sa.String(), nullable=False, comment='loss, entropy, rank or scale'),
    sa.Column('filter', sa.String(), nullable=False, comment='all tokens, or those that changed'),
    sa.Column('n', sa.Integer(), nullable=False, comment='tokens'),
    sa.Column('mean', sa.Double(), nullable=True, comment='mean of clean − ablated'),
    sa.Column('std', sa.Double(), nullable=True, comment='std of clean − ablated'),
    sa.Column('q25', sa.Double(), nullable=True, comment='q25 of clean − ablated'),
    sa.Column('q50', sa.Double(), nullable=True, comment='q50 of clean − ablated'),
    sa.Column('q75', sa.Double(), nullable=True, comment='q75 of clean − ablated'),
    sa.Column('min', sa.Double(), nullable=True, comment='min of clean − ablated'),
    sa.Column('max', sa.Double(), nullable=True, comment='max of clean − ablated'),
    sa.Column('clean_mean', sa.Double(), nullable=True, comment='mean of the clean run'),
    sa.Column('ablated_mean', sa.Double(), nullable=True, comment='mean of the ablated run'),
    sa.ForeignKeyConstraint(['run_id'], ['ablation_runs.run_id'], name=op.f('fk_ablation_results_run_id_ablation_runs')),
    sa.PrimaryKeyConstraint('run_id', 'metric', 'filter', name=op.f('pk_ablation_results')),
    sqlite_with_rowid=False
    )
    op.create_table('activation_histograms',
    sa.Column('neuron_id', sa.Integer(), nullable=False, comment='neuron'),
    sa.Column('dataset_id', sa.Integer(), nullable=False, comment='dataset'),
    sa.Column('quantity_id', sa.SmallInteger(), nullable=False, comment='code of the quantity, canonical sign'),
    sa.Column('counts', sa.LargeBinary(), nullable=False, comment='tokens in each of the 60 bins of neurondb.histogram, ascending, of every eighth position; as unsigned LEB128 integers'),
    sa.ForeignKeyConstraint(['dataset_id'], ['dataset_rows.dataset_id'], name=op.f('fk_activation_histograms_dataset_id_dataset_rows')),
    sa.ForeignKeyConstraint(['neuron_id'], ['neurons.neuron_id'], name=op.f('fk_activation_histograms_neuron_id_neurons')),
    sa.ForeignKeyConstraint(['quantity_id'], ['quantities.quantity_id'], name=op.f('fk_activation_histograms_quantity_id_quantities')),
    sa.PrimaryKeyConstraint('neuron_id', 'dataset_id', 'quantity_id', name=op.f('pk_activation_histograms')),
    sqlite_with_rowid=False
    )
    op.create_table('activation_stats',
    sa.Column('neuron_id', sa.Integer(), nullable=False, comment='neuron'),
    sa.Column('dataset_id', sa.Integer(), nullable=False, comment='dataset'),
    sa.Column('n_tokens', sa.Integer(), nullable=False, comment='tokens counted'),
    sa.Column('freq', sa.Double(), nullable=True, comment='share of tokens with x_gate > 0; NULL when ungated'),
    sa.Column('pre_mean', sa.Double(), nullable=True, comment='mean of hook_pre (x_gate; ungated: x_in)'),
    sa.Column('pre_variance', sa.Double(), nullable=True, comment='population variance of hook_pre (x_gate; ungated: x_in)'),
    sa.Column('pre_skewness', sa.Double(), nullable=True, comment='skewness of hook_pre (x_gate; ungated: x_in)'),
    sa.Column('pre_kurtosis', sa.Double(), nullable=True, comment='Pearson kurtosis of hook_pre (x_gate; ungated: x_in) (a Gaussian has 3)'),
    sa.Column('post_mean', sa.Double(), nullable=True, comment='mean of hook_post, canonical sign'),
    sa.Column('post_variance', sa.Double(), nullable=True, comment='population variance of hook_post, canonical sign'),
    sa.Column('post_skewness', sa.Double(), nullable=True, comment='skewness of hook_post, canonical sign'),
    sa.Column('post_kurtosis', sa.Double(), nullable=True, comment='Pearson kurtosis of hook_post, canonical sign (a Gaussian has 3)'),
    sa.Column('post_positive', sa.Double(), nullable=True, comment='share of tokens with hook_post > 0, canonical sign'),
    sa.Column('n_nonfinite', sa.Integer(), server_default='0', nullable=False, comment='tokens left out because gate, in or post was NaN or infinite there'),
    sa.ForeignKeyConstraint(['dataset_id'], ['dataset_rows.dataset_id'], name=op.f('fk_activation_stats_dataset_id_dataset_rows')),
    sa.ForeignKeyConstraint(['neuron_id'], ['neurons.neuron_id'], name=op.f('fk_activation_stats_neuron_id_neurons')),
    sa.PrimaryKeyConstraint('neuron_id', 'dataset_id', name=op.f('pk_activation_stats')),
    sqlite_with_rowid=False
    )
    with op.batch_alter_table('activation_stats', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_activation_stats_dataset_id_freq_neuron_id'), ['dataset_id', 'freq', 'neuron_id'], unique=False)

    op.create_table('annotations',
    sa.Column('annotation_id', sa.Integer(), nullable=False, comment='annotation'),
    sa.Column('neuron_id', sa.Integer(), nullable=False, comment='neuron'),
    sa.Column('source', sa.String(), nullable=False, comment='who or what said it'),
    sa.Column('key', sa.String(), nullable=False, comment='what is said about'),
    sa.Column('value', sa.Text(), nullable=True, comment='what is said'),
    sa.Column('note', sa.Text(), nullable=True, comment='free text'),
    sa.ForeignKeyConstraint(['neuron_id'], ['neurons.neuron_id'], name=op.f('fk_annotations_neuron_id_neurons')),
    sa.PrimaryKeyConstraint('annotation_id', name=op.f('pk_annotations'))
    )
    with op.batch_alter_table('annotations', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_annotations_key'), ['key'], unique=False)
        batch_op.create_index(batch_op.f('ix_annotations_neuron_id'), ['neuron_id'], unique=False)

    op.create_table('classes',
    sa.Column('neuron_id', sa.Integer(), nullable=False, comment='neuron'),
    sa.Column('threshold', sa.Double(), nullable=False, comment='τ'),
    sa.Column('class_id', sa.SmallInteger(), nullable=False, comment='its read-write class at τ'),
    sa.ForeignKeyConstraint(['class_id'], ['rw_classes.class_id'], name=op.f('fk_classes_class_id_rw_classes')),
    sa.ForeignKeyConstraint(['neuron_id'], ['neurons.neuron_id'], name=op.f('fk_classes_neuron_id_neurons')),
    sa.PrimaryKeyConstraint('neuron_id', 'threshold', name=op.f('pk_classes')),
    sqlite_with_rowid=False
    )
    with op.batch_alter_table('classes', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_classes_class_id_threshold_neuron_id'), ['class_id', 'threshold', 'neuron_id'], unique=False)

    op.create_table('comparison_neurons',
    sa.Column('comparison_id', sa.Integer(), nullable=False, comment='comparison'),
    sa.Column('layer', sa.Integer(), autoincrement=False, nullable=False, comment='layer, from 0'),
    sa.Column('neuron', sa.Integer(), autoincrement=False, nullable=False, comment='its number in it'),
    sa.Column('gate_cosine', sa.Double(), nullable=True, comment='cos(gate of model_a, gate of model_b); NULL if ungated or one is zero'),
    sa.Column('in_cosine', sa.Double(), nullable=True, comment='cos(in of model_a, in of model_b); NULL if one is zero'),
    sa.Column('out_cosine', sa.Double(), nullable=True, comment='cos(out of model_a, out of model_b); NULL if one is zero'),
    sa.Column('same_token', sa.Boolean(), nullable=True, comment='whether the top token of the LM-head decoding is the same text in both'),
    sa.Column('class_a', sa.SmallInteger(), nullable=True, comment='its read-write class in model_a when compared; NULL if it had none'),
    sa.Column('class_b', sa.SmallInteger(), nullable=True, comment='its read-write class in model_b when compared; NULL if it had none'),
    sa.Column('moved', sa.Double(), nullable=True, comment='1 − the smallest of the cosines there are; NULL if there is none'),
    sa.ForeignKeyConstraint(['class_a'], ['rw_classes.class_id'], name=op.f('fk_comparison_neurons_class_a_rw_classes')),
    sa.ForeignKeyConstraint(['class_b'], ['rw_classes.class_id'], name=op.f('fk_comparison_neurons_class_b_rw_classes')),
    sa.ForeignKeyConstraint(['comparison_id'], ['comparisons.comparison_id'], name=op.f('fk_comparison_neurons_comparison_id_comparisons')),
    sa.PrimaryKeyConstraint('comparison_id', 'layer', 'neuron', name=op.f('pk_comparison_neurons')),
    sqlite_with_rowid=False
    )
    with op.batch_alter_table('comparison_neurons', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_comparison_neurons_comparison_id_moved'), ['comparison_id', 'moved'], unique=False)

    op.create_table('control_example_rows',
    sa.Column('neuron_id', sa.Integer(), nullable=False, comment='neuron'),
    sa.Column('dataset_id', sa.Integer(), nullable=False, comment='dataset'),
    sa.Column('kind_id', sa.SmallInteger(), nullable=False, comment='code of the kind'),
    sa.Column('rank', sa.SmallInteger(), nullable=False, comment='place in the list, from 0'),
    sa.Column('text_id', sa.Integer(), nullable=False, comment='text'),
    sa.Column('position', sa.Integer(), nullable=False, comment='token position of its peak, the largest |hook_post| of the text'),
    sa.Column('value', sa.Double(), nullable=False, comment='hook_post there, canonical sign'),
    sa.ForeignKeyConstraint(['dataset_id'], ['dataset_rows.dataset_id'], name=op.f('fk_control_example_rows_dataset_id_dataset_rows')),
    sa.ForeignKeyConstraint(['kind_id'], ['control_kinds.kind_id'], name=op.f('fk_control_example_rows_kind_id_control_kinds')),
    sa.ForeignKeyConstraint(['neuron_id'], ['neurons.neuron_id'], name=op.f('fk_control_example_rows_neuron_id_neurons')),
    sa.ForeignKeyConstraint(['text_id'], ['texts.text_id'], name=op.f('fk_control_example_rows_text_id_texts')),
    sa.PrimaryKeyConstraint('neuron_id', 'dataset_id', 'kind_id', 'rank', name=op.f('pk_control_example_rows')),
    sqlite_with_rowid=False
    )
    op.create_table('cosines',
    sa.Column('neuron_id', sa.Integer(), nullable=False, comment='neuron'),
    sa.Column('gate_in', sa.Double(), nullable=True, comment='cos(gate, in); NULL when ungated or a vector is zero'),
    sa.Column('gate_out', sa.Double(), nullable=True, comment='cos(gate, out)'),
    sa.Column('in_out', sa.Double(), nullable=True, comment='cos(in, out)'),
    sa.ForeignKeyConstraint(['neuron_id'], ['neurons.neuron_id'], name=op.f('fk_cosines_neuron_id_neurons')),
    sa.PrimaryKeyConstraint('neuron_id', name=op.f('pk_cosines'))
    )
    with op.batch_alter_table('cosines', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_cosines_in_out'), ['in_out'], unique=False)

    op.create_table('double_checking',
    sa.Column('neuron_id', sa.Integer(), nullable=False, comment='neuron of a gated model'),
    sa.Column('k', sa.Integer(), nullable=False, comment='tokens of each list'),
    sa.Column('jaccard', sa.Double(), nullable=True, comment='overlap of the top tokens of gate under U with the tokens of in at relative_sign; NULL when a vector is zero'),
    sa.Column('bottom_jaccard', sa.Double(), nullable=True, comment='the same of the bottom tokens of gate and the other end of in'),
    sa.Column('relative_sign', sa.SmallInteger(), nullable=True, comment='which end of in overlaps more with the top of gate: 1 the top (equal too), -1 the bottom; NULL with jaccard'),
    sa.ForeignKeyConstraint(['neuron_id'], ['neurons.neuron_id'], name=op.f('fk_double_checking_neuron_id_neurons')),
    sa.PrimaryKeyConstraint('neuron_id', name=op.f('pk_double_checking'))
    )
    with op.batch_alter_table('double_checking', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_double_checking_jaccard'), ['jaccard'], unique=False)

    op.create_table('example_rows',
    sa.Column('neuron_id', sa.Integer(), nullable=False, comment='neuron'),
    sa.Column('dataset_id', sa.Integer(), nullable=False, comment='dataset'),
    sa.Column('list_id', sa.SmallInteger(), nullable=False, comment='code of the list'),
    sa.Column('rank', sa.SmallInteger(), nullable=False, comment='place in the list, from 0, which has the largest |value|'),
    sa.Column('text_id', sa.Integer(), nullable=False, comment='text'),
    sa.Column('position', sa.Integer(), nullable=False, comment='token position in the text; the prefix token has 0'),
    sa.Column('value', sa.Double(), nullable=False, comment="signed value there; in and post × the neuron's sign (METHODS §1)"),
    sa.ForeignKeyConstraint(['dataset_id'], ['dataset_rows.dataset_id'], name=op.f('fk_example_rows_dataset_id_dataset_rows')),
    sa.ForeignKeyConstraint(['list_id'], ['example_lists.list_id'], name=op.f('fk_example_rows_list_id_example_lists')),
    sa.ForeignKeyConstraint(['neuron_id'], ['neurons.neuron_id'], name=op.f('fk_example_rows_neuron_id_neurons')),
    sa.ForeignKeyConstraint(['text_id'], ['texts.text_id'], name=op.f('fk_example_rows_text_id_texts')),
    sa.PrimaryKeyConstraint('neuron_id', 'dataset_id', 'list_id', 'rank', name=op.f('pk_example_rows')),
    sqlite_with_rowid=False
    )
    op.create_table('ingest_steps',
    sa.Column('step_id', sa.Integer(), nullable=False, comment='finished step: its rows were committed together with this one'),
    sa.Column('run_id', sa.Integer(), nullable=False, comment='run that finished it'),
    sa.Column('model_id', sa.Integer(), nullable=False, comment='model'),
    sa.Column('dataset_id', sa.Integer(), nullable=True, comment='dataset of activations'),
    sa.Column('stage', sa.String(), nullable=False, comment='stage'),
    sa.Column('layer', sa.Integer(), nullable=False, comment='layer; −1 for a step of the whole model'),
    sa.Column('settings', sa.String(), nullable=False, comment='JSON of the choices the rows depend on'),
    sa.Column('n_rows', sa.Integer(), nullable=False, comment='rows written'),
    sa.Column('seconds', sa.Double(), nullable=True, comment='seconds it took'),
    sa.Column('finished_at', sa.String(), nullable=False, comment='UTC, ISO 8601'),
    sa.ForeignKeyConstraint(['dataset_id'], ['dataset_rows.dataset_id'], name=op.f('fk_ingest_steps_dataset_id_dataset_rows')),
    sa.ForeignKeyConstraint(['model_id'], ['models.model_id'], name=op.f('fk_ingest_steps_model_id_models')),
    sa.ForeignKeyConstraint(['run_id'], ['ingest_runs.run_id'], name=op.f('fk_ingest_steps_run_id_ingest_runs')),
    sa.PrimaryKeyConstraint('step_id', name=op.f('pk_ingest_steps'))
    )
    with op.batch_alter_table('ingest_steps', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_ingest_steps_model_id_stage_layer'), ['model_id', 'stage', 'layer'], unique=False)

    op.create_table('label_stats',
    sa.Column('neuron_id', sa.Integer(), nullable=False, comment='neuron'),
    sa.Column('dataset_id', sa.Integer(), nullable=False, comment='dataset'),
    sa.Column('label_id', sa.Integer(), nullable=False, comment='label: only its texts count'),
    sa.Column('n_tokens', sa.Integer(), nullable=False, comment='tokens counted'),
    sa.Column('freq', sa.Double(), nullable=True, comment='share of them with x_gate > 0; NULL when ungated'),
    sa.Column('pre_mean', sa.Double(), nullable=True, comment='mean of hook_pre (x_gate; ungated: x_in)'),
    sa.Column('pre_variance', sa.Double(), nullable=True, comment='population variance of hook_pre'),
    sa.Column('post_mean', sa.Double(), nullable=True, comment='mean of hook_post, canonical sign'),
    sa.Column('post_variance', sa.Double(), nullable=True, comment='population variance of hook_post'),
    sa.Column('post_positive', sa.Double(), nullable=True, comment='share of tokens with hook_post > 0, canonical sign'),
    sa.ForeignKeyConstraint(['dataset_id'], ['dataset_rows.dataset_id'], name=op.f('fk_label_stats_dataset_id_dataset_rows')),
    sa.ForeignKeyConstraint(['label_id'], ['labels.label_id'], name=op.f('fk_label_stats_label_id_labels')),
    sa.ForeignKeyConstraint(['neuron_id'], ['neurons.neuron_id'], name=op.f('fk_label_stats_neuron_id_neurons')),
    sa.PrimaryKeyConstraint('neuron_id', 'dataset_id', 'label_id', name=op.f('pk_label_stats')),
    sqlite_with_rowid=False
    )
    op.create_table('lm_head_rows',
    sa.Column('token_id', sa.Integer(), autoincrement=False, nullable=False, comment="token chosen, of the neuron's model"),
    sa.Column('side', sa.SmallInteger(), nullable=False, comment="1: +in, −1: −in, in the checkpoint's sign; of ungated neurons only 1"),
    sa.Column('neuron_id', sa.Integer(), nullable=False, comment='neuron, every one of the model'),
    sa.Column('probability', sa.Double(), nullable=False, comment='of this token under softmax(U·side·in), both raw'),
    sa.Column('normalised', sa.Double(), nullable=False, comment='÷ mean of the 100 largest probabilities of that side'),
    sa.ForeignKeyConstraint(['neuron_id'], ['neurons.neuron_id'], name=op.f('fk_lm_head_rows_neuron_id_neurons')),
    sa.PrimaryKeyConstraint('token_id', 'side', 'neuron_id', name=op.f('pk_lm_head_rows')),
    sqlite_with_rowid=False
    )
    op.create_table('lm_head_tokens',
    sa.Column('neuron_id', sa.Integer(), nullable=False, comment='neuron'),
    sa.Column('side', sa.SmallInteger(), nullable=False, comment="1: +in, −1: −in, in the checkpoint's sign; of ungated neurons only 1"),
    sa.Column('token_id', sa.Integer(), nullable=False, comment='token of largest probability under softmax(U·side·in), both raw'),
    sa.Column('probability', sa.Double(), nullable=False, comment='that probability'),
    sa.Column('normalised', sa.Double(), nullable=False, comment='÷ mean of the 100 largest probabilities of that side'),
    sa.ForeignKeyConstraint(['neuron_id'], ['neurons.neuron_id'], name=op.f('fk_lm_head_tokens_neuron_id_neurons')),
    sa.PrimaryKeyConstraint('neuron_id', 'side', name=op.f('pk_lm_head_tokens')),
    sqlite_with_rowid=False
    )
    with op.batch_alter_table('lm_head_tokens', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_lm_head_tokens_token_id'), ['token_id'], unique=False)

    op.create_table('neuron_attributions',
    sa.Column('run_id', sa.Integer(), nullable=False, comment='run of kind attribution'),
    sa.Column('metric', sa.String(), nullable=False, comment='loss or entropy'),
    sa.Column('neuron_id', sa.Integer(), nullable=False, comment='neuron'),
    sa.Column('mean', sa.Double(), nullable=True, comment='first-order estimate of the mean of clean − ablated'),
    sa.ForeignKeyConstraint(['neuron_id'], ['neurons.neuron_id'], name=op.f('fk_neuron_attributions_neuron_id_neurons')),
    sa.ForeignKeyConstraint(['run_id'], ['ablation_runs.run_id'], name=op.f('fk_neuron_attributions_run_id_ablation_runs')),
    sa.PrimaryKeyConstraint('run_id', 'metric', 'neuron_id', name=op.f('pk_neuron_attributions')),
    sqlite_with_rowid=False
    )
    with op.batch_alter_table('neuron_attributions', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_neuron_attributions_run_id_metric_mean'), ['run_id', 'metric', 'mean'], unique=False)

    op.create_table('neuron_effects',
    sa.Column('run_id', sa.Integer(), nullable=False, comment='run of kind each'),
    sa.Column('metric', sa.String(), nullable=False, comment='loss, entropy, rank or scale'),
    sa.Column('neuron_id', sa.Integer(), nullable=False, comment='neuron, intervened on alone'),
    sa.Column('n', sa.Integer(), nullable=False, comment='tokens'),
    sa.Column('mean', sa.Double(), nullable=True, comment='mean of clean − ablated'),
    sa.Column('std', sa.Double(), nullable=True, comment='standard deviation of clean − ablated over the tokens'),
    sa.Column('changed', sa.Double(), nullable=True, comment='share of tokens at which it is not 0'),
    sa.ForeignKeyConstraint(['neuron_id'], ['neurons.neuron_id'], name=op.f('fk_neuron_effects_neuron_id_neurons')),
    sa.ForeignKeyConstraint(['run_id'], ['ablation_runs.run_id'], name=op.f('fk_neuron_effects_run_id_ablation_runs')),
    sa.PrimaryKeyConstraint('run_id', 'metric', 'neuron_id', name=op.f('pk_neuron_effects')),
    sqlite_with_rowid=False
    )
    with op.batch_alter_table('neuron_effects', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_neuron_effects_run_id_metric_mean'), ['run_id', 'metric', 'mean'], unique=False)

    op.create_table('neuron_set_members',
    sa.Column('set_id', sa.Integer(), nullable=False, comment='set'),
    sa.Column('neuron_id', sa.Integer(), nullable=False, comment='member'),
    sa.ForeignKeyConstraint(['neuron_id'], ['neurons.neuron_id'], name=op.f('fk_neuron_set_members_neuron_id_neurons')),
    sa.ForeignKeyConstraint(['set_id'], ['neuron_sets.set_id'], name=op.f('fk_neuron_set_members_set_id_neuron_sets')),
    sa.PrimaryKeyConstraint('set_id', 'neuron_id', name=op.f('pk_neuron_set_members')),
    sqlite_with_rowid=False
    )
    op.create_table('property_effects',
    sa.Column('neuron_id', sa.Integer(), nullable=False, comment='neuron; its effect on a token is cos(U_token, out)'),
    sa.Column('property_id', sa.Integer(), nullable=False, comment='property'),
    sa.Column('effect', sa.Double(), nullable=False, comment="(inside_mean − outside_mean) ÷ standard deviation of the neuron's effects on all tokens"),
    sa.Column('inside_mean', sa.Double(), nullable=False, comment='mean effect on the tokens that have the property'),
    sa.Column('outside_mean', sa.Double(), nullable=False, comment='mean effect on all other tokens'),
    sa.ForeignKeyConstraint(['neuron_id'], ['neurons.neuron_id'], name=op.f('fk_property_effects_neuron_id_neurons')),
    sa.ForeignKeyConstraint(['property_id'], ['properties.property_id'], name=op.f('fk_property_effects_property_id_properties')),
    sa.PrimaryKeyConstraint('neuron_id', 'property_id', name=op.f('pk_property_effects')),
    sqlite_with_rowid=False
    )
    with op.batch_alter_table('property_effects', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_property_effects_property_id_effect'), ['property_id', 'effect'], unique=False)

    op.create_table('sign_case_rows',
    sa.Column('neuron_id', sa.Integer(), nullable=False, comment='neuron'),
    sa.Column('dataset_id', sa.Integer(), nullable=False, comment='dataset'),
    sa.Column('sign_case_id', sa.SmallInteger(), nullable=False, comment='code of the sign case'),
    sa.Column('count', sa.Integer(), nullable=False, comment='tokens in the case'),
    sa.Column('freq', sa.Double(), nullable=True, comment='share of all counted tokens; NULL when none was counted'),
    sa.Column('post_mean', sa.Double(), nullable=True, comment="mean of post over the case's tokens"),
    sa.Column('post_min', sa.Double(), nullable=True, comment="min of post over the case's tokens"),
    sa.Column('post_max', sa.Double(), nullable=True, comment="max of post over the case's tokens"),
    sa.Column('pre_linear_mean', sa.Double(), nullable=True, comment="mean of pre_linear over the case's tokens"),
    sa.Column('pre_linear_min', sa.Double(), nullable=True, comment="min of pre_linear over the case's tokens"),
    sa.Column('pre_linear_max', sa.Double(), nullable=True, comment="max of pre_linear over the case's tokens"),
    sa.Column('pre_mean', sa.Double(), nullable=True, comment="mean of pre over the case's tokens"),
    sa.Column('pre_min', sa.Double(), nullable=True, comment="min of pre over the case's tokens"),
    sa.Column('pre_max', sa.Double(), nullable=True, comment="max of pre over the case's tokens"),
    sa.Column('swish_mean', sa.Double(), nullable=True, comment="mean of swish over the case's tokens"),
    sa.Column('swish_min', sa.Double(), nullable=True, comment="min of swish over the case's tokens"),
    sa.Column('swish_max', sa.Double(), nullable=True, comment="max of swish over the case's tokens"),
    sa.ForeignKeyConstraint(['dataset_id'], ['dataset_rows.dataset_id'], name=op.f('fk_sign_case_rows_dataset_id_dataset_rows')),
    sa.ForeignKeyConstraint(['neuron_id'], ['neurons.neuron_id'], name=op.f('fk_sign_case_rows_neuron_id_neurons')),
    sa.ForeignKeyConstraint(['sign_case_id'], ['sign_case_names.sign_case_id'], name=op.f('fk_sign_case_rows_sign_case_id_sign_case_names')),
    sa.PrimaryKeyConstraint('neuron_id', 'dataset_id', 'sign_case_id', name=op.f('pk_sign_case_rows')),
    sqlite_with_rowid=False
    )
    op.create_table('text_token_ids',
    sa.Column('model_id', sa.Integer(), nullable=False, comment='model whose tokenizer was used'),
    sa.Column('text_id', sa.Integer(), nullable=False, comment='text'),
    sa.Column('token_ids', sa.LargeBinary(), nullable=False, comment='its token ids, the prefix first, as little-endian unsigned 32-bit integers'),
    sa.ForeignKeyConstraint(['model_id'], ['models.model_id'], name=op.f('fk_text_token_ids_model_id_models')),
    sa.ForeignKeyConstraint(['text_id'], ['texts.text_id'], name=op.f('fk_text_token_ids_text_id_texts')),
    sa.PrimaryKeyConstraint('model_id', 'text_id', name=op.f('pk_text_token_ids'))
    )
    op.create_table('top_token_rows',
    sa.Column('neuron_id', sa.Integer(), nullable=False, comment='neuron'),
    sa.Column('list_id', sa.SmallInteger(), nullable=False, comment='code of the list'),
    sa.Column('rank', sa.SmallInteger(), nullable=False, comment='place in the list, from 0, which is the most extreme'),
    sa.Column('token_id', sa.Integer(), nullable=False, comment='token'),
    sa.Column('cosine', sa.Double(), nullable=False, comment='cos(vector, row of the basis)'),
    sa.ForeignKeyConstraint(['list_id'], ['token_lists.list_id'], name=op.f('fk_top_token_rows_list_id_token_lists')),
    sa.ForeignKeyConstraint(['neuron_id'], ['neurons.neuron_id'], name=op.f('fk_top_token_rows_neuron_id_neurons')),
    sa.PrimaryKeyConstraint('neuron_id', 'list_id', 'rank', name=op.f('pk_top_token_rows')),
    sqlite_with_rowid=False
    )
    with op.batch_alter_table('top_token_rows', schema=None) as batch_op:
        batch_op.create_index('ix_top_token_rows_token', ['token_id', 'list_id', 'neuron_id'], unique=False)

    op.create_table('trace_rows',
    sa.Column('neuron_id', sa.Integer(), nullable=False, comment='neuron'),
    sa.Column('dataset_id', sa.Integer(), nullable=False, comment='dataset'),
    sa.Column('text_id', sa.Integer(), nullable=False, comment='text'),
    sa.Column('position', sa.Integer(), nullable=False, comment='token position of the peak it is around'),
    sa.Column('start', sa.Integer(), nullable=False, comment='token position of its first value'),
    sa.Column('n_tokens', sa.Integer(), nullable=False, comment='tokens'),
    sa.Column('trace', sa.LargeBinary(), nullable=False, comment='gate, in and post (ungated: in and post) of each token, one quantity after the other, canonical signs; as little-endian float16, saturated at ±65504'),
    sa.ForeignKeyConstraint(['dataset_id'], ['dataset_rows.dataset_id'], name=op.f('fk_trace_rows_dataset_id_dataset_rows')),
    sa.ForeignKeyConstraint(['neuron_id'], ['neurons.neuron_id'], name=op.f('fk_trace_rows_neuron_id_neurons')),
    sa.ForeignKeyConstraint(['text_id'], ['texts.text_id'], name=op.f('fk_trace_rows_text_id_texts')),
    sa.PrimaryKeyConstraint('neuron_id', 'dataset_id', 'text_id', 'position', name=op.f('pk_trace_rows')),
    sqlite_with_rowid=False
    )
    op.create_table('vocab_stat_rows',
    sa.Column('neuron_id', sa.Integer(), nullable=False, comment='neuron'),
    sa.Column('vector_id', sa.SmallInteger(), nullable=False, comment='code of the vector'),
    sa.Column('mean', sa.Double(), nullable=True, comment='mean of cos(U, vector) over the vocabulary; U folded and centred (METHODS §1)'),
    sa.Column('variance', sa.Double(), nullable=True, comment='population variance of cos(U, vector)'),
    sa.Column('skewness', sa.Double(), nullable=True, comment='skewness of cos(U, vector)'),
    sa.Column('kurtosis', sa.Double(), nullable=True, comment='Pearson kurtosis of cos(U, vector)'),
    sa.Column('dot_variance', sa.Double(), nullable=True, comment='population variance of the dot product U·vector'),
    sa.Column('null_share', sa.Double(), nullable=True, comment='out only: share of ‖out‖ in the null directions of U (METHODS §4); NULL if not computed'),
    sa.ForeignKeyConstraint(['neuron_id'], ['neurons.neuron_id'], name=op.f('fk_vocab_stat_rows_neuron_id_neurons')),
    sa.ForeignKeyConstraint(['vector_id'], ['vectors.vector_id'], name=op.f('fk_vocab_stat_rows_vector_id_vectors')),
    sa.PrimaryKeyConstraint('neuron_id', 'vector_id', name=op.f('pk_vocab_stat_rows')),
    sqlite_with_rowid=False
    )


def downgrade() -> None:
    for name in TABLES.split():
        op.drop_table(name)  # and its indexes


TABLES = """
    vocab_stat_rows trace_rows top_token_rows text_token_ids sign_case_rows
    property_effects neuron_set_members neuron_effects neuron_attributions
    lm_head_tokens lm_head_rows label_stats ingest_steps example_rows double_checking
    cosines control_example_rows comparison_neurons classes annotations activation_stats
    activation_histograms ablation_results ablation_histograms tokens tokenizations
    token_property_rows texts neurons layers ingest_runs comparisons baselines
    ablation_runs models labels vectors token_lists sign_case_names rw_classes
    quantities properties neuron_sets example_lists dataset_rows control_kinds
"""
