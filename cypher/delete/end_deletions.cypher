// Removes notes of deletions, unless some arrays may still hold their ids: those of a refresh that
// is at work, or of a version that is not among `versions`, or that others took the place of. Each
// version is looked at once, so one that becomes ready at this moment counts as the one or the
// other.
// mode: write
// params: notes: list[str], versions: list[int]
// returns: ended: int
MATCH (note:Deletion)
WHERE note.note IN $notes AND NOT EXISTS {
  MATCH (v:EmbeddingVersion {model: 'hybrid'})
  WHERE v.status = 'building'
     OR (v.status <> 'failed' AND NOT v.version IN $versions AND EXISTS { (v)-[:HAS_PART]->() })
     OR EXISTS { (v)-[:HAD_PART]->() }
}
DELETE note
RETURN count(*) AS ended
