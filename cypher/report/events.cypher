// What the interactions of each kind of event add up to. Times are Unix milliseconds; one is
// implausible where it lies before 1970 or after `latest_millis`.
// mode: read
// params: latest_millis: int
// returns: event: str, relationships: int, events: int, weight: float, negative: int, timed: int,
//   first_millis: int, last_millis: int, implausible: int, valued: int, lowest: float,
//   highest: float, mean: float
MATCH (:User)-[r:INTERACTED]->(:Item)
WITH coalesce(r.event, 'interaction') AS event, count(*) AS relationships, sum(coalesce(r.count, 1)) AS events,
     sum(toFloat(coalesce(r.weight, 1.0))) AS weight,
     sum(CASE WHEN r.weight < 0 THEN 1 ELSE 0 END) AS negative,
     count(r.last_at) AS timed, min(r.first_at) AS first_at, max(r.last_at) AS last_at,
     sum(CASE
       WHEN r.first_at.epochMillis < 0 OR r.last_at.epochMillis < 0
         OR r.last_at.epochMillis > $latest_millis THEN 1
       ELSE 0
     END) AS implausible,
     count(r.value) AS valued, min(toFloat(r.value)) AS lowest, max(toFloat(r.value)) AS highest,
     avg(toFloat(r.value)) AS mean
RETURN event, relationships, events, weight, negative, timed,
       first_at.epochMillis AS first_millis, last_at.epochMillis AS last_millis, implausible,
       valued, lowest, highest, mean
ORDER BY relationships DESC, event
