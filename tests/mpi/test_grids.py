"""Several grids in one run, each with its own edges, decomposition, exchanges and period; over both transports."""

import subprocess

import pytest

from coupler import namcouple, settings
from coupler.handshake import parse

NAMELIST = """
&namcpl  cn_transport = '{transport}', cn_python_allow = 'sums.py' /
&namexc  cn_name = 'ocean',   cn_dir = 'to_coupler', cn_fields = 'a' /
&namexc  cn_name = 'ice',     cn_dir = 'to_coupler', cn_fields = 'b', rn_period = 7200. /
&namexc  cn_name = 'to_oce',  cn_dir = 'to_ocean',   cn_fields = 'asum' /
&namexc  cn_name = 'to_ice',  cn_dir = 'to_ocean',   cn_fields = 'bsum', rn_period = 7200. /
&namnet  cn_name = 'oce', cn_artefact = 'sums.py', cn_inputs = 'x=a', cn_outputs = 'y=asum' /
&namnet  cn_name = 'ice', cn_artefact = 'sums_ice.py', cn_inputs = 'x=b', cn_outputs = 'y=bsum' /
"""
NET = """
CONTRACT = {{
    "name": "sums", "version": "1", "family": "test", "license": "MIT", "radius": 1, "dtype": "f8",
    "decomposition": "bitwise",
    "inputs": [{{"name": "x", "units": "{units}", "point": "T"}}],
    "outputs": [{{"name": "y", "units": "{units}", "point": "T"}}],
}}


def run(inputs):
    x = inputs["x"]
    return {{"y": x[:, 1:-1, 1:-1] + x[:, 1:-1, 2:] + x[:, 1:-1, :-2] + x[:, 2:, 1:-1] + x[:, :-2, 1:-1]}}
"""


@pytest.fixture(scope="module")
def programs(repo, compile_host, tmp_path_factory):
    source = (repo / "tests/mpi/two_grids.f90").read_text()
    found = {"mpi": compile_host(source)}
    flags = repo / "build/oasis/flags.mk"
    if flags.exists():
        include, libraries = (line.split(":=")[1].split() for line in flags.read_text().splitlines())
        folder = tmp_path_factory.mktemp("oasis")
        sources = [repo / "coupler/fortran/cpl_halocline_oasis.f90", repo / "tests/mpi/two_grids.f90"]
        command = ["mpif90", "-O1", "-g", "-fdefault-real-8", *include, *sources, "-o", "two_grids.exe", *libraries]
        subprocess.run(command, cwd=folder, check=True, timeout=120)
        found["oasis"] = folder / "two_grids.exe"
    return found


@pytest.fixture
def folder(tmp_path):
    def prepare(transport, text=NAMELIST):
        (tmp_path / "namelist_cfg").write_text(
            text.format(transport=transport).replace("'sums.py' /", "'sums.py', 'sums_ice.py' /", 1)
        )
        (tmp_path / "sums.py").write_text(NET.format(units="K"))
        (tmp_path / "sums_ice.py").write_text(NET.format(units="K"))
        return tmp_path

    return prepare


@pytest.mark.parametrize("transport", ["mpi", "oasis"])
@pytest.mark.parametrize(("ocean", "coupler"), [(1, 1), (3, 2), (2, 3)])
def test_each_grid_has_its_own_edges_ranks_and_period(programs, folder, mpirun, repo, transport, ocean, coupler):
    if transport not in programs:
        pytest.skip("OASIS3-MCT is not built (liboasis3-dev is not installed)")
    place = folder(transport)
    if transport == "oasis":
        shake = parse(DESCRIPTION)
        namcouple.write(settings.load(place), shake, place / "namcouple")
    done = mpirun(
        ["-np", ocean, programs[transport], ":", "-np", coupler, "halocline", "couple", "."], np=None, cwd=place
    )
    assert done.rc == 0, done.text
    assert all(f"rank {rank} received 0 wrong values" in done.text for rank in range(ocean)), done.text


def test_a_network_across_two_grids_is_refused(programs, folder, mpirun):
    text = NAMELIST.replace("cn_inputs = 'x=b'", "cn_inputs = 'x=a'")
    done = mpirun(
        ["-np", 1, programs["mpi"], ":", "-np", 1, "halocline", "couple", "."], np=None, cwd=folder("mpi", text)
    )
    assert done.rc != 0 and "network 'ice' has fields of 2 grids" in done.text


def test_an_exchange_across_two_grids_is_refused(programs, folder, mpirun):
    first, second = "cn_fields = 'a' /", "cn_fields = 'b', rn_period = 7200. /"
    assert first in NAMELIST and second in NAMELIST
    text = NAMELIST.replace("&namexc  cn_name = 'ocean',   cn_dir = 'to_coupler', " + first, "").replace(
        second, "cn_fields = 'a', 'b' /"
    )
    done = mpirun(
        ["-np", 1, programs["mpi"], ":", "-np", 1, "halocline", "couple", "."], np=None, cwd=folder("mpi", text)
    )
    assert done.rc != 0 and "fields of the grids ocean, ice" in done.text


# What `--describe` of the model would print; its decomposition does not matter to the namcouple.
DESCRIPTION = """{"protocol": 2, "transport": "oasis", "model": "two_grids",
"time": {"rn_Dt": 3600.0, "nn_it000": 1, "nn_itend": 6, "date0": 20000101, "calendar": "360_day", "level": "now"},
"fields": [{"id": 1, "grid": 1, "name": "a", "units": "K", "point": "T", "levels": 1, "direction": "out"},
{"id": 2, "grid": 1, "name": "asum", "units": "K", "point": "T", "levels": 1, "direction": "in"},
{"id": 3, "grid": 2, "name": "b", "units": "K", "point": "T", "levels": 2, "direction": "out"},
{"id": 4, "grid": 2, "name": "bsum", "units": "K", "point": "T", "levels": 2, "direction": "in"}], "declared": [4],
"grids": [{"name": "ocean", "nx": 20, "ny": 12, "boundary": "closed", "domains": [[0, 0, 20, 12]]},
{"name": "ice", "nx": 14, "ny": 9, "boundary": "cyclic_ew", "domains": [[0, 0, 14, 9]]}]}"""
