// Properties of a sample of the nodes with a label: on how many they are, how many values they
// have, of which types, and one of them. User stands for the label.
// mode: read
// params: sample: int
// returns: name: str, count: int, different: int, types: list[str], example: any
MATCH (n:User)
WITH n LIMIT $sample
UNWIND keys(n) AS name
WITH name, n[name] AS value
RETURN name, count(value) AS count, count(DISTINCT value) AS different,
       collect(DISTINCT head(split(valueType(value), ' '))) AS types, head(collect(value)) AS example
ORDER BY name
