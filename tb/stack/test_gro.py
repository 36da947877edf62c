"""Segments joined on their way in (GRO): which are; cutting gives them back; programs see no difference."""

import random
from collections import defaultdict
from struct import pack

import pytest

from hardwire.stack import socket as api
from hardwire.stack.core.dev_receive import RxHandlerResult, netdev_rx_handler_register
from hardwire.stack.core.netdevice import NETIF_F_HW_CSUM, NETIF_F_SG
from hardwire.stack.core.skbuff import (
    CHECKSUM_COMPLETE,
    CHECKSUM_NONE,
    CHECKSUM_PARTIAL,
    CHECKSUM_UNNECESSARY,
    SkBuff,
    consume_skb,
    skb_push,
)
from hardwire.stack.core.skbuff_data import skb_copy_bits
from hardwire.stack.core.skbuff_segment import skb_gso_segment
from hardwire.stack.iproute2.ethtool import ethtool
from hardwire.stack.iproute2.ip import ip as run_ip
from hardwire.stack.wire.checksum import csum_fold, csum_partial, csum_tcpudp_nofold
from hardwire.tb.bench import seed
from hardwire.tb.stack.bridged import OurBridge
from hardwire.tb.stack.fake import FakePlatform
from hardwire.tb.stack.frames import ME, MY_MAC, PEER, ip, udp
from hardwire.tb.stack.inet_host import MS
from hardwire.tb.stack.pair import PairHost
from hardwire.tb.stack.routed import Routed
from hardwire.tb.stack.tcp_oracle import ACK, CWR, ECE, FIN, PSH, RST, SYN, URG
from hardwire.tb.stack.tcp_pair import Cable, TcpPair

SEED = seed()
DF = 0x4000
MSS = 1448
STAMP = pack("!BBBBII", 1, 1, 8, 10, 1000, 2000)
LATER = pack("!BBBBII", 1, 1, 8, 10, 1001, 2000)
SACK = pack("!BBBBII", 1, 1, 5, 10, 7, 9)


def tcp(
    seq: int = 1000,
    payload: bytes = bytes(range(200)),
    flags: int = ACK,
    *,
    port: int = 5000,
    ack: int = 77,
    window: int = 500,
    options: bytes = STAMP,
    urgent: int = 0,
    bad: bool = False,
    ident: int = 77,
    dst: int = ME,
    **fields,
) -> bytes:
    """Return a frame with a segment to port 80, right but for what is given."""
    doff = 20 + len(options)
    header = pack("!HHIIBBHHH", port, 80, seq & 0xFFFFFFFF, ack, doff << 2, flags, window, 0, urgent) + options
    whole = header + payload
    check = csum_fold(csum_partial(whole, csum_tcpudp_nofold(PEER, dst, len(whole), 6))) ^ bad
    whole = whole[:16] + check.to_bytes(2, "big") + whole[18:]
    fields.setdefault("frag", DF)
    frame = bytearray(ip(whole, 6, dst=dst, **fields))
    # ip() has an identification of its own; the checksum follows it.
    frame[18:20] = ident.to_bytes(2, "big")
    if "check" not in fields:
        end = 14 + (frame[14] & 15) * 4
        frame[24:26] = b"\0\0"
        frame[24:26] = csum_fold(csum_partial(frame[14:end])).to_bytes(2, "big")
    return bytes(frame)


class Catcher(PairHost):
    """A host whose device's packets end in ``caught``, before any protocol sees them."""

    def __init__(self, **device) -> None:
        super().__init__(FakePlatform(1), MY_MAC, "10.0.0.2/24", **device)
        self.caught: list[SkBuff] = []
        netdev_rx_handler_register(self.dev, self._catch)

    def _catch(self, skb: SkBuff) -> tuple[RxHandlerResult, SkBuff]:
        self.caught.append(skb)
        return RxHandlerResult.CONSUMED, skb

    def together(self, *frames: bytes) -> list[SkBuff]:
        """Let frames arrive under one interrupt, and return what came of them."""
        self.caught.clear()
        self.dev.arrived.extend(frames[:-1])
        self.receive(frames[-1])
        return self.caught

    def counts(self, *frames: bytes) -> list[int]:
        """Let frames arrive under one interrupt, and return how many each packet that came of them stands for."""
        return [skb.gso_segs if skb.gso_size else 1 for skb in self.together(*frames)]


