BEGIN TRANSACTION;
CREATE TABLE ablation_histograms (
	run_id INTEGER NOT NULL, 
	metric VARCHAR NOT NULL, 
	low DOUBLE NOT NULL, 
	high DOUBLE NOT NULL, 
	n INTEGER NOT NULL, 
	CONSTRAINT pk_ablation_histograms PRIMARY KEY (run_id, metric, low), 
	CONSTRAINT fk_ablation_histograms_run_id_ablation_runs FOREIGN KEY(run_id) REFERENCES ablation_runs (run_id)
)
 WITHOUT ROWID

;
CREATE TABLE ablation_results (
	run_id INTEGER NOT NULL, 
	metric VARCHAR NOT NULL, 
	filter VARCHAR NOT NULL, 
	n INTEGER NOT NULL, 
	mean DOUBLE, 
	std DOUBLE, 
	q25 DOUBLE, 
	q50 DOUBLE, 
	q75 DOUBLE, 
	min DOUBLE, 
	max DOUBLE, 
	clean_mean DOUBLE, 
	ablated_mean DOUBLE, 
	CONSTRAINT pk_ablation_results PRIMARY KEY (run_id, metric, filter), 
	CONSTRAINT fk_ablation_results_run_id_ablation_runs FOREIGN KEY(run_id) REFERENCES ablation_runs (run_id)
)
 WITHOUT ROWID

;
CREATE TABLE ablation_runs (
	run_id INTEGER NOT NULL, 
	model_id INTEGER NOT NULL, 
	dataset_id INTEGER NOT NULL, 
	set_id INTEGER NOT NULL, 
	mode VARCHAR NOT NULL, 
	condition VARCHAR, 
	value DOUBLE, 
	baseline_of INTEGER, 
	seed INTEGER, hook VARCHAR DEFAULT 'hook_post' NOT NULL, n_texts INTEGER, n_tokens INTEGER, max_len INTEGER, skip_bos BOOLEAN, dtype VARCHAR, device VARCHAR, tool_version VARCHAR, torch_version VARCHAR, fingerprint VARCHAR, created_at VARCHAR, means_dataset_id INTEGER CONSTRAINT fk_ablation_runs_means_dataset_id_dataset_rows REFERENCES dataset_rows (dataset_id), kind VARCHAR DEFAULT 'together' NOT NULL, finished BOOLEAN DEFAULT 1 NOT NULL, seconds DOUBLE, 
	CONSTRAINT pk_ablation_runs PRIMARY KEY (run_id), 
	CONSTRAINT fk_ablation_runs_baseline_of_ablation_runs FOREIGN KEY(baseline_of) REFERENCES ablation_runs (run_id), 
	CONSTRAINT fk_ablation_runs_dataset_id_dataset_rows FOREIGN KEY(dataset_id) REFERENCES dataset_rows (dataset_id), 
	CONSTRAINT fk_ablation_runs_model_id_models FOREIGN KEY(model_id) REFERENCES models (model_id), 
	CONSTRAINT fk_ablation_runs_set_id_neuron_sets FOREIGN KEY(set_id) REFERENCES neuron_sets (set_id)
);
CREATE TABLE activation_histograms (
	neuron_id INTEGER NOT NULL, 
	dataset_id INTEGER NOT NULL, 
	quantity_id SMALLINT NOT NULL, 
	counts BLOB NOT NULL, 
	CONSTRAINT pk_activation_histograms PRIMARY KEY (neuron_id, dataset_id, quantity_id), 
	CONSTRAINT fk_activation_histograms_neuron_id_neurons FOREIGN KEY(neuron_id) REFERENCES neurons (neuron_id), 
	CONSTRAINT fk_activation_histograms_dataset_id_dataset_rows FOREIGN KEY(dataset_id) REFERENCES dataset_rows (dataset_id), 
	CONSTRAINT fk_activation_histograms_quantity_id_quantities FOREIGN KEY(quantity_id) REFERENCES quantities (quantity_id)
)
 WITHOUT ROWID

;
CREATE TABLE activation_stats (
	neuron_id INTEGER NOT NULL, 
	dataset_id INTEGER NOT NULL, 
	n_tokens INTEGER NOT NULL, 
	freq DOUBLE, 
	pre_mean DOUBLE, 
	pre_variance DOUBLE, 
	pre_skewness DOUBLE, 
	pre_kurtosis DOUBLE, 
	post_mean DOUBLE, 
	post_variance DOUBLE, 
	post_skewness DOUBLE, 
	post_kurtosis DOUBLE, 
	post_positive DOUBLE, n_nonfinite INTEGER DEFAULT '0' NOT NULL, 
	CONSTRAINT pk_activation_stats PRIMARY KEY (neuron_id, dataset_id), 
	CONSTRAINT fk_activation_stats_dataset_id_dataset_rows FOREIGN KEY(dataset_id) REFERENCES dataset_rows (dataset_id), 
	CONSTRAINT fk_activation_stats_neuron_id_neurons FOREIGN KEY(neuron_id) REFERENCES neurons (neuron_id)
)
 WITHOUT ROWID

;
INSERT INTO "activation_stats" VALUES(1,1,10,0.5,1.0,2.0,3.0,4.0,5.0,6.0,7.0,8.0,0.25,0);
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0008');
CREATE TABLE annotations (
	annotation_id INTEGER NOT NULL, 
	neuron_id INTEGER NOT NULL, 
	source VARCHAR NOT NULL, 
	"key" VARCHAR NOT NULL, 
	value TEXT, 
	note TEXT, 
	CONSTRAINT pk_annotations PRIMARY KEY (annotation_id), 
	CONSTRAINT fk_annotations_neuron_id_neurons FOREIGN KEY(neuron_id) REFERENCES neurons (neuron_id)
);
CREATE TABLE baselines (
	model_id INTEGER NOT NULL, 
	layer INTEGER NOT NULL, 
	kind VARCHAR NOT NULL, 
	pair VARCHAR NOT NULL, 
	low DOUBLE NOT NULL, 
	high DOUBLE NOT NULL, 
	n_pairs INTEGER, 
	standard_error DOUBLE, 
	CONSTRAINT pk_baselines PRIMARY KEY (model_id, layer, kind, pair), 
	CONSTRAINT fk_baselines_model_id_models FOREIGN KEY(model_id) REFERENCES models (model_id)
)
 WITHOUT ROWID

