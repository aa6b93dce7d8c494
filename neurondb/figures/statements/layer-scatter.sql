-- title: Cosines of the neurons of a layer
-- description: Of gated models the two axes and the colour of each neuron, of ungated ones in_out,
--   of which the figure draws the histogram. The regions of random pairs are rows of `baselines`.
-- param model: model
-- param layer: integer
SELECT name, gate_out, in_out, gate_in
FROM neuron_overview
WHERE model = CAST(:model AS TEXT) AND layer = :layer AND in_out IS NOT NULL
ORDER BY neuron
