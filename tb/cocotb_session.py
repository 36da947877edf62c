"""Tests of pytest inside a cocotb simulation: the pytest outside (``cocotb_plugin``) asks for each and reports it."""

import os
from contextlib import suppress
from multiprocessing.connection import Client, Connection

import cocotb
import pytest
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles

from hardwire.hdl.config import NicConfig
from hardwire.tb.bench import parameters
from hardwire.tb.cocotb_device import offer_device, run_world

__all__ = ["Served", "serve"]


class Served:
    """A plugin that runs what is asked for, in place of all that was collected.

    Parameters
    ----------
    outside : Connection
        The names of a test and of the next one come; the reports of the first go, then None.
    """

    def __init__(self, outside: Connection) -> None:
        self._outside = outside

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run tests until nobody asks for more."""
        items = {item.nodeid: item for item in session.items}
        with suppress(EOFError):
            while True:
                name, name_of_next = self._outside.recv()
                if (item := items.get(name)) is not None:
                    item.config.hook.pytest_runtest_protocol(item=item, nextitem=items.get(name_of_next))
                self._outside.send(None)
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Tell what became of a part of a test."""
        self._outside.send(self._config.hook.pytest_report_to_serializable(config=self._config, report=report))

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_timeout_set_timer(self) -> bool:
        """Let the pytest outside see to it that a test ends."""
        return True

    def pytest_configure(self, config: pytest.Config) -> None:
        """Remember how reports are written; debuggers have no terminal here, nor are the models under test."""
        self._config = config
        config.option.usepdb = False
        config.addinivalue_line("filterwarnings", r"ignore::DeprecationWarning:cocotb.*")


@cocotb.test()
async def tests_of_pytest(dut):
    values = parameters()
    config = NicConfig(**values["nic"])
    cocotb.start_soon(Clock(dut.clk, 1_000_000_000 // config.clock_khz // 2 * 2, "ps").start())
    dut.advance_stb.value = 0
    dut.advance_cycles.value = 0
    dut.rst.value = 1
    await ClockCycles(dut.clk, 4)
    offer_device("cocotb", dut, config)
    await run_world(serve, values["address"], values["arguments"], values["directory"])


def serve(address: str, arguments: list[str], directory: str) -> None:
    """Run the pytest inside until the one outside has no more tests."""
    os.chdir(directory)
    with Client(address, family="AF_UNIX") as outside:
        outside.send(os.getpid())
        pytest.main(arguments, plugins=[Served(outside)])
