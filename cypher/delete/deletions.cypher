// Notes of deletions whose ids may still be in stored arrays; they hold no id, only its digest and,
// of a user, the number by which versions know it.
// mode: read
// returns: note: str, kind: str, digest: str, number: int, at: datetime, reason: str
MATCH (note:Deletion)
RETURN note.note AS note, note.kind AS kind, note.digest AS digest,
       note.number AS number, note.at AS at, note.reason AS reason
