"""A fitted model as a part of a blend."""

from loaders.types import IdMap
from recsvc.blend.fit import Journal
from recsvc.blend.parts import Fitted, Vectors
from recsvc.errors import TrainingError
from recsvc.models.base import EmbeddingModel, FitReport, FittedModel, InductiveModel


def as_part(
    model: FittedModel, report: FitReport, items: IdMap, kernel_size: int, journal: Journal
) -> Fitted:
    """The vectors of a model, or its rows cut to their largest entries.

    Args:
        model: fitted.
        report: of the fit.
        items: ids of the items, in the order of the rows.
        kernel_size: entries kept in each row of a model without vectors.
        journal: is told while the rows are made.

    Raises:
        TrainingError: the model is not linear in a user's items.
    """
    kernel = model.signal(items)
    if isinstance(model, EmbeddingModel):
        of_content = kernel is not None and not kernel.of_people
        sent = (model.sent_source, model.sent_target) if isinstance(model, InductiveModel) else ()
        vectors = Vectors(
            model.user_vectors, model.item_vectors, model.source_vectors, sent, of_content
        )
        return Fitted(vectors, report.epochs, tables=report.tables)
    if kernel is None:
        raise TrainingError(not_linear(model.name))
    what = f"rows of {model.name}"
    with journal.step(what):
        rows, cut = kernel.kernel_rows(
            kernel_size, lambda done: journal.told(what, done, len(items))
        )
    return Fitted(rows, report.epochs, cut, half_life=kernel.half_life)


def not_linear(name: str) -> str:
    """Why a model cannot be in the blend."""
    return (
        f"{name} is not linear in what a user did, so no answer with it could be explained: "
        f"compare with it by `recsvc evaluate {name}`, and leave it out here"
    )
