-- title: Probability of a token under the LM head, of every neuron
-- description: At +in (side 1) and, of gated neurons, −in (side −1), as stored by `neurondb tokens
--   … --lm-head --store`.
-- param model: model
-- param token: text, the token's text, or its id as '#5679'
SELECT n.layer, n.neuron, r.side, r.probability, r.normalised
FROM models m
JOIN neurons n ON n.model_id = m.model_id
JOIN lm_head_rows r ON r.neuron_id = n.neuron_id AND r.token_id =
    (SELECT MIN(t.token_id) FROM tokens t WHERE t.model_id = m.model_id
     AND (t.token = CAST(:token AS TEXT) OR '#' || t.token_id = CAST(:token AS TEXT)))
WHERE m.name = CAST(:model AS TEXT)
ORDER BY n.layer, n.neuron, r.side DESC
