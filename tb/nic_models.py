"""What is around the NIC in a cocotb simulation: a processor, memory, PHY and cable; and jumps over idle time."""

import logging
import zlib
from random import Random
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiRamWrite, AxiWriteBus
from cocotbext.eth import GmiiFrame, GmiiSink, GmiiSource

from hardwire.hdl.config import NicConfig
from hardwire.sim.frame import FCS_OK, PREAMBLE_OK, RUNT, TX_ER, Frame
from hardwire.sim.memory import HostMemory
from hardwire.tb.hdl.gigabit_phy import GigabitPhy
from hardwire.tb.hdl.read_memory import ReadMemory

__all__ = ["NicModels"]

_NEVER = (1 << 32) - 1
_SETTLE_CYCLES = 4  # From the last event at the ports until ``idle`` shows that there is work.
_AROUND_JUMP_CYCLES = 8


class NicModels:
    """Models at all ports of the module ``hardwire_nic``, for one card after the other.

    Parameters
    ----------
    dut : object
        cocotb's handle of the NIC; its clock runs.
    config : NicConfig
        Parameters of the NIC.

    Members
    -------
    dut : object
        As given.
    csr : AxiLiteMaster
        Registers.
    source : GmiiSource
        What comes from the cable.
    phy : GigabitPhy
        On the management interface, at address 1.
    period_fs : int
        Of the clock.
    """

    def __init__(self, dut: Any, config: NicConfig) -> None:
        self.dut = dut
        self.config = config
        self.period_fs = round(1_000_000_000_000 / config.clock_khz)
        # The models' log costs more than the models.
        for port in ("s_axil", "m_axi", "gmii_txd", "gmii_rxd"):
            logging.getLogger(f"cocotb.hardwire_nic.{port}").setLevel(logging.WARNING)
        self.memory = HostMemory()
        self.csr = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.clk, dut.rst)
        self._reads = ReadMemory(dut, "m_axi", self._read, Random(0))
        self._writes = AxiRamWrite(AxiWriteBus.from_prefix(dut, "m_axi"), dut.clk, dut.rst, mem=self.memory.octets)
        self._sink = GmiiSink(dut.gmii_txd, dut.gmii_tx_er, dut.gmii_tx_en, dut.clk, dut.rst)
        self.source = GmiiSource(dut.gmii_rxd, dut.gmii_rx_er, dut.gmii_rx_dv, dut.clk, dut.rst)
        self._skipped_fs = 0
        self._frames: list[Frame] = []
        self._sent_fs = 0
        self.phy = GigabitPhy(dut, Random(0), lambda: self.now_fs // 1_000_000)

    async def start(self, memory: HostMemory, read_latency_ns: float) -> None:
        """Reset the NIC and all around it; from here on it is in a host with that memory."""
        self.memory = memory
        self._reads.latency = (round(read_latency_ns * 1_000_000 / self.period_fs),) * 2
        self._writes.mem, self._writes.size = memory.octets, len(memory.octets)
        dut = self.dut
        dut.rst.value = 1
        await ClockCycles(dut.clk, _SETTLE_CYCLES)
        dut.rst.value = 0
        await ClockCycles(dut.clk, _SETTLE_CYCLES)
        self.source.clear()
        self.phy.power_up()
        self.take_frames()

    def _read(self, address: int, count: int) -> bytes:
        at = address % len(self.memory.octets)
        return bytes(self.memory.octets[at : at + count])

    @property
    def now_fs(self) -> int:
        """Time since the start of the simulation, jumped over or not."""
        return self._skipped_fs + _fs(cocotb.utils.get_sim_time())

    @property
    def cycles_evaluated(self) -> int:
        """Cycles that the simulator was run for."""
        return _fs(cocotb.utils.get_sim_time()) // self.period_fs

    @property
    def resting(self) -> bool:
        """Nothing is under way at any port."""
        return bool(self.dut.idle.value) and self.source.idle() and not self.dut.gmii_tx_en.value

    @property
    def untimed(self) -> bool:
        """While resting: the NIC will start nothing by itself."""
        return int(self.dut.wake_in.value) == _NEVER

    async def jump(self, most_fs: int) -> bool:
        """Let as much of a time pass at once as nothing happens in; return whether that was some."""
        cycles = most_fs // self.period_fs - _AROUND_JUMP_CYCLES
        if cycles <= _AROUND_JUMP_CYCLES or not self.resting:
            return False
        await ClockCycles(self.dut.clk, _SETTLE_CYCLES)
        if not self.resting:
            return False
        wake_in = int(self.dut.wake_in.value)
        if wake_in != _NEVER:
            cycles = min(cycles, wake_in - _AROUND_JUMP_CYCLES)
        cycles = min(cycles, _NEVER >> 1)
        if cycles < 2:
            return False
        self._note_frames()  # Their times are from before.
        self.dut.advance_cycles.value = cycles - 1
        self.dut.advance_stb.value = 1
        await RisingEdge(self.dut.clk)
        self.dut.advance_stb.value = 0
        await RisingEdge(self.dut.clk)
        self._skipped_fs += (cycles - 1) * self.period_fs
        return True

    def send(self, octets: bytes, errors: bytes | None) -> None:
        """Let octets come from the cable, preamble and FCS in, with ``rx_er`` at some."""
        self.source.send_nowait(GmiiFrame(octets, list(errors or bytes(len(octets)))))

    def take_frames(self) -> list[Frame]:
        """Return the frames that went into the cable since the last call, in this object's time."""
        self._note_frames()
        frames, self._frames = self._frames, []
        return frames

    def _note_frames(self) -> None:
        while not self._sink.empty():
            seen = self._sink.recv_nowait()
            preamble, _, octets = bytes(seen.data).partition(b"\xd5")  # The model leaves the first octet out.
            begin_fs, end_fs = (_fs(time) + self._skipped_fs for time in (seen.sim_time_start, seen.sim_time_end))
            frame, fcs = octets[:-4], octets[-4:]
            flags = FCS_OK * (zlib.crc32(frame).to_bytes(4, "little") == fcs)
            flags |= PREAMBLE_OK * (preamble == b"\x55" * 6) | RUNT * (len(frame) < 60)
            flags |= TX_ER * bool(seen.error and any(seen.error))
            cycles = begin_fs // self.period_fs, end_fs // self.period_fs - 1
            gap = (begin_fs - self._sent_fs) // self.period_fs
            self._frames.append(Frame(begin_fs, frame, gap, flags, *cycles, fcs))
            self._sent_fs = end_fs


def _fs(steps: float) -> int:
    return round(steps) * 1000  # The benches' precision is 1 ps.
