// What a meta-path returns for a few evidence nodes, as it is, up to so many rows.
// mode: read
// each: metapath = metapaths/*
// params: most: int
// returns: evidence_id: any, rows: list[list[any]]
CALL () {
<<metapath>>
}
WITH evidence_id, item_id, strength
LIMIT $most
RETURN evidence_id, collect([item_id, strength]) AS rows
