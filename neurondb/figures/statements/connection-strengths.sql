-- title: Connections from each layer to each later one
-- description: The strongest pair of neurons of two layers, and the root mean square of the cosines
--   of all their pairs in units of that of random directions.
-- param model: model
-- param value = "largest": choice(largest, all), which of the two
SELECT v.vector AS reads_with, y.writer_layer, y.reader_layer,
       CASE CAST(:value AS TEXT)
           WHEN 'all' THEN y.rms / r.random_std
           WHEN 'largest' THEN CASE WHEN y.largest > -y.smallest THEN y.largest ELSE -y.smallest END
       END AS value
FROM models m
JOIN neighbour_runs r ON r.model_id = m.model_id
JOIN connection_layers y ON y.run_id = r.run_id
JOIN vectors v ON v.vector_id = y.vector_id
WHERE m.name = CAST(:model AS TEXT)
ORDER BY v.vector, y.writer_layer, y.reader_layer
