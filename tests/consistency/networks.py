"""Small networks as Python files: chained, stochastic, and ones that go wrong at a given step."""

HEAD = '''"""A network of the tests."""
import numpy as np

CONTRACT = {{
    "name": "{name}", "version": "1", "family": "test", "license": "MIT", "radius": {radius}, "dtype": "f8",
    "decomposition": "bitwise", {extra}
    "inputs": [{inputs}],
    "outputs": [{outputs}],
}}


def inner(x, r=1):
    return x[:, r:-r, r:-r]


def laplacian(x):
    return x[:, 1:-1, 2:] + x[:, 1:-1, :-2] + x[:, 2:, 1:-1] + x[:, :-2, 1:-1] - 4 * inner(x)

'''


def field(name, point, units, **more):
    return repr({"name": name, "point": point, "units": units, **more})


def network(name, inputs, outputs, body, radius=1, extra=""):
    head = HEAD.format(name=name, radius=radius, extra=extra, inputs=", ".join(inputs), outputs=", ".join(outputs))
    arguments = "inputs, noise, scalars" if extra and "gaussian" not in extra else "inputs"
    return head + f"\ndef run({arguments}):\n" + "".join(f"    {line}\n" for line in body)


UV = [field("u", "U", "m s-1", vector_pair="v"), field("v", "V", "m s-1", vector_pair="u")]
RATES = [field("du", "U", "m s-2", vector_pair="dv"), field("dv", "V", "m s-2", vector_pair="du")]

FILTERED = [field("uf", "U", "m s-1", vector_pair="vf"), field("vf", "V", "m s-1", vector_pair="uf")]
FILTER = network(
    "filter", UV, FILTERED, ['return {n + "f": inner(inputs[n]) + 0.125 * laplacian(inputs[n]) for n in "uv"}']
)
FRICTION = network("friction", FILTERED, RATES, ['return {"d" + n: 1e-6 * laplacian(inputs[n + "f"]) for n in "uv"}'])
BOTH = network(
    "both",
    UV,
    RATES,
    [
        'f = {n: inner(inputs[n]) + 0.125 * laplacian(inputs[n]) for n in "uv"}',
        'return {"d" + n: 1e-6 * laplacian(f[n]) for n in "uv"}',
    ],
    radius=2,
)

# Friction, trained on currents of up to 5 cm/s only.
CALM = network(
    "calm",
    [field("u", "U", "m s-1", vector_pair="v", percentiles=(-5e-2, 5e-2)), field("v", "V", "m s-1", vector_pair="u")],
    RATES,
    ['return {"d" + n: 1e-6 * laplacian(inputs[n]) for n in "uv"}'],
)

# Mean and 1/std at T points, brought to U and V: the runtime draws.
NOISY = network(
    "noisy",
    [
        field("u", "T", "m s-1", vector_pair="v", interpolate="mean"),
        field("v", "T", "m s-1", vector_pair="u", interpolate="mean"),
    ],
    [
        field("du", "T", "m s-2", vector_pair="dv", interpolate="mean", inv_std="pu"),
        field("dv", "T", "m s-2", vector_pair="du", interpolate="mean", inv_std="pv"),
        field("pu", "T", "m-1 s2", kind="coefficient"),
        field("pv", "T", "m-1 s2", kind="coefficient"),
    ],
    [
        'made = {"d" + n: 1e-7 * laplacian(inputs[n]) for n in "uv"}',
        'made |= {"p" + n: 1e8 * (1 + abs(inner(inputs[n]))) for n in "uv"}',
        "return made",
    ],
    extra='"stochastic": {"kind": "gaussian"},',
)

# A network that reads the noise and the calendar itself.
DRAWN = network(
    "drawn",
    UV,
    RATES,
    [
        'return {"d" + n: 1e-8 * inner(noise["eps"]) * (1 + scalars["day_of_year"]) + 1e-7 * laplacian(inputs[n]) for n in "uv"}'
    ],
    extra='"stochastic": {"kind": "ensemble"}, "noise": [{"name": "eps", "point": "T"}], "scalars": ["day_of_year"],',
)


def failing(step, value="float('nan')", bounds=(-1e-3, 1e-3), where="[3:5, 2]"):
    """du and dv as friction; at `step` the first level of du is `value` in two cells of the block, or `where` it is said."""
    rates = [
        field("du", "U", "m s-2", vector_pair="dv", bounds=bounds), field("dv", "V", "m s-2", vector_pair="du", bounds=bounds)
    ]  # fmt: skip
    body = [
        'made = {"d" + n: 1e-6 * laplacian(inputs[n]) for n in "uv"}',
        f'if scalars["kt"] == {step}:',
        f'    made["du"][0]{where} = {value}',
        "return made",
    ]
    return network("failing", UV, rates, body, extra='"scalars": ["kt"],')


def write(folder, **texts):
    """NAME=text -> paths of NAME.py in the folder."""
    folder.mkdir(exist_ok=True)
    paths = []
    for name, text in texts.items():
        paths.append(folder / f"{name}.py")
        paths[-1].write_text(text)
    return paths


def groups(
    *networks, masks=("umask", "vmask", "tmask"), static=(), into=("du", "dv"), period=0.0, lag=0, cpl=None, diag=None
):
    """Our namelist groups for these networks: dicts of &namnet, cn_artefact left out where it is NAME.py."""
    nets = [{"cn_artefact": f"{net['cn_name']}.py", **net} for net in networks]
    files = sorted({net["cn_artefact"] for net in nets if net["cn_artefact"].endswith(".py")})
    return {
        "namcpl": {"rn_timeout": 30.0, "cn_python_allow": files, **(cpl or {})},
        "namexc": [
            {"cn_name": "geometry", "cn_dir": "to_coupler", "ln_static": True, "cn_fields": [*masks, *static]},
            {"cn_name": "state", "cn_dir": "to_coupler", "cn_fields": ["u", "v", "h"]},
            {"cn_name": "tendency", "cn_dir": "to_ocean", "cn_fields": list(into), "rn_period": period, "nn_lag": lag},
        ],
        "namnet": nets,
        "namdiag": {"rn_diag": 2400.0, **(diag or {})},
    }
