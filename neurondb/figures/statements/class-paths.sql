-- title: Neurons from class to class, at each step of a series of models
-- description: How many neurons have which class in a model of the series and in the one before,
--   of those that have a class in every model; changing are those of them whose class is not the
--   same in all. At step 0, class_before is NULL.
-- param model: model
-- param series = null: integer, by default the newest that the model is part of
WITH placed AS (
    SELECT n.step, n.model, n.layer, n.neuron, n.class, n.class_id,
           LAG(n.class) OVER (PARTITION BY n.layer, n.neuron ORDER BY n.step) AS class_before,
           COUNT(n.class_id) OVER of_neuron AS n_known, COUNT(*) OVER of_neuron AS n_steps,
           MIN(n.class_id) OVER of_neuron AS lowest, MAX(n.class_id) OVER of_neuron AS highest
    FROM series_neurons n
    WHERE n.series_id = (
        SELECT MAX(series_id)
        FROM series_steps
        WHERE model = CAST(:model AS TEXT)
          AND (CAST(:series AS INTEGER) IS NULL OR series_id = CAST(:series AS INTEGER)))
    WINDOW of_neuron AS (PARTITION BY n.layer, n.neuron)
)
SELECT step, model, class_before, class, COUNT(*) AS n,
       SUM(CASE WHEN lowest < highest THEN 1 ELSE 0 END) AS changing
FROM placed
WHERE n_known = n_steps
GROUP BY step, model, class_before, class
ORDER BY step, class_before, class
