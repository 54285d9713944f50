// The vector index over one slot of nodes labelled User; its scores are exact.
// mode: schema
// each: model = EMBEDDING_MODELS, slot = a | b
CREATE VECTOR INDEX user_embedding_<<model>>_<<slot>> IF NOT EXISTS
FOR (n:User) ON (n.embedding_<<model>>_<<slot>>)
OPTIONS {indexConfig: {`vector.similarity_function`: 'cosine', `vector.quantization.enabled`: false}}
