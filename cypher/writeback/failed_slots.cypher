// Slots that hold vectors of a version that failed, and of no other.
// mode: read
// returns: model: str, slot: str
MATCH (v:EmbeddingVersion {status: 'failed'})
WHERE v.slot IS NOT NULL AND NOT EXISTS {
  MATCH (other:EmbeddingVersion {model: v.model, slot: v.slot})
  WHERE other.status <> 'failed'
}
RETURN DISTINCT v.model AS model, v.slot AS slot
ORDER BY model, slot
