"""The figure of a coupled run: its surface layer, and its kinetic energy beside the uncoupled run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cftime
import numpy as np
import xarray as xr

from coupler.errors import HaloclineError
from coupler.io import date_of, read_output

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

DIAGNOSTICS = "halocline_diag.nc"
WIDTH, DPI = 10.0, 160  # 1600 pixels across
LAND = "0.78"
COLOURS = ("#e0662f", "#12436d", "#28a197", "#801650")  # distinct for every kind of colour vision; the first: uncoupled
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.facecolor": LAND,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "mathtext.default": "regular",
}


@dataclass(frozen=True)
class Plane:
    """One map: values (y, x), NaN on land, with the coordinates of its points and the labels of its axes."""

    values: np.ndarray
    x: np.ndarray
    y: np.ndarray
    labels: tuple[str, str]


@dataclass(frozen=True)
class Energy:
    """Kinetic energy over time, from run.stat."""

    days: np.ndarray  # in the calendar of the run, from any origin
    values: np.ndarray  # of the whole column, mean over the basin [J m-2]


def demo_figure(coupled_dirs: Sequence[Path], reference_dir: Path, out: Path) -> Path:
    """Draw the surface layer at the end of each coupled run, and the kinetic energy of all; returns `out`.

    Raises HaloclineError when a file or a variable is missing.
    """
    import matplotlib  # here, not above: a quarter of a second that no other command should pay

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    oceans = [read_ocean(Path(folder)) for folder in coupled_dirs]
    records = [last_record(read_output(Path(folder) / DIAGNOSTICS)) for folder in coupled_dirs]
    calendar, rows = oceans[0].attrs["calendar"], len(oceans)
    names = [record.attrs.get("closure", "coupled") for record in records]
    energies = [read_energy(Path(folder), calendar) for folder in coupled_dirs]
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(WIDTH, 2.4 + 4.4 * rows), dpi=DPI, layout="constrained")
        grid = figure.add_gridspec(rows + 1, 3, height_ratios=(*(2,) * rows, 1))
        for row, (ocean, record, name) in enumerate(zip(oceans, records, names, strict=True)):
            maps = [figure.add_subplot(grid[row, column]) for column in range(3)]
            draw_surface(maps, ocean, record, name)
        draw_energy(
            figure.add_subplot(grid[rows, :]),
            {"uncoupled": read_energy(Path(reference_dir), calendar)} | dict(zip(names, energies, strict=True)),
        )
        figure.suptitle(title(oceans[0], names), x=0.012, ha="left", fontsize=11)
        out = Path(out)
        out.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(out, dpi=DPI)
        plt.close(figure)
    return out


# --- what the run directories hold ---------------------------------------------------------------------------------


def read_ocean(directory: Path) -> xr.Dataset:
    """Last instantaneous record of the ocean's output together with its mesh.

    Raises HaloclineError when a file or a variable of the mesh is missing.
    """
    paths = [path for path in sorted(directory.glob("*_inst.nc")) if {"vozocrtx", "vomecrty"} <= set(read_output(path))]
    if not paths:
        raise HaloclineError(
            f"no output of the ocean in {directory}: no file *_inst.nc with vozocrtx and vomecrty.\n"
            "  The ocean writes it with nn_write > 0 (&namrun) and ln_inst = .true. (&namdia)."
        )
    mesh = read_output(directory / "mesh_mask.nc").squeeze(drop=True)
    missing = sorted({"tmask", "umask", "vmask", "e1u", "e2v", "e1f", "e2f", "ff_f"} - set(mesh))
    if missing:
        raise HaloclineError(f"{directory / 'mesh_mask.nc'} lacks {', '.join(missing)}.")
    return last_record(read_output(paths[-1])).merge(mesh, compat="override", join="override")


def last_record(dataset: xr.Dataset) -> xr.Dataset:
    """The last time of a data set; `date` and `calendar` become attributes."""
    if not dataset.sizes.get("time_counter"):
        raise HaloclineError(f"{dataset.encoding.get('source', 'a file')} has no record in it.")
    last = dataset.isel(time_counter=-1)
    time = last["time_counter"]
    return last.assign_attrs(date=date_of(time), calendar=time.attrs.get("calendar", "standard"))


def read_energy(directory: Path, calendar: str) -> Energy:
    """The kinetic energy of run.stat, whose header names the columns: '# it  date[yyyymmdd]  ...  KE[J/m2]  ...'."""
    path = directory / "run.stat"
    if not path.is_file():
        raise HaloclineError(f"no file {path}; the ocean writes it every nn_stat steps.")
    header, *lines = path.read_text().splitlines() or [""]
    names = header.lstrip("# ").split()
    try:
        columns = [names.index(name) for name in ("date[yyyymmdd]", "second_of_day", "KE[J/m2]")]
        rows = [[line.split()[column] for column in columns] for line in lines if line.strip()]
        days = [
            cftime.datetime(int(date[:-4]), int(date[-4:-2]), int(date[-2:]), calendar=calendar).toordinal()
            + int(second) / 86400
            for date, second, _ in rows
        ]
        return Energy(np.array(days), np.array([float(energy) for *_, energy in rows]))
    except (ValueError, IndexError) as error:
        raise HaloclineError(
            f"{path} has no readable columns date[yyyymmdd], second_of_day and KE[J/m2] ({error}).\n"
            f"  Its header is: {header}"
        ) from error


# --- the surface layer; arrays (y, x), C-grid with U east and V north of T, as NEMO counts ----------------------------


def surface(variable: xr.DataArray) -> np.ndarray:
    """The uppermost layer as (y, x)."""
    return np.asarray(variable.values if variable.ndim == 2 else variable.values[0], dtype=float)


def speed(ocean: xr.Dataset) -> Plane:
    """At T points, from the mean squares of the faces on either side: the kinetic energy that the ocean uses."""
    u, v = (
        surface(ocean[name]) * surface(ocean[mask]) for name, mask in (("vozocrtx", "umask"), ("vomecrty", "vmask"))
    )
    # np.roll wraps a closed basin too: its last column and row are land, hence zero.
    squares = u**2 + np.roll(u, 1, axis=1) ** 2 + v**2 + np.roll(v, 1, axis=0) ** 2
    return plane(ocean, np.sqrt(squares / 2), "t", surface(ocean["tmask"]))


def rossby(ocean: xr.Dataset) -> Plane:
    """At F points between four wet faces: (d(e2v v)/di - d(e1u u)/dj) / (e1f e2f f)."""
    umask, vmask = surface(ocean["umask"]), surface(ocean["vmask"])
    e1u, e2v, e1f, e2f, f = (surface(ocean[name]) for name in ("e1u", "e2v", "e1f", "e2f", "ff_f"))
    u, v = surface(ocean["vozocrtx"]) * umask * e1u, surface(ocean["vomecrty"]) * vmask * e2v
    circulation = np.roll(v, -1, axis=1) - v - np.roll(u, -1, axis=0) + u
    # Not fmask: it holds the slip on the coast, where the vorticity is the wall's and would hide the flow's.
    wet = umask * np.roll(umask, -1, axis=0) * vmask * np.roll(vmask, -1, axis=1)
    return plane(ocean, circulation / (e1f * e2f * f), "f", wet)


def tendency(ocean: xr.Dataset, diagnostics: xr.Dataset) -> Plane:
    """The network's du at U points [1e-7 m s-2]."""
    if "du" not in diagnostics:
        raise HaloclineError(f"{DIAGNOSTICS} holds no 'du'; it has: {', '.join(map(str, diagnostics.data_vars))}.")
    return plane(ocean, surface(diagnostics["du"]) * 1e7, "u", surface(ocean["umask"]))


