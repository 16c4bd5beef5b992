"""A side that is stuck, or calls the client wrongly, ends the whole job within the time-out, with a message."""

import pytest

from tests.failure.test_bad_input import assert_refused

NML, NET = "namelist_cfg", "laplacian.py"
SHORT = (NML, "&namcpl", "&namcpl\n rn_timeout = 2.")
RUN = '    t, wet = inputs["t"], inputs["tmask"]'


@pytest.fixture
def host_with(compile_host, repo):
    """The example host with one line of its time loop replaced."""

    def build(line):
        source = (repo / "coupler/fortran/example_host.f90").read_text()
        call = "      call cpl_snd(it, kt, t)\n"
        assert call in source
        return compile_host(source.replace(call, line + call))

    return build


@pytest.mark.slow
def test_a_network_that_never_returns(host, host_run):
    done = host_run(host, [SHORT, (NET, RUN, "    import time\n\n    time.sleep(99)\n" + RUN)])
    assert_refused(done, host_run.folder, "network 'laplacian' (step 1, i=", "did not return within rn_timeout = 2 s")


@pytest.mark.slow
def test_an_ocean_that_is_stuck(host_with, host_run):
    done = host_run(host_with("      if (kt == 3 .and. irank == 1) call execute_command_line('sleep 30')\n"), [SHORT])
    assert_refused(done, host_run.folder, "rn_timeout = 2", "step 3", seconds=15)


def test_a_field_sent_twice(host_with, host_run):
    done = host_run(host_with("      call cpl_snd(it, kt, t)\n"), [SHORT])
    assert_refused(done, host_run.folder, "cpl_snd: field t is sent twice (step 1)")


@pytest.mark.slow
def test_an_array_with_its_halo(host_with, host_run):
    done = host_run(host_with("      call cpl_snd(it, kt, t(2:,:,:))\n"), [SHORT])
    assert_refused(done, host_run.folder, "field t has the shape (9,6,2), declared (10,6,2)", "interior alone")
