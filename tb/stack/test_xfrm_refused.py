"""Packets and flows that IPsec refuses, each with its counter and its reason."""

from dataclasses import replace
from errno import EPERM

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.ipsec import ESP, SecurityAssociation
from scapy.packet import Raw

from hardwire.sim.crypto import CryptographyLibrary
from hardwire.stack.iproute2.ip import ip
from hardwire.stack.xfrm.xfrm import (
    XFRM_MODE_TUNNEL,
    XFRM_POLICY_BLOCK,
    XFRM_POLICY_IN,
    XFRM_POLICY_OUT,
    XfrmEncap,
    XfrmLifetimeCfg,
    XfrmMark,
    XfrmTmpl,
)
from hardwire.stack.xfrm.xfrm_state import XfrmStateState, xfrm_state_delete
from hardwire.tb.stack.inet_host import raises
from hardwire.tb.stack.ipsec import ALGORITHMS, Sa, counters, policy, protect, state
from hardwire.tb.stack.pair import Pair

GCM = Sa(ALGORITHMS["gcm-128"])
THERE = ("10.0.0.2", 9000)
SECOND = 1_000_000_000


class Hosts:
    """Two hosts with a state each way, warm, of which the second receives what a test gives it."""

    def __init__(self, sa: Sa = GCM, **others) -> None:
        self.pair = Pair()
        self.out, self.back, _, self.last = protect(self.pair.a.net, self.pair.b.net, sa, **others)
        self.here, self.there = self.pair.a.socket(), self.pair.b.socket()
        self.there.bind(THERE)
        self.there.setblocking(False)
        self.send()
        assert self.there.recv(100) == b"x"
        self.drops = dict(self.pair.b.kernel.drop_counts())
        self.pair.a.dev.peer = None

    def send(self, octets: bytes = b"x") -> bytes:
        """Send a datagram, and return its frame."""
        self.here.sendto(octets, THERE)
        self.pair.run(10_000_000)
        return self.pair.a.dev.sent[-1]

    def receive(self, frame: bytes) -> bytes | None:
        """Let a frame arrive; return what the socket got."""
        self.pair.b.receive(frame)
        self.pair.run()
        try:
            return self.there.recv(100)
        except BlockingIOError:
            return None

    def dropped(self) -> dict[str, int]:
        """Return why the second host has dropped packets."""
        found = self.pair.b.kernel.drop_counts()
        return {key: value - self.drops.get(key, 0) for key, value in found.items() if value != self.drops.get(key, 0)}


def changed(frame: bytes, at: int, octets: bytes) -> bytes:
    """Return a frame with other octets at a place."""
    return frame[:at] + octets + frame[at + len(octets) :]


def test_a_packet_that_comes_twice_is_taken_once():
    hosts = Hosts()
    frame = hosts.send()
    assert hosts.receive(frame) == b"x"
    assert hosts.receive(frame) is None
    assert counters(hosts.pair.b.net) == {"InStateSeqError": 1}
    assert (hosts.last.stats.replay, hosts.last.stats.replay_window) == (1, 0)
    assert hosts.dropped() == {"NOT_SPECIFIED": 1}


def test_a_packet_before_the_window_is_refused_and_one_in_it_taken():
    hosts = Hosts()
    frames = [hosts.send() for _ in range(40)]
    assert hosts.receive(frames[39]) == b"x"
    assert hosts.receive(frames[8]) == b"x"
    assert hosts.receive(frames[7]) is None
    assert (hosts.last.stats.replay, hosts.last.stats.replay_window) == (0, 1)


@pytest.mark.parametrize("name", ["gcm-256", "cbc-sha256", "null-sha256", "ah-sha256"])
def test_each_octet_counts(name):
    hosts = Hosts(Sa(ALGORITHMS[name], flags=0))
    frame = hosts.send(b"payload")
    header = range(34, 38) if not name.startswith("ah") else range(38, 42)  # The index: another state's, or nobody's.
    for at in range(34, len(frame)):
        assert hosts.receive(changed(frame, at, bytes((frame[at] ^ 1,)))) is None, at
    found = counters(hosts.pair.b.net)
    assert found["InNoStates"] == len(header)
    # The others are forgeries or make no sense, or, of AH, the first octet says what is inside.
    assert sum(found.values()) == len(frame) - 34
    assert hosts.last.stats.integrity_failed > 0
    assert hosts.receive(frame) == b"payload"


def test_a_wrong_index_finds_no_state():
    hosts = Hosts()
    assert hosts.receive(changed(hosts.send(), 34, b"\0\0\2\0")) is None
    assert counters(hosts.pair.b.net) == {"InNoStates": 1}


