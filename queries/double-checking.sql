-- title: Neurons that may check the same thing twice
-- description: Neurons whose gate and in vectors have top tokens in common although
--   cos(gate, in) is near zero: the Jaccard overlap of the top tokens of gate with the top
--   (sign +) or the bottom (sign −) tokens of in, the better of the two (weakening-neurons, app. E).
-- needs: vocab, gates
-- param model = null: model, only this model
-- param layer = null: natural, only this layer
-- param near_zero = 0.1: number, |cos(gate, in)| at most
-- param overlap = 0.1: number, Jaccard overlap at least
-- param limit = 50: natural, rows at most
SELECT m.name AS model, n.name, c.gate_in,
       CASE d.relative_sign WHEN 1 THEN '+' ELSE '-' END AS sign,
       -- of two lists of k that share s tokens the overlap is s / (2k − s)
       CAST(ROUND(2 * d.k * d.jaccard / (1 + d.jaccard)) AS INTEGER) AS shared_tokens, d.jaccard
FROM double_checking d
JOIN cosines c ON c.neuron_id = d.neuron_id
JOIN named_neurons n ON n.neuron_id = d.neuron_id
JOIN models m ON m.model_id = n.model_id
WHERE d.jaccard > 0 AND d.jaccard >= :overlap AND ABS(c.gate_in) <= :near_zero
  AND (CAST(:model AS TEXT) IS NULL OR m.name = CAST(:model AS TEXT))
  AND (CAST(:layer AS INTEGER) IS NULL OR n.layer = CAST(:layer AS INTEGER))
ORDER BY d.jaccard DESC, d.neuron_id
LIMIT :limit
