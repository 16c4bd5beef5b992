"""Halos and sums between coupler ranks."""

import sys

import pytest

SCRIPT = "tests/mpi/relay.py"


@pytest.mark.parametrize("ranks", [1, 2, 3, 6])
def test_the_padded_block_is_that_of_the_whole_grid(repo, mpirun, ranks):
    """Every edge, both precisions, vectors and scalars, three steps: bit for bit what the source map says."""
    done = mpirun([sys.executable, repo / SCRIPT], np=ranks)
    assert done.rc == 0 and "relay: 0 wrong bytes" in done.stdout, done.text


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_forgotten_sign_is_caught(repo, mpirun, ranks):
    """The broken twin: across a fold the components of a vector change their sign."""
    done = mpirun([sys.executable, repo / SCRIPT, "scalars"], np=ranks)
    assert done.rc == 0 and "wrong bytes" in done.stdout and "relay: 0 wrong bytes" not in done.stdout, done.text


@pytest.mark.parametrize("where", ["update", "sum"])
def test_a_rank_that_does_not_come_ends_the_wait(repo, mpirun, where):
    """Rank 1 leaves out one call; the others say so after their time-out instead of hanging."""
    done = mpirun([sys.executable, repo / SCRIPT, f"stuck-{where}"], np=3, timeout=40)
    assert done.rc != 0 and "rn_timeout = 1 s" in done.text, done.text
    assert done.seconds < 20
