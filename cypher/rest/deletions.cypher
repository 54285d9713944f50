// Notes of deletions whose ids may still be in stored arrays; they hold no id, only its digest.
// mode: read
// returns: note: str, kind: str, digest: str
MATCH (note:Deletion)
RETURN note.note AS note, note.kind AS kind, note.digest AS digest
