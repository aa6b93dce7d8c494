-- title: How far neurons move later heads' attention to BOS
-- description: How many pairs of a neuron and a head of a later layer have a score in each bin, and
--   how many pairs of a random direction and a head; as they are, and in standard deviations of
--   random directions at the head.
-- param model: model
SELECT c.standardised, c.low, c.high, c.n_neurons, c.n_random
FROM head_score_counts c
JOIN head_runs r ON r.run_id = c.run_id
JOIN models m ON m.model_id = r.model_id
WHERE m.name = CAST(:model AS TEXT)
ORDER BY c.standardised, c.bin
