-- title: Cosines of the neurons of several layers
-- description: The axes and the colour of each neuron; where a layer has too many to be points, the
--   figure counts the others in cells. The regions of random pairs are rows of `random_regions`.
-- param model: model
-- param layers = null: text, as 0,5,27; by default all
SELECT layer, name, gate_out, in_out, gate_in
FROM neuron_overview
WHERE model = CAST(:model AS TEXT) AND in_out IS NOT NULL
  AND (CAST(:layers AS TEXT) IS NULL
       OR ',' || CAST(:layers AS TEXT) || ',' LIKE '%,' || layer || ',%')
ORDER BY layer, neuron