;
CREATE TABLE classes (
	neuron_id INTEGER NOT NULL, 
	threshold DOUBLE NOT NULL, 
	class_id SMALLINT NOT NULL, 
	CONSTRAINT pk_classes PRIMARY KEY (neuron_id, threshold), 
	CONSTRAINT fk_classes_class_id_rw_classes FOREIGN KEY(class_id) REFERENCES rw_classes (class_id), 
	CONSTRAINT fk_classes_neuron_id_neurons FOREIGN KEY(neuron_id) REFERENCES neurons (neuron_id)
)
 WITHOUT ROWID

;
CREATE TABLE comparison_neurons (
	comparison_id INTEGER NOT NULL, 
	layer INTEGER NOT NULL, 
	neuron INTEGER NOT NULL, 
	gate_cosine DOUBLE, 
	in_cosine DOUBLE, 
	out_cosine DOUBLE, 
	same_token BOOLEAN, 
	class_a SMALLINT, 
	class_b SMALLINT, 
	moved DOUBLE, 
	CONSTRAINT pk_comparison_neurons PRIMARY KEY (comparison_id, layer, neuron), 
	CONSTRAINT fk_comparison_neurons_comparison_id_comparisons FOREIGN KEY(comparison_id) REFERENCES comparisons (comparison_id), 
	CONSTRAINT fk_comparison_neurons_class_a_rw_classes FOREIGN KEY(class_a) REFERENCES rw_classes (class_id), 
	CONSTRAINT fk_comparison_neurons_class_b_rw_classes FOREIGN KEY(class_b) REFERENCES rw_classes (class_id)
)
 WITHOUT ROWID

;
CREATE TABLE comparisons (
	comparison_id INTEGER NOT NULL, 
	model_a INTEGER NOT NULL, 
	model_b INTEGER NOT NULL, 
	created_at VARCHAR NOT NULL, 
	tool_version VARCHAR NOT NULL, 
	share_same_token DOUBLE, 
	CONSTRAINT pk_comparisons PRIMARY KEY (comparison_id), 
	CONSTRAINT uq_comparisons_model_a_model_b UNIQUE (model_a, model_b), 
	CONSTRAINT fk_comparisons_model_a_models FOREIGN KEY(model_a) REFERENCES models (model_id), 
	CONSTRAINT fk_comparisons_model_b_models FOREIGN KEY(model_b) REFERENCES models (model_id)
);
CREATE TABLE control_example_rows (
	neuron_id INTEGER NOT NULL, 
	dataset_id INTEGER NOT NULL, 
	kind_id SMALLINT NOT NULL, 
	rank SMALLINT NOT NULL, 
	text_id INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	value DOUBLE NOT NULL, 
	CONSTRAINT pk_control_example_rows PRIMARY KEY (neuron_id, dataset_id, kind_id, rank), 
	CONSTRAINT fk_control_example_rows_neuron_id_neurons FOREIGN KEY(neuron_id) REFERENCES neurons (neuron_id), 
	CONSTRAINT fk_control_example_rows_dataset_id_dataset_rows FOREIGN KEY(dataset_id) REFERENCES dataset_rows (dataset_id), 
	CONSTRAINT fk_control_example_rows_kind_id_control_kinds FOREIGN KEY(kind_id) REFERENCES control_kinds (kind_id), 
	CONSTRAINT fk_control_example_rows_text_id_texts FOREIGN KEY(text_id) REFERENCES texts (text_id)
)
 WITHOUT ROWID

