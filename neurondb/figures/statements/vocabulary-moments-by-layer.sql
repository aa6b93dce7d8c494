-- title: Percentiles of the moments over the vocabulary, and roles, by layer
-- description: Of cos(U, out) of every layer's neurons, by linear interpolation; `skewness,
--   kurtosis > 10` is of the neurons with heavy tails alone. The last three columns are the shares
--   of a layer's neurons with each role.
-- param model: model
WITH neurons_of_model AS (
    SELECT layer, out_kurtosis, out_skewness, out_variance, role
    FROM neuron_overview
    WHERE model = CAST(:model AS TEXT) AND out_kurtosis IS NOT NULL
), moments AS (
    SELECT layer, 'kurtosis' AS moment, out_kurtosis AS value FROM neurons_of_model
    UNION ALL
    SELECT layer, 'skewness', out_skewness FROM neurons_of_model
    UNION ALL
    SELECT layer, 'variance', out_variance FROM neurons_of_model
    UNION ALL
    SELECT layer, 'skewness, kurtosis > 10', out_skewness FROM neurons_of_model
    WHERE out_kurtosis > 10
), ranked AS (
    SELECT layer, moment, value,
           ROW_NUMBER() OVER (PARTITION BY layer, moment ORDER BY value) - 1 AS i,
           COUNT(*) OVER (PARTITION BY layer, moment) - 1 AS last
    FROM moments
), percents AS (
    SELECT 1 AS percent UNION ALL SELECT 5 UNION ALL SELECT 25 UNION ALL SELECT 50
    UNION ALL SELECT 75 UNION ALL SELECT 95 UNION ALL SELECT 99
), quantiles AS (
    -- The quantile stands percent·last/100 places from the start, between two values where the
    -- remainder is not 0.
    SELECT layer, moment, percent, MAX(last) + 1 AS n,
           SUM(value * CASE WHEN i = percent * last / 100 THEN 1 - percent * last % 100 / 100.0
                            ELSE percent * last % 100 / 100.0 END) AS value
    FROM ranked
    JOIN percents ON i IN (percent * last / 100, percent * last / 100 + 1)
    GROUP BY layer, moment, percent
), roles AS (
    SELECT layer, AVG(CASE role WHEN 'prediction' THEN 1.0 ELSE 0 END) AS prediction_share,
           AVG(CASE role WHEN 'suppression' THEN 1.0 ELSE 0 END) AS suppression_share,
           AVG(CASE role WHEN 'partition' THEN 1.0 ELSE 0 END) AS partition_share
    FROM neurons_of_model
    GROUP BY layer
)
SELECT q.layer, q.moment, MAX(q.n) AS n,
       SUM(CASE q.percent WHEN 1 THEN q.value END) AS q01,
       SUM(CASE q.percent WHEN 5 THEN q.value END) AS q05,
       SUM(CASE q.percent WHEN 25 THEN q.value END) AS q25,
       SUM(CASE q.percent WHEN 50 THEN q.value END) AS q50,
       SUM(CASE q.percent WHEN 75 THEN q.value END) AS q75,
       SUM(CASE q.percent WHEN 95 THEN q.value END) AS q95,
       SUM(CASE q.percent WHEN 99 THEN q.value END) AS q99,
       r.prediction_share, r.suppression_share, r.partition_share
FROM quantiles q
JOIN roles r ON r.layer = q.layer
GROUP BY q.layer, q.moment, r.prediction_share, r.suppression_share, r.partition_share
ORDER BY q.layer, q.moment
