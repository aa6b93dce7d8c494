-- title: Nearest and most nearly opposite neurons
-- description: Each neuron's nearest neighbour by each vector, and its most nearly opposite one.
-- param model: model
SELECT name, vector, side, other, cosine
FROM neighbours
WHERE model = CAST(:model AS TEXT) AND rank = 0
ORDER BY neuron_id, vector, side
