"""The MAC's receive side under Verilator: carrier events of all kinds against a reading of the octets in Python."""

import random
from dataclasses import dataclass, field

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge
from cocotbext.eth import GmiiFrame, GmiiSource
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Raw

from hardwire.hdl.rx.frame import RxFrameStatus
from hardwire.tb.bench import parameters, seed
from hardwire.tb.cocotb_test import SOAK, bench_test
from hardwire.tb.hdl.gmii_carrier import Carrier, End, random_carrier, read_carrier, with_fcs

PREAMBLE_AND_SFD = bytes([0x55] * 7 + [0xD5])
PAD_OCTETS = 2
MAX_OCTETS = 1518  # Without FCS.
END_CYCLES = 3


@dataclass
class Harness:
    """Clock, PHY and a record of what comes out."""

    dut: object
    rng: random.Random = field(default_factory=lambda: random.Random(seed()))
    ends: list[End] = field(default_factory=list)
    cycle: int = 0
    fallen: list[int] = field(default_factory=list)  # Cycles of the last octet of each carrier event.
    end_cycles: list[int] = field(default_factory=list)
    inside: int = 0  # Carrier events whose end is to come.

    async def start(self) -> None:
        """Reset."""
        dut = self.dut
        for name in ("gmii_rxd", "gmii_rx_dv", "gmii_rx_er", "odd_nibble", "vlan_strip"):
            getattr(dut, name).value = 0
        dut.enable.value = 1
        dut.rst.value = 1
        cocotb.start_soon(Clock(dut.clk, 8, unit="ns").start())
        for _ in range(3):
            await RisingEdge(dut.clk)
        dut.rst.value = 0
        cocotb.start_soon(self._watch())

    async def _watch(self) -> None:
        """Put beats together; what is sampled is of the cycle before the edge."""
        dut, octets, bad, cut = self.dut, bytearray(), None, False
        width_octets = len(dut.o_keep)
        dv = 0
        while True:
            await RisingEdge(dut.clk)
            self.cycle += 1
            assert dut.busy.value or not self.inside
            if dut.enable.value:
                if dv and not dut.gmii_rx_dv.value:
                    self.fallen.append(self.cycle)
                if not dv and dut.gmii_rx_dv.value:
                    self.inside += 1
                dv = int(dut.gmii_rx_dv.value)
            if dut.o_valid.value:
                assert not cut, "a beat behind the end of a frame that was cut"
                keep, last = int(dut.o_keep.value), bool(dut.o_last.value)
                assert keep & (keep + 1) == 0
                assert keep
                assert last or keep == (1 << width_octets) - 1
                octets += int(dut.o_data.value).to_bytes(width_octets, "little")[: keep.bit_length()]
                if last:
                    bad = bool(dut.o_error.value)
                    cut = not dut.end_valid.value
                    assert bad or not cut
                    assert len(octets) <= PAD_OCTETS + MAX_OCTETS + width_octets
            if dut.end_valid.value:
                status = RxFrameStatus(int(dut.end_status.value))
                end = End(status, int(dut.end_octets.value))
                assert (status is RxFrameStatus.OK) == (bad is False)
                if status is RxFrameStatus.OK:
                    end.frame = bytes(octets[PAD_OCTETS:])
                    end.broadcast, end.multicast = bool(dut.end_broadcast.value), bool(dut.end_multicast.value)
                    end.tci = int(dut.end_tci.value) if dut.end_tagged.value else None
                else:
                    assert bad or not octets
                self.inside -= 1
                self.ends.append(end)
                self.end_cycles.append(self.cycle)
                octets, bad, cut = bytearray(), None, False

    async def send(self, carrier: Carrier, *, gap: int = 12, every: int = 1) -> None:
        """Put a carrier event on GMII, an octet each ``every`` cycles, and silence behind it."""
        dut = self.dut
        for number in range(len(carrier.octets) + max(1, gap)):
            here = number < len(carrier.octets)
            dut.gmii_rx_dv.value = here
            dut.gmii_rxd.value = carrier.octets[number] if here else self.rng.getrandbits(8)
            dut.gmii_rx_er.value = number in carrier.errors if here else self.rng.getrandbits(1)
            dut.odd_nibble.value = carrier.odd_nibble and number == len(carrier.octets)
            dut.enable.value = 1
            await RisingEdge(dut.clk)
            for _ in range(every - 1):
                dut.enable.value = 0
                await RisingEdge(dut.clk)

    async def settle(self) -> None:
        """Wait for the end of everything."""
        self.dut.gmii_rx_dv.value = 0
        self.dut.gmii_rx_er.value = 0
        self.dut.enable.value = 1
        for _ in range(8):
            await RisingEdge(self.dut.clk)
        assert not self.dut.busy.value


async def started(dut) -> Harness:
    harness = Harness(dut)
    await harness.start()
    return harness


def check(harness: Harness, sent: list[Carrier], *, vlan_strip: bool = False) -> None:
    expected = [read_carrier(carrier, max_octets=MAX_OCTETS, vlan_strip=vlan_strip) for carrier in sent]
    assert len(harness.ends) == len(expected)
    for number, (found, wanted) in enumerate(zip(harness.ends, expected, strict=True)):
        assert found == wanted, f"carrier event {number}: {sent[number].octets[:20].hex()}"


