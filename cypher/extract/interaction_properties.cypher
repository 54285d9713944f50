// Some properties of what some users did, as numbers: true is 1, false is 0, also as text, and what
// is no number between -1e9 and 1e9 is NaN. One record for each kind of event.
// mode: read
// params: ids: list[str], names: list[str]
// returns: event: str, sources: list[int], targets: list[int], values: list[list[float]]
MATCH (user:User)-[r:INTERACTED]->(item)
WHERE user.user_id IN $ids
WITH user, item, coalesce(r.event, 'interaction') AS event, [name IN $names | r[name]] AS found
WITH user, item, event, [value IN found |
       CASE WHEN NOT value IS :: STRING NOT NULL THEN value
            WHEN toLower(value) IN ['true', 'false'] THEN toLower(value) = 'true'
            WHEN value =~ '-?[0-9]+(\\.[0-9]+)?([eE][+-]?[0-9]+)?' THEN toFloat(value) END] AS read
RETURN CASE WHEN event IS :: STRING THEN event ELSE '' END AS event,
       collect(id(user)) AS sources, collect(id(item)) AS targets,
       collect([value IN read |
         CASE WHEN -1e9 <= value <= 1e9 THEN toFloat(value)
              WHEN value = true THEN 1.0 WHEN value = false THEN 0.0
              ELSE 0.0 / 0.0 END]) AS values
