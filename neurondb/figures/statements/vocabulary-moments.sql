-- title: Moments over the vocabulary of the out vectors of a layer
-- description: Of cos(U, out), with the role that they make; NULL is none.
-- param model: model
-- param layer: integer
SELECT name, out_skewness, out_kurtosis, out_variance, role
FROM neuron_overview
WHERE model = CAST(:model AS TEXT) AND layer = :layer AND out_kurtosis IS NOT NULL
ORDER BY neuron
