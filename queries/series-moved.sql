-- title: Neurons that moved most over a series of models
-- description: Of a series that `neurondb compare A B C` made: cosines of the same neuron's vectors
--   in the first and in the last model, moved, which is 1 − the smallest of them, the classes at
--   both ends, and the step that moved it most, with how far.
-- needs: series
-- param series = null: integer, the series by its number; by default the newest
-- param limit = 50: natural, rows at most
WITH ends AS (
    SELECT series_id, MAX(step) AS last
    FROM series_steps
    WHERE series_id = COALESCE(CAST(:series AS INTEGER), (SELECT MAX(series_id) FROM series_steps))
    GROUP BY series_id
), furthest AS (
    SELECT n.*
    FROM ends e
    JOIN series_neurons n ON n.series_id = e.series_id AND n.step = e.last
    WHERE n.first_moved > 0.000001
    ORDER BY n.first_moved DESC, n.layer, n.neuron
    LIMIT :limit
), ranked AS (
    SELECT n.layer, n.neuron, n.step, n.moved,
           ROW_NUMBER() OVER (PARTITION BY n.layer, n.neuron
               ORDER BY CASE WHEN n.moved IS NULL THEN 1 ELSE 0 END, n.moved DESC, n.step) AS place
    FROM furthest f
    JOIN series_neurons n
      ON n.series_id = f.series_id AND n.layer = f.layer AND n.neuron = f.neuron AND n.step > 0
)
SELECT f.series_id, f.name, f.first_gate_cosine AS gate_cosine, f.first_in_cosine AS in_cosine,
       f.first_out_cosine AS out_cosine, f.first_moved AS moved, o.class AS first_class,
       f.class AS last_class, r.step AS furthest_step, r.moved AS furthest_moved
FROM furthest f
JOIN series_neurons o
  ON o.series_id = f.series_id AND o.step = 0 AND o.layer = f.layer AND o.neuron = f.neuron
LEFT JOIN ranked r ON r.layer = f.layer AND r.neuron = f.neuron AND r.place = 1
ORDER BY f.first_moved DESC, f.layer, f.neuron
