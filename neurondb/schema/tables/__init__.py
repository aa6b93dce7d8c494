"""Every table, each column documented where it is defined (`comment=`).

Relations whose rows hold codes are named `…_rows`; the view without that ending
(`neurondb.schema.views`) shows them in words. The same definitions run on SQLite and PostgreSQL.
Large tables are clustered on their key (`WITHOUT ROWID` in SQLite) and get their secondary
indexes after a bulk load (`neurondb.writing`).
"""

from neurondb.schema.tables.activations import (
    activation_stats,
    dataset_rows,
    example_lists,
    example_rows,
    labels,
    sign_case_names,
    sign_case_rows,
    text_token_ids,
    texts,
    tokenizations,
)
from neurondb.schema.tables.comparisons import comparison_neurons, comparisons
from neurondb.schema.tables.concepts import (
    clamp_results,
    clamp_run_neurons,
    clamp_runs,
    concept_candidates,
    concept_points,
    concept_runs,
    concept_texts,
    concept_tokens,
)
from neurondb.schema.tables.interventions import (
    ablation_histograms,
    ablation_results,
    ablation_runs,
    annotations,
    changed_tokens,
    neuron_attributions,
    neuron_effects,
    neuron_set_members,
    neuron_sets,
    shown_condition_runs,
)
from neurondb.schema.tables.models import (
    baselines,
    classes,
    cosines,
    layers,
    models,
    neurons,
    rw_classes,
)
from neurondb.schema.tables.peaks import peak_token_lists, peak_token_rows
from neurondb.schema.tables.properties import (
    logit_effect_rows,
    properties,
    property_effects,
    token_property_rows,
)
from neurondb.schema.tables.provenance import ingest_runs, ingest_steps
from neurondb.schema.tables.summaries import (
    activation_histograms,
    control_example_rows,
    control_kinds,
    label_stats,
    quantities,
    token_stat_places,
    token_stat_rows,
    trace_rows,
)
from neurondb.schema.tables.vocabulary import (
    double_checking,
    lm_head_rows,
    lm_head_tokens,
    token_lists,
    tokens,
    top_token_rows,
    vectors,
    vocab_stat_rows,
)

__all__ = [
    "ablation_histograms",
    "ablation_results",
    "ablation_runs",
    "activation_histograms",
    "activation_stats",
    "annotations",
    "baselines",
    "changed_tokens",
    "clamp_results",
    "clamp_run_neurons",
    "clamp_runs",
    "classes",
    "comparison_neurons",
    "comparisons",
    "concept_candidates",
    "concept_points",
    "concept_runs",
    "concept_texts",
    "concept_tokens",
    "control_example_rows",
    "control_kinds",
    "cosines",
    "dataset_rows",
    "double_checking",
    "example_lists",
    "example_rows",
    "ingest_runs",
    "ingest_steps",
    "label_stats",
    "labels",
    "layers",
    "lm_head_rows",
    "lm_head_tokens",
    "logit_effect_rows",
    "models",
    "neuron_attributions",
    "neuron_effects",
    "neuron_set_members",
    "neuron_sets",
    "neurons",
    "peak_token_lists",
    "peak_token_rows",
    "properties",
    "property_effects",
    "quantities",
    "rw_classes",
    "shown_condition_runs",
    "sign_case_names",
    "sign_case_rows",
    "text_token_ids",
    "texts",
    "token_lists",
    "token_property_rows",
    "token_stat_places",
    "token_stat_rows",
    "tokenizations",
    "tokens",
    "top_token_rows",
    "trace_rows",
    "vectors",
    "vocab_stat_rows",
]