def cut(skb: SkBuff, features: int = 0) -> list[bytes]:
    """Return the frames that a packet stands for, and free it."""
    skb_push(skb, skb.data - skb.mac_header)
    frames = []
    if not skb.gso_size:
        frames.append(skb_copy_bits(skb, 0, skb.len))
    else:
        seg: SkBuff | None = skb_gso_segment(skb, features)
        while seg is not None:
            frame = bytearray(skb_copy_bits(seg, 0, seg.len))
            if seg.ip_summed == CHECKSUM_PARTIAL:
                start = seg.csum_start - seg.data
                at = start + seg.csum_offset
                frame[at : at + 2] = csum_fold(csum_partial(frame[start:])).to_bytes(2, "big")
            frames.append(bytes(frame))
            following, seg.next = seg.next, None
            consume_skb(seg)
            seg = following
    tag = pack("!HH", skb.vlan_proto, skb.vlan_tci) if skb.vlan_proto else b""
    consume_skb(skb)
    return [frame[:12] + tag + frame[12:] for frame in frames]


@pytest.fixture
def catcher():
    return Catcher()


FIRST = tcp()
# What may follow the first one, and whether it is joined with it.
FOLLOWERS = {
    "the next segment": (tcp(1200), True),
    "the next identification": (tcp(1200, ident=78), True),
    "a shorter one": (tcp(1200, bytes(50)), True),
    "PSH": (tcp(1200, flags=ACK | PSH), True),
    "FIN": (tcp(1200, flags=ACK | FIN), True),
    "a gap": (tcp(1201), False),
    "the same once more": (FIRST, False),
    "a longer one": (tcp(1200, bytes(201)), False),
    "no data": (tcp(1200, b""), False),
    "no data and padding": (tcp(1200, b"", options=b""), False),
    "another port": (tcp(1200, port=5001), False),
    "another ACK": (tcp(1200, ack=78), False),
    "another window": (tcp(1200, window=501), False),
    "a later time stamp": (tcp(1200, options=LATER), False),
    "other options": (tcp(1200, options=SACK), False),
    "more options": (tcp(1200, options=STAMP + SACK), False),
    "RST": (tcp(1200, flags=ACK | RST), False),
    "SYN": (tcp(1200, flags=ACK | SYN), False),
    "URG": (tcp(1200, flags=ACK | URG, urgent=5), False),
    "ECE": (tcp(1200, flags=ACK | ECE), False),
    "CWR": (tcp(1200, flags=ACK | CWR), False),
    "marked CE": (tcp(1200, tos=3), False),
    "another TTL": (tcp(1200, ttl=63), False),
    "no DF": (tcp(1200, frag=0), False),
    "a fragment": (tcp(1200, frag=DF | 0x2000), False),
    "a later fragment": (tcp(1200, frag=25), False),
    "an identification too far": (tcp(1200, ident=79), False),
    "a wrong checksum": (tcp(1200, bad=True), False),
    "a wrong header checksum": (tcp(1200, check=1), False),
    "IP options": (ip(tcp(1200)[34:], 6, frag=DF, options=b"\x94\x04\0\0"), False),
    "a length that is too short": (tcp(1200, total=200), False),
    "a header that is too short": (ip(tcp(1200)[34:46] + b"\x40" + tcp(1200)[47:], 6, frag=DF), False),
    "another protocol": (udp(9000, bytes(200)), False),
    "another station": (tcp(1200, mac=b"\2\0\0\0\0\x22"), False),
}


@pytest.mark.parametrize("what", FOLLOWERS)
def test_a_segment_is_joined_only_with_what_it_follows(catcher, what):
    frame, joined = FOLLOWERS[what]
    skbs = list(catcher.together(FIRST, frame))
    assert len(skbs) == 2 - joined
    assert sorted(octets for skb in skbs for octets in cut(skb)) == sorted([FIRST, frame])


@pytest.mark.parametrize("flags", [FIN, PSH, RST, SYN, URG])
def test_nothing_is_joined_with_what_ends_a_burst(catcher, flags):
    assert catcher.counts(tcp(1000, flags=ACK | flags), tcp(1200)) == [1, 1]


def test_a_short_segment_or_push_is_the_last(catcher):
    assert catcher.counts(tcp(1000), tcp(1200, bytes(50)), tcp(1250, bytes(50))) == [2, 1]
    assert catcher.counts(tcp(1000), tcp(1200, flags=ACK | PSH), tcp(1400)) == [2, 1]


def test_the_first_may_have_cwr(catcher):
    (skb,) = catcher.together(tcp(1000, flags=ACK | CWR), tcp(1200), tcp(1400))
    assert cut(skb) == [tcp(1000, flags=ACK | CWR), tcp(1200), tcp(1400)]


