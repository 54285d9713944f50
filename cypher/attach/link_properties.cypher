// Properties of a sample of the relationships of a type: on how many they are, how many values they
// have, of which types, one of them, and the mean of numbers. INTERACTED stands for the type.
// mode: read
// params: sample: int
// returns: name: str, count: int, different: int, types: list[str], example: any, mean: float
MATCH ()-[r:INTERACTED]->()
WITH r LIMIT $sample
UNWIND keys(r) AS name
WITH name, r[name] AS value
RETURN name, count(value) AS count, count(DISTINCT value) AS different,
       collect(DISTINCT head(split(valueType(value), ' '))) AS types,
       head(collect(value)) AS example, avg(toFloatOrNull(value)) AS mean
ORDER BY name
