-- title: Cosines of every neuron with the model before and with the first, at each step
-- description: Of a series of models, from step 1. The figure counts them in bins, and has the
--   median of every step.
-- param model: model
-- param series = null: integer, by default the newest that the model is part of
SELECT step, model, layer, neuron, gate_cosine, in_cosine, out_cosine, first_gate_cosine,
       first_in_cosine, first_out_cosine
FROM series_neurons
WHERE step > 0 AND series_id = (
    SELECT MAX(series_id)
    FROM series_steps
    WHERE model = CAST(:model AS TEXT)
      AND (CAST(:series AS INTEGER) IS NULL OR series_id = CAST(:series AS INTEGER)))
ORDER BY step, layer, neuron
