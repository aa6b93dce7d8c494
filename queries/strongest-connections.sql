-- title: The strongest connections between neurons
-- description: Neurons that write what a neuron of a later layer reads, with gate or in, by the
--   |cosine| of the two vectors; score is the cosine in standard deviations of random directions,
--   strength the dot product (METHODS §8). What attention and the norm's scale do in between is not
--   in it.
-- needs: neighbours
-- param model = null: model, only this model
-- param reads_with = null: choice(gate, in), only what is read with this vector
-- param strength = "score": choice(score, strength), by which the strongest are chosen
-- param limit = 50: natural, rows at most
SELECT c.model, c.writer, c.reader, c.reads_with, c.cosine, c.score, c.strength, k.name AS class,
       o.name AS reader_class
FROM connections c
JOIN models m ON m.name = c.model
LEFT JOIN classes q ON q.neuron_id = c.writer_id AND q.threshold = m.threshold
LEFT JOIN rw_classes k ON k.class_id = q.class_id
LEFT JOIN classes p ON p.neuron_id = c.reader_id AND p.threshold = m.threshold
LEFT JOIN rw_classes o ON o.class_id = p.class_id
WHERE (CAST(:model AS TEXT) IS NULL OR c.model = CAST(:model AS TEXT))
  AND (CAST(:reads_with AS TEXT) IS NULL OR c.reads_with = CAST(:reads_with AS TEXT))
ORDER BY ABS(CASE CAST(:strength AS TEXT) WHEN 'score' THEN c.score ELSE c.strength END) DESC
             NULLS LAST, c.writer_id, c.reader_id, c.reads_with
LIMIT :limit
