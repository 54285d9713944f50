// Notes of deletions whose ids may still be in stored arrays; they hold no id, only its digest and,
// of a user, the number by which versions know it. `unread` names notes that cannot be read.
// mode: read
// returns: notes: list[map], unread: list[list[str]]
MATCH (note:Deletion)
WITH note, note.note IS :: STRING NOT NULL AND note.digest IS :: STRING NOT NULL
           AND note.kind IS :: STRING NOT NULL AND note.kind IN ['user', 'item', 'category']
             AS readable
RETURN
  collect(CASE WHEN readable THEN {
    note: note.note, kind: note.kind, digest: note.digest,
    number: CASE WHEN note.number IS :: INTEGER THEN note.number END,
    at: CASE WHEN note.at IS :: ZONED DATETIME THEN note.at END,
    reason: CASE WHEN note.reason IS :: STRING THEN note.reason END
  } END) AS notes,
  collect(CASE WHEN NOT readable THEN ['Deletion', elementId(note)] END) AS unread
