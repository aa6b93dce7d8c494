-- title: Paths through the read-write classes, in a series of models
-- description: How many neurons of a series that `neurondb compare A B C` made go through which
--   sequence of classes, a class for each model; changes is how often it is another one than in
--   the model before. Neurons without a class in one of the models are left out.
-- needs: series
-- param series = null: integer, the series by its number; by default the newest
-- param limit = 50: natural, rows at most
WITH RECURSIVE chosen AS (
    SELECT series_id, COUNT(*) AS n_steps
    FROM series_steps
    WHERE series_id = COALESCE(CAST(:series AS INTEGER), (SELECT MAX(series_id) FROM series_steps))
    GROUP BY series_id
), coded AS (  -- four bits a class, fifteen steps a number
    SELECT n.series_id, MAX(c.n_steps) AS n_steps,
           SUM(CASE WHEN n.step < 15 THEN CAST(n.class_id AS BIGINT) << (4 * n.step) ELSE 0 END)
               AS early,
           SUM(CASE WHEN n.step < 15 THEN 0
                    ELSE CAST(n.class_id AS BIGINT) << (4 * (n.step - 15)) END) AS late
    FROM chosen c
    JOIN series_neurons n ON n.series_id = c.series_id
    GROUP BY n.series_id, n.layer, n.neuron
    HAVING COUNT(n.class_id) = MAX(c.n_steps)
), counted AS (
    SELECT series_id, CAST(early AS BIGINT) AS early, CAST(late AS BIGINT) AS late,
           CAST(n_steps AS INTEGER) AS n_steps, COUNT(*) AS n,
           COUNT(*) / CAST(SUM(COUNT(*)) OVER () AS DOUBLE PRECISION) AS share
    FROM coded
    GROUP BY series_id, early, late, n_steps
    ORDER BY n DESC, late, early
    LIMIT :limit
), paths AS (
    SELECT series_id, early, late, n_steps, n, share, 0 AS step, CAST('' AS TEXT) AS path,
           -1 AS class_id, -1 AS changes
    FROM counted
    UNION ALL
    SELECT p.series_id, p.early, p.late, p.n_steps, p.n, p.share, p.step + 1,
           p.path || CASE WHEN p.step > 0 THEN ' → ' ELSE '' END || k.name,
           CAST(k.class_id AS INTEGER),
           p.changes + CASE WHEN k.class_id = p.class_id THEN 0 ELSE 1 END
    FROM paths p
    JOIN rw_classes k
      ON k.class_id = (CASE WHEN p.step < 15 THEN p.early >> (4 * p.step)
                            ELSE p.late >> (4 * (p.step - 15)) END & 15)
    WHERE p.step < p.n_steps
)
SELECT series_id, path, changes, n, share
FROM paths
WHERE step = n_steps
ORDER BY n DESC, late, early
