# amaranth: UnusedElaboratable=no
"""What is counted of frames on the wire, against the sizes in the contract's names."""

import random

import pytest
from amaranth.sim import Simulator

from hardwire.hdl.rmon import Rmon, RxRmon
from hardwire.hdl.rx.frame import RxFrameStatus
from hardwire.stack.abi import STATS

NAMES = [r.name.removesuffix("_LO").lower() for r in STATS.registers if r.name.endswith("_LO")]
SIZES = (64, 65, 127, 128, 255, 256, 511, 512, 1023, 1024, 1518, 1519, 1522, 2047, 2048, 9018, 65535)
BINS = {
    "64": range(65),
    "65_127": range(65, 128),
    "128_255": range(128, 256),
    "256_511": range(256, 512),
    "512_1023": range(512, 1024),
    "1024_1518": range(1024, 1519),
    "1519_max": range(1519, 65536),
}


def good(way, octets, broadcast, multicast):
    """Return what is added for a good frame."""
    (size,) = (name for name, sizes in BINS.items() if octets in sizes)
    added = {"frames": 1, "octets": octets, "broadcast": broadcast, "multicast": multicast, size: 1}
    return {f"{way}_{name}": number for name, number in added.items() if number}


def simulate(dut, testbench):
    """Run one testbench."""
    sim = Simulator(dut)
    sim.add_clock(8e-9)
    sim.add_testbench(testbench)
    sim.run()


def added(ctx, dut):
    """Return what is to be added now; all names are of the contract."""
    numbers = {name: ctx.get(dut.add[name]) for name in dut.add.shape().members}
    assert numbers.keys() <= set(NAMES)
    return {name: number for name, number in numbers.items() if number}


@pytest.mark.parametrize("way", ["tx", "rx"])
def test_rmon_counts_a_good_frame_once_by_size_and_by_addressee(way):
    dut = Rmon(way=way)
    rng = random.Random(way)

    async def testbench(ctx):
        for octets in (*SIZES, *(rng.randrange(64, 2000) for _ in range(300))):
            broadcast, multicast = rng.choice(((0, 0), (1, 0), (0, 1)))
            valid = rng.random() < 0.8
            ctx.set(dut.frame.payload, {"octets": octets, "broadcast": broadcast, "multicast": multicast})
            ctx.set(dut.frame.valid, valid)
            await ctx.tick()
            assert added(ctx, dut) == (good(way, octets, broadcast, multicast) if valid else {})

    simulate(dut, testbench)


@pytest.mark.parametrize(
    ("status", "name"),
    [
        ("NO_SFD", "rx_no_sfd"),
        ("SYMBOL_ERROR", "rx_symbol_errors"),
        ("OVERSIZE", "rx_oversize"),
        ("JABBER", "rx_jabbers"),
        ("UNDERSIZE", "rx_undersize"),
        ("FRAGMENT", "rx_fragments"),
        ("ALIGNMENT_ERROR", "rx_alignment_errors"),
        ("FCS_ERROR", "rx_fcs_errors"),
        ("OK", "rx_frames"),
    ],
)
def test_rx_rmon_counts_each_carrier_event_in_one_counter(status, name):
    dut = RxRmon()

    async def testbench(ctx):
        ctx.set(dut.end.payload, {"status": RxFrameStatus[status], "octets": 100, "multicast": 1})
        await ctx.tick()
        assert added(ctx, dut) == {}
        ctx.set(dut.end.valid, 1)
        await ctx.tick()
        assert added(ctx, dut) == (good("rx", 100, 0, 1) if status == "OK" else {name: 1})
        ctx.set(dut.end.valid, 0)
        await ctx.tick()
        assert added(ctx, dut) == {}

    simulate(dut, testbench)


def test_rmon_refuses_another_way():
    with pytest.raises(ValueError, match=r"^way must be tx or rx, not 'both'$"):
        Rmon(way="both")
