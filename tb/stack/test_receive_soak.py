"""A router with sockets of each kind under a million frames with faults: each is accounted for, and nothing is left."""

import gc
import os
import random
from collections.abc import Iterator
from contextlib import suppress

import pytest

from hardwire.stack import socket as api
from hardwire.stack.core.dev_napi import napi_enable
from hardwire.stack.core.dev_register import dev_open, register_netdevice
from hardwire.stack.core.drop_reasons import SkbDropReason
from hardwire.stack.core.netdevice import NETIF_F_HW_CSUM, NETIF_F_SG
from hardwire.stack.core.skbuff import SkBuff
from hardwire.stack.iproute import addr_add, neigh_add, route_add
from hardwire.stack.ipv4.devinet import inet_forward_change
from hardwire.stack.proc import proc_net
from hardwire.stack.wire.checksum import ip_fast_csum
from hardwire.tb.stack.fake import FakePlatform
from hardwire.tb.stack.frames import MY_MAC, arp, icmp, ip, udp
from hardwire.tb.stack.inet_host import raises
from hardwire.tb.stack.pair import PairHost, WireDevice
from hardwire.tb.stack.test_receive_linux import FRAMES

SEED = int(os.environ.get("HARDWIRE_SEED") or random.SystemRandom().getrandbits(32))
GROUP = 0xEF010203
LONG = udp(9000, bytes(3000))
# Besides those of the comparison with Linux: to groups, to be forwarded, in fragments, with options.
SEEDS = [
    *FRAMES.values(),
    ip(udp(9000, dst=GROUP), dst=GROUP, mac=bytes.fromhex("01005e010203")),
    ip(udp(9000, src=0x0A000009, dst=GROUP), src=0x0A000009, dst=GROUP, mac=bytes.fromhex("01005e010203")),
    ip(udp(7, dst=0x0A010007), dst=0x0A010007),
    ip(udp(7, bytes(1400), dst=0x0A010007), dst=0x0A010007),
    ip(udp(7, dst=0x0A010007), dst=0x0A010007, ttl=1),
    ip(udp(7, dst=0x0A010007), dst=0x0A010007, options=b"\x94\4\0\0"),
    ip(udp(7, dst=0x0A010063), dst=0x0A010063),
    ip(LONG[:1480], frag=0x2000),
    ip(LONG[1480:2960], frag=0x2000 | 185),
    ip(LONG[2960:], frag=370),
    ip(b"x" * 40, 46, options=b"\x94\4\0\0"),
    ip(b"x" * 40, 46),
    ip(udp(9000), options=b"\x83\x07\4\x0a\0\0\2\0"),
    ip(udp(9000), options=b"\7\x0b\4" + bytes(8) + b"\0"),
    ip(icmp(8, data=bytes(1000)), 1),
    ip(icmp(3, 4, b"\0\0\2\x58", ip(udp(9, src=0x0A000002, dst=0x0A000001), src=0x0A000002, dst=0x0A000001)[14:42]), 1),
    arp(),
    arp(2),
    arp(tip=0x0A010007),
]


def mutated(rng: random.Random) -> Iterator[bytes]:
    """Yield frames with faults; many have a right header checksum again, so that they get further."""
    while True:
        frame = bytearray(rng.choice(SEEDS))
        for _ in range(rng.choice((0, 0, 1, 1, 2, 5))):
            frame[rng.randrange(len(frame))] = rng.randrange(256)
        cut = rng.random()
        if cut < 0.1 and len(frame) > 14:
            del frame[rng.randrange(14, len(frame)) :]
        elif cut < 0.15:
            frame += rng.randbytes(rng.randrange(100))
        if rng.random() < 0.9:
            frame[:6] = frame[:6] if frame[0] & 1 else MY_MAC
        if rng.random() < 0.5 and frame[12:14] == b"\x08\x00" and len(frame) >= 34:
            ihl = max((frame[14] & 15) * 4, 20)
            frame[24:26] = bytes(2)
            frame[24:26] = ip_fast_csum(bytes(frame[14 : 14 + ihl])).to_bytes(2, "big")
        yield bytes(frame)


