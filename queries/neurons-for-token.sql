-- title: Neurons that have a token in their lists
-- description: Where a token stands in the token lists of neurons: which vector, how high, with
--   which cosine. A leading space is part of a token.
-- needs: vocab
-- param token: token, the token, as ' dog'
-- param model = null: model, only this model
-- param vector = null: choice(gate, in, out), only of this vector
-- param direction = "top": choice(top, bottom), largest or smallest cosines
-- param basis = "unembed": choice(unembed, embed), by which matrix
-- param limit = 100: natural, rows at most
SELECT m.name AS model, n.name,
       l.vector, r.rank, r.scaled_cosine / 2147483648.0 AS cosine,
       r.scaled_cosine / 2147483648.0 * CASE l.vector WHEN 'gate' THEN n.gate_norm WHEN 'in' THEN n.in_norm
                                ELSE n.out_norm END
                * CASE l.basis WHEN 'unembed' THEN t.unembed_norm ELSE t.embed_norm END AS dot,
       k.name AS class
FROM tokens t
JOIN models m ON m.model_id = t.model_id
JOIN token_lists l ON l.direction = :direction AND l.basis = :basis
                  AND (CAST(:vector AS TEXT) IS NULL OR l.vector = CAST(:vector AS TEXT))
JOIN top_token_rows r ON r.token_id = t.token_id AND r.list_id = l.list_id
                     AND r.neuron_id >= m.first_neuron_id
                     AND r.neuron_id < m.first_neuron_id + m.n_layers * m.d_mlp
JOIN named_neurons n ON n.neuron_id = r.neuron_id
LEFT JOIN classes q ON q.neuron_id = n.neuron_id AND q.threshold = m.threshold
LEFT JOIN rw_classes k ON k.class_id = q.class_id
WHERE t.token = :token
  AND (CAST(:model AS TEXT) IS NULL OR m.name = CAST(:model AS TEXT))
ORDER BY r.rank, ABS(r.scaled_cosine) DESC, n.neuron_id, l.vector
LIMIT :limit
