// What the interactions of each kind of event add up to. Times are Unix milliseconds; one is
// implausible where it lies before 1970 or after `latest_millis`. `unreadable` is how many have an
// event, a weight, a count, a value or a time that cannot be read, which is left out.
// mode: read
// params: latest_millis: int
// returns: event: str, relationships: int, events: int, weight: float, negative: int, timed: int,
//   first_millis: int, last_millis: int, implausible: int, valued: int, lowest: float,
//   highest: float, mean: float, unreadable: int
MATCH (:User)-[r:INTERACTED]->(:Item)
WITH r,
     CASE WHEN coalesce(r.event, 'interaction') IS :: STRING
       THEN coalesce(r.event, 'interaction') END AS event,
     CASE WHEN -1e6 <= coalesce(r.weight, 1.0) <= 1e6
       THEN toFloat(coalesce(r.weight, 1.0)) END AS weight,
     CASE WHEN 0 <= coalesce(r.count, 1) <= 1e12
       THEN toInteger(coalesce(r.count, 1)) END AS count,
     CASE WHEN -1e6 <= r.value <= 1e6 THEN toFloat(r.value) END AS value,
     CASE WHEN r.first_at IS :: ZONED DATETIME THEN r.first_at.epochMillis END AS first_millis,
     CASE WHEN r.last_at IS :: ZONED DATETIME THEN r.last_at.epochMillis END AS last_millis
WITH coalesce(event, '') AS event, count(*) AS relationships, sum(count) AS events,
     sum(coalesce(weight, 0.0)) AS weight,
     sum(CASE WHEN weight < 0 THEN 1 ELSE 0 END) AS negative,
     count(last_millis) AS timed, min(first_millis) AS first_millis,
     max(last_millis) AS last_millis,
     sum(CASE
       WHEN first_millis < 0 OR last_millis < 0 OR last_millis > $latest_millis THEN 1
       ELSE 0
     END) AS implausible,
     count(value) AS valued, min(value) AS lowest, max(value) AS highest, avg(value) AS mean,
     sum(CASE
       WHEN event IS NULL OR weight IS NULL OR count IS NULL
         OR (r.value IS NOT NULL AND value IS NULL)
         OR (r.first_at IS NOT NULL AND first_millis IS NULL)
         OR (r.last_at IS NOT NULL AND last_millis IS NULL) THEN 1
       ELSE 0
     END) AS unreadable
RETURN event, relationships, events, weight, negative, timed, first_millis, last_millis,
       implausible, valued, lowest, highest, mean, unreadable
ORDER BY relationships DESC, event
