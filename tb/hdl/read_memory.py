"""Host memory on the read channels of an AXI4 bus, with all the freedom that AXI allows."""

import random
from collections import deque
from collections.abc import Callable, Iterator

import cocotb
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiReadBus
from cocotbext.axi.axi_channels import AxiARSink, AxiRSource

__all__ = ["ReadMemory", "pauses"]

_ERRORS = (2, 3)  # SLVERR, DECERR.


def pauses(rng: random.Random, odds: float) -> Iterator[bool]:
    """Yield for ever whether to stall."""
    while True:
        yield rng.random() < odds


class ReadMemory:
    """Answer reads after a while, those of different IDs in any order and beat by beat in turns; a reset ends them.

    Parameters
    ----------
    dut
        Top of the bench.
    prefix : str
        Start of the ports' names.
    read : Callable[[int, int], bytes]
        Returns so many octets from an address; an ``OSError`` becomes an error response.
    rng : random.Random
        Source of the choices.

    Members
    -------
    latency : tuple[int, int]
        Least and most cycles from address to first beat.
    reads : int
        Bursts so far.
    """

    def __init__(self, dut, prefix: str, read: Callable[[int, int], bytes], rng: random.Random) -> None:
        bus = AxiReadBus.from_prefix(dut, prefix)
        self._clk, self._rst = dut.clk, dut.rst
        self._read = read
        self._rng = rng
        self._ar = AxiARSink(bus.ar, dut.clk, dut.rst)
        self._r = AxiRSource(bus.r, dut.clk, dut.rst)
        self._octets = len(bus.r.rdata) // 8
        self.channels = (self._ar, self._r)
        self.latency = (0, 0)
        self.errors = _ERRORS
        self.reads = 0
        cocotb.start_soon(self._run())

    def _accept(self, now: int) -> tuple[int, deque]:
        """Take a burst; return its ID and its beats, each with the cycle from which it may go."""
        ar = self._ar.recv_nowait()
        address, beats = int(ar.araddr), int(ar.arlen) + 1
        assert 1 << int(ar.arsize) == self._octets
        assert int(ar.arburst) == 1
        assert address % self._octets == 0
        assert address >> 12 == (address + beats * self._octets - 1) >> 12, f"burst at {address:#x} crosses 4 KiB"
        self.reads += 1
        due = now + self._rng.randint(*self.latency)
        return int(ar.arid), deque((due, address + k * self._octets, k == beats - 1) for k in range(beats))

    async def _run(self) -> None:
        bursts: dict[int, deque[deque]] = {}
        now = 0
        while True:
            await RisingEdge(self._clk)
            now += 1
            if self._rst.value:
                for channel in self.channels:
                    channel.clear()
                bursts.clear()
                continue
            while not self._ar.empty():
                rid, beats = self._accept(now)
                bursts.setdefault(rid, deque()).append(beats)
            due = [rid for rid, queue in bursts.items() if queue[0][0][0] <= now]
            if due and self._r.count() < 2:
                rid = self._rng.choice(due)
                _, address, last = bursts[rid][0].popleft()
                self._send(rid, address, last)
                if last:
                    bursts[rid].popleft()
                    if not bursts[rid]:
                        del bursts[rid]

    def _send(self, rid: int, address: int, last: bool) -> None:
        beat = self._r._transaction_obj(rid=rid, rlast=last, rresp=0)
        try:
            beat.rdata = int.from_bytes(self._read(address, self._octets), "little")
        except OSError:
            beat.rdata, beat.rresp = self._rng.getrandbits(8 * self._octets), self._rng.choice(self.errors)
        self._r.send_nowait(beat)
