// Removes the vector index over one slot.
// mode: autocommit
// each: label = user | item, model = EMBEDDING_MODELS, slot = a | b
DROP INDEX <<label>>_embedding_<<model>>_<<slot>> IF EXISTS
