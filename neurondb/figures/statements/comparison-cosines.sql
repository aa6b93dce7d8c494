-- title: Cosine of every vector before and after
-- description: Of the comparison of two models, whichever of them came first. The figure counts
--   them in bins, and has the median of every layer.
-- param model: model
-- param other: model
SELECT c.layer, c.neuron, c.gate_cosine, c.in_cosine, c.out_cosine
FROM compared_neurons c
WHERE c.model_a = CAST(:model AS TEXT) AND c.model_b = CAST(:other AS TEXT)
   OR c.model_a = CAST(:other AS TEXT) AND c.model_b = CAST(:model AS TEXT)
ORDER BY c.layer, c.neuron
