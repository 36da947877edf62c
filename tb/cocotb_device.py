"""The NIC in a cocotb simulation as a device, for the same stack and driver that drive it everywhere else.

The stack blocks where a coroutine would await, so the whole simulated world runs inside ``cocotb.task.bridge``; where
the world lets time pass, the simulator runs.
"""

from collections.abc import Callable
from random import Random
from typing import Any

import cocotb
from cocotb.task import bridge, resume
from cocotb.triggers import ClockCycles, First, RisingEdge, Timer, ValueChange
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiRamWrite, AxiWriteBus
from cocotbext.eth import GmiiSink

from hardwire.hdl.config import NicConfig
from hardwire.sim.bus_model import BusModel
from hardwire.sim.devices import register_device
from hardwire.sim.world import Host
from hardwire.tb.hdl.read_memory import ReadMemory

__all__ = ["CocotbNic", "offer_device", "run_world"]

_NEVER = (1 << 32) - 1
_PERIOD_PS = 8000
_SETTLE_CYCLES = 4  # From the answer to a write until ``idle`` shows that there is work.
_LONGEST_WAIT_FS = 100_000_000_000  # Without a timer, look again after 100 us.


class CocotbNic:
    """The NIC of a cocotb test as a world sees it: ``Mmio``, ``Irq``, and time.

    Parameters
    ----------
    host : Host
        Whose memory it reads; the AXI models work on that memory itself.
    dut : object
        cocotb's handle of the NIC, its clock running and out of reset.
    config : NicConfig
        Parameters of the NIC.
    bus : BusModel
        Of it only ``read_latency_ns`` counts; nothing else slows or fails the bus here.
    """

    def __init__(self, host: Host, dut: Any, config: NicConfig, bus: BusModel) -> None:
        self.host = host
        self.world = host.world
        self.config = config
        self.bus = bus
        self.dma = host.memory
        self._dut = dut
        self._handler: Callable[[], None] | None = None
        self._posted: list[tuple[int, int]] = []
        self._phase_fs = self.world.now_fs - _now_fs()
        self._make_models()
        self.world.nics.append(self)  # It has what a world uses of a SimNic.

    @resume
    async def _make_models(self) -> None:
        dut, memory = self._dut, self.dma.octets
        self.csr = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.clk, dut.rst)
        self.reads = ReadMemory(dut, "m_axi", self._memory, Random(0))
        self.reads.latency = (round(self.bus.read_latency_ns * 1000 / _PERIOD_PS),) * 2
        bus = AxiWriteBus.from_prefix(dut, "m_axi")
        self.writes = AxiRamWrite(bus, dut.clk, dut.rst, size=len(memory), mem=memory)
        self.sink = GmiiSink(dut.gmii_txd, dut.gmii_tx_er, dut.gmii_tx_en, dut.clk, dut.rst)

    def _memory(self, address: int, count: int) -> bytes:
        """Return octets of host memory, for the bus model."""
        at = address % len(self.dma.octets)
        return bytes(self.dma.octets[at : at + count])

    # Mmio and Irq.

    def write32(self, offset: int, value: int) -> None:
        """Write a register: posted."""
        self._posted.append((offset, value))

    def read32(self, offset: int) -> int:
        """Read a register; the simulator runs until it is answered."""
        value: int = resume(self._read)(offset)
        self.world.now_fs = max(self.world.now_fs, self.time_fs)
        return value

    async def _read(self, offset: int) -> int:
        await self._flush()
        return await self.csr.read_dword(offset)

    async def _flush(self) -> None:
        posted, self._posted = self._posted, []
        for offset, value in posted:
            await self.csr.write_dword(offset, value)

    def request(self, handler: Callable[[], None]) -> None:
        """Call ``handler`` while the interrupt line is high, between the steps of tasks."""
        self._handler = handler

    def free(self) -> None:
        """Stop calling the handler."""
        self._handler = None

    # What a world asks of a device.

    @property
    def time_fs(self) -> int:
        """The world's time now."""
        return self._phase_fs + _now_fs()

    @property
    def quiet(self) -> bool:
        """Nothing is under way, no interrupt waits and no moderation timer runs."""
        dut = self._dut
        irq = self._handler is not None and dut.irq.value
        return not self._posted and bool(dut.idle.value) and dut.wake_in.value == _NEVER and not irq

    def step(self, until_fs: int | None) -> int | None:
        """Run to a time or to the first interrupt before; return the time reached."""
        limit_fs = self.time_fs + _LONGEST_WAIT_FS
        interrupted = resume(self._run)(limit_fs if until_fs is None else min(until_fs, limit_fs))
        reached_fs = self.time_fs if until_fs is None else min(self.time_fs, until_fs)
        self.world.now_fs = max(self.world.now_fs, reached_fs)
        if interrupted and self._handler is not None:
            self.world.interrupt(self._handler)
        return reached_fs

    async def _run(self, until_fs: int) -> bool:
        if self._posted:
            await self._flush()
            await ClockCycles(self._dut.clk, _SETTLE_CYCLES)
        await RisingEdge(self._dut.clk)
        left_ps = (until_fs - self.time_fs) // 1000
        if self._handler is not None and self._dut.irq.value:
            return True
        if self.world.draining and self.quiet:
            return False
        if left_ps > 0:
            changes = [ValueChange(self._dut.irq)]
            if self.world.draining:
                changes.append(ValueChange(self._dut.idle))
                wake_in = int(self._dut.wake_in.value)  # Changes in every cycle: not to be watched.
                if self._dut.idle.value and wake_in != _NEVER:
                    left_ps = min(left_ps, (wake_in + 1) * _PERIOD_PS)
            await First(Timer(left_ps, "ps"), *changes)
        return self._handler is not None and bool(self._dut.irq.value)

    def take_frames(self) -> list[bytes]:
        """Return the frames that have left since the last call, without preamble and FCS."""
        frames = []
        while not self.sink.empty():
            frame = self.sink.recv_nowait()
            assert frame.check_fcs(), "a frame has a wrong FCS"
            frames.append(bytes(frame.get_payload(strip_fcs=True)))
        return frames


def _now_fs() -> int:
    return round(cocotb.utils.get_sim_time("ps")) * 1000


def offer_device(name: str, dut: Any) -> None:
    """Make the NIC under test known as a device."""

    def make(*, host: Host, config: NicConfig, bus: BusModel, waves: bool = False) -> CocotbNic:
        return CocotbNic(host, dut, config, bus)

    register_device(name, make)


async def run_world(function: Callable[..., Any], *arguments: Any) -> Any:
    """Run a blocking function in which worlds with the device ``cocotb`` may run; return its result."""
    return await bridge(function)(*arguments)
