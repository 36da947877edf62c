"""The NIC in a cocotb simulation as a device, for the same stack and driver that drive it everywhere else.

The stack blocks where a coroutine would await, so the whole simulated world runs inside ``cocotb.task.bridge``; where
the world lets time pass, the simulator runs.
"""

from collections.abc import Callable
from typing import Any

from cocotb.task import bridge, resume
from cocotb.triggers import ClockCycles, First, RisingEdge, Timer, ValueChange

from hardwire.hdl.config import NicConfig
from hardwire.sim.bus_model import BusModel
from hardwire.sim.devices import register_device
from hardwire.sim.frame import Frame, on_wire
from hardwire.sim.world import Host
from hardwire.tb.nic_models import NicModels

__all__ = ["CocotbNic", "offer_device", "run_world"]

_SETTLE_CYCLES = 4  # From the answer to a write until ``idle`` shows that there is work.
_LONGEST_WAIT_FS = 100_000_000_000  # Without a timer, look again after 100 us.
_SHORT_WAIT_FS = 500_000_000  # Where nothing will tell that it is over.


class CocotbNic:
    """The NIC of a cocotb test as a world sees it: ``Mmio``, ``Irq``, time, and the end of a cable.

    Parameters
    ----------
    host : Host
        Whose memory it reads; the AXI models work on that memory itself.
    models : NicModels
        The NIC, and what is around it; it is reset.
    bus : BusModel
        Of it only ``read_latency_ns`` counts; nothing else slows or fails the bus here.
    skipping : bool
        Jump over cycles in which nothing happens.
    """

    def __init__(self, host: Host, models: NicModels, bus: BusModel, *, skipping: bool = True) -> None:
        self.host = host
        self.world = host.world
        self.config = models.config
        self.bus = bus
        self.dma = host.memory
        self._models = models
        self._dut = models.dut
        self._skipping = skipping
        self._handler: Callable[[], None] | None = None
        self._posted: list[tuple[int, int]] = []
        resume(models.start)(host.memory, bus.read_latency_ns)
        self._phase_fs = self.world.now_fs - models.now_fs
        self._first_cycle = models.cycles_evaluated
        self.world.nics.append(self)  # It has what a world uses of a SimNic.

    # Mmio and Irq.

    def write32(self, offset: int, value: int) -> None:
        """Write a register: posted."""
        self._posted.append((offset, value))

    def read32(self, offset: int) -> int:
        """Read a register; the simulator runs until it is answered. An error answer reads as all ones."""
        value: int = resume(self._read)(offset)
        self.world.now_fs = max(self.world.now_fs, self.time_fs)
        return value

    async def _read(self, offset: int) -> int:
        await self._flush()
        answer = await self._models.csr.read(offset, 4)
        return 0xFFFF_FFFF if answer.resp else int.from_bytes(answer.data, "little")

    async def _flush(self) -> None:
        posted, self._posted = self._posted, []
        for offset, value in posted:
            await self._models.csr.write_dword(offset, value)

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
        return self._phase_fs + self._models.now_fs

    @property
    def cycles_evaluated(self) -> int:
        """Cycles that the simulator was run for."""
        return self._models.cycles_evaluated - self._first_cycle

    @property
    def quiet(self) -> bool:
        """Nothing is under way, no interrupt waits and no moderation timer runs."""
        return not self._posted and self._models.resting and self._models.untimed and not self._interrupted

    @property
    def _interrupted(self) -> bool:
        return self._handler is not None and bool(self._dut.irq.value)

    def step(self, until_fs: int | None) -> int | None:
        """Run to a time or to the first interrupt before; return the time reached."""
        limit_fs = self.time_fs + _LONGEST_WAIT_FS
        if until_fs is not None and (self._skipping or until_fs < limit_fs):
            limit_fs = until_fs
        resume(self._run)(limit_fs)
        reached_fs = self.time_fs if until_fs is None else min(self.time_fs, until_fs)
        self.world.now_fs = max(self.world.now_fs, reached_fs)
        if self._interrupted and self._handler is not None:
            self.world.interrupt(self._handler)
        return reached_fs

    async def _run(self, until_fs: int) -> None:
        if self._posted:
            await self._flush()
            await ClockCycles(self._dut.clk, _SETTLE_CYCLES)
        await RisingEdge(self._dut.clk)
        while not self._interrupted and self.time_fs < until_fs and not (self.world.draining and self.quiet):
            if self._skipping and await self._models.jump(until_fs - self.time_fs):
                continue
            await self._wait(until_fs - self.time_fs)
            if not self._skipping:
                return

    async def _wait(self, most_fs: int) -> None:
        """Wait for a time, for an interrupt, or until something has changed that counts."""
        changes = [ValueChange(self._dut.irq)]
        most_fs = min(most_fs, _LONGEST_WAIT_FS)
        if self._skipping or self.world.draining:
            changes.append(ValueChange(self._dut.idle))
            if self._dut.idle.value:  # ``wake_in``, which changes in every cycle, and the cable are not watched.
                most_fs = min(most_fs, _SHORT_WAIT_FS)
        await First(Timer(max(most_fs // 1000, 1), "ps"), *changes)

    # The cable.

    def take_frames(self) -> list[Frame]:
        """Return the frames that have left since the last call."""
        frames: list[Frame] = resume(self._take)()
        return [frame._replace(time_fs=self._phase_fs + frame.time_fs) for frame in frames]

    async def _take(self) -> list[Frame]:
        return self._models.take_frames()

    def inject(self, octets: bytes, *, errors: bytes | None = None) -> None:
        """Let octets come from the PHY as they are, after those that still wait, with ``rx_er`` at some."""
        resume(self._send)(octets, errors)

    async def _send(self, octets: bytes, errors: bytes | None) -> None:
        self._models.send(octets, errors)

    def receive(self, octets: bytes, fcs: bytes, *, error: bool = False) -> None:
        """Let a frame come from the PHY now, or after those that still wait; ``error``: its last octet is bad."""
        wire = on_wire(octets, fcs)
        self.inject(wire, errors=bytes(len(wire) - 1) + b"\1" if error else None)

    def set_link(self, up: bool, *, autoneg_ns: int = 20_000) -> None:
        """Tell the PHY whether there is a partner; autonegotiation takes a while after one has come."""
        self._models.phy.set_link(up, autoneg_ns)


def offer_device(name: str, dut: Any, config: NicConfig | None = None, *, skipping: bool = True) -> None:
    """Make the NIC under test known as a device; its clock runs. Each card that is made resets it.

    Parameters
    ----------
    name : str
        Name of the kind of device.
    dut : object
        cocotb's handle of the NIC.
    config : NicConfig or None
        Parameters of the NIC; None: the default ones.
    skipping : bool
        Jump over cycles in which nothing happens.
    """
    models = NicModels(dut, config or NicConfig())

    def make(*, host: Host, config: NicConfig, bus: BusModel, waves: bool = False) -> CocotbNic:
        if config != models.config:
            raise ValueError(f"the NIC that is simulated is another one: {models.config}")
        if host.world.nics:
            raise ValueError("there is one NIC in this simulation, so one a world")
        return CocotbNic(host, models, bus, skipping=skipping)

    register_device(name, make)


async def run_world(function: Callable[..., Any], *arguments: Any) -> Any:
    """Run a blocking function in which worlds with the device ``cocotb`` may run; return its result."""
    return await bridge(function)(*arguments)
