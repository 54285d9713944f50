// Notes why deletions could not be finished yet.
// mode: write
// params: notes: list[str], reason: str
MATCH (note:Deletion)
WHERE note.note IN $notes
SET note.reason = $reason
