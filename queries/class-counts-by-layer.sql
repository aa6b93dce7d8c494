-- title: Neurons of every read-write class in every layer
-- description: Counts at the threshold that neuron_overview shows, in the published order of the
--   classes (weakening-neurons, table 1 and figure 2).
-- param model = null: model, only this model
SELECT m.name AS model, n.layer,
       SUM(CASE WHEN q.class_id = 0 THEN 1 ELSE 0 END) AS strengthening,
       SUM(CASE WHEN q.class_id = 1 THEN 1 ELSE 0 END) AS atypical_strengthening,
       SUM(CASE WHEN q.class_id = 2 THEN 1 ELSE 0 END) AS conditional_strengthening,
       SUM(CASE WHEN q.class_id = 3 THEN 1 ELSE 0 END) AS atypical_conditional_strengthening,
       SUM(CASE WHEN q.class_id = 4 THEN 1 ELSE 0 END) AS proportional_change,
       SUM(CASE WHEN q.class_id = 5 THEN 1 ELSE 0 END) AS atypical_proportional_change,
       SUM(CASE WHEN q.class_id = 6 THEN 1 ELSE 0 END) AS orthogonal_output,
       SUM(CASE WHEN q.class_id = 7 THEN 1 ELSE 0 END) AS weakening,
       SUM(CASE WHEN q.class_id = 8 THEN 1 ELSE 0 END) AS atypical_weakening,
       SUM(CASE WHEN q.class_id = 9 THEN 1 ELSE 0 END) AS conditional_weakening,
       SUM(CASE WHEN q.class_id = 10 THEN 1 ELSE 0 END) AS atypical_conditional_weakening,
       SUM(CASE WHEN q.class_id = 11 THEN 1 ELSE 0 END) AS undefined
FROM models m
JOIN neurons n ON n.model_id = m.model_id
JOIN classes q ON q.neuron_id = n.neuron_id AND q.threshold = m.threshold
WHERE CAST(:model AS TEXT) IS NULL OR m.name = CAST(:model AS TEXT)
GROUP BY m.name, n.layer
ORDER BY m.name, n.layer
