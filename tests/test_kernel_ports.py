"""A kernel whose port another program has taken is started again."""

from pathlib import Path

import nbformat
import pytest

pytest_plugins = ["pytester"]

TAKES = """
import socket
from jupyter_client.manager import KernelManager

write, taken = KernelManager.write_connection_file, []

def write_and_lose_a_port(self, **more):
    write(self, **more)
    if len(taken) < {times}:
        taken.append(socket.create_server(("127.0.0.1", self.shell_port)))

KernelManager.write_connection_file = write_and_lose_a_port
"""


@pytest.mark.parametrize(("times", "passed"), [(1, 1), (3, 0)])
def test_a_kernel_that_loses_a_port(pytester: pytest.Pytester, times: int, passed: int) -> None:
    cell = nbformat.v4.new_code_cell("1 + 1")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), Path(pytester.path, "sum.ipynb"))
    pytester.makeconftest(TAKES.format(times=times))
    options = ["--nbval-lax", "--nbval-current-env", "-p", "tests.kernel_ports", "-p", "no:xdist"]
    result = pytester.runpytest_subprocess(*options, "sum.ipynb")
    result.assert_outcomes(passed=passed, errors=1 - passed)
