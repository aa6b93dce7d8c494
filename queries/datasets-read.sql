-- title: Datasets, and which models went through them
-- description: A row for each dataset and model that read it. `shown` is 1 where neuron_overview, and so
--   find, show and the named queries, have the model's activations on it; `find "dataset=NAME …"` and
--   --dataset NAME of other commands choose another.
-- param model = null: model, only this model
SELECT d.name AS dataset, m.name AS model,
       CASE WHEN m.dataset_id = d.dataset_id THEN 1 ELSE 0 END AS shown, d.n_texts, z.n_tokens,
       d.source
FROM dataset_rows d
CROSS JOIN models m
LEFT JOIN tokenizations z ON z.model_id = m.model_id AND z.dataset_id = d.dataset_id
WHERE (z.n_tokens IS NOT NULL OR m.dataset_id = d.dataset_id)
  AND (CAST(:model AS TEXT) IS NULL OR m.name = CAST(:model AS TEXT))
ORDER BY d.name, m.name
