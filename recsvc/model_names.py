"""The names of the models, which their modules in `recsvc/models/` have. It loads none of them."""

from loaders.embedding_models import EMBEDDING_MODELS

KERNELS = (
    *EMBEDDING_MODELS,
    "chebycf",
    "ease",
    "gfcf",
    "itemknn",
    "ridge",
    "sgfcf",
    "transitions",
    "turbocf",
    "walk3",
)
"""Those that are a kernel K(j, i) over what a user did: a blend can be made of them."""

OTHERS = ("gmf", "hybrid", "mlp", "ncf", "ngcf", "popularity")
"""The blend itself, and those that are no kernel."""