@pytest.mark.parametrize("step", [0, 1])
def test_identifications_stay_as_they_are(catcher, step):
    frames = [tcp(1000 + 200 * number, ident=0xFFFE + step * number & 0xFFFF) for number in range(5)]
    (skb,) = catcher.together(*frames)
    assert cut(skb) == frames


def test_identifications_may_not_change_their_way(catcher):
    assert catcher.counts(tcp(1000), tcp(1200), tcp(1400, ident=78)) == [2, 1]
    assert catcher.counts(tcp(1000), tcp(1200, ident=78), tcp(1400, ident=78)) == [2, 1]
    assert catcher.counts(tcp(1000, frag=0), tcp(1200, frag=0)) == [1, 1]
    assert catcher.counts(tcp(1000, frag=0), tcp(1200, frag=0, ident=78), tcp(1400, frag=0, ident=79)) == [3]


def test_a_joined_packet_has_headers_for_all(catcher):
    frames = [tcp(1000 + 200 * number, flags=ACK | (PSH if number == 3 else 0)) for number in range(4)]
    (skb,) = catcher.together(*frames)
    assert (skb.gso_size, skb.gso_segs, skb.len) == (200, 4, 52 + 800)
    assert (skb.ip_summed, skb.csum_start - skb.data, skb.csum_offset) == (CHECKSUM_PARTIAL, 20, 16)
    octets = skb_copy_bits(skb, 0, skb.len)
    assert csum_partial(octets[:20]) == 0xFFFF
    assert int.from_bytes(octets[2:4], "big") == skb.len
    assert int.from_bytes(octets[36:38], "big") == csum_tcpudp_nofold(PEER, ME, 832, 6)
    assert octets[33] == ACK | PSH
    assert octets[52:] == bytes(range(200)) * 4


def test_a_joined_packet_has_at_most_65535_octets(catcher):
    frames = [tcp(1000 + MSS * number, bytes([number]) * MSS) for number in range(100)]
    assert catcher.counts(*frames) == [45, 19, 36]  # A poll takes 64.


def test_at_most_eight_flows_are_held_and_the_oldest_goes(catcher):
    frames = [tcp(port=5000 + number) for number in range(9)] + [tcp(1200, port=5000), tcp(1200, port=5008)]
    counts = catcher.counts(*frames)
    ports = [int.from_bytes(skb.view[skb.data + 20 : skb.data + 22], "big") for skb in catcher.caught]
    assert ports[:2] == [5000, 5001]
    assert dict(zip(ports, counts, strict=False))[5008] == 2
    assert sum(counts) == 11


def test_nothing_is_held_from_one_poll_to_the_next(catcher):
    frames = [tcp(1000 + 10 * number, bytes(10)) for number in range(65)]  # The budget of a poll, and one more.
    assert catcher.counts(*frames) == [64, 1]


@pytest.mark.parametrize("summed", [CHECKSUM_NONE, CHECKSUM_COMPLETE, CHECKSUM_UNNECESSARY])
def test_a_checksum_is_believed_or_made_and_then_not_looked_at_again(summed, monkeypatch):
    catcher = Catcher(complete=summed == CHECKSUM_COMPLETE)
    build = catcher.dev.build

    def vouched(frame: bytes) -> SkBuff:
        skb = build(frame)
        skb.ip_summed = summed
        return skb

    monkeypatch.setattr(catcher.dev, "build", vouched)
    assert catcher.counts(tcp(), tcp(1200)) == [2]
    (alone,) = catcher.together(tcp())
    assert alone.ip_summed == (summed or CHECKSUM_UNNECESSARY)
    believed = summed == CHECKSUM_UNNECESSARY
    assert catcher.counts(tcp(), tcp(1200, bad=True)) == ([2] if believed else [1, 1])


def test_frames_in_several_buffers_are_joined(catcher):
    frames = [tcp(1000 + MSS * number, random.Random(number).randbytes(MSS)) for number in range(40)]
    for octets in (600, 100, 40):
        catcher.dev.buffer_octets = octets
        skbs = list(catcher.together(*frames))
        assert len(skbs) == 1
        assert skb_copy_bits(skbs[0], 52, 40 * MSS) == b"".join(frame[66:] for frame in frames)
        assert cut(skbs[0]) == frames
        assert len(catcher.platform.buffers) == 0


def test_ethtool_switches_it(catcher):
    assert "generic-receive-offload: on\n" in ethtool(catcher.net, "-k eth0")
    ethtool(catcher.net, "-K eth0 gro off")
    assert catcher.counts(tcp(), tcp(1200)) == [1, 1]
    assert "generic-receive-offload: off\n" in ethtool(catcher.net, "-k eth0")
    ethtool(catcher.net, "-K eth0 gro on")
    assert catcher.counts(tcp(), tcp(1200)) == [2]


