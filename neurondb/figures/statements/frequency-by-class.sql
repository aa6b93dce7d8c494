-- title: Activation frequency by read-write class, with its random baseline
-- description: Mean and quantiles (by linear interpolation) over the neurons of a class of the share
--   of tokens with x_gate > 0 (ungated: hook_post > 0), and `outside`, what random neurons of the
--   same layers outside the class have on average: the query `freq-by-class` with quantiles.
-- needs: activations
-- param model: model
-- param dataset = null: text, by default the one that neuron_overview shows
WITH known AS (
    SELECT n.layer, q.class_id, COALESCE(a.freq, a.post_positive) AS freq
    FROM models m
    JOIN neurons n ON n.model_id = m.model_id
    JOIN classes q ON q.neuron_id = n.neuron_id AND q.threshold = m.threshold
    JOIN activation_stats a ON a.neuron_id = n.neuron_id AND a.dataset_id = COALESCE(
        (SELECT d.dataset_id FROM datasets d WHERE d.name = CAST(:dataset AS TEXT)), m.dataset_id)
    WHERE m.name = CAST(:model AS TEXT) AND COALESCE(a.freq, a.post_positive) IS NOT NULL
), layer_sums AS (
    SELECT layer, COUNT(*) AS n, SUM(freq) AS total FROM known GROUP BY layer
), class_sums AS (
    SELECT layer, class_id, COUNT(*) AS n, SUM(freq) AS total FROM known GROUP BY layer, class_id
), compared AS (
    -- A layer that has nothing but this class has no baseline: it does not weigh in there.
    SELECT c.class_id, SUM(c.n) AS n, SUM(c.total) AS total,
           SUM(CASE WHEN l.n > c.n THEN c.n END) AS n_compared,
           SUM(CASE WHEN l.n > c.n THEN c.n * (l.total - c.total) / (l.n - c.n) END) AS expected
    FROM class_sums c
    JOIN layer_sums l ON l.layer = c.layer
    GROUP BY c.class_id
), ranked AS (
    SELECT class_id, freq, ROW_NUMBER() OVER (PARTITION BY class_id ORDER BY freq) - 1 AS i,
           COUNT(*) OVER (PARTITION BY class_id) - 1 AS last
    FROM known
), percents AS (
    SELECT 5 AS percent UNION ALL SELECT 25 UNION ALL SELECT 50 UNION ALL SELECT 75
    UNION ALL SELECT 95
), quantiles AS (
    -- The quantile stands percent·last/100 places from the start, between two values where the
    -- remainder is not 0.
    SELECT class_id, percent,
           SUM(freq * CASE WHEN i = percent * last / 100 THEN 1 - percent * last % 100 / 100.0
                           ELSE percent * last % 100 / 100.0 END) AS freq
    FROM ranked
    JOIN percents ON i IN (percent * last / 100, percent * last / 100 + 1)
    GROUP BY class_id, percent
)
SELECT k.name AS class, c.n, c.total / c.n AS mean, c.expected / c.n_compared AS outside,
       SUM(CASE q.percent WHEN 5 THEN q.freq END) AS q05,
       SUM(CASE q.percent WHEN 25 THEN q.freq END) AS q25,
       SUM(CASE q.percent WHEN 50 THEN q.freq END) AS median,
       SUM(CASE q.percent WHEN 75 THEN q.freq END) AS q75,
       SUM(CASE q.percent WHEN 95 THEN q.freq END) AS q95
FROM compared c
JOIN rw_classes k ON k.class_id = c.class_id
JOIN quantiles q ON q.class_id = c.class_id
GROUP BY k.class_id, k.name, c.n, c.total, c.expected, c.n_compared
ORDER BY k.class_id
