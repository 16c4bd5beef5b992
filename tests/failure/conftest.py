"""Failures are tried on the example host: it starts fast and everything else is the same."""

from tests.mpi.conftest import compile_host, host, host_run

__all__ = ["compile_host", "host", "host_run"]
