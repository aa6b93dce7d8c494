-- title: Neurons that encode a token
-- description: Neurons whose in vector has the token on top of the LM-head decoding, at +in (`side`
--   1) or −in (−1): the sign of in is arbitrary in a gated neuron; ungated ones have +in only.
--   `normalised` is the token's probability ÷ the mean of the side's 100 largest
--   (specialised-feature-neurons §2).
-- needs: vocab
-- param token: token, the token, as ' dog'
-- param model = null: model, only this model
-- param limit = 100: natural, rows at most
SELECT m.name AS model, n.name, h.side, h.probability, h.normalised,
       k.name AS class
FROM tokens t
JOIN models m ON m.model_id = t.model_id
JOIN lm_head_tokens h ON h.token_id = t.token_id
                     AND h.neuron_id >= m.first_neuron_id
                     AND h.neuron_id < m.first_neuron_id + m.n_layers * m.d_mlp
JOIN named_neurons n ON n.neuron_id = h.neuron_id
LEFT JOIN classes q ON q.neuron_id = n.neuron_id AND q.threshold = m.threshold
LEFT JOIN rw_classes k ON k.class_id = q.class_id
WHERE t.token = :token
  AND (CAST(:model AS TEXT) IS NULL OR m.name = CAST(:model AS TEXT))
ORDER BY h.normalised DESC, n.neuron_id, h.side DESC
LIMIT :limit