;
CREATE TABLE control_kinds (
	kind_id SMALLINT NOT NULL, 
	kind VARCHAR NOT NULL, 
	CONSTRAINT pk_control_kinds PRIMARY KEY (kind_id), 
	CONSTRAINT uq_control_kinds_kind UNIQUE (kind)
);
INSERT INTO "control_kinds" VALUES(0,'random');
INSERT INTO "control_kinds" VALUES(1,'band 0-25%');
INSERT INTO "control_kinds" VALUES(2,'band 25-50%');
INSERT INTO "control_kinds" VALUES(3,'band 50-75%');
INSERT INTO "control_kinds" VALUES(4,'band 75-100%');
CREATE TABLE cosines (
	neuron_id INTEGER NOT NULL, 
	gate_in DOUBLE, 
	gate_out DOUBLE, 
	in_out DOUBLE, 
	CONSTRAINT pk_cosines PRIMARY KEY (neuron_id), 
	CONSTRAINT fk_cosines_neuron_id_neurons FOREIGN KEY(neuron_id) REFERENCES neurons (neuron_id)
);
CREATE TABLE dataset_rows (
	dataset_id INTEGER NOT NULL, 
	name VARCHAR NOT NULL, 
	source VARCHAR NOT NULL, 
	fingerprint VARCHAR NOT NULL, 
	n_texts INTEGER NOT NULL, 
	CONSTRAINT pk_dataset_rows PRIMARY KEY (dataset_id), 
	CONSTRAINT uq_dataset_rows_name UNIQUE (name)
);
INSERT INTO "dataset_rows" VALUES(1,'tales','t','f',2);
CREATE TABLE double_checking (
	neuron_id INTEGER NOT NULL, 
	k INTEGER NOT NULL, 
	jaccard DOUBLE, 
	bottom_jaccard DOUBLE, 
	relative_sign SMALLINT, 
	CONSTRAINT pk_double_checking PRIMARY KEY (neuron_id), 
	CONSTRAINT fk_double_checking_neuron_id_neurons FOREIGN KEY(neuron_id) REFERENCES neurons (neuron_id)
);
CREATE TABLE example_lists (
	list_id SMALLINT NOT NULL, 
	sign_case VARCHAR NOT NULL, 
	quantity VARCHAR NOT NULL, 
	CONSTRAINT pk_example_lists PRIMARY KEY (list_id), 
	CONSTRAINT uq_example_lists_sign_case_quantity UNIQUE (sign_case, quantity)
);
INSERT INTO "example_lists" VALUES(0,'gate+_in+','hook_post');
INSERT INTO "example_lists" VALUES(1,'gate+_in+','hook_pre_linear');
INSERT INTO "example_lists" VALUES(2,'gate+_in+','hook_pre');
INSERT INTO "example_lists" VALUES(3,'gate+_in+','swish');
INSERT INTO "example_lists" VALUES(4,'gate+_in-','hook_post');
INSERT INTO "example_lists" VALUES(5,'gate+_in-','hook_pre_linear');
INSERT INTO "example_lists" VALUES(6,'gate+_in-','hook_pre');
INSERT INTO "example_lists" VALUES(7,'gate+_in-','swish');
INSERT INTO "example_lists" VALUES(8,'gate-_in+','hook_post');
INSERT INTO "example_lists" VALUES(9,'gate-_in+','hook_pre_linear');
INSERT INTO "example_lists" VALUES(10,'gate-_in+','hook_pre');
INSERT INTO "example_lists" VALUES(11,'gate-_in+','swish');
INSERT INTO "example_lists" VALUES(12,'gate-_in-','hook_post');
INSERT INTO "example_lists" VALUES(13,'gate-_in-','hook_pre_linear');
INSERT INTO "example_lists" VALUES(14,'gate-_in-','hook_pre');
INSERT INTO "example_lists" VALUES(15,'gate-_in-','swish');
INSERT INTO "example_lists" VALUES(16,'in+','hook_post');
INSERT INTO "example_lists" VALUES(17,'in+','hook_pre_linear');
INSERT INTO "example_lists" VALUES(18,'in+','hook_pre');
INSERT INTO "example_lists" VALUES(19,'in+','swish');
INSERT INTO "example_lists" VALUES(20,'in-','hook_post');
INSERT INTO "example_lists" VALUES(21,'in-','hook_pre_linear');
INSERT INTO "example_lists" VALUES(22,'in-','hook_pre');
INSERT INTO "example_lists" VALUES(23,'in-','swish');
CREATE TABLE example_rows (
	neuron_id INTEGER NOT NULL, 
	dataset_id INTEGER NOT NULL, 
	list_id SMALLINT NOT NULL, 
	rank SMALLINT NOT NULL, 
	text_id INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	value DOUBLE NOT NULL, 
	CONSTRAINT pk_example_rows PRIMARY KEY (neuron_id, dataset_id, list_id, rank), 
	CONSTRAINT fk_example_rows_dataset_id_dataset_rows FOREIGN KEY(dataset_id) REFERENCES dataset_rows (dataset_id), 
	CONSTRAINT fk_example_rows_list_id_example_lists FOREIGN KEY(list_id) REFERENCES example_lists (list_id), 
	CONSTRAINT fk_example_rows_neuron_id_neurons FOREIGN KEY(neuron_id) REFERENCES neurons (neuron_id), 
	CONSTRAINT fk_example_rows_text_id_texts FOREIGN KEY(text_id) REFERENCES texts (text_id)
)
 WITHOUT ROWID

;
INSERT INTO "example_rows" VALUES(1,1,0,0,2,5,-1.5);
CREATE TABLE ingest_runs (
	run_id INTEGER NOT NULL, 
	model_id INTEGER NOT NULL, 
	dataset_id INTEGER, 
	tool_version VARCHAR NOT NULL, 
	torch_version VARCHAR NOT NULL, 
	fingerprint VARCHAR NOT NULL, 
	stages VARCHAR NOT NULL, 
	fold BOOLEAN, 
	center BOOLEAN, 
	center_gate BOOLEAN, 
	fold_post_norm BOOLEAN, 
	canonicalise BOOLEAN, 
	dtype VARCHAR NOT NULL, 
	device VARCHAR NOT NULL, 
	seed INTEGER NOT NULL, 
	started_at VARCHAR NOT NULL, 
	finished_at VARCHAR, 
	CONSTRAINT pk_ingest_runs PRIMARY KEY (run_id), 
	CONSTRAINT fk_ingest_runs_dataset_id_dataset_rows FOREIGN KEY(dataset_id) REFERENCES dataset_rows (dataset_id), 
	CONSTRAINT fk_ingest_runs_model_id_models FOREIGN KEY(model_id) REFERENCES models (model_id)
);
CREATE TABLE ingest_steps (
	step_id INTEGER NOT NULL, 
	run_id INTEGER NOT NULL, 
	model_id INTEGER NOT NULL, 
	dataset_id INTEGER, 
	stage VARCHAR NOT NULL, 
	layer INTEGER NOT NULL, 
	settings VARCHAR NOT NULL, 
	n_rows INTEGER NOT NULL, 
	seconds DOUBLE, 
	finished_at VARCHAR NOT NULL, 
	CONSTRAINT pk_ingest_steps PRIMARY KEY (step_id), 
	CONSTRAINT fk_ingest_steps_dataset_id_dataset_rows FOREIGN KEY(dataset_id) REFERENCES dataset_rows (dataset_id), 
	CONSTRAINT fk_ingest_steps_model_id_models FOREIGN KEY(model_id) REFERENCES models (model_id), 
	CONSTRAINT fk_ingest_steps_run_id_ingest_runs FOREIGN KEY(run_id) REFERENCES ingest_runs (run_id)
);
CREATE TABLE label_stats (
	neuron_id INTEGER NOT NULL, 
	dataset_id INTEGER NOT NULL, 
	label_id INTEGER NOT NULL, 
	n_tokens INTEGER NOT NULL, 
	freq DOUBLE, 
	pre_mean DOUBLE, 
	pre_variance DOUBLE, 
	post_mean DOUBLE, 
	post_variance DOUBLE, 
	post_positive DOUBLE, 
	CONSTRAINT pk_label_stats PRIMARY KEY (neuron_id, dataset_id, label_id), 
	CONSTRAINT fk_label_stats_neuron_id_neurons FOREIGN KEY(neuron_id) REFERENCES neurons (neuron_id), 
	CONSTRAINT fk_label_stats_dataset_id_dataset_rows FOREIGN KEY(dataset_id) REFERENCES dataset_rows (dataset_id), 
	CONSTRAINT fk_label_stats_label_id_labels FOREIGN KEY(label_id) REFERENCES labels (label_id)
)
 WITHOUT ROWID

