"""A model that is not ours: three ranks of four subdomains, the client alone, its own default kind."""

import json

import pytest

from coupler.ending import read_end

ALL_RIGHT = [f"rank {rank} received 0 wrong values" for rank in range(3)]


def assert_right(done):
    assert done.rc == 0, done.text
    assert all(line in done.text for line in ALL_RIGHT), done.text


@pytest.mark.parametrize("coupler", [1, 2, 3])
def test_every_coupler_layout_gives_the_right_answer(host, host_run, coupler):
    done = host_run(host, coupler=coupler)
    assert_right(done)
    assert "60 cells of the grid belong to no ocean rank" in done.text
    end = read_end(host_run.folder)
    assert len(end["ocean"]["wait"]) == 3 and len(end["coupler"]["wait"]) == coupler
    assert end["coupler"]["kt"] == 8


def test_halos_one_cell_short_are_caught(host, host_run):
    """The broken twin: a network that reads one cell further than its contract says, fed by hand with a rolled field."""
    rolled = ("laplacian.py", "t[:, 1:-1, 2:] -", "np_roll(t)[:, 1:-1, 2:] -")
    helper = (
        "laplacian.py",
        "def run(inputs):",
        "def np_roll(t):\n    return t[:, :, [*range(1, t.shape[2]), 0]]\n\n\ndef run(inputs):",
    )
    done = host_run(host, [rolled, helper])
    assert done.rc != 0 and "received 0 wrong values" not in done.text.split("rank 0")[-1][:30]


def test_a_wider_halo_changes_nothing(host, host_run):
    assert_right(host_run(host, [("namelist_cfg", "cn_fields = 't'", "cn_fields = 't'\n   nn_halo = 9")]))


def test_periods_hold_the_tendency_between(compile_host, repo, host_run):
    """With a period of two steps the host's own check must hold for the field of the last exchange."""
    source = (repo / "coupler/fortran/example_host.f90").read_text()
    held = source.replace(
        "laplacian(ioff + ji, joff + jj, jk, kt)", "laplacian(ioff + ji, joff + jj, jk, kt - mod(kt - 1, 2))"
    )
    assert held != source
    edit = [("namelist_cfg", "cn_dir    = 'to_ocean'", "cn_dir = 'to_ocean', rn_period = 7200.")]
    assert_right(host_run(compile_host(held), edit))


def test_inactive_networks_reach_nobody(compile_host, repo, host_run):
    """ln_active = .false. delivers the neutral tendency, -0.0 everywhere."""
    source = (repo / "coupler/fortran/example_host.f90").read_text()
    check = "count(abs(dt - want) > 1.e-18)"
    neutral = "count(abs(dt) > 0. .or. sign(1., dt) > want)"
    assert check in source
    done = host_run(
        compile_host(source.replace(check, neutral)), [("namelist_cfg", "&namcpl", "&namcpl\n   ln_active = .false.")]
    )
    assert_right(done)
    assert "ln_active = .false." in done.text


def test_a_single_precision_wire_is_exact_for_single_precision_values(compile_host, repo, host_run):
    """The host's temperatures are small integers, its tendencies are not: they come back rounded to real32."""
    source = (repo / "coupler/fortran/example_host.f90").read_text()
    rounded = source.replace("> 1.e-18", "> 1.e-7 * maxval(abs(dt)) + 1.e-30")
    assert_right(host_run(compile_host(rounded), [("namelist_cfg", "&namcpl", "&namcpl\n   nn_wire = 32")]))


@pytest.mark.parametrize("flags", [(), ("-cpp", "-fdefault-real-8")])
def test_the_client_compiles_as_models_compile_it(compile_host, repo, host_run, flags):
    """Default reals of either size; NEMO's flags with traditional preprocessing. In real32 the check is looser."""
    source = (repo / "coupler/fortran/example_host.f90").read_text().replace("> 1.e-18", "> 1.e-11")
    assert_right(host_run(compile_host(source, flags), [("namelist_cfg", "&namcpl", "&namcpl\n   nn_wire = 32")]))


def test_the_client_is_plain_ascii_and_narrow(repo):
    for path in (repo / "coupler/fortran").glob("*.f90"):
        text = path.read_text(encoding="ascii")
        assert max(map(len, text.splitlines())) <= 132, path
        comments = [line.split("!", 1)[1] for line in text.splitlines() if line.lstrip().startswith("!")]
        assert not [line for line in comments if "'" in line or '"' in line or "//" in line], path


def test_describe_is_the_handshake(compile_host, repo, mpirun):
    source = (repo / "coupler/fortran/example_host.f90").read_text()
    described = source.replace("cpl_init('example_host', icomm)", "cpl_init('example_host', icomm, ld_describe=.true.)")
    described = described.replace("'360_day')\n", "'360_day')\n   call MPI_Finalize(ierr)\n   stop\n")
    done = mpirun([compile_host(described)], np=3)
    assert done.rc == 0, done.text
    shake = json.loads(done.stdout.strip().splitlines()[0])
    boxes = [[0, 0, 10, 6], [10, 0, 10, 6], [0, 6, 10, 6]]
    assert shake["grids"] == [{"name": "", "nx": 20, "ny": 12, "boundary": "closed", "domains": boxes}]
    assert [field["name"] for field in shake["fields"]] == ["tmask", "t", "dt"]
    assert shake["time"]["rn_Dt"] == 3600.0