class Flow:
    """Frames of one stream, most of them as a sender in a hurry makes them."""

    def __init__(self, port: int, source: random.Random) -> None:
        self.random = source
        self.port = port
        self.seq = source.getrandbits(32)
        self.ident = source.getrandbits(16)
        self.mss = source.choice([10, 100, 536, MSS])
        self.step = source.randrange(2)
        self.frag = source.choice([DF, DF, DF, 0])
        self.options = source.choice([b"", STAMP])
        self.tos = source.choice([0, 2])

    def frame(self) -> bytes:
        """Return the next frame."""
        chance = self.random.random
        size = self.mss if chance() < 0.8 else self.random.randrange(self.mss + 1)
        fields = {"tos": self.tos, "frag": self.frag, "options": self.options, "flags": ACK}
        if chance() < 0.1:
            fields["flags"] |= self.random.choice([FIN, SYN, RST, PSH, URG, ECE, CWR, PSH | FIN])
        if chance() < 0.05:
            odd = {"tos": 3, "ttl": 1, "frag": 0x2000, "options": SACK, "bad": True, "ack": 5, "window": 1, "check": 0}
            name = self.random.choice(list(odd))
            fields[name] = odd[name]
        if chance() < 0.03:
            self.seq += self.random.randrange(-2000, 2000)
        if chance() < 0.03:
            self.ident += self.random.randrange(-2, 3)
        frame = tcp(self.seq, self.random.randbytes(size), port=self.port, ident=self.ident & 0xFFFF, **fields)
        self.seq += size
        self.ident += self.step if self.frag else 1
        if chance() < 0.02:
            frame = frame[:12] + b"\x81\0\0\x05" + frame[12:]  # With a tag.
        return frame


@pytest.mark.parametrize("number", range(8))
def test_cutting_gives_back_the_octets_of_what_was_joined(number):
    print(f"HARDWIRE_SEED={SEED}")
    source = random.Random(f"{SEED}/{number}")
    catcher = Catcher(complete=source.random() < 0.5)
    catcher.dev.buffer_octets = source.choice([2048, 300])
    flows = [Flow(5000 + port, source) for port in range(source.choice([1, 3, 10]))]
    frames = []
    flow = flows[0]
    for _ in range(600):
        if source.random() < 0.3:
            flow = source.choice(flows)
        frames.append(flow.frame() if source.random() < 0.97 else udp(9000, source.randbytes(100)))
    got, joined, at = [], 0, 0
    while at < len(frames):
        burst = frames[at : at + source.randrange(1, 100)]
        at += len(burst)
        for skb in list(catcher.together(*burst)):
            joined += skb.gso_size != 0
            got += cut(skb, source.choice([0, NETIF_F_SG, NETIF_F_SG | NETIF_F_HW_CSUM]))
    assert joined > 10
    assert len(catcher.platform.buffers) == 0

    assert by_flow(got) == by_flow(frames)


def by_flow(frames: list[bytes]) -> dict[tuple[bytes, bool, bool], list[bytes]]:
    """Return frames by what has to stay in order: not what nobody may look into, since a checksum is wrong."""
    order = defaultdict(list)
    for frame in frames:
        length = len(frame) - 34
        right = csum_partial(frame[34:], csum_tcpudp_nofold(PEER, ME, length, frame[23])) == 0xFFFF
        order[frame[12:14] + frame[34:36], csum_partial(frame[14:34]) == 0xFFFF, right].append(frame)
    return order


class Bunch(Cable):
    """Frames that wait for the interrupt, which comes for several at once, as a card moderates it."""

    def receive(self, frame: bytes) -> None:
        for delay in self.choose(frame):
            self.platform.timer(self.platform.now_ns() + delay, lambda: self._arrive(frame))

    def _arrive(self, frame: bytes) -> None:
        if self.device.arrived:
            self.device.arrived.append(frame)
            return
        self.device.arrived.append(frame)
        self.platform.timer(self.platform.now_ns() + 100_000, self._interrupt)

    def _interrupt(self) -> None:
        self.device.receive(self.device.arrived.pop())


def bunched(seed: int, gro: bool) -> TcpPair:
    pair = TcpPair(seed)
    pair.ab = Bunch(pair.platform, pair.b.dev, pair.ab.choose)
    pair.ba = Bunch(pair.platform, pair.a.dev, pair.ba.choose)
    pair.a.dev.peer, pair.b.dev.peer = pair.ab, pair.ba  # type: ignore[assignment]  # They take frames, too.
    for host in (pair.a, pair.b):
        ethtool(host.net, f"-K eth0 gro {'on' if gro else 'off'}")
    return pair


