"""The JSON schema of the contract, generated from its classes; kept as coupler/artefacts/contract.schema.json."""

import json
from typing import Any

from coupler.contract import SCHEMA, Contract

# What every entry means, by class and name; a test fails where one is missing.
_OF_A_FIELD = {
    "name": "name in the graph and in messages",
    "units": "units, as in 'm s-1'; never converted",
    "point": "point of the C-grid: T, U, V, F or W",
    "levels": "'all' the levels that are sent, or a number of them",
}
MEANING: dict[str, dict[str, str]] = {
    "Contract": {
        "schema_version": "version of this schema; a newer Halocline reads every older one",
        "name": "name of the network",
        "version": "version of the network",
        "family": "family of networks that it belongs to",
        "license": "SPDX name of the licence of the weights",
        "citation": "what to cite",
        "trained_on": "data, resolution, code version, sha256 of what it was trained on",
        "coefficients": "numbers that are fixed in the graph",
        "time_level": "time level of the state that it reads",
        "inputs": "fields that it reads, in the order of the graph",
        "outputs": "fields that it returns, in the order of the graph",
        "noise": "standard normal inputs, made by the runtime",
        "scalars": "numbers from the message header that it reads",
        "tensors": "'named': a graph tensor for each field; 'stacked': one for all; absent: by level_axis",
        "stochastic": "how the noise varies in time and between levels",
        "window": "time that outputs of kind 'increment' are for [s]; the runtime divides them by it, once",
        "climatology": "the part of the outputs that follows the season alone",
        "explained": "for every output the parts of its variance on the test data that climatology and state explain",
        "radius": "receptive-field radius [cells], measured: an output lacks so many cells on each side",
        "dtype": "type of all arrays: f4 or f8",
        "edges": "'not exact': the network was trained with another padding than the runtime's",
        "decomposition": "what a cut into subdomains changes, measured: nothing, or round-off",
        "self_test": "stored pair of inputs and outputs, run at start-up",
    },
    "InputSpec": _OF_A_FIELD
    | {
        "standard_name": "CF standard name",
        "level_axis": "what the graph makes of levels: (k, c, J, I), (1, c k, J, I), (J I, c k) or (1, c, k, J, I)",
        "vector_pair": "the other component of a vector",
        "fill": "value outside the domain and under land, in the field's units, or 'replicate'",
        "interpolate": "how the runtime may bring the field from another point of the C-grid",
        "valid_range": "(low, high) that is physically possible",
        "percentiles": "values at 0.1 % and 99.9 % of the training data",
        "static": "sent once, before the first step",
    },
    "OutputSpec": _OF_A_FIELD
    | {
        "kind": "what it is to the ocean; an increment is per window",
        "interpolate": "how the runtime may bring it to another point of the C-grid",
        "bounds": "(low, high) that it may be",
        "max_rate": "largest change [units per second]",
        "mask": "static input where the runtime sets it to zero",
        "vector_pair": "the other component of a vector",
        "inv_std": "output that holds 1/std of this one",
        "conserve": "quantity whose domain sum must vanish; 'mass' on every level",
    },
    "NoiseSpec": {key: text for key, text in _OF_A_FIELD.items() if key != "units"},
    "Stochastic": {
        "kind": "'gaussian': mean + noise / inv_std; 'ensemble', 'flow': the graph reads noise",
        "time": "noise in time: white, ar1, or held",
        "memory": "e-folding time of 'ar1', length of 'hold' [s]",
        "levels": "the same noise on all levels, or independent",
    },
    "Climatology": {
        "harmonics": "sines and cosines of the year, beside the mean",
        "year_days": "length of the year [days]",
    },
    "Explained": {
        "climatology": "part of the variance [1] that the climatology explains",
        "state": "part of the variance [1] that the state explains on top of it",
    },
    "SelfTest": {
        "shape": "(k, nj, ni) of the stored outputs",
        "inputs": 'for every input {"range": [low, high]} or {"values": [...]}, from which a formula makes the field',
        "outputs": "for every output the base64 of its little-endian values",
        "tolerance": "allowed difference, relative to the largest stored |value|",
    },
}


def contract_schema() -> dict[str, Any]:
    """The schema of a contract document as a dict (JSON Schema 2020-12)."""
    schema = Contract.model_json_schema()
    for name, definition in {"Contract": schema, **schema["$defs"]}.items():
        for key, entry in definition["properties"].items():
            entry.pop("title", None)
            if key in MEANING.get(name, {}):
                entry["description"] = MEANING[name][key]
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:halocline:contract:{SCHEMA}",
        "title": f"Halocline contract, schema {SCHEMA}",
    }
    return head | {key: value for key, value in schema.items() if key != "title"}


def schema_text() -> str:
    """The file coupler/artefacts/contract.schema.json."""
    return json.dumps(contract_schema(), indent=1, ensure_ascii=False) + "\n"
