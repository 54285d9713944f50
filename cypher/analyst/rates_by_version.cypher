// How often is an item acted on, by what made the list?
// Counted as in `rates_by_position`, by version of the blend, scenario with its revision, and
// experiment with its variant. Empty where nothing was shown.
// mode: read
// params: kind: str, days: int, limit: int
// returns: version: int, scenario: str, revision: int, experiment: str, variant: str, shown: int, acted: int, rate: float
MATCH (o:Outcome)
WHERE o.at >= datetime() - duration({days: $days}) AND o.kind IN ['impression', $kind]
WITH o.recommendation AS answer, o.item_id AS item_id, o.version AS version,
     o.scenario AS scenario, o.revision AS revision, o.experiment AS experiment,
     o.variant AS variant,
     collect(DISTINCT o.kind) AS kinds
WHERE 'impression' IN kinds
WITH version, scenario, revision, experiment, variant, count(*) AS shown,
     sum(CASE WHEN $kind IN kinds THEN 1 ELSE 0 END) AS acted
ORDER BY version DESC, scenario, revision, experiment, variant
LIMIT $limit
RETURN version, scenario, revision, experiment, variant, shown, acted,
       toFloat(acted) / shown AS rate
