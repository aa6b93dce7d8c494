-- title: Share of neurons that keep their top token after fine-tuning
-- description: Of two models with the same layers and neurons, the share whose in vector has the
--   same token on top of the LM-head decoding of +in (published from Llama-3.1-8B to its Instruct
--   version: 75.4%).
-- needs: vocab
-- param base: model, the model before
-- param tuned: model, the model after
SELECT nb.layer, COUNT(*) AS n,
       SUM(CASE WHEN tb.token = tt.token THEN 1 ELSE 0 END) AS kept,
       SUM(CASE WHEN tb.token = tt.token THEN 1 ELSE 0 END)
           / CAST(COUNT(*) AS DOUBLE PRECISION) AS share
FROM models b
JOIN models t ON t.name = :tuned AND t.n_layers = b.n_layers AND t.d_mlp = b.d_mlp
JOIN neurons nb ON nb.model_id = b.model_id
JOIN lm_head_tokens hb ON hb.neuron_id = nb.neuron_id AND hb.side = 1
JOIN lm_head_tokens ht ON ht.neuron_id = nb.neuron_id - b.first_neuron_id + t.first_neuron_id
                      AND ht.side = 1
JOIN tokens tb ON tb.model_id = b.model_id AND tb.token_id = hb.token_id
JOIN tokens tt ON tt.model_id = t.model_id AND tt.token_id = ht.token_id
WHERE b.name = :base
GROUP BY nb.layer
ORDER BY nb.layer
