// How many nodes and relationships there are, and how their element ids are built: what comes
// before the number at the end, and the largest such number (-1 where there is none).
// mode: read
// returns: nodes: int, node_prefix: str, last_node: int, relationships: int,
//   relationship_prefix: str, last_relationship: int
CALL () {
  MATCH (n)
  WITH elementId(n) AS id
  WITH id, toInteger(split(id, ':')[-1]) AS number
  RETURN count(*) AS nodes, min(substring(id, 0, size(id) - size(toString(number)))) AS node_prefix,
         coalesce(max(number), -1) AS last_node
}
CALL () {
  MATCH ()-[r]->()
  WITH elementId(r) AS id
  WITH id, toInteger(split(id, ':')[-1]) AS number
  RETURN count(*) AS relationships,
         min(substring(id, 0, size(id) - size(toString(number)))) AS relationship_prefix,
         coalesce(max(number), -1) AS last_relationship
}
RETURN nodes, node_prefix, last_node, relationships, relationship_prefix, last_relationship
