// How many nodes of a label have each property; embeddings, which a refresh writes, are left out.
// mode: read
// each: label = User | Item | Category
// params: limit: int
// returns: name: str, total: int
MATCH (n:<<label>>)
UNWIND keys(n) AS name
WITH name, count(*) AS total
WHERE NOT name STARTS WITH 'embedding_'
RETURN name, total
ORDER BY total DESC, name
LIMIT $limit
