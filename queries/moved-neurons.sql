-- title: Neurons that moved most between two models
-- description: Of the models that `neurondb compare` compared: cosines of the same neuron's vectors
--   in both, classes, and the top tokens of the LM-head decoding of +in. `moved` is 1 − the smallest
--   of the cosines; neurons that did not move are left out.
-- needs: comparison
-- param before = null: model, only comparisons of this model with later ones
-- param after = null: model, only comparisons of others with this one
-- param limit = 50: natural, rows at most
WITH moved AS (
    SELECT * FROM compared_neurons
    WHERE moved > 0.000001
      AND (CAST(:before AS TEXT) IS NULL OR model_a = CAST(:before AS TEXT))
      AND (CAST(:after AS TEXT) IS NULL OR model_b = CAST(:after AS TEXT))
    ORDER BY moved DESC, comparison_id, layer, neuron
    LIMIT :limit
)
SELECT x.model_a, x.model_b, x.name, x.gate_cosine, x.in_cosine, x.out_cosine, x.moved, x.class_a,
       x.class_b, ta.token AS token_a, tb.token AS token_b
FROM moved x
JOIN models a ON a.name = x.model_a
JOIN models b ON b.name = x.model_b
LEFT JOIN lm_head_tokens ha ON ha.neuron_id = a.first_neuron_id + x.layer * a.d_mlp + x.neuron
                           AND ha.side = 1
LEFT JOIN lm_head_tokens hb ON hb.neuron_id = b.first_neuron_id + x.layer * b.d_mlp + x.neuron
                           AND hb.side = 1
LEFT JOIN tokens ta ON ta.model_id = a.model_id AND ta.token_id = ha.token_id
LEFT JOIN tokens tb ON tb.model_id = b.model_id AND tb.token_id = hb.token_id
ORDER BY x.moved DESC, x.comparison_id, x.layer, x.neuron
