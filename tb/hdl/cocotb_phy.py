"""PHY adapters under Verilator: clocks that are apart, frames both ways, cocotbext-eth's models of the PHY."""

import cocotb

from hardwire.hdl.rx.frame import RxFrameStatus
from hardwire.tb.bench import parameters
from hardwire.tb.cocotb_test import SOAK, bench_test
from hardwire.tb.hdl.phy_harness import NOMINAL_PS, OCTET_CYCLES, Harness, carrier

GAP_OCTETS = 12
NOMINAL = NOMINAL_PS[parameters().get("interface", "gmii")]
SLOW, FAST = NOMINAL + NOMINAL // 10_000, NOMINAL - NOMINAL // 10_000  # 100 ppm
SYNC = 80_000 if NOMINAL == 80_000 else 8_000
SYNC_SLOW, SYNC_FAST = SYNC + SYNC // 10_000, SYNC - SYNC // 10_000
# Periods of core and PHY: as far apart as they may be, and ratios that have nothing in common.
PAIRS = [(SYNC, NOMINAL), (SYNC_SLOW, FAST), (SYNC_FAST, SLOW), (SYNC * 10 // 13, NOMINAL), (SYNC * 3 // 7, SLOW)]

# How much too slow a core is: 700 % starve the preamble already, where MiiSink loses the order of halves.
SLOWER_PERCENT = (10,) if NOMINAL == NOMINAL_PS["mii"] else (10, 700)


async def started(dut, **periods: int) -> Harness:
    """Return a harness after reset."""
    harness = Harness(dut)
    await harness.start(**periods)
    return harness


async def check_sent(harness: Harness, frames: list[bytes]) -> None:
    """Wait for these frames at the PHY."""
    for seen, octets in zip(await harness.sent(len(frames)), frames, strict=True):
        assert seen.error is None
        assert seen.check_fcs()
        assert bytes(seen.get_payload()) == octets.ljust(60, b"\0")
        preamble, _, _ = bytes(seen.data).partition(b"\xd5")
        assert preamble == b"\x55" * (6 if harness.interface == "gmii" else 7)  # GmiiSink leaves out the first octet.
    assert min(harness.gaps, default=GAP_OCTETS) >= GAP_OCTETS


@bench_test
@cocotb.parametrize(pair=PAIRS)
async def frames_reach_the_phy_whole_at_line_rate(dut, pair):
    sync_ps, tx_ps = pair
    harness = await started(dut, sync_ps=sync_ps, tx_ps=tx_ps)
    rng = harness.rng
    frames = [harness.frame(rng.choice((14, 60, 61, 62, 63, rng.randint(60, 300)))) for _ in range(40 if SOAK else 15)]
    for octets in frames:
        harness.source.send(octets)
    await check_sent(harness, frames)
    # A slower core may leave an octet more.
    assert max(harness.gaps) <= GAP_OCTETS + 1
    assert harness.gaps.count(GAP_OCTETS) >= len(harness.gaps) // 2
    harness.gaps.clear()
    frames = [harness.frame(rng.randint(14, 100)) for _ in range(6)]
    for octets in frames:
        pause = rng.choice((0, 1, 5, rng.randint(0, 300)))
        harness.source.send(octets, stalls=lambda beat, pause=pause: 0 if beat else pause)
    await check_sent(harness, frames)


@bench_test
@cocotb.parametrize(pair=PAIRS[1:3])
async def the_longest_frame_survives_clocks_that_are_200_ppm_apart(dut, pair):
    sync_ps, phy_ps = pair
    harness = await started(dut, sync_ps=sync_ps, tx_ps=phy_ps, rx_ps=phy_ps)
    octets, other = harness.frame(9018), harness.frame(9018)
    harness.source.send(octets)
    harness.wire.send_nowait(carrier(other))
    await check_sent(harness, [octets])
    await harness.heard(1)
    assert harness.received == [other]


@bench_test
async def an_error_of_the_mac_reaches_the_phy(dut):
    harness = await started(dut, sync_ps=SYNC)
    frames = [harness.frame(70) for _ in range(3)]
    for number, octets in enumerate(frames):
        harness.source.send(octets, error=number == 1)
    before, bad, after = await harness.sent(3)
    assert bad.error[-4:] == [1] * 4
    assert not any(bad.error[:-4])
    for seen, octets in ((before, frames[0]), (after, frames[2])):
        assert seen.error is None
        assert bytes(seen.get_payload()) == octets


@bench_test
@cocotb.parametrize(percent=SLOWER_PERCENT)
async def octets_that_a_slow_core_has_not_sent_are_errors(dut, percent):
    octet_ps = NOMINAL * OCTET_CYCLES[parameters()["interface"]]
    harness = await started(dut, sync_ps=octet_ps * (100 + percent) // 100)
    frames = [harness.frame(300) for _ in range(2)]
    for octets in frames:
        harness.source.send(octets)
    for starved, octets in zip(await harness.sent(2), frames, strict=True):
        assert sum(starved.error) >= 312 * percent // 100 - 8  # What it starts with lasts for some.
        good = bytes(octet for octet, error in zip(starved.data, starved.error, strict=True) if not error)
        assert good.partition(b"\xd5")[2][:-4] == octets


@bench_test
@cocotb.parametrize(pair=PAIRS)
async def frames_from_the_phy_reach_the_mac_whole(dut, pair):
    sync_ps, rx_ps = pair
    harness = await started(dut, sync_ps=sync_ps, rx_ps=rx_ps)
    rng = harness.rng
    good, ends = [], []
    for _ in range(3):
        harness.wire.ifg = rng.choice((1, 4, 12, 30))
        for _ in range(20 if SOAK else 8):
            octets = harness.frame(rng.choice((60, 61, 62, rng.randint(60, 300))))
            frame = carrier(octets)
            kind = rng.random()
            if kind < 0.15:
                frame.data[rng.randrange(8, len(frame.data))] ^= 1 << rng.randrange(8)
                ends.append(RxFrameStatus.FCS_ERROR)
            elif kind < 0.3:
                at = rng.randrange(8, len(frame.data))
                frame.error = [int(number == at) for number in range(len(frame.data))]
                ends.append(RxFrameStatus.SYMBOL_ERROR)
            elif kind < 0.4:
                frame.data = frame.data[:8] + frame.data[8 : 8 + rng.randint(1, 20)]
                ends.append(RxFrameStatus.FRAGMENT)
            elif kind < 0.5:
                frame.data = bytearray(b"\x55" * rng.randint(1, 12))
                ends.append(RxFrameStatus.NO_SFD)
            else:
                good.append(octets)
                ends.append(RxFrameStatus.OK)
            harness.wire.send_nowait(frame)
        await harness.heard(len(ends))
    assert harness.ends == ends
    assert harness.received == good
