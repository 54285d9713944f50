// What a meta-path returns for many evidence nodes, one pair of lists for each. What is deleted
// meanwhile has no id, and what a weight set by hand makes of a strength may be no number: `collect`
// would leave out the one and keep the other, so both are left out here.
// mode: read
// each: metapath = metapaths/*
// returns: evidence_id: str, item_ids: list[str], strengths: list[float]
CALL () {
<<metapath>>
}
WITH evidence_id, item_id, strength
WHERE evidence_id IS NOT NULL AND item_id IS :: STRING NOT NULL AND -1e30 <= strength <= 1e30
RETURN evidence_id, collect(item_id) AS item_ids, collect(strength) AS strengths
