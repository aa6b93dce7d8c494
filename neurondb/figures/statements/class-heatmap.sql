-- title: Neurons of each read-write class in every layer
-- description: A row for each class that a layer has neurons of, at the threshold of the model.
-- param model: model
SELECT layer, class, COUNT(*) AS n
FROM neuron_overview
WHERE model = CAST(:model AS TEXT)
GROUP BY layer, class
ORDER BY layer, class