class Router:
    """10.0.0.2/24 and 10.1.0.1/24, with sockets that want to know everything."""

    def __init__(self, seed: int) -> None:
        self.platform = FakePlatform(seed)
        kwargs = {"features": NETIF_F_SG | NETIF_F_HW_CSUM, "complete": bool(seed & 1)}
        self.host = PairHost(self.platform, MY_MAC, "10.0.0.2/24", **kwargs)
        net = self.net = self.host.net
        self.far = WireDevice(net, bytes.fromhex("020000000301"), **kwargs)
        register_netdevice(self.far)
        napi_enable(self.far.napi)
        dev_open(self.far)
        addr_add(self.far, "10.1.0.1/24")
        inet_forward_change(net, True)
        neigh_add(self.host.dev, "10.0.0.1", "02:00:00:00:00:01")
        neigh_add(self.far, "10.1.0.7", "02:00:00:00:03:07")
        route_add(net, "198.51.100.0/24", via="10.1.0.7", mtu=576)
        self.sockets = [self._udp(), self._raw(api.IPPROTO_ICMP), self._raw(api.IPPROTO_UDP), self._raw(46)]

    def _udp(self):
        sock = self.net.socket()
        sock.bind(("", 9000))
        mreq = bytes((239, 1, 2, 3, 10, 0, 0, 2))
        sock.setsockopt(api.SOL_IP, api.IP_ADD_MEMBERSHIP, mreq)
        sock.setsockopt(api.SOL_IP, api.IP_BLOCK_SOURCE, mreq + bytes((10, 0, 0, 9)))
        return self._curious(sock)

    def _raw(self, protocol: int):
        sock = self.net.socket(api.AF_INET, api.SOCK_RAW, protocol)
        if protocol == 46:
            sock.setsockopt(api.SOL_IP, api.IP_ROUTER_ALERT, 1)
        return self._curious(sock)

    @staticmethod
    def _curious(sock):
        for option in (8, 12, 13, 6, 7, 20, 23, 25, 11, 26):  # All control messages, and all errors.
            sock.setsockopt(api.SOL_IP, option, 1)
        for option in (api.SO_TIMESTAMPNS, api.SO_RXQ_OVFL, api.SO_RCVMARK):
            sock.setsockopt(api.SOL_SOCKET, option, 1)
        sock.setsockopt(api.SOL_SOCKET, api.SO_RCVBUF, 20_000)
        return sock

    def drain(self, rng: random.Random) -> int:
        """Receive all that waits; return how many packets that were."""
        count = 0
        for sock in self.sockets:
            for flags in (api.MSG_DONTWAIT, api.MSG_DONTWAIT | api.MSG_ERRQUEUE):
                while sock.sk.sk_error_queue if flags & api.MSG_ERRQUEUE else sock.sk.sk_receive_queue:
                    with suppress(OSError):
                        sock.recvmsg(rng.choice((0, 10, 4000)), rng.choice((0, 50, 1000)), flags)
                    count += 1
            sock.getsockopt(api.SOL_SOCKET, api.SO_ERROR)
        return count

    def ends(self) -> int:
        """Return how many things have happened to packets so far."""
        return sum(self.host.kernel.drops) + sum(self.net.mib.values()) + self.net.ipv4.frag_mem

    def run(self, count: int, rng: random.Random) -> None:
        """Receive so many frames, now and then on the other device; let time pass, and the sockets be emptied."""
        frames = mutated(rng)
        for number in range(count):
            dev = self.far if rng.random() < 0.1 else self.host.dev
            frame = next(frames)
            before = self.ends()
            dev.receive(frame)
            assert self.ends() != before or frame[12:14] == b"\x08\x06", frame.hex()
            if not number % 50:
                self.drain(rng)
                self.platform.advance(rng.choice((0, 1_000_000, 1_000_000_000)))
                self.host.dev.sent.clear()
                self.far.sent.clear()
                assert self.net.ipv4.frag_mem <= self.net.ipv4.sysctl_ipfrag_high_thresh + 70_000
                assert len(self.net.ipv4.arp_tbl.nht) <= self.net.ipv4.arp_tbl.gc_thresh3 + 2
                assert len(self.platform.buffers) < 3000

    def finish(self, rng: random.Random) -> None:
        """Check that nothing is left of all that came."""
        self.drain(rng)
        self.platform.advance(200_000_000_000)
        self.drain(rng)
        for sock in self.sockets:
            sock.close()
        self.platform.advance(200_000_000_000)
        assert len(self.platform.buffers) == 0
        assert self.net.ipv4.frag_mem == 0
        assert self.host.kernel.netstamp_needed == 0
        gc.collect()
        assert not [one for one in gc.get_objects() if isinstance(one, SkBuff) and one.kernel is self.host.kernel]
        assert int(proc_net(self.net, "softnet_stat").split()[0], 16) > 0


