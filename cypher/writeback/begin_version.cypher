// A new version of a model, with the next number and the slot the active one does not use;
// the blend has no vectors of its own and so no slot.
// mode: write
// params: model: str, run: str, seed: int, options: str
// returns: version: int, slot: str, status: str
OPTIONAL MATCH (known:EmbeddingVersion {model: $model})
WITH coalesce(max(known.version), 0) + 1 AS version,
     head([slot IN collect(CASE WHEN known.status = 'active' THEN known.slot END) | slot])
       AS active_slot
CREATE (new:EmbeddingVersion {model: $model, version: version})
SET new.slot = CASE WHEN $model = 'hybrid' THEN null WHEN active_slot = 'a' THEN 'b' ELSE 'a' END,
    new.status = 'building', new.started_at = datetime(), new.run = $run, new.seed = $seed,
    new.options = $options
WITH new
OPTIONAL MATCH (overwritten:EmbeddingVersion {model: $model, slot: new.slot})
WHERE overwritten <> new
SET overwritten.slot = null
RETURN DISTINCT new.version AS version, new.slot AS slot, new.status AS status