def plane(ocean: xr.Dataset, values: np.ndarray, point: str, wet: np.ndarray) -> Plane:
    """Values at the places of a grid point (t, u, v, f), NaN where not wet."""
    suffix = "" if point == "t" else f"_{point}"  # a file with the coordinates of T alone puts every point there
    longitude = ocean.get(f"nav_lon{suffix}", ocean["nav_lon"])
    latitude = ocean.get(f"nav_lat{suffix}", ocean["nav_lat"])
    x, y = surface(longitude), surface(latitude)
    units = longitude.attrs.get("units", "m")
    if units.startswith("degree"):
        labels = ("Longitude [°E]", "Latitude [°N]")
    else:
        scale, labels = (1.0 if units == "km" else 1e3), ("x [km]", "y [km]")
        x, y = x / scale, y / scale
    return Plane(np.where(wet > 0, values, np.nan), x, y, labels)


def title(ocean: xr.Dataset, closures: Sequence[str]) -> str:
    """Configuration, grid, date and closures."""
    wet = surface(ocean["tmask"]) > 0
    rows, columns = wet.any(axis=1).sum(), wet.any(axis=0).sum()
    parts = [
        f"{ocean.attrs.get('experiment', 'Ocean')}, {columns} × {rows} cells",
        f"surface layer on {ocean.attrs['date']}",
        f"closure{'s' if len(closures) > 1 else ''} {' and '.join(closures)}",
    ]
    return "   ·   ".join(parts)


