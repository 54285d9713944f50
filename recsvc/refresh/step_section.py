"""What the page of a refresh says of its steps."""

from collections.abc import Mapping, Sequence

from recsvc.refresh.run_manifest import RunStep
from recsvc.report._parts import Bars, Plot, Section, Table, readable


def step_section(steps: Sequence[RunStep]) -> Section:
    """Time and memory of each step, over all attempts."""
    heading = "Steps"
    if not steps:
        return Section(heading, ("The run ended before its first step.",))
    of: dict[str, list[RunStep]] = {}
    for step in steps:
        of.setdefault(step.name, []).append(step)
    seconds = {name: sum(s.seconds or 0.0 for s in own_steps) for name, own_steps in of.items()}
    peak = {name: _peak(own_steps) for name, own_steps in of.items()}
    whole = sum(seconds.values()) or 1.0
    rows = [
        (
            name, round(seconds[name], 2), peak[name], round(100.0 * seconds[name] / whole, 1),
            own_steps[-1].state, ", ".join(str(n) for n in sorted({s.attempt for s in own_steps})),
        )
        for name, own_steps in of.items()
    ]  # fmt: skip
    columns = ("step", "seconds", "peak MiB", "% of the time", "state", "attempts")
    peaks = {name: value for name, value in peak.items() if value is not None}
    return Section(
        heading,
        (
            "Peak memory is the most that the process held during the step, with what earlier "
            "steps had made.",
        ),
        (Table("Time and memory by step", columns, rows),),
        (
            _step_bars("Time by step", "seconds", seconds),
            *((_step_bars("Peak memory by step", "MiB", peaks),) if peaks else ()),
        ),
    )


def _peak(steps: Sequence[RunStep]) -> float | None:
    """In MiB; None where no system told."""
    told = [step.memory_bytes for step in steps if step.memory_bytes is not None]
    return round(max(told) / 2**20, 1) if told else None


def _step_bars(title: str, unit: str, values: Mapping[str, float]) -> Plot:
    most = max(values, key=lambda name: values[name])
    ticks = [(float(at), readable(name)) for at, name in enumerate(values)]
    return Bars(
        title, f"The most is {values[most]:,.4g} {unit}, of {readable(most)}.", "step", unit,
        list(values.values()), ticks, lying=True,
    )  # fmt: skip
