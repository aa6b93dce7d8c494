-- title: What every step of a series of models kept, and how far it moved
-- description: For each model of a series that `neurondb compare A B C` made: the share of neurons
--   that have the class of the model before (kept), that of the first model (kept_first), and that
--   keep theirs from here to the last model (settled), of those that have a class at every step;
--   and medians of the cosines with the model before and with the first.
-- needs: series
-- param series = null: integer, the series by its number; by default all
-- param member = null: model, only series that this model is part of
WITH chosen AS (
    SELECT series_id, MAX(step) AS last
    FROM series_steps
    WHERE (CAST(:series AS INTEGER) IS NULL OR series_id = CAST(:series AS INTEGER))
      AND (CAST(:member AS TEXT) IS NULL OR series_id IN (
          SELECT series_id FROM series_steps WHERE model = CAST(:member AS TEXT)))
    GROUP BY series_id
), placed AS (
    SELECT n.*, c.last,
           FIRST_VALUE(n.class_id) OVER by_step AS first_id,
           LAST_VALUE(n.class_id) OVER by_step AS last_id,
           COUNT(n.class_id) OVER by_step AS n_known
    FROM chosen c
    JOIN series_neurons n ON n.series_id = c.series_id
    WINDOW by_step AS (PARTITION BY n.series_id, n.layer, n.neuron ORDER BY n.step
                       ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
), changed AS (
    SELECT p.*, CASE WHEN n_known > last THEN 1 END AS counts,
           LAG(class_id) OVER (PARTITION BY series_id, layer, neuron ORDER BY step) AS before_id,
           COALESCE(MAX(CASE WHEN class_id <> last_id THEN step END)
               OVER (PARTITION BY series_id, layer, neuron), -1) AS last_change
    FROM placed p
)
SELECT series_id, step, model, COUNT(*) AS n, COUNT(counts) AS n_classified,
       CASE WHEN step > 0
            THEN SUM(CASE WHEN counts = 1 AND class_id = before_id THEN 1 ELSE 0 END)
                 / CAST(NULLIF(COUNT(counts), 0) AS DOUBLE PRECISION) END AS kept,
       CASE WHEN step > 0
            THEN SUM(CASE WHEN counts = 1 AND class_id = first_id THEN 1 ELSE 0 END)
                 / CAST(NULLIF(COUNT(counts), 0) AS DOUBLE PRECISION) END AS kept_first,
       SUM(CASE WHEN counts = 1 AND step > last_change THEN 1 ELSE 0 END)
           / CAST(NULLIF(COUNT(counts), 0) AS DOUBLE PRECISION) AS settled,
       median(gate_cosine) AS gate_cosine, median(in_cosine) AS in_cosine,
       median(out_cosine) AS out_cosine, median(first_gate_cosine) AS first_gate_cosine,
       median(first_in_cosine) AS first_in_cosine, median(first_out_cosine) AS first_out_cosine
FROM changed
GROUP BY series_id, step, model
ORDER BY series_id, step
