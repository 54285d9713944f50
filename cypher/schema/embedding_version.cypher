// One node per version of a model's embeddings.
// mode: schema
CREATE CONSTRAINT recsvc_embedding_version IF NOT EXISTS
FOR (v:EmbeddingVersion) REQUIRE (v.model, v.version) IS UNIQUE