@pytest.mark.parametrize("gro", [False, True])
def test_a_program_reads_the_same_with_it_and_without(gro):
    print(f"HARDWIRE_SEED={SEED}")
    pair = bunched(SEED, gro)
    client, server = pair.connected()
    pair.faults(delay_ns=5 * MS, loss=0.01, reorder=0.02, double=0.01)
    pair.transfer(client, server, 700_000, back=300_000)
    pair.finish(client, server)
    mib = pair.b.mib
    assert (mib["IpExt:InNoECTPkts"] > 1.2 * mib["Ip:InReceives"]) == gro


def test_urgent_data_and_a_reset_arrive_in_a_burst():
    pair = bunched(1, True)
    client, server = pair.connected()
    client.send(bytes(5000))
    client.send(b"!", api.MSG_OOB)
    client.send(bytes(3000))
    pair.run(50 * MS)
    assert server.recv(10, api.MSG_OOB) == b"!"
    octets = server.recv(20000, api.MSG_WAITALL | api.MSG_DONTWAIT)
    octets += server.recv(20000)
    assert octets == bytes(8000)
    client.setsockopt(api.SOL_SOCKET, api.SO_LINGER, pack("=ii", 1, 0))
    client.send(bytes(5000))
    client.close()
    pair.run(50 * MS)
    assert server.recv(20000) == bytes(5000)
    with pytest.raises(ConnectionResetError):
        server.recv(20000)


def test_counters_count_packets_as_the_kernel_counts_them():
    pair = bunched(1, True)
    client, server = pair.connected()
    before = dict(pair.b.mib)
    client.send(bytes(10 * 1448))
    pair.run(50 * MS)
    assert len(server.recv(20000)) == 14480
    changed = pair.b.changed(before)
    assert changed["Tcp:InSegs"] == changed["Ip:InReceives"] == changed["Ip:InDelivers"] == 1
    assert changed["IpExt:InNoECTPkts"] == 10
    assert changed["IpExt:InOctets"] == 14480 + 52


def with_ttl(frame: bytes, ttl: int) -> bytes:
    """Return a frame as a router leaves it."""
    header = bytearray(frame[14:34])
    header[8] = ttl
    header[10:12] = b"\0\0"
    header[10:12] = csum_fold(csum_partial(header)).to_bytes(2, "big")
    return bytes(header) + frame[34:]


def test_a_router_sends_on_what_came():
    routed = Routed()
    frames = [tcp(1000 + MSS * n, bytes([n]) * MSS, dst=0x0A000201, mac=routed.r.dev.dev_addr) for n in range(9)]
    run_ip(routed.r.net, "neigh add 10.0.2.1 lladdr 02:00:00:00:02:01 dev eth1")
    seen = []
    routed.far.peer = None
    routed.r.dev.arrived.extend(frames[:-1])
    before = dict(routed.r.mib)
    routed.r.receive(frames[-1])
    routed.run()
    seen = [frame[14:] for frame in routed.far.sent]
    assert seen == [with_ttl(frame, 63) for frame in frames]
    assert routed.r.changed(before)["Ip:ForwDatagrams"] == 1


def test_a_router_tells_that_segments_are_too_long_for_the_way():
    routed = Routed(far_mtu=1400)
    routed.r.dev.peer = None
    frames = [tcp(1000 + MSS * n, bytes(MSS), dst=0x0A000201, mac=routed.r.dev.dev_addr) for n in range(3)]
    routed.r.dev.arrived.extend(frames[:-1])
    before = dict(routed.r.mib)
    routed.r.receive(frames[-1])
    routed.run()
    assert routed.r.changed(before)["Ip:FragFails"] == 1
    assert routed.far.sent == []


@pytest.mark.parametrize("features", [0, NETIF_F_SG, NETIF_F_SG | NETIF_F_HW_CSUM])
@pytest.mark.parametrize("tagged", [False, True])
def test_a_bridge_sends_on_what_came(features, tagged):
    bridge = OurBridge(features=features)
    frames = [tcp(1000 + MSS * n, bytes([n]) * MSS, mac=b"\2\0\0\0\0\x99") for n in range(9)]
    if tagged:
        frames = [frame[:12] + b"\x81\0\0\x05" + frame[12:] for frame in frames]
    bridge.ports[0].arrived.extend(frames[:-1])
    bridge.send(0, frames[-1])
    assert bridge.frames() == [[], frames, frames]
