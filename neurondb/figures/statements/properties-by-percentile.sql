-- title: Percentile of every neuron within its layer, by property
-- description: Of all neurons, of which the figure draws those that `where` means: `neurondb find
--   EXPR --explain` shows its SQL. A percentile is PERCENT_RANK, the share of the layer's other
--   neurons whose value is smaller. The figure leaves out properties that are alike everywhere.
-- param model: model
-- param dataset = null: text, by default the one that neuron_overview shows
WITH values_of_model AS (
    SELECT n.neuron_id, n.layer, n.neuron, n.gate_norm, n.in_norm, n.out_norm, n.penalty,
           n.gate_bias, n.in_bias, c.in_out, c.gate_out, c.gate_in, v.kurtosis AS out_kurtosis,
           v.skewness AS out_skewness, v.variance AS out_variance, v.null_share, a.freq,
           a.post_positive, a.pre_mean, a.pre_skewness, a.pre_kurtosis, a.post_mean,
           a.post_skewness, a.post_kurtosis
    FROM models m
    JOIN neurons n ON n.model_id = m.model_id
    LEFT JOIN cosines c ON c.neuron_id = n.neuron_id
    LEFT JOIN vocab_stats v ON v.neuron_id = n.neuron_id AND v.vector = 'out'
    LEFT JOIN activation_stats a ON a.neuron_id = n.neuron_id AND a.dataset_id = COALESCE(
        (SELECT d.dataset_id FROM datasets d WHERE d.name = CAST(:dataset AS TEXT)), m.dataset_id)
    WHERE m.name = CAST(:model AS TEXT)
), properties_shown AS (
    SELECT 'gate_norm' AS property UNION ALL SELECT 'in_norm' UNION ALL SELECT 'out_norm' UNION ALL
    SELECT 'penalty' UNION ALL SELECT 'gate_bias' UNION ALL SELECT 'in_bias' UNION ALL
    SELECT 'in_out' UNION ALL SELECT 'gate_out' UNION ALL SELECT 'gate_in' UNION ALL
    SELECT 'out_kurtosis' UNION ALL SELECT 'out_skewness' UNION ALL SELECT 'out_variance' UNION ALL
    SELECT 'null_share' UNION ALL SELECT 'freq' UNION ALL SELECT 'post_positive' UNION ALL
    SELECT 'pre_mean' UNION ALL SELECT 'pre_skewness' UNION ALL SELECT 'pre_kurtosis' UNION ALL
    SELECT 'post_mean' UNION ALL SELECT 'post_skewness' UNION ALL SELECT 'post_kurtosis'
), numbers AS (
    SELECT neuron_id, layer, neuron, property,
           CASE property WHEN 'gate_norm' THEN gate_norm WHEN 'in_norm' THEN in_norm
                         WHEN 'out_norm' THEN out_norm WHEN 'penalty' THEN penalty
                         WHEN 'gate_bias' THEN gate_bias WHEN 'in_bias' THEN in_bias
                         WHEN 'in_out' THEN in_out WHEN 'gate_out' THEN gate_out WHEN 'gate_in' THEN gate_in
                         WHEN 'out_kurtosis' THEN out_kurtosis WHEN 'out_skewness' THEN out_skewness
                         WHEN 'out_variance' THEN out_variance WHEN 'null_share' THEN null_share
                         WHEN 'freq' THEN freq WHEN 'post_positive' THEN post_positive
                         WHEN 'pre_mean' THEN pre_mean WHEN 'pre_skewness' THEN pre_skewness
                         WHEN 'pre_kurtosis' THEN pre_kurtosis WHEN 'post_mean' THEN post_mean
                         WHEN 'post_skewness' THEN post_skewness WHEN 'post_kurtosis' THEN post_kurtosis END AS value
    FROM values_of_model
    CROSS JOIN properties_shown
)
SELECT n.name, v.neuron_id, v.property, v.value,
       PERCENT_RANK() OVER (PARTITION BY v.property, v.layer ORDER BY v.value) AS percentile
FROM numbers v
JOIN named_neurons n ON n.neuron_id = v.neuron_id
WHERE v.value IS NOT NULL
ORDER BY v.property, v.layer, v.neuron