;
CREATE TABLE labels (
	label_id INTEGER NOT NULL, 
	dataset_id INTEGER NOT NULL, 
	label VARCHAR NOT NULL, 
	CONSTRAINT pk_labels PRIMARY KEY (label_id), 
	CONSTRAINT fk_labels_dataset_id_dataset_rows FOREIGN KEY(dataset_id) REFERENCES dataset_rows (dataset_id), 
	CONSTRAINT uq_labels_dataset_id_label UNIQUE (dataset_id, label)
);
CREATE TABLE layers (
	layer_id INTEGER NOT NULL, 
	model_id INTEGER NOT NULL, 
	layer INTEGER NOT NULL, 
	CONSTRAINT pk_layers PRIMARY KEY (layer_id), 
	CONSTRAINT fk_layers_model_id_models FOREIGN KEY(model_id) REFERENCES models (model_id), 
	CONSTRAINT uq_layers_model_id_layer UNIQUE (model_id, layer)
);
CREATE TABLE lm_head_rows (
	token_id INTEGER NOT NULL, 
	side SMALLINT NOT NULL, 
	neuron_id INTEGER NOT NULL, 
	probability DOUBLE NOT NULL, 
	normalised DOUBLE NOT NULL, 
	CONSTRAINT pk_lm_head_rows PRIMARY KEY (token_id, side, neuron_id), 
	CONSTRAINT fk_lm_head_rows_neuron_id_neurons FOREIGN KEY(neuron_id) REFERENCES neurons (neuron_id)
)
 WITHOUT ROWID

;
CREATE TABLE lm_head_tokens (
	neuron_id INTEGER NOT NULL, 
	side SMALLINT NOT NULL, 
	token_id INTEGER NOT NULL, 
	probability DOUBLE NOT NULL, 
	normalised DOUBLE NOT NULL, 
	CONSTRAINT pk_lm_head_tokens PRIMARY KEY (neuron_id, side), 
	CONSTRAINT fk_lm_head_tokens_neuron_id_neurons FOREIGN KEY(neuron_id) REFERENCES neurons (neuron_id)
)
 WITHOUT ROWID