@pytest.mark.parametrize("length", range(34, 34 + 8 + 8 + 16 + 4))
def test_a_packet_that_is_cut_short_is_refused(length):
    hosts = Hosts()
    frame = hosts.send()[:length]
    frame = changed(frame, 16, (length - 14).to_bytes(2, "big"))
    words = [int.from_bytes(frame[at : at + 2], "big") for at in range(14, 34, 2) if at != 24]
    total = sum(words)
    frame = changed(frame, 24, (~(total % 0xFFFF) & 0xFFFF).to_bytes(2, "big"))
    assert hosts.receive(frame) is None
    assert counters(hosts.pair.b.net) == {"InHdrError" if length < 42 else "InStateProtoError": 1}


def test_what_is_to_be_protected_is_refused_in_clear():
    hosts = Hosts()
    ip(hosts.pair.a.net, "xfrm policy flush")
    assert hosts.receive(hosts.send()) is None
    assert counters(hosts.pair.b.net) == {"InTmplMismatch": 1}
    assert hosts.dropped() == {"XFRM_POLICY": 1}
    assert hosts.pair.b.mib["Udp:InErrors"] == 1


def test_what_came_by_another_state_than_the_policy_says_is_refused():
    hosts = Hosts()
    hosts.last.reqid = 2
    assert hosts.receive(hosts.send()) is None
    assert counters(hosts.pair.b.net) == {"InTmplMismatch": 1}


def test_what_came_through_a_tunnel_that_no_policy_wants_is_refused():
    hosts = Hosts(replace(GCM, mode=XFRM_MODE_TUNNEL))
    ip(hosts.pair.b.net, "xfrm policy flush")
    assert hosts.receive(hosts.send()) is None
    assert counters(hosts.pair.b.net) == {"InNoPols": 1}


def test_what_a_state_is_not_for_is_refused():
    hosts = Hosts()
    hosts.last.sel = replace(hosts.last.sel, proto=6)
    assert hosts.receive(hosts.send()) is None
    assert counters(hosts.pair.b.net) == {"InStateMismatch": 1}


def test_esp_in_udp_and_without_are_not_mixed_up():
    hosts = Hosts()
    hosts.last.encap = XfrmEncap(2, 4500, 4500)
    assert hosts.receive(hosts.send()) is None
    assert counters(hosts.pair.b.net) == {"InStateMismatch": 1}


def test_a_state_that_is_still_to_be_made_takes_nothing():
    hosts = Hosts()
    hosts.last.state = XfrmStateState.ACQ
    assert hosts.receive(hosts.send()) is None
    assert counters(hosts.pair.b.net) == {"AcquireError": 1}


def test_a_blocked_flow_is_refused_both_ways():
    hosts = Hosts()
    for net, direction in ((hosts.pair.a.net, XFRM_POLICY_OUT), (hosts.pair.b.net, XFRM_POLICY_IN)):
        policy(net, "10.0.0.0/8", "10.0.0.0/8", direction, action=XFRM_POLICY_BLOCK, priority=-1)
    frame = hosts.pair.a.dev.sent[-1]
    with raises(EPERM):
        hosts.here.sendto(b"x", THERE)
    assert counters(hosts.pair.a.net) == {"OutPolBlock": 1}
    hosts.last.replay.bitmap = hosts.last.replay.seq = 0
    assert hosts.receive(frame) is None
    assert counters(hosts.pair.b.net) == {"InPolBlock": 1}


def test_without_a_state_packets_disappear_and_the_program_does_not_learn_of_it():
    pair = Pair()
    policy(pair.a.net, "10.0.0.1", "10.0.0.2", XFRM_POLICY_OUT, XfrmTmpl(reqid=1))
    assert pair.a.socket().sendto(b"x", THERE) == 1  # As the machine's kernel, with the same counter.
    assert counters(pair.a.net) == {"OutNoStates": 1}
    assert pair.a.kernel.drop_counts() == {"XFRM_POLICY": 1}
    assert not pair.a.dev.sent


def test_an_optional_transform_need_not_be_there():
    pair = Pair()
    policy(pair.a.net, "10.0.0.1", "10.0.0.2", XFRM_POLICY_OUT, XfrmTmpl(reqid=1, optional=True))
    policy(pair.b.net, "10.0.0.1", "10.0.0.2", XFRM_POLICY_IN, XfrmTmpl(reqid=1, optional=True))
    there = pair.b.socket()
    there.bind(THERE)
    pair.a.socket().sendto(b"clear", THERE)
    pair.run()
    assert there.recv(100) == b"clear"
    state(pair.a.net, "10.0.0.1", "10.0.0.2", GCM)
    state(pair.b.net, "10.0.0.1", "10.0.0.2", GCM)
    pair.a.socket().sendto(b"hidden", THERE)
    pair.run()
    assert there.recv(100) == b"hidden"
    assert b"hidden" not in pair.a.dev.sent[-1]


