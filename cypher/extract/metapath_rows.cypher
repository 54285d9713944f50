// What a meta-path returns for many evidence nodes, one pair of lists for each.
// mode: read
// each: metapath = metapaths/*
// params: evidence_ids: list[str]
// returns: evidence_id: str, item_ids: list[str], strengths: list[float]
CALL () {
<<metapath>>
}
RETURN evidence_id, collect(item_id) AS item_ids, collect(strength) AS strengths