def soak(count: int) -> None:
    print(f"HARDWIRE_SEED={SEED}")
    rng = random.Random(SEED)
    router = Router(SEED)
    router.run(count, rng)
    reasons = router.host.kernel.drop_counts()
    router.finish(rng)
    assert len(reasons) > 8, reasons  # Many ways were taken.
    assert router.host.kernel.drops[SkbDropReason.NOT_SPECIFIED] < count / 2


def test_a_router_gets_frames_with_faults():
    soak(10_000)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_router_gets_a_million_frames_with_faults():
    soak(1_000_000)


def test_a_flood_of_questions_makes_no_more_neighbours_than_the_table_holds():
    router = Router(1)
    addr_add(router.host.dev, "10.9.0.1/16")
    tbl = router.net.ipv4.arp_tbl
    for number in range(5000):
        sender = 0x0A090101 + number
        router.host.receive(arp(sip=sender, sha=b"\2" + number.to_bytes(5, "big")))
    assert tbl.gc_thresh2 < len(tbl.nht) <= tbl.gc_thresh3 + 2  # Those set by hand do not count.
    assert len(router.platform.buffers) == 0


def test_sends_to_ever_more_hosts_that_do_not_answer_stay_within_the_table_and_the_queues():
    router = Router(1)
    addr_add(router.far, "10.9.0.1/16")
    tbl = router.net.ipv4.arp_tbl
    sock = router.net.socket()
    sock.setsockopt(api.SOL_SOCKET, api.SO_SNDBUFFORCE, 1 << 29)
    sock.setsockopt(api.SOL_IP, api.IP_RECVERR, 1)  # Else a full queue is no error.
    full = 0
    for number in range(3000):
        try:
            sock.sendto(bytes(100), (f"10.9.{1 + number // 250}.{1 + number % 250}", 9))
        except OSError as error:
            full += 1
            last = error
    assert len(tbl.nht) <= tbl.gc_thresh3 + 10  # Those set by hand do not count.
    assert full > 1500
    assert last.errno == 105  # ENOBUFS
    assert tbl.stats["table_fulls"] == full
    for _ in range(5000):
        with suppress(OSError):
            sock.sendto(bytes(1000), ("10.9.1.1", 9))
    (neigh,) = [neigh for neigh in tbl.nht.values() if neigh.primary_key == 0x0A090101]
    assert neigh.arp_queue_len_bytes <= neigh.parms.queue_len_bytes
    router.platform.advance(10_000_000_000)
    assert not neigh.arp_queue
    sock.close()
    for one in router.sockets:
        one.close()
    router.platform.advance(100_000_000_000)
    assert len(router.platform.buffers) == 0
    with raises(9):
        sock.sendto(b"x", ("10.9.1.1", 9))
