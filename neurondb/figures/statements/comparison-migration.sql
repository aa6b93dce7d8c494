-- title: Neurons by their class before and after
-- description: Of the comparison of two models, whichever of them came first.
-- param model: model
-- param other: model
SELECT c.class_a AS before, c.class_b AS after, COUNT(*) AS n
FROM compared_neurons c
WHERE (c.model_a = CAST(:model AS TEXT) AND c.model_b = CAST(:other AS TEXT)
       OR c.model_a = CAST(:other AS TEXT) AND c.model_b = CAST(:model AS TEXT))
  AND c.class_a IS NOT NULL AND c.class_b IS NOT NULL
GROUP BY c.class_a, c.class_b
ORDER BY c.class_a, c.class_b
