"""Frames of every kind into the MAC of the real gateware: each is delivered exactly, or counted once for its reason."""

import collections
import os
import random

import pytest

from hardwire.hdl.mac.fcs import fcs_octets
from hardwire.hdl.rx.frame import RxFrameStatus
from hardwire.sim.bus_model import BusModel
from hardwire.sim.nic import SimNic
from hardwire.sim.world import World
from hardwire.stack.abi import GLOBAL, RxFlags, RxStatus
from hardwire.tb.bench import seed
from hardwire.tb.e2e.raw_receive import RawReceive, rx_counters
from hardwire.tb.hdl.gmii_carrier import Carrier, End, random_carrier, read_carrier
from hardwire.tb.hdl.rx_frames import complete_sum, expected_flags, hash_bit, random_frame

MAC = bytes.fromhex("020000000002")
VLANS = (5, 77)
GROUPS = ("01:00:5e:00:00:01", "01:00:5e:7f:ff:fa", "33:33:00:00:00:01")
DESTINATIONS = (MAC.hex(":"), MAC.hex(":"), MAC.hex(":"), "02:00:00:00:00:03", "ff:ff:ff:ff:ff:ff", *GROUPS)
COUNTERS = {
    RxFrameStatus.NO_SFD: "rx_no_sfd",
    RxFrameStatus.SYMBOL_ERROR: "rx_symbol_errors",
    RxFrameStatus.OVERSIZE: "rx_oversize",
    RxFrameStatus.JABBER: "rx_jabbers",
    RxFrameStatus.UNDERSIZE: "rx_undersize",
    RxFrameStatus.FRAGMENT: "rx_fragments",
    RxFrameStatus.ALIGNMENT_ERROR: "rx_alignment_errors",
    RxFrameStatus.FCS_ERROR: "rx_fcs_errors",
}
BAD_CHECKSUM = RxFlags.CSUM_IPV4_BAD | RxFlags.CSUM_L4_BAD


class Filter:
    """What is to be received."""

    def __init__(self, rng: random.Random) -> None:
        self.groups = sum(1 << hash_bit(bytes.fromhex(group.replace(":", ""))) for group in rng.sample(GROUPS, 1))
        names = ("promiscuous", "all_multicast", "broadcast", "vlan_strip", "vlan_filter")
        odds = (0.2, 0.3, 0.7, 0.6, 0.5)
        self.control = {name: rng.random() < chance for name, chance in zip(names, odds, strict=True)}

    def accepts(self, end: End) -> bool:
        """Return if a good frame is wanted."""
        assert end.frame is not None
        control, destination = self.control, end.frame[:6]
        if control["promiscuous"]:
            return True
        tci = end.tci
        if tci is None and end.frame[12:14] == b"\x81\x00":
            tci = int.from_bytes(end.frame[14:16], "big")
        vid = (tci or 0) & 0xFFF
        if control["vlan_filter"] and vid and vid not in VLANS:
            return False
        if end.broadcast:
            return control["broadcast"]
        if end.multicast:
            return control["all_multicast"] or bool(self.groups >> hash_bit(destination) & 1)
        return destination == MAC


def random_event(rng: random.Random, bodies: list[bytes]) -> Carrier:
    """Return random octets, or one of some frames, whole or spoilt."""
    return random_carrier(rng, max_octets=9018, body=rng.choice(bodies) if rng.random() < 0.7 else None)


def flags_of(end: End) -> int:
    assert end.frame is not None
    return expected_flags(end.frame) | (RxFlags.VLAN if end.tci is not None else 0)