@bench_test
async def carrier_events_of_all_kinds_are_told_apart(dut):
    harness = await started(dut)
    rng = harness.rng
    for vlan_strip in (False, True):
        dut.vlan_strip.value = vlan_strip
        harness.ends.clear()
        sent = []
        for _ in range(1500 if SOAK else 120):
            sent.append(random_carrier(rng, max_octets=MAX_OCTETS))
            await harness.send(sent[-1], gap=rng.choice((1, 2, 5, 12, 30)))
        await harness.settle()
        check(harness, sent, vlan_strip=vlan_strip)


@bench_test
async def every_length_is_received_back_to_back(dut):
    harness = await started(dut)
    sent = [Carrier(PREAMBLE_AND_SFD + with_fcs(harness.rng.randbytes(size))) for size in range(60, 160)]
    for carrier in sent:
        await harness.send(carrier)
    await harness.settle()
    check(harness, sent)
    assert {end.status for end in harness.ends} == {RxFrameStatus.OK}
    assert [end - fall for fall, end in zip(harness.fallen, harness.end_cycles, strict=True)] == [END_CYCLES - 1] * 100


@bench_test
async def slow_octets_make_the_same_frames(dut):
    harness = await started(dut)
    rng = harness.rng
    dut.vlan_strip.value = 1
    sent = []
    for _ in range(40):
        sent.append(random_carrier(rng, max_octets=MAX_OCTETS))
        await harness.send(sent[-1], gap=rng.choice((1, 12)), every=rng.choice((1, 2, 10)))
    await harness.settle()
    check(harness, sent, vlan_strip=True)


@bench_test
async def frames_of_a_phy_model_come_through(dut):
    """cocotbext-eth's PHY as the source, scapy as the writer of frames."""
    harness = await started(dut)
    source = GmiiSource(dut.gmii_rxd, dut.gmii_rx_er, dut.gmii_rx_dv, dut.clk, dut.rst)
    source.log.setLevel("WARNING")
    dut.vlan_strip.value = 1
    rng, sent = harness.rng, []
    for number in range(30):
        link = Ether(dst="02:00:00:00:00:02", src="02:00:00:00:00:01")
        if number % 3 == 0:
            link /= Dot1Q(vlan=number, prio=5)
        packet = bytes(link / IP(dst="10.0.0.2") / UDP() / Raw(rng.randbytes(rng.randrange(1400)))).ljust(60, b"\0")
        frame = GmiiFrame.from_payload(packet)
        sent.append(Carrier(bytes(frame.data)))
        await source.send(frame)
    await source.wait()
    await harness.settle()
    check(harness, sent, vlan_strip=True)


@bench_test
async def a_frame_that_ends_in_its_tag_leaves_nothing_behind(dut):
    harness = await started(dut)
    dut.vlan_strip.value = 1
    sent = []
    for size in range(11, 20):
        short = harness.rng.randbytes(12) + b"\x81\x00\x12\x34" + harness.rng.randbytes(4)
        for octets in (short[:size], harness.rng.randbytes(60)):
            sent.append(Carrier(PREAMBLE_AND_SFD + with_fcs(octets)))
            await harness.send(sent[-1])
    await harness.settle()
    check(harness, sent, vlan_strip=True)


@bench_test
async def octets_are_counted_up_to_65535(dut):
    harness = await started(dut)
    dut.gmii_rx_dv.value = 1
    dut.gmii_rxd.value = 0xD5
    await ClockCycles(dut.clk, 1)
    dut.gmii_rxd.value = 0
    await ClockCycles(dut.clk, 65_535 + 70)
    await harness.settle()
    good = Carrier(PREAMBLE_AND_SFD + with_fcs(bytes(60)))
    await harness.send(good)
    await harness.settle()
    assert harness.ends.pop(0) == End(RxFrameStatus.JABBER, 65_535)
    check(harness, [good])


@bench_test
async def nothing_changes_while_nothing_comes(dut):
    harness = await started(dut)
    assert parameters()["max_frame_octets"] == MAX_OCTETS
    await harness.send(Carrier(PREAMBLE_AND_SFD + with_fcs(harness.rng.randbytes(77))))
    await harness.settle()
    harness.ends.clear()
    outputs = ("o_data", "o_keep", "o_error", "end_status", "end_octets", "end_tci", "end_tagged", "end_multicast")
    before = [int(getattr(dut, name).value) for name in outputs]
    for _ in range(50):
        dut.gmii_rxd.value = harness.rng.choice((0xD5, harness.rng.getrandbits(8)))
        dut.gmii_rx_er.value = harness.rng.getrandbits(1)
        dut.odd_nibble.value = harness.rng.getrandbits(1)
        await RisingEdge(dut.clk)
        assert not dut.busy.value
        assert not dut.o_valid.value
        assert [int(getattr(dut, name).value) for name in outputs] == before
    assert not harness.ends