def test_flows_are_blocked_by_default_if_that_is_set():
    pair = Pair()
    ip(pair.a.net, "xfrm policy setdefault out block")
    policy(pair.a.net, "10.9.0.1", "10.9.0.2", XFRM_POLICY_OUT)
    with raises(EPERM):
        pair.a.socket().sendto(b"x", THERE)
    ip(pair.b.net, "xfrm policy setdefault in block")
    ip(pair.a.net, "xfrm policy setdefault out accept")
    there = pair.b.socket()
    there.bind(THERE)
    pair.a.socket().sendto(b"x", THERE)
    pair.run()
    assert counters(pair.b.net) == {"InNoPols": 1}


def test_sequence_numbers_are_not_used_twice():
    hosts = Hosts()
    hosts.out.replay.oseq = 0xFFFFFFFE
    hosts.send()
    with pytest.raises(OSError, match="dropped on its way out"):
        hosts.here.sendto(b"x", THERE)
    assert counters(hosts.pair.a.net) == {"OutStateSeqError": 1}


@pytest.mark.parametrize("limit", [{"hard_packet_limit": 3}, {"hard_byte_limit": 20}])
def test_a_state_that_is_used_up_sends_and_takes_nothing_more(limit):
    hosts = Hosts(lft=XfrmLifetimeCfg(**limit))
    frames = [hosts.send() for _ in range(2)]
    with pytest.raises(OSError, match="dropped on its way out"):
        hosts.here.sendto(b"x", THERE)
    assert counters(hosts.pair.a.net) == {"OutStateExpired": 1}
    hosts.pair.run(SECOND)
    assert hosts.out not in hosts.pair.a.net.xfrm.state_all
    hosts.last.curlft.packets, hosts.last.curlft.bytes = 3, 20
    assert hosts.receive(frames[-1]) is None
    assert counters(hosts.pair.b.net) == {"InStateExpired": 1}
    hosts.pair.run(SECOND)
    assert hosts.receive(frames[-1]) is None
    assert counters(hosts.pair.b.net) == {"InStateExpired": 1, "InNoStates": 1}


@pytest.mark.parametrize(("kind", "used"), [("add", False), ("add", True), ("use", True)])
def test_a_state_is_over_after_its_seconds(kind, used):
    pair = Pair()
    lft = XfrmLifetimeCfg(**{f"hard_{kind}_expires_seconds": 10, f"soft_{kind}_expires_seconds": 5})
    x = state(pair.a.net, "10.0.0.1", "10.0.0.2", GCM, lft=lft)
    policy(pair.a.net, "10.0.0.1", "10.0.0.2", XFRM_POLICY_OUT, XfrmTmpl(reqid=1))
    pair.run(3 * SECOND)
    start = 0
    if used:
        pair.a.socket().sendto(b"x", THERE)
        start = 3 if kind == "use" else 0
    pair.platform.advance((start + 4) * SECOND - pair.platform.now_ns())
    assert not x.dying
    pair.platform.advance(2 * SECOND)
    assert x.dying
    assert x in pair.a.net.xfrm.state_all
    pair.platform.advance(5 * SECOND)
    assert x.state == XfrmStateState.DEAD
    assert pair.a.net.xfrm.state_all == []


def test_a_state_that_is_not_used_has_no_end_by_use():
    pair = Pair()
    x = state(pair.a.net, "10.0.0.1", "10.0.0.2", GCM, lft=XfrmLifetimeCfg(hard_use_expires_seconds=10))
    pair.run(100 * SECOND)
    assert x in pair.a.net.xfrm.state_all


def test_a_policy_is_over_after_its_seconds():
    pair = Pair()
    made = policy(pair.a.net, "10.0.0.1", "10.0.0.2", XFRM_POLICY_OUT, lft=XfrmLifetimeCfg(hard_add_expires_seconds=7))
    pair.run(6 * SECOND)
    assert not made.dead
    pair.run(2 * SECOND)
    assert made.dead
    assert pair.a.net.xfrm.policy_count == [0, 0, 0]


def test_marks_choose_policies_and_states():
    pair = Pair()
    pair.a.kernel.crypto = CryptographyLibrary()
    for mark, spi in ((1, 0x100), (2, 0x200)):
        state(pair.a.net, "10.0.0.1", "10.0.0.2", replace(GCM, spi=spi), mark=XfrmMark(mark, 0xFF))
        policy(pair.a.net, "10.0.0.1", "10.0.0.2", XFRM_POLICY_OUT, XfrmTmpl(reqid=1), mark=XfrmMark(mark, 0xFF))
    neighbour = pair.a.socket()
    neighbour.sendto(b"", THERE)
    pair.run()
    for mark, expected in ((0, None), (1, 0x100), (2, 0x200), (0x102, 0x200)):
        sock = pair.a.socket()
        sock.setsockopt(1, 36, mark)  # SO_MARK
        sock.sendto(b"x", THERE)
        frame = pair.a.dev.sent[-1]
        assert frame[23] == (17 if expected is None else 50)
        assert expected in (None, int.from_bytes(frame[34:38], "big"))