def receive(frames: int, first_seed: int) -> None:
    rng = random.Random(first_seed)
    world = World(seed=first_seed)
    host = world.host()
    nic = SimNic(host, bus=BusModel(read_latency_ns=rng.choice((0, 300)), write_latency_ns=rng.choice((0, 300))))
    queue = RawReceive(nic, rng, ring_log2=9)
    world.advance(100_000)  # After reset the table of VLANs is emptied.
    counted: collections.Counter[str] = collections.Counter()
    # Scapy takes more time for a frame than all the rest; so each of them is used some times, spoilt in other ways.
    bodies = [random_frame(rng, rng.choice(DESTINATIONS), most=1514) for _ in range(frames // 10)]
    while frames > 0:
        wanted = Filter(rng)
        queue.select(mac=MAC, groups=wanted.groups, vlans=VLANS, **wanted.control)
        queue.post(400)
        events = [random_event(rng, bodies) for _ in range(min(frames, 30))]
        frames -= len(events)
        for event in events:
            nic.inject(
                event.octets,
                errors=bytes(n in event.errors for n in range(len(event.octets))) if event.errors else None,
                gap_octets=rng.choice((12, 12, 5, 30)),
            )
        world.drain()
        expected = []
        for event in events:
            event.odd_nibble = False
            end = read_carrier(event, max_octets=9018, vlan_strip=wanted.control["vlan_strip"])
            if end.frame is None:
                counted[COUNTERS[end.status]] += 1
                continue
            counted["rx_frames"] += 1
            counted["rx_octets"] += end.octets
            counted["rx_broadcast"] += end.broadcast
            counted["rx_multicast"] += end.multicast
            if wanted.accepts(end):
                expected.append(end)
                counted["rx_csum_errors"] += bool(flags_of(end) & BAD_CHECKSUM)
                counted["rx_vlan"] += end.tci is not None
            else:
                counted["rx_filtered"] += 1
        counted["rx_delivered"] += len(expected)
        found = queue.poll()
        assert len(found) == len(expected)
        for got, end in zip(found, expected, strict=True):
            assert (got.status, got.frame) == (RxStatus.OK, end.frame)
            assert (RxFlags(got.flags), got.csum) == (RxFlags(flags_of(end)), complete_sum(end.frame or b""))
            assert end.tci is None or got.tci == end.tci
    counters = rx_counters(nic)
    bins = [name for name in counters if name.removeprefix("rx_")[0].isdigit()]
    assert sum(counters.pop(name) for name in bins) == counted["rx_frames"]
    assert {name: count for name, count in counters.items() if count} == {n: c for n, c in counted.items() if c}


def test_each_frame_is_delivered_or_counted_for_its_reason() -> None:
    first_seed = seed()
    print(f"HARDWIRE_SEED={first_seed}")
    receive(3000, first_seed)


def test_a_vlan_counts_as_soon_as_the_reset_has_ended() -> None:
    nic = SimNic(World(seed=1).host())
    ctrl, status = GLOBAL["CTRL"], GLOBAL["STATUS"]
    nic.write32(GLOBAL.address(ctrl), ctrl.pack(soft_reset=1))
    while nic.read32(GLOBAL.address(status)) & status["resetting"].mask:
        pass
    queue = RawReceive(nic, random.Random(1))
    queue.select(mac=MAC, vlans=VLANS, vlan_filter=1, broadcast=1)
    queue.post(10)
    nic.world.advance(10_000)
    nic.log_events()
    for vid in (VLANS[0], 6):
        nic.receive(frame := b"\xff" * 12 + b"\x81\x00" + vid.to_bytes(2, "big") + bytes(60), fcs_octets(frame))
    nic.world.drain()
    assert [received.frame[14:16] for received in queue.poll()] == [VLANS[0].to_bytes(2, "big")]
    told = [(event.kind, event.a, event.b) for event in nic.take_events() if event.kind in ("rx", "rx_cpl")]
    assert told == [("rx", 0, 0), ("rx_cpl", 0, RxStatus.OK)]


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_a_million_frames_are_delivered_or_counted() -> None:
    first_seed = seed()
    print(f"\nHARDWIRE_SEED={first_seed}")
    for part in range(100):
        receive(int(os.environ.get("HARDWIRE_FRAMES", "1000000")) // 100, first_seed + part)
