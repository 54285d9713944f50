"""The models whose vectors are written to the graph."""

EMBEDDING_MODELS = (
    "complex",
    "content",
    "deepwalk",
    "distmult",
    "fastrp",
    "graphsage",
    "heterognn",
    "lightgcn",
    "mf",
    "node2vec",
    "pinsage",
    "svd",
    "transe",
)
"""Names of the models with vectors, which are part of the names of properties and of indexes. A
query's header names them as `each: model = EMBEDDING_MODELS`."""
