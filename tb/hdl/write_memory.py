"""Host memory on the write channels of an AXI4 bus, octet by octet, and what it checks of each burst."""

import random
from collections.abc import Awaitable, Callable

import cocotb
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiSlaveWrite, AxiWriteBus

from hardwire.tb.hdl.read_memory import pauses

__all__ = ["WriteMemory"]


class WriteMemory:
    """Take writes anywhere; keep each octet.

    Parameters
    ----------
    dut
        Top of the bench.
    prefix : str
        Start of the ports' names.
    write : Callable[[int, bytes], Awaitable[None]]
        Told of each run of octets; an ``OSError`` becomes an error response.
    rng : random.Random
        Source of the choices.

    Members
    -------
    bursts : list[tuple[int, int]]
        Address and octets of each burst so far.
    """

    def __init__(self, dut, prefix: str, write: Callable[[int, bytes], Awaitable[None]], rng: random.Random) -> None:
        self._write = write
        self._dut, self._prefix, self._rng = dut, prefix, rng
        self.slave = AxiSlaveWrite(AxiWriteBus.from_prefix(dut, prefix), dut.clk, dut.rst, self)
        self.slave.b_channel.queue_occupancy_limit = 32
        self.channels = (self.slave.aw_channel, self.slave.w_channel, self.slave.b_channel)
        self.bursts: list[tuple[int, int]] = []
        cocotb.start_soon(self._watch())

    def stall(self) -> None:
        """Choose new odds of stalls for every channel."""
        for channel in self.channels:
            channel.set_pause_generator(pauses(random.Random(self._rng.random()), self._rng.choice((0.0, 0.3, 0.8))))

    async def write(self, address: int, octets: bytes) -> None:
        """Take a run of octets of one beat."""
        await self._write(address, bytes(octets))

    async def _watch(self) -> None:
        def port(name: str):
            return getattr(self._dut, f"{self._prefix}_{name}")

        octets = len(port("wstrb"))
        valid, ready, awaddr, awlen = port("awvalid"), port("awready"), port("awaddr"), port("awlen")
        waiting = None
        while True:
            await RisingEdge(self._dut.clk)
            if not valid.value:
                assert waiting is None, "awvalid fell before awready"
                continue
            address, count = int(awaddr.value), int(awlen.value) + 1
            assert waiting in (None, (address, count)), "an address changed while it waited"
            waiting = None if ready.value else (address, count)
            if waiting is None:
                size = 1 << int(port("awsize").value)
                assert int(port("awburst").value) == 1
                assert size <= octets
                assert address % size == 0
                assert address >> 12 == (address + count * size - 1) >> 12, f"burst at {address:#x} crosses 4 KiB"
                self.bursts.append((address, count * size))