# --- drawing -------------------------------------------------------------------------------------------------------


def draw(axes: "Axes", plane: Plane, name: str, units: str, colours: "Colormap", *, symmetric: bool) -> None:
    """One map and its colour bar. The range leaves out 0.5 % of the points, and the bar's pointed end says so."""
    size = np.abs(plane.values[np.isfinite(plane.values)])
    limit = float(np.percentile(size, 99.5)) or 1.0
    image = axes.pcolormesh(
        plane.x,
        plane.y,
        plane.values,
        cmap=colours,
        vmin=-limit if symmetric else 0,
        vmax=limit,
        shading="nearest",
        rasterized=True,
    )
    axes.set(title=name, xlabel=plane.labels[0], ylabel=plane.labels[1], aspect="equal")
    axes.locator_params(nbins=5)
    bar = axes.figure.colorbar(
        image, ax=axes, location="bottom", extend="both" if symmetric else "max", aspect=28, shrink=0.92, pad=0.03
    )
    bar.set_label(f"[{units}]")
    bar.outline.set_linewidth(0.4)
    bar.ax.locator_params(nbins=5)


def draw_surface(maps: "Sequence[Axes]", ocean: xr.Dataset, record: xr.Dataset, name: str) -> None:
    """Speed, vorticity and the network's tendency, side by side."""
    import cmocean

    draw(maps[0], speed(ocean), f"{name}: speed", "m s$^{-1}$", cmocean.cm.speed, symmetric=False)
    draw(maps[1], rossby(ocean), "Relative vorticity / f", "1", cmocean.cm.balance, symmetric=True)
    made = tendency(ocean, record)
    draw(maps[2], made, "Zonal tendency of the network", "10$^{-7}$ m s$^{-2}$", cmocean.cm.curl, symmetric=True)
    for axes in maps[1:]:
        axes.set_ylabel("")
        axes.tick_params(left=False, labelleft=False)


def draw_energy(axes: "Axes", series: Mapping[str, Energy]) -> None:
    """The first, uncoupled series and the others over the coupled runs' time, named at their ends."""
    coupled = list(series.values())[1]
    start, end = coupled.days[0], coupled.days[-1]
    ends = []
    for (name, energy), colour in zip(series.items(), COLOURS, strict=False):
        inside = (energy.days >= start) & (energy.days <= end)
        values = energy.values[inside]
        axes.plot(energy.days[inside] - start, values, color=colour, linewidth=1.6, label=name)
        if values.size:
            ends.append((float(values[-1]), name, colour))
    axes.set_xlim(0, 1.09 * (end - start))  # room for the names
    low, high = axes.get_ylim()
    apart, place = 0.1 * (high - low), -np.inf  # the height of a line of text
    for value, name, colour in sorted(ends):
        place = max(value, place + apart)
        axes.text(end - start, place, f"  {name}", color=colour, va="center")
    axes.set_facecolor("white")
    axes.grid(axis="y", color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set(
        title="Kinetic energy, all layers, mean over the basin",
        xlabel="Time since the start of the coupled runs [days]",
    )
    axes.set_ylabel("[J m$^{-2}$]")
