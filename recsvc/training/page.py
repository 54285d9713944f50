"""The page of one training run: what was learned, from what, and how it went."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recsvc.models import EpochRecord
from recsvc.report._parts import Cell, Lines, Plot, Section, Table, readable
from recsvc.report.page import write_sections

_LONGEST_TABLE = 20


def write_run_page(
    manifest: Mapping[str, Any], histories: Mapping[str, Sequence[EpochRecord]], path: Path
) -> None:
    """Write the page.

    Args:
        manifest: what is known of the run.
        histories: the epochs of each fit, by what was fitted.
        path: the file.

    Raises:
        OSError: the file cannot be written.
    """
    write_sections(f"Training of {manifest['model']}", run_sections(manifest, histories), path)


def run_sections(
    manifest: Mapping[str, Any], histories: Mapping[str, Sequence[EpochRecord]]
) -> list[Section]:
    """What the page says."""
    return [
        Section("Result", _sentences(manifest), (_table("The fitted model", _numbers(manifest)),)),
        _curves_section({name: records for name, records in histories.items() if records}),
        Section("Options", tables=(_table("Options of the model", manifest["options"]),)),
        Section("Data", tables=(_table("Training data", manifest["data"]),)),
        Section("Environment", tables=(_table("Made with", _flat(manifest["environment"])),)),
    ]


def _sentences(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    if not manifest["interrupted"]:
        return ()
    return ("The training was interrupted; the model is the best there was by then.",)


def _numbers(manifest: Mapping[str, Any]) -> dict[str, Any]:
    metrics = {f"{name} on the validation part": v for name, v in manifest["metrics"].items()}
    return {
        **metrics,
        "epochs": manifest["epochs"],
        "seed": manifest["seed"],
        "seconds": manifest["seconds"],
        "estimate of memory, MiB": manifest["memory_bytes"] / 2**20,
    }


def _curves_section(histories: Mapping[str, Sequence[EpochRecord]]) -> Section:
    heading = "Learning curves"
    if not histories:
        return Section(heading, ("This model is not trained in epochs.",))
    losses = _lines({n: [(r.epoch, r.loss) for r in h] for n, h in histories.items()})
    metrics = _lines({n: [(r.epoch, r.metric) for r in h] for n, h in histories.items()})
    plots: list[Plot] = []
    if losses:
        said = "; ".join(_course(name, points) for name, points in losses)
        plots.append(Lines("Loss by epoch", said, "epoch", "mean training loss", losses))
    if metrics:
        said = "; ".join(_course(name, points) for name, points in metrics)
        label = "NDCG@20, 0 to 1"
        plots.append(
            Lines("NDCG@20 on the validation part by epoch", said, "epoch", label, metrics)
        )
    return Section(heading, tables=(_last_epochs(histories),), plots=tuple(plots))


def _lines(
    points: Mapping[str, Sequence[tuple[int, float | None]]],
) -> list[tuple[str, list[tuple[int, float]]]]:
    """The curves without what was not measured."""
    measured = {n: [(x, y) for x, y in line if y is not None] for n, line in points.items()}
    return [(name, line) for name, line in measured.items() if line]


def _course(name: str, points: Sequence[tuple[int, float]]) -> str:
    (first, start), (last, end) = points[0], points[-1]
    return f"{name}: {start:.4g} at epoch {first}, {end:.4g} at epoch {last}"


def _last_epochs(histories: Mapping[str, Sequence[EpochRecord]]) -> Table:
    name, records = next(iter(histories.items()))
    rows = [
        (r.epoch, _shown(r.loss), _shown(r.metric), f"{r.examples_per_second:,.0f}")
        for r in records[-_LONGEST_TABLE:]
    ]
    columns = ("epoch", "mean loss", "NDCG@20", "examples a second")
    return Table(f"The last epochs of: {name}", columns, rows)


def _table(title: str, values: Mapping[str, Any]) -> Table:
    rows: list[tuple[Cell, ...]] = [(name, _shown(value)) for name, value in values.items()]
    return Table(title, ("", "value"), rows)


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= value if isinstance(value, Mapping) else {name: value}
    return flat


def _shown(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000.0 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else readable(str(value))