;
CREATE TABLE models (
	model_id INTEGER NOT NULL, 
	name VARCHAR NOT NULL, 
	source VARCHAR NOT NULL, 
	revision VARCHAR, 
	architecture VARCHAR NOT NULL, 
	gated BOOLEAN NOT NULL, 
	activation VARCHAR NOT NULL, 
	n_layers INTEGER NOT NULL, 
	d_model INTEGER NOT NULL, 
	d_mlp INTEGER NOT NULL, 
	d_vocab INTEGER NOT NULL, 
	fingerprint VARCHAR NOT NULL, 
	tokenizer_fingerprint VARCHAR, 
	first_neuron_id INTEGER NOT NULL, 
	threshold DOUBLE NOT NULL, 
	dataset_id INTEGER, each_run_id INTEGER, attribution_run_id INTEGER, n_unused_rows INTEGER, quantisation VARCHAR, tensor_types VARCHAR, 
	CONSTRAINT pk_models PRIMARY KEY (model_id), 
	CONSTRAINT fk_models_dataset_id_dataset_rows FOREIGN KEY(dataset_id) REFERENCES dataset_rows (dataset_id), 
	CONSTRAINT uq_models_name UNIQUE (name)
);
INSERT INTO "models" VALUES(1,'m','s',NULL,'llama',1,'silu',1,2,2,3,'f',NULL,1,0.5,1,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE neuron_attributions (
	run_id INTEGER NOT NULL, 
	metric VARCHAR NOT NULL, 
	neuron_id INTEGER NOT NULL, 
	mean DOUBLE, 
	CONSTRAINT pk_neuron_attributions PRIMARY KEY (run_id, metric, neuron_id), 
	CONSTRAINT fk_neuron_attributions_run_id_ablation_runs FOREIGN KEY(run_id) REFERENCES ablation_runs (run_id), 
	CONSTRAINT fk_neuron_attributions_neuron_id_neurons FOREIGN KEY(neuron_id) REFERENCES neurons (neuron_id)
)
 WITHOUT ROWID

;
CREATE TABLE neuron_effects (
	run_id INTEGER NOT NULL, 
	metric VARCHAR NOT NULL, 
	neuron_id INTEGER NOT NULL, 
	n INTEGER NOT NULL, 
	mean DOUBLE, 
	std DOUBLE, 
	changed DOUBLE, 
	CONSTRAINT pk_neuron_effects PRIMARY KEY (run_id, metric, neuron_id), 
	CONSTRAINT fk_neuron_effects_run_id_ablation_runs FOREIGN KEY(run_id) REFERENCES ablation_runs (run_id), 
	CONSTRAINT fk_neuron_effects_neuron_id_neurons FOREIGN KEY(neuron_id) REFERENCES neurons (neuron_id)
)
 WITHOUT ROWID

;
CREATE TABLE neuron_set_members (
	set_id INTEGER NOT NULL, 
	neuron_id INTEGER NOT NULL, 
	CONSTRAINT pk_neuron_set_members PRIMARY KEY (set_id, neuron_id), 
	CONSTRAINT fk_neuron_set_members_neuron_id_neurons FOREIGN KEY(neuron_id) REFERENCES neurons (neuron_id), 
	CONSTRAINT fk_neuron_set_members_set_id_neuron_sets FOREIGN KEY(set_id) REFERENCES neuron_sets (set_id)
)
 WITHOUT ROWID

;
CREATE TABLE neuron_sets (
	set_id INTEGER NOT NULL, 
	name VARCHAR, 
	definition TEXT NOT NULL, 
	CONSTRAINT pk_neuron_sets PRIMARY KEY (set_id)
);
CREATE TABLE neurons (
	neuron_id INTEGER NOT NULL, 
	model_id INTEGER NOT NULL, 
	layer INTEGER NOT NULL, 
	neuron INTEGER NOT NULL, 
	sign SMALLINT NOT NULL, 
	gate_norm DOUBLE, 
	in_norm DOUBLE, 
	out_norm DOUBLE, 
	gate_bias DOUBLE, 
	in_bias DOUBLE, 
	penalty DOUBLE, 
	CONSTRAINT pk_neurons PRIMARY KEY (neuron_id), 
	CONSTRAINT fk_neurons_model_id_models FOREIGN KEY(model_id) REFERENCES models (model_id), 
	CONSTRAINT uq_neurons_model_id_layer_neuron UNIQUE (model_id, layer, neuron)
);
INSERT INTO "neurons" VALUES(1,1,0,0,1,1.0,1.0,1.0,NULL,NULL,1.0);
CREATE TABLE properties (
	property_id INTEGER NOT NULL, 
	name VARCHAR NOT NULL, 
	description TEXT NOT NULL, 
	CONSTRAINT pk_properties PRIMARY KEY (property_id), 
	CONSTRAINT uq_properties_name UNIQUE (name)
);
CREATE TABLE property_effects (
	neuron_id INTEGER NOT NULL, 
	property_id INTEGER NOT NULL, 
	effect DOUBLE NOT NULL, 
	inside_mean DOUBLE NOT NULL, 
	outside_mean DOUBLE NOT NULL, 
	CONSTRAINT pk_property_effects PRIMARY KEY (neuron_id, property_id), 
	CONSTRAINT fk_property_effects_neuron_id_neurons FOREIGN KEY(neuron_id) REFERENCES neurons (neuron_id), 
	CONSTRAINT fk_property_effects_property_id_properties FOREIGN KEY(property_id) REFERENCES properties (property_id)
)
 WITHOUT ROWID

;
CREATE TABLE quantities (
	quantity_id SMALLINT NOT NULL, 
	quantity VARCHAR NOT NULL, 
	CONSTRAINT pk_quantities PRIMARY KEY (quantity_id), 
	CONSTRAINT uq_quantities_quantity UNIQUE (quantity)
);
INSERT INTO "quantities" VALUES(0,'hook_post');
INSERT INTO "quantities" VALUES(1,'hook_pre_linear');
INSERT INTO "quantities" VALUES(2,'hook_pre');
INSERT INTO "quantities" VALUES(3,'swish');
CREATE TABLE rw_classes (
	class_id SMALLINT NOT NULL, 
	name VARCHAR NOT NULL, 
	io_name VARCHAR NOT NULL, 
	CONSTRAINT pk_rw_classes PRIMARY KEY (class_id), 
	CONSTRAINT uq_rw_classes_name UNIQUE (name)
);
INSERT INTO "rw_classes" VALUES(0,'strengthening','enrichment');
INSERT INTO "rw_classes" VALUES(1,'atypical strengthening','atypical enrichment');
INSERT INTO "rw_classes" VALUES(2,'conditional strengthening','conditional enrichment');
INSERT INTO "rw_classes" VALUES(3,'atypical conditional strengthening','atypical conditional enrichment');
INSERT INTO "rw_classes" VALUES(4,'proportional change','proportional change');
INSERT INTO "rw_classes" VALUES(5,'atypical proportional change','atypical proportional change');
INSERT INTO "rw_classes" VALUES(6,'orthogonal output','orthogonal output');
INSERT INTO "rw_classes" VALUES(7,'weakening','depletion');
INSERT INTO "rw_classes" VALUES(8,'atypical weakening','atypical depletion');
INSERT INTO "rw_classes" VALUES(9,'conditional weakening','conditional depletion');
INSERT INTO "rw_classes" VALUES(10,'atypical conditional weakening','atypical conditional depletion');
INSERT INTO "rw_classes" VALUES(11,'undefined','undefined');
CREATE TABLE sign_case_names (
	sign_case_id SMALLINT NOT NULL, 
	sign_case VARCHAR NOT NULL, 
	CONSTRAINT pk_sign_case_names PRIMARY KEY (sign_case_id), 
	CONSTRAINT uq_sign_case_names_sign_case UNIQUE (sign_case)
);
INSERT INTO "sign_case_names" VALUES(0,'gate+_in+');
INSERT INTO "sign_case_names" VALUES(1,'gate+_in-');
INSERT INTO "sign_case_names" VALUES(2,'gate-_in+');
INSERT INTO "sign_case_names" VALUES(3,'gate-_in-');
INSERT INTO "sign_case_names" VALUES(4,'in+');
INSERT INTO "sign_case_names" VALUES(5,'in-');
CREATE TABLE "sign_case_rows" (
	neuron_id INTEGER NOT NULL, 
	dataset_id INTEGER NOT NULL, 
	sign_case_id SMALLINT NOT NULL, 
	count INTEGER NOT NULL, 
	freq DOUBLE, 
	post_mean DOUBLE, 
	post_min DOUBLE, 
	post_max DOUBLE, 
	pre_linear_mean DOUBLE, 
	pre_linear_min DOUBLE, 
	pre_linear_max DOUBLE, 
	pre_mean DOUBLE, 
	pre_min DOUBLE, 
	pre_max DOUBLE, 
	swish_mean DOUBLE, 
	swish_min DOUBLE, 
	swish_max DOUBLE, 
	CONSTRAINT pk_sign_case_rows PRIMARY KEY (neuron_id, dataset_id, sign_case_id), 
	CONSTRAINT fk_sign_case_rows_neuron_id_neurons FOREIGN KEY(neuron_id) REFERENCES neurons (neuron_id), 
	CONSTRAINT fk_sign_case_rows_dataset_id_dataset_rows FOREIGN KEY(dataset_id) REFERENCES dataset_rows (dataset_id), 
	CONSTRAINT fk_sign_case_rows_sign_case_id_sign_case_names FOREIGN KEY(sign_case_id) REFERENCES sign_case_names (sign_case_id)
)
 WITHOUT ROWID

;
INSERT INTO "sign_case_rows" VALUES(1,1,0,4,0.4,1.0,2.0,3.0,4.0,5.0,6.0,7.0,8.0,9.0,10.0,11.0,12.0);
CREATE TABLE "text_token_ids" (
	model_id INTEGER NOT NULL, 
	text_id INTEGER NOT NULL, 
	token_ids BLOB NOT NULL, 
	CONSTRAINT pk_text_token_ids PRIMARY KEY (model_id, text_id), 
	CONSTRAINT fk_text_token_ids_text_id_texts FOREIGN KEY(text_id) REFERENCES texts (text_id), 
	CONSTRAINT fk_text_token_ids_model_id_models FOREIGN KEY(model_id) REFERENCES models (model_id)
);
CREATE TABLE texts (
	text_id INTEGER NOT NULL, 
	dataset_id INTEGER NOT NULL, 
	ordinal INTEGER NOT NULL, 
	text TEXT NOT NULL, label_id INTEGER CONSTRAINT fk_texts_label_id_labels REFERENCES labels (label_id), 
	CONSTRAINT pk_texts PRIMARY KEY (text_id), 
	CONSTRAINT fk_texts_dataset_id_dataset_rows FOREIGN KEY(dataset_id) REFERENCES dataset_rows (dataset_id), 
	CONSTRAINT uq_texts_dataset_id_ordinal UNIQUE (dataset_id, ordinal)
);
INSERT INTO "texts" VALUES(1,1,0,'once',NULL);
INSERT INTO "texts" VALUES(2,1,1,'upon',NULL);
CREATE TABLE token_lists (
	list_id SMALLINT NOT NULL, 
	vector VARCHAR NOT NULL, 
	basis VARCHAR NOT NULL, 
	direction VARCHAR NOT NULL, 
	CONSTRAINT pk_token_lists PRIMARY KEY (list_id), 
	CONSTRAINT uq_token_lists_vector_basis_direction UNIQUE (vector, basis, direction)
);
INSERT INTO "token_lists" VALUES(0,'gate','unembed','top');
INSERT INTO "token_lists" VALUES(1,'gate','unembed','bottom');
INSERT INTO "token_lists" VALUES(2,'gate','embed','top');
INSERT INTO "token_lists" VALUES(3,'gate','embed','bottom');
INSERT INTO "token_lists" VALUES(4,'in','unembed','top');
INSERT INTO "token_lists" VALUES(5,'in','unembed','bottom');
INSERT INTO "token_lists" VALUES(6,'in','embed','top');
INSERT INTO "token_lists" VALUES(7,'in','embed','bottom');
INSERT INTO "token_lists" VALUES(8,'out','unembed','top');
INSERT INTO "token_lists" VALUES(9,'out','unembed','bottom');
INSERT INTO "token_lists" VALUES(10,'out','embed','top');
INSERT INTO "token_lists" VALUES(11,'out','embed','bottom');
CREATE TABLE token_property_rows (
	model_id INTEGER NOT NULL, 
	property_id INTEGER NOT NULL, 
	token_id INTEGER NOT NULL, 
	CONSTRAINT pk_token_property_rows PRIMARY KEY (model_id, property_id, token_id), 
	CONSTRAINT fk_token_property_rows_model_id_models FOREIGN KEY(model_id) REFERENCES models (model_id), 
	CONSTRAINT fk_token_property_rows_property_id_properties FOREIGN KEY(property_id) REFERENCES properties (property_id)
)
 WITHOUT ROWID

;
CREATE TABLE tokenizations (
	model_id INTEGER NOT NULL, 
	dataset_id INTEGER NOT NULL, 
	max_len INTEGER NOT NULL, 
	prefix_token_id INTEGER, 
	skip_bos BOOLEAN NOT NULL, 
	n_tokens INTEGER NOT NULL, 
	n_truncated INTEGER NOT NULL, 
	CONSTRAINT pk_tokenizations PRIMARY KEY (model_id, dataset_id), 
	CONSTRAINT fk_tokenizations_dataset_id_dataset_rows FOREIGN KEY(dataset_id) REFERENCES dataset_rows (dataset_id), 
	CONSTRAINT fk_tokenizations_model_id_models FOREIGN KEY(model_id) REFERENCES models (model_id)
)
 WITHOUT ROWID

;
CREATE TABLE tokens (
	model_id INTEGER NOT NULL, 
	token_id INTEGER NOT NULL, 
	token VARCHAR NOT NULL, 
	piece VARCHAR, unembed_norm DOUBLE, embed_norm DOUBLE, 
	CONSTRAINT pk_tokens PRIMARY KEY (model_id, token_id), 
	CONSTRAINT fk_tokens_model_id_models FOREIGN KEY(model_id) REFERENCES models (model_id)
)
 WITHOUT ROWID

;
CREATE TABLE "top_token_rows" (
	neuron_id INTEGER NOT NULL, 
	list_id SMALLINT NOT NULL, 
	rank SMALLINT NOT NULL, 
	token_id INTEGER NOT NULL, 
	cosine DOUBLE NOT NULL, 
	CONSTRAINT pk_top_token_rows PRIMARY KEY (neuron_id, list_id, rank), 
	CONSTRAINT fk_top_token_rows_neuron_id_neurons FOREIGN KEY(neuron_id) REFERENCES neurons (neuron_id), 
	CONSTRAINT fk_top_token_rows_list_id_token_lists FOREIGN KEY(list_id) REFERENCES token_lists (list_id)
)
 WITHOUT ROWID

;
CREATE TABLE trace_rows (
	neuron_id INTEGER NOT NULL, 
	dataset_id INTEGER NOT NULL, 
	text_id INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	start INTEGER NOT NULL, 
	n_tokens INTEGER NOT NULL, 
	trace BLOB NOT NULL, 
	CONSTRAINT pk_trace_rows PRIMARY KEY (neuron_id, dataset_id, text_id, position), 
	CONSTRAINT fk_trace_rows_neuron_id_neurons FOREIGN KEY(neuron_id) REFERENCES neurons (neuron_id), 
	CONSTRAINT fk_trace_rows_dataset_id_dataset_rows FOREIGN KEY(dataset_id) REFERENCES dataset_rows (dataset_id), 
	CONSTRAINT fk_trace_rows_text_id_texts FOREIGN KEY(text_id) REFERENCES texts (text_id)
)
 WITHOUT ROWID

;
CREATE TABLE vectors (
	vector_id SMALLINT NOT NULL, 
	vector VARCHAR NOT NULL, 
	CONSTRAINT pk_vectors PRIMARY KEY (vector_id), 
	CONSTRAINT uq_vectors_vector UNIQUE (vector)
);
INSERT INTO "vectors" VALUES(0,'gate');
INSERT INTO "vectors" VALUES(1,'in');
INSERT INTO "vectors" VALUES(2,'out');
CREATE TABLE vocab_stat_rows (
	neuron_id INTEGER NOT NULL, 
	vector_id SMALLINT NOT NULL, 
	mean DOUBLE, 
	variance DOUBLE, 
	skewness DOUBLE, 
	kurtosis DOUBLE, 
	dot_variance DOUBLE, null_share DOUBLE, 
	CONSTRAINT pk_vocab_stat_rows PRIMARY KEY (neuron_id, vector_id), 
	CONSTRAINT fk_vocab_stat_rows_neuron_id_neurons FOREIGN KEY(neuron_id) REFERENCES neurons (neuron_id), 
	CONSTRAINT fk_vocab_stat_rows_vector_id_vectors FOREIGN KEY(vector_id) REFERENCES vectors (vector_id)
)
 WITHOUT ROWID

;
CREATE INDEX ix_tokens_token_model_id ON tokens (token, model_id);
CREATE INDEX ix_activation_stats_dataset_id_freq_neuron_id ON activation_stats (dataset_id, freq, neuron_id);
CREATE INDEX ix_annotations_key ON annotations ("key");
CREATE INDEX ix_annotations_neuron_id ON annotations (neuron_id);
CREATE INDEX ix_classes_class_id_threshold_neuron_id ON classes (class_id, threshold, neuron_id);
CREATE INDEX ix_cosines_in_out ON cosines (in_out);
CREATE INDEX ix_ingest_steps_model_id_stage_layer ON ingest_steps (model_id, stage, layer);
CREATE INDEX ix_double_checking_jaccard ON double_checking (jaccard);
CREATE INDEX ix_property_effects_property_id_effect ON property_effects (property_id, effect);
CREATE INDEX ix_comparison_neurons_comparison_id_moved ON comparison_neurons (comparison_id, moved);
CREATE INDEX ix_top_token_rows_token ON top_token_rows (token_id, list_id, neuron_id);
CREATE INDEX ix_neuron_effects_run_id_metric_mean ON neuron_effects (run_id, metric, mean);
CREATE INDEX ix_neuron_attributions_run_id_metric_mean ON neuron_attributions (run_id, metric, mean);
CREATE INDEX ix_lm_head_tokens_token_id ON lm_head_tokens (token_id);
CREATE VIEW top_tokens AS SELECT r.neuron_id, l.vector, l.basis, l.direction, r.rank, r.token_id, r.cosine,
       r.cosine * (SELECT CASE l.vector WHEN 'gate' THEN n.gate_norm WHEN 'in' THEN n.in_norm
                                        ELSE n.out_norm END
                          * CASE l.basis WHEN 'unembed' THEN t.unembed_norm ELSE t.embed_norm END
                   FROM neurons n
                   JOIN tokens t ON t.model_id = n.model_id AND t.token_id = r.token_id
                   WHERE n.neuron_id = r.neuron_id) AS dot
FROM top_token_rows r
JOIN token_lists l ON l.list_id = r.list_id;
CREATE VIEW vocab_stats AS SELECT r.neuron_id, v.vector, r.mean, r.variance, r.skewness, r.kurtosis, r.dot_variance,
       r.null_share
FROM vocab_stat_rows r
JOIN vectors v ON v.vector_id = r.vector_id;
CREATE VIEW token_properties AS SELECT m.name AS model, r.token_id, t.token, p.name AS property
FROM token_property_rows r
JOIN models m ON m.model_id = r.model_id
JOIN properties p ON p.property_id = r.property_id
JOIN tokens t ON t.model_id = r.model_id AND t.token_id = r.token_id;
CREATE VIEW neuron_property_effects AS SELECT m.name AS model, n.layer, n.neuron, n.layer || '.' || n.neuron AS name, e.neuron_id,
       p.name AS property, e.effect, e.inside_mean, e.outside_mean
FROM property_effects e
JOIN neurons n ON n.neuron_id = e.neuron_id
JOIN models m ON m.model_id = n.model_id
JOIN properties p ON p.property_id = e.property_id;
CREATE VIEW compared_neurons AS SELECT c.comparison_id, a.name AS model_a, b.name AS model_b, r.layer, r.neuron,
       r.layer || '.' || r.neuron AS name, r.gate_cosine, r.in_cosine, r.out_cosine, r.same_token,
       ka.name AS class_a, kb.name AS class_b, r.moved
FROM comparison_neurons r
JOIN comparisons c ON c.comparison_id = r.comparison_id
JOIN models a ON a.model_id = c.model_a
JOIN models b ON b.model_id = c.model_b
LEFT JOIN rw_classes ka ON ka.class_id = r.class_a
LEFT JOIN rw_classes kb ON kb.class_id = r.class_b;
CREATE VIEW sign_cases AS SELECT r.neuron_id, r.dataset_id, c.sign_case, r.count, r.freq, r.post_mean, r.post_min, r.post_max, r.pre_linear_mean, r.pre_linear_min, r.pre_linear_max, r.pre_mean, r.pre_min, r.pre_max, r.swish_mean, r.swish_min, r.swish_max,
       (SELECT CASE WHEN MAX(e.position) = 0 THEN 1 WHEN MAX(e.position) > 0 THEN 0 END
        FROM example_rows e
        JOIN example_lists l ON l.list_id = e.list_id
        WHERE e.neuron_id = r.neuron_id AND e.dataset_id = r.dataset_id
          AND l.sign_case = c.sign_case AND l.quantity = 'hook_post') AS bos_only
FROM sign_case_rows r
JOIN sign_case_names c ON c.sign_case_id = r.sign_case_id;
CREATE VIEW examples AS SELECT r.neuron_id, r.dataset_id, l.sign_case, l.quantity, r.rank, r.text_id, r.position, r.value
FROM example_rows r
JOIN example_lists l ON l.list_id = r.list_id;
CREATE VIEW control_examples AS SELECT r.neuron_id, r.dataset_id, k.kind, r.rank, r.text_id, r.position, r.value
FROM control_example_rows r
JOIN control_kinds k ON k.kind_id = r.kind_id;
CREATE VIEW datasets AS SELECT d.dataset_id, d.name, d.source, d.fingerprint, d.n_texts,
       (SELECT z.n_tokens FROM tokenizations z WHERE z.dataset_id = d.dataset_id
        ORDER BY z.model_id LIMIT 1) AS n_tokens
FROM dataset_rows d;
CREATE VIEW random_regions AS SELECT g.model_id, g.layer, g.pair, COALESCE(x.low, g.low) AS low, COALESCE(x.high, g.high) AS high,
       CASE WHEN x.low IS NULL THEN 'gaussian' ELSE 'mismatched' END AS kind
FROM baselines g
LEFT JOIN baselines x ON x.model_id = g.model_id AND x.layer = g.layer AND x.pair = g.pair
                     AND x.kind = 'mismatched'
WHERE g.kind = 'gaussian';
CREATE VIEW neuron_overview AS SELECT m.name AS model, n.layer, n.neuron, n.layer || '.' || n.neuron AS name, n.neuron_id,
       k.name AS class, k.io_name AS io_class, c.gate_in, c.gate_out, c.in_out, a.freq,
       (SELECT s.freq FROM sign_case_rows s WHERE s.neuron_id = n.neuron_id AND s.dataset_id = m.dataset_id AND s.sign_case_id = 0) AS gate_pos_in_pos,
       (SELECT s.freq FROM sign_case_rows s WHERE s.neuron_id = n.neuron_id AND s.dataset_id = m.dataset_id AND s.sign_case_id = 1) AS gate_pos_in_neg,
       (SELECT s.freq FROM sign_case_rows s WHERE s.neuron_id = n.neuron_id AND s.dataset_id = m.dataset_id AND s.sign_case_id = 2) AS gate_neg_in_pos,
       (SELECT s.freq FROM sign_case_rows s WHERE s.neuron_id = n.neuron_id AND s.dataset_id = m.dataset_id AND s.sign_case_id = 3) AS gate_neg_in_neg,
       n.gate_norm, n.in_norm, n.out_norm, n.penalty, n.sign,
       a.pre_mean, a.pre_variance, a.pre_skewness, a.pre_kurtosis,
       a.post_mean, a.post_variance, a.post_skewness, a.post_kurtosis, a.post_positive,
       o.kurtosis AS out_kurtosis, o.skewness AS out_skewness, o.variance AS out_variance,
       o.dot_variance AS out_dot_variance,
       CASE WHEN o.kurtosis > 10 AND o.skewness > 0 THEN 'prediction' WHEN o.kurtosis > 10 AND o.skewness < 0 THEN 'suppression' WHEN o.variance > 0.005 THEN 'partition' END AS role,
       (SELECT t.token FROM top_token_rows p
        JOIN tokens t ON t.model_id = n.model_id AND t.token_id = p.token_id
        WHERE p.neuron_id = n.neuron_id AND p.list_id = 8 AND p.rank = 0)
       AS top_out_token,
       CASE WHEN c.in_out IS NOT NULL THEN
           (SELECT CASE WHEN c.in_out < g.low OR c.in_out > g.high THEN 1 ELSE 0 END
            FROM baselines g
            WHERE g.model_id = n.model_id AND g.layer = n.layer AND g.pair = 'in_out'
            ORDER BY g.kind DESC LIMIT 1) END AS significant_in_out,
       (SELECT e.mean FROM neuron_effects e WHERE e.run_id = m.each_run_id AND e.metric = 'loss' AND e.neuron_id = n.neuron_id) AS ablated_loss,
       (SELECT e.mean FROM neuron_effects e WHERE e.run_id = m.each_run_id AND e.metric = 'entropy' AND e.neuron_id = n.neuron_id) AS ablated_entropy,
       (SELECT e.mean FROM neuron_effects e WHERE e.run_id = m.each_run_id AND e.metric = 'rank' AND e.neuron_id = n.neuron_id) AS ablated_rank,
       (SELECT e.mean FROM neuron_effects e WHERE e.run_id = m.each_run_id AND e.metric = 'scale' AND e.neuron_id = n.neuron_id) AS ablated_scale,
       (SELECT e.mean FROM neuron_attributions e WHERE e.run_id = m.attribution_run_id AND e.metric = 'loss' AND e.neuron_id = n.neuron_id) AS attribution_loss,
       (SELECT e.mean FROM neuron_attributions e WHERE e.run_id = m.attribution_run_id AND e.metric = 'entropy' AND e.neuron_id = n.neuron_id) AS attribution_entropy
FROM neurons n
JOIN models m ON m.model_id = n.model_id
LEFT JOIN cosines c ON c.neuron_id = n.neuron_id
JOIN classes q ON q.neuron_id = n.neuron_id AND q.threshold = m.threshold
JOIN rw_classes k ON k.class_id = q.class_id
LEFT JOIN activation_stats a ON a.neuron_id = n.neuron_id AND a.dataset_id = m.dataset_id
LEFT JOIN vocab_stat_rows o ON o.neuron_id = n.neuron_id AND o.vector_id = 2;
COMMIT;
