"""Another artefact for a running network, between two exchanges."""

import json
from collections.abc import Callable
from pathlib import Path

from coupler.contract import Contract
from coupler.engines.base import Engine
from coupler.engines.selftest import self_test
from coupler.errors import HaloclineError
from coupler.guards.statics import SAME_YEAR
from coupler.network import Network
from coupler.transport.base import Transport

# What may differ between two versions of one network: who made it and how well, not what it reads and returns.
FREE = {
    "name", "version", "family", "license", "citation", "trained_on", "coefficients", "climatology", "explained",
    "decomposition", "self_test",
}  # fmt: skip
LOG = Path("halocline.swap.jsonl")


def request(network: str) -> Path:
    """The file in the run folder that asks for another artefact: JSON with `artefact` and `sha256`."""
    return Path(f"{network}.swap")


def swap_if_asked(net: Network, kt: int, transport: Transport, load: Callable[[Network, str, str], Engine]) -> None:
    """Look for a request, and run its artefact from step `kt` on; every rank does so at the same step. Collective.

    load(net, artefact, sha256) gives its engine. Raises HaloclineError for a request that cannot be read or an artefact that
    does not fit in the place of the present one; nothing has changed then.
    """
    path = request(net.name)
    text = None
    if transport.rank == 0 and path.exists():
        text = path.read_text(encoding="utf-8")
        path.rename(path.with_suffix(".swapped"))
    text = transport.share(text)
    if text is None:
        return
    try:
        document = json.loads(text)
        artefact, sha256 = str(document["artefact"]), str(document["sha256"])
    except (ValueError, KeyError, TypeError):
        raise HaloclineError(
            f'{path}: a request for another artefact is JSON: {{"artefact": FILE, "sha256": HASH}}, got {text[:80]!r}. Write it '
            "aside and rename it, so that no half is read."
        ) from None
    engine = load(net, artefact, sha256)
    check_swap(net.name, net.engine.contract, engine.contract)
    if engine.contract.self_test is not None:
        self_test(engine)
    before, net.engine = net.engine, engine
    if transport.rank == 0:
        line = {
            "network": net.name, "kt": kt, "version": engine.contract.version, "sha256": engine.sha256,
            "replaced_version": before.contract.version, "replaced_sha256": before.sha256,
        }  # fmt: skip
        with LOG.open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
        print(
            f"halocline: network '{net.name}': version {engine.contract.version} ({engine.sha256[:12]}) in place of "
            f"{before.contract.version} ({before.sha256[:12]}) from step {kt} on",
            flush=True,
        )


def check_swap(network: str, old: Contract, new: Contract) -> None:
    """Raises HaloclineError unless the new contract reads and returns what the old one does."""
    ours, theirs = (c.model_dump(mode="json", exclude=FREE) for c in (old, new))
    different = sorted(key for key in ours if ours[key] != theirs[key])
    years = [c.climatology.year_days for c in (old, new) if c.climatology and c.climatology.harmonics]
    if years and max(years) - min(years) > SAME_YEAR:
        different.append("the years of their climatologies")
    if different:
        raise HaloclineError(
            f"network '{network}': the new artefact does not fit in the place of the running one: {', '.join(different)} differ. "
            "Start a new run with it."
        )