def test_a_new_state_takes_the_place_of_the_old_one_for_a_connected_socket():
    hosts = Hosts()
    hosts.here.connect(THERE)
    hosts.here.send(b"x")
    assert hosts.pair.a.dev.sent[-1][34:38] == b"\0\0\1\0"
    hosts.pair.run(2 * SECOND)
    state(hosts.pair.a.net, "10.0.0.1", "10.0.0.2", replace(GCM, spi=0x300))
    hosts.here.send(b"x")
    assert hosts.pair.a.dev.sent[-1][34:38] == b"\0\0\3\0"
    xfrm_state_delete(hosts.pair.a.net.xfrm.state_bydst[0x0A000002, 0x0A000001][-1])
    hosts.here.send(b"x")
    assert hosts.pair.a.dev.sent[-1][34:38] == b"\0\0\1\0"
    ip(hosts.pair.a.net, "xfrm policy flush")
    hosts.here.send(b"x")
    assert hosts.pair.a.dev.sent[-1][23] == 17


def test_a_packet_has_no_more_than_six_transforms():
    pair = Pair()
    there = pair.b.socket()
    there.bind(THERE)
    there.setblocking(False)
    key = ALGORITHMS["null-sha256"].aalg.key
    packet = IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=1, dport=9000) / Raw(b"deep inside")
    for number in range(1, 8):
        state(pair.b.net, "10.0.0.1", "10.0.0.2", Sa(ALGORITHMS["null-sha256"], spi=number, window=0))
        sa = SecurityAssociation(ESP, spi=number, crypt_algo="NULL", auth_algo="SHA2-256-128", auth_key=key)
        packet = IP(bytes(sa.encrypt(packet, seq_num=1)))
        pair.b.receive(pair.b.dev.dev_addr + bytes(6) + b"\x08\x00" + bytes(packet))
        pair.run()
        if number < 7:
            assert there.recv(100) == b"deep inside"
    assert counters(pair.b.net) == {"InBufferError": 1}


def test_a_further_tunnel_inside_is_refused():
    pair = Pair()
    around = Sa(ALGORITHMS["ah-sha256"], spi=0x200, reqid=2)
    for net in (pair.a.net, pair.b.net):
        state(net, "10.0.0.1", "10.0.0.2", replace(GCM, mode=XFRM_MODE_TUNNEL))
        state(net, "10.0.0.1", "10.0.0.2", around)
    tunnel = XfrmTmpl(0x0A000002, 0x0A000001, reqid=1, mode=XFRM_MODE_TUNNEL)
    header = XfrmTmpl(proto=51, reqid=2)
    policy(pair.a.net, "10.0.0.1", "10.0.0.2", XFRM_POLICY_OUT, tunnel, header)
    wanted = policy(pair.b.net, "10.0.0.1", "10.0.0.2", XFRM_POLICY_IN, header)
    there = pair.b.socket()
    there.bind(THERE)
    pair.a.socket().sendto(b"x", THERE)
    pair.run()
    assert counters(pair.b.net) == {"InTmplMismatch": 1}
    wanted.tmpls = (tunnel, header)
    pair.a.socket().sendto(b"x", THERE)
    pair.run()
    assert there.recv(10) == b"x"


def test_a_state_of_another_mode_or_protocol_is_none_for_a_template():
    pair = Pair()
    state(pair.a.net, "10.0.0.1", "10.0.0.2", replace(GCM, mode=XFRM_MODE_TUNNEL))
    state(pair.a.net, "10.0.0.1", "10.0.0.2", Sa(ALGORITHMS["ah-sha256"]))
    policy(pair.a.net, "10.0.0.1", "10.0.0.2", XFRM_POLICY_OUT, XfrmTmpl(reqid=1))
    pair.a.socket().sendto(b"x", THERE)
    assert counters(pair.a.net) == {"OutNoStates": 1}
    policy(pair.a.net, "10.0.0.0/8", "10.0.0.2", XFRM_POLICY_OUT, XfrmTmpl(reqid=1, spi=0x300), priority=-1)
    state(pair.a.net, "10.0.0.1", "10.0.0.2", replace(GCM, spi=0x200))
    pair.a.socket().sendto(b"x", THERE)
    assert counters(pair.a.net) == {"OutNoStates": 2}
