-- title: Effect of removing every neuron, and its estimate
-- description: Mean of clean − ablated over the tokens, of the runs that neuron_overview shows.
-- param model: model
-- param metric = "loss": choice(loss, entropy)
WITH effects AS (
    SELECT name, class, neuron_id,
           CASE CAST(:metric AS TEXT) WHEN 'loss' THEN ablated_loss ELSE ablated_entropy END
           AS effect,
           CASE CAST(:metric AS TEXT) WHEN 'loss' THEN attribution_loss
                                      ELSE attribution_entropy END AS estimate
    FROM neuron_overview
    WHERE model = CAST(:model AS TEXT)
)
SELECT name, class, effect, estimate
FROM effects
WHERE effect IS NOT NULL AND estimate IS NOT NULL
ORDER BY neuron_id
