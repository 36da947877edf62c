"""A MAC with a PHY adapter, its clocks, and cocotbext-eth's models of the PHY."""

import logging
import random
import zlib

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge, Timer
from cocotbext.eth import GmiiFrame, GmiiSink, GmiiSource, MiiSink, MiiSource, RgmiiSink, RgmiiSource

from hardwire.hdl.rx.frame import RxFrameStatus
from hardwire.tb.bench import parameters, seed
from hardwire.tb.hdl.packet_source import PacketSource

__all__ = ["NOMINAL_PS", "OCTET_CYCLES", "Harness", "carrier"]

# The periods on GMII and RGMII are ten times those on a board, so that the simulator's picosecond is 12.5 ppm.
NOMINAL_PS = {"gmii": 80_000, "rgmii": 80_000, "mii": 40_000}
OCTET_CYCLES = {"gmii": 1, "rgmii": 1, "mii": 2}
_PAD_OCTETS = 2


def carrier(octets: bytes) -> GmiiFrame:
    """Return what is on the wire for a frame without FCS."""
    return GmiiFrame.from_raw_payload(octets + zlib.crc32(octets).to_bytes(4, "little"))


class Harness:
    """Clocks of any periods, sources and sinks.

    Members
    -------
    gaps : list[int]
        Octet times between frames to the PHY.
    ends : list[RxFrameStatus]
        What the MAC says of each carrier event.
    received : list[bytes]
        Good frames.
    """

    def __init__(self, dut) -> None:
        self.dut = dut
        self.rng = random.Random(seed())
        self.interface = parameters()["interface"]
        self.nominal_ps = NOMINAL_PS[self.interface]
        self.gaps: list[int] = []
        self.ends: list[RxFrameStatus] = []
        self.received: list[bytes] = []

    async def start(self, *, sync_ps: int, tx_ps: int | None = None, rx_ps: int | None = None) -> None:
        """Start the clocks with these periods, nominal ones by default, and reset."""
        dut = self.dut
        self.source = PacketSource(dut)
        dut.rxd.value = 0
        (dut.rx_ctl if self.interface == "rgmii" else dut.rx_dv).value = 0
        resets = [dut.rst, dut.phy_tx_rst, dut.phy_rx_rst]
        if self.interface == "rgmii":
            resets.append(dut.phy_tx_late_rst)
        for reset in resets:
            reset.value = 1
        tx_ps = tx_ps or self.nominal_ps
        cocotb.start_soon(self._clock(dut.clk, sync_ps))
        cocotb.start_soon(self._clock(dut.phy_rx_clk, rx_ps or self.nominal_ps))
        first_ps = self.rng.randint(1, tx_ps)
        cocotb.start_soon(self._clock(dut.phy_tx_clk, tx_ps, first_ps))
        if self.interface == "rgmii":
            cocotb.start_soon(self._clock(dut.phy_tx_late_clk, tx_ps, first_ps + tx_ps // 4))
        await Timer(10 * max(sync_ps, self.nominal_ps), "ps")
        for reset in resets:
            reset.value = 0
        await Timer(10 * max(sync_ps, self.nominal_ps), "ps")
        self._make_phy()
        for task in (self._watch_gaps(), self._watch_mac()):
            cocotb.start_soon(task)

    async def _clock(self, clk, period_ps: int, first_ps: int | None = None) -> None:
        clk.value = 0
        await Timer(first_ps or self.rng.randint(1, period_ps), "ps")
        low = Timer(period_ps // 2, "ps")
        high = Timer(period_ps - period_ps // 2, "ps")
        while True:
            clk.value = 1
            await high
            clk.value = 0
            await low

    def _make_phy(self) -> None:
        dut = self.dut
        if self.interface == "gmii":
            self.tx_clk, self.tx_dv = dut.gtx_clk, dut.tx_en
            self.sink = GmiiSink(dut.txd, dut.tx_er, dut.tx_en, dut.gtx_clk)
            self.wire = GmiiSource(dut.rxd, dut.rx_er, dut.rx_dv, dut.phy_rx_clk)
        elif self.interface == "rgmii":
            self.tx_clk, self.tx_dv = dut.tx_clk, dut.tx_ctl
            self.sink = RgmiiSink(dut.txd, dut.tx_ctl, dut.tx_clk)
            self.wire = RgmiiSource(dut.rxd, dut.rx_ctl, dut.phy_rx_clk)
        else:
            self.tx_clk, self.tx_dv = dut.phy_tx_clk, dut.tx_en
            self.sink = MiiSink(dut.txd, dut.tx_er, dut.tx_en, dut.phy_tx_clk)
            self.wire = MiiSource(dut.rxd, dut.rx_er, dut.rx_dv, dut.phy_rx_clk)
        for model in (self.sink, self.wire):
            model.log.setLevel(logging.WARNING)

    async def _watch_gaps(self) -> None:
        idle, seen = 0, False
        while True:
            await RisingEdge(self.tx_clk)
            if self.tx_dv.value:
                if seen and idle:
                    assert idle % OCTET_CYCLES[self.interface] == 0
                    self.gaps.append(idle // OCTET_CYCLES[self.interface])
                idle, seen = 0, True
            else:
                idle += 1

    async def _watch_mac(self) -> None:
        dut, octets, bad = self.dut, bytearray(), None
        while True:
            await RisingEdge(dut.clk)
            if dut.o_valid.value:
                keep = int(dut.o_keep.value)
                octets += int(dut.o_data.value).to_bytes(len(dut.o_keep), "little")[: keep.bit_length()]
                if dut.o_last.value:
                    bad = bool(dut.o_error.value)
            if dut.end_valid.value:
                status = RxFrameStatus(int(dut.end_status.value))
                self.ends.append(status)
                assert (status is RxFrameStatus.OK) == (bad is False)
                if status is RxFrameStatus.OK:
                    self.received.append(bytes(octets[_PAD_OCTETS:]))
                octets, bad = bytearray(), None

    async def sent(self, count: int) -> list:
        """Wait for so many frames at the PHY and return them."""
        frames = [await self.sink.recv() for _ in range(count)]
        await ClockCycles(self.tx_clk, 20 * OCTET_CYCLES[self.interface])
        assert self.sink.empty()
        return frames

    async def heard(self, count: int) -> None:
        """Wait for the end of so many carrier events."""
        while len(self.ends) < count:
            await ClockCycles(self.dut.clk, 10)
        await ClockCycles(self.dut.clk, 100)
        assert len(self.ends) == count

    def frame(self, length: int) -> bytes:
        """Return a random frame without FCS."""
        return self.rng.randbytes(length)
