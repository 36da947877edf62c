"""Frames with anything changed in them, through all that a host may have on its way in: nothing breaks or leaks."""

from contextlib import suppress
from random import Random

import pytest

from hardwire.stack import socket as api
from hardwire.stack.iproute2.args import CommandError
from hardwire.stack.iproute2.ip import ip
from hardwire.stack.nft import nft
from hardwire.stack.wire.checksum import ip_fast_csum
from hardwire.tb.bench import seed
from hardwire.tb.stack.pair import PairHost
from hardwire.tb.stack.test_receive_fuzz import FRAMES, NAMES, host

RULES = """\
add table ip t
add chain ip t in { type filter hook input priority 0; }
add rule ip t in ct state invalid counter
add chain ip t pre { type nat hook prerouting priority dstnat; }
add rule ip t pre udp dport 7 redirect to 9000
add chain ip t post { type nat hook postrouting priority srcnat; }
add rule ip t post counter masquerade
"""
LINKS = {
    "plain": (),
    "stacked": (
        "link add link eth0 name v5 type vlan id 5",
        "link set v5 up",
        "addr add 10.5.0.1/24 dev v5",
        "link add link eth0 name m0 type macvlan mode bridge",
        "link set m0 up",
        "link add t0 type ipip local 10.0.0.2 remote 10.0.0.1",
        "link set t0 up",
        "addr add 172.16.0.1/24 dev t0",
    ),
    "bridge": (
        "link add br0 type bridge stp_state 1",
        "link set br0 up",
        "link set eth0 master br0",
        "addr flush dev eth0",
        "addr add 10.0.0.2/24 dev br0",
    ),
    "bond": (
        "link add bond0 type bond mode 802.3ad",
        "link set eth0 down",
        "link set eth0 master bond0",
        "link set bond0 up",
        "addr add 10.0.0.2/24 dev bond0",
    ),
}


def changed(rng: Random, frame: bytes) -> bytes:
    """Return a frame with some octets, or its length, or its tags changed, often with a right header checksum."""
    mutated = bytearray(frame)
    for _ in range(rng.choice((0, 1, 1, 2, 4))):
        mutated[rng.randrange(len(mutated))] = rng.choice((0, 1, 0x45, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    if rng.random() < 0.2:
        del mutated[rng.randint(14, len(mutated)) :]
    if rng.random() < 0.1:
        mutated += rng.randbytes(rng.randrange(100))
    if rng.random() < 0.5 and len(mutated) >= 34:
        ihl = max((mutated[14] & 15) * 4, 20)
        mutated[24:26] = bytes(2)
        mutated[24:26] = ip_fast_csum(bytes(mutated[14 : 14 + ihl])).to_bytes(2, "big")
    if rng.random() < 0.2:
        mutated[12:12] = rng.choice((b"\x81\x00\x00\x05", b"\x88\xa8\x00\x05", b"\x81\x00\xff\xff"))
    return bytes(mutated)


def drain(ours: PairHost) -> None:
    """Take what has arrived."""
    for sock in ours.sockets:
        for flags in (0, api.MSG_ERRQUEUE):
            with suppress(OSError):
                while True:
                    sock.recvmsg(100, 100, flags | api.MSG_DONTWAIT)


def receive_mutated(number: int, count: int) -> None:
    """Have hosts of each kind receive frames, ``count`` in all."""
    rng = Random(number)
    for links in LINKS.values():
        ours = host(rng.random() < 0.5, rng.choice((64, 2048)), router=True)
        nft(ours.net, RULES)
        for command in links:
            with suppress(CommandError):
                ip(ours.net, command)
        ours.sockets.append(ours.socket(api.AF_PACKET, api.SOCK_DGRAM, 3))
        for at in range(count // len(LINKS)):
            ours.receive(changed(rng, FRAMES[rng.choice(NAMES)]))
            if not at % 50:
                drain(ours)
                ours.platform.advance(rng.choice((0, 1_000_000, 1_000_000_000)))
        drain(ours)
        for sock in ours.sockets:
            sock.close()
        ours.platform.advance(700_000_000_000)
        assert not ours.platform.buffers
        assert not ours.net.ipv4.frag_mem


def test_frames_with_anything_changed_break_nothing() -> None:
    number = seed()
    print("seed", number)
    receive_mutated(number, 4_000)


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_a_million_frames_with_anything_changed_break_nothing() -> None:
    number = seed()
    print("seed", number)
    receive_mutated(number, 1_000_000)
