-- title: Neurons that suppress or promote the tokens with a property
-- description: Neurons whose `out` acts on the tokens with a property otherwise than on all others,
--   the strongest first. The effect is the difference of the mean cosines with U, inside_mean −
--   outside_mean, in standard deviations of the neuron's cosines with all tokens; those below 0.5
--   are not stored (universal-neurons Fig. 5). docs/properties.md lists the properties.
-- needs: properties
-- param property = null: property, only this one, as year
-- param model = null: model, only this model
-- param direction = "suppressed": choice(suppressed, promoted), which way
-- param min_effect = 1: number, standard deviations at least
-- param limit = 100: natural, rows at most
SELECT m.name AS model, n.name, p.name AS property, e.effect,
       e.inside_mean, e.outside_mean, k.name AS class
FROM properties p
JOIN property_effects e ON e.property_id = p.property_id
JOIN named_neurons n ON n.neuron_id = e.neuron_id
JOIN models m ON m.model_id = n.model_id
LEFT JOIN classes q ON q.neuron_id = n.neuron_id AND q.threshold = m.threshold
LEFT JOIN rw_classes k ON k.class_id = q.class_id
WHERE (CAST(:property AS TEXT) IS NULL OR p.name = CAST(:property AS TEXT))
  AND CASE CAST(:direction AS TEXT) WHEN 'suppressed' THEN -e.effect ELSE e.effect END
      >= CAST(:min_effect AS DOUBLE PRECISION)
  AND (CAST(:model AS TEXT) IS NULL OR m.name = CAST(:model AS TEXT))
ORDER BY ABS(e.effect) DESC, n.neuron_id, p.name
LIMIT :limit
