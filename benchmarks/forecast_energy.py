"""Kinetic energy of forecasts with trained networks over that of the truth, layer by layer, 5 to 50 days after states of the truth.

    python benchmarks/forecast_energy.py runs/gyre_momentum_s1 runs/gyre_online_tuned_s1

Each argument is a run folder of `halocline train` on the data of namelists/gyre_online_tuned. The twin steps on from states spread
over the training part, the network in it, and the mean energy of these forecasts is divided by that of the states they should pass.
"""

import argparse
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from coupler.errors import HaloclineError
from models.settings import NamOnline, load
from models.training import checkpoint, fit
from models.training.online import ocean_of
from models.training.windows import Windows
from models.twin.closure import NetworkClosure
from models.twin.state import Level, State

RECIPE = Path("namelists/gyre_online_tuned")
RECORDS, FORECASTS = 10, 14


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="*")
    folders = parser.parse_args().folders
    torch.set_num_threads(1)
    try:
        train, parts = fit.settings(RECIPE)
        data = fit.read(train)
    except HaloclineError as error:
        print(f"not measured: {error}")
        return
    setup = fit.prepare(train, parts, data)
    online = load(RECIPE, NamOnline)[0]
    twin = ocean_of(online, False)
    windows = Windows(data, parts, online, twin)
    starts = torch.from_numpy(windows.starts(windows.train, RECORDS)[:: len(windows.train) // FORECASTS][:FORECASTS])
    records = windows.records[starts[:, None] + torch.arange(RECORDS + 1)]
    names = list(dict.fromkeys(channel.name for channel in setup.samples.channels))
    layers, network = twin.basin.levels, setup.network.fitted
    assert network is not None
    truth = energy(records[:, 1:, : 2 * layers], layers)
    table = Table(
        "network", "layer", *(f"{5 * (n + 1)} d" for n in range(RECORDS)), title="kinetic energy over the truth's"
    )
    for folder in folders:
        network.load_state_dict(checkpoint.weights(folder / checkpoint.LAST))
        closure = NetworkClosure(network.eval(), setup.views[0].padding, names, layers)
        state, found = begin(records[:, 0], twin), []
        with torch.no_grad():
            for n in range(RECORDS):
                first = 1 + windows.steps * n
                state = twin.after(state, first, windows.steps, closure, online.nn_every, forward=n == 0)
                found.append(torch.cat((state.now.u, state.now.v), dim=1))
        ratio = energy(torch.stack(found, dim=1), layers) / truth
        for layer in range(layers):
            table.add_row(folder.name, str(layer + 1), *(f"{value:.3f}" for value in ratio[:, layer].tolist()))
    Console(width=140).print(table)


def energy(flow: torch.Tensor, layers: int) -> torch.Tensor:
    """u, v of all layers (n, r, 2 k, ny, nx) to the mean over n of their squares' sums (r, k)."""
    return flow.square().unflatten(2, (2, layers)).sum(dim=(2, 4, 5)).mean(dim=0)


def begin(record: torch.Tensor, twin) -> State:  # type: ignore[no-untyped-def]  # models.twin.run.Twin
    """States (n, c, ny, nx) as both time levels, land at rest."""
    u, v, h = record.split(twin.basin.levels, dim=1)
    rest = torch.tensor(twin.basin.depth)[:, None, None].to(h)
    level = Level(u, v, torch.where(twin.basin.tmask.at() > 0, h, rest), torch.zeros_like(u[:, :1]))
    return State(level, level)


if __name__ == "__main__":
    main()
