// Lets others write other arrays for a version.
// mode: autocommit
// params: version: int, token: str
MATCH (v:EmbeddingVersion {model: 'hybrid', version: $version, rewriting: $token})
REMOVE v.rewriting, v.rewriting_at
