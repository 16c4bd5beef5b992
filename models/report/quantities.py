"""Which maps a report shows: pairs of a mean and of its rms over time, with their colours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.report.canvas import scaled
from models.report.maps import Field, Scale
from models.report.output import Output
from models.report.surface import Surface
from models.report.tendencies import Recorded, masked


@dataclass(frozen=True)
class Group:
    """Maps that belong together, under one heading."""

    title: str
    fields: tuple[Field, ...]
    words: str = ""


def of_output(output: Output) -> list[Group]:
    """Sea surface height, thickness, speed, temperature of the uppermost layer: mean, and rms about it."""
    climate = output.climate
    wet = climate.mesh.tmask[0]

    def field(key: str, title: str, units: str, values: np.ndarray, colours: str, scale: Scale) -> Field:
        return Field(key, title, units, np.where(wet, values, np.nan), colours, scale)

    level = float(np.median(climate.mean["eta"][wet]))
    eta, thick = 100 * (climate.mean["eta"] - level), climate.mean["h"][0]
    sd_thick, sd_warm = np.sqrt(climate.variance["h"][0]), np.sqrt(climate.variance["t"])
    return [
        Group(
            "Sea surface height",
            (
                field("ssh_mean", "SSH, mean, anomaly", "cm", eta, "balance", "symmetric"),
                field("ssh_rms", "SSH, rms about the mean", "cm", 100 * climate.sd_eta, "amp", "from zero"),
            ),
            f"The mean is shown about its median over the basin, {level:.3f} m.",
        ),
        Group(
            "Thickness of layer 1",
            (
                field("thickness_mean", "Thickness, mean", "m", thick, "deep", "between"),
                field("thickness_rms", "Thickness, rms about the mean", "m", sd_thick, "amp", "from zero"),
            ),
        ),
        Group(
            "Speed in layer 1",
            (
                field("speed_mean", "Speed, mean", "cm s-1", 100 * output.speed, "speed", "from zero"),
                field("speed_rms", "Speed, rms", "cm s-1", 100 * output.speed_rms, "speed", "from zero"),
            ),
        ),
        Group(
            "Temperature of layer 1",
            (
                field("temperature_mean", "Temperature, mean", "degC", climate.mean["t"], "thermal", "between"),
                field("temperature_rms", "Temperature, rms about the mean", "K", sd_warm, "amp", "from zero"),
            ),
        ),
    ]  # fmt: skip


def of_surface(surfaces: Sequence[Surface]) -> list[Group]:
    """What another ocean wrote of its surface."""
    groups = []
    for one in surfaces:
        key = one.title.lower().replace(" ", "_")
        height = "height" in one.title
        mean = one.mean - (np.nanmedian(one.mean) if height else 0.0)
        colours = "thermal" if "temperature" in one.title else "haline"
        of_mean = Field(f"{key}_mean", "Mean", one.units, mean, colours, "between")
        if height or "velocity" in one.title:
            of_mean = replace(
                of_mean, title="Mean, anomaly" if height else "Mean", colours="balance", scale="symmetric"
            )
        of_rms = Field(f"{key}_rms", "Rms about the mean", one.units, one.deviation, "amp", "from zero")
        groups.append(Group(one.title, (of_mean, of_rms), f"{one.records} records of {one.source}."))
    return groups


def of_tendencies(fields: Sequence[Recorded], box: tuple[slice, slice] | None) -> list[Group]:
    """The mean and the rms of each recorded answer; box: what cuts the wet basin out of the global grid."""
    groups = []
    for one in fields:
        mean, rms = _cut(one.mean, box), _cut(one.rms, box)
        factor, power = scaled(rms)
        unit = f"{power}{one.units}"
        pair = (
            Field(f"{one.name}_mean", f"{one.name}, mean", unit, factor * mean, "curl", "symmetric"),
            Field(f"{one.name}_rms", f"{one.name}, rms", unit, factor * rms, "matter", "from zero"),
        )
        at = f" at {one.point} points" if one.point else ""
        groups.append(Group(f"Recorded by the coupler: {one.name}", pair, f"{one.records} records, level 1{at}."))
    return groups


def of_guards(counts: Mapping[str, np.ndarray], box: tuple[slice, slice] | None, wet: np.ndarray | None) -> list[Group]:
    """How often the guards changed each cell, summed over levels."""
    cut = {name: _cut(values, box) for name, values in counts.items() if values.any()}
    fields = tuple(
        Field(f"guard_{name}", f"Interventions in {name}", "number", values, "matter", "from zero")
        for name, values in masked(cut, wet).items()
    )
    return [Group("Where the guards acted", fields, "Over the whole run, all levels together.")] if fields else []


def _cut(values: np.ndarray, box: tuple[slice, slice] | None) -> np.ndarray:
    return values if box is None else values[box]
