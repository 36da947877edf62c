"""Bridges of ours in a ring: the spanning tree converges, each broadcast comes once, and a failure is got over."""

import pytest
from scapy.layers.l2 import LLC, STP, Dot3

from hardwire.stack.bridge.br_netlink import br_changelink, br_dev_newlink, br_setport
from hardwire.stack.bridge.br_netlink_attrs import IflaBr, IflaBrport
from hardwire.stack.bridge.br_private import (
    BR_STATE_BLOCKING,
    BR_STATE_DISABLED,
    BR_STATE_FORWARDING,
    BR_STATE_LEARNING,
    BR_STATE_LISTENING,
    br_port_get_rcu,
)
from hardwire.stack.core.dev_register import dev_close, dev_open
from hardwire.stack.core.dev_upper import do_set_master
from hardwire.stack.core.netdevice import netif_carrier_ok
from hardwire.stack.core.packet_type import ETH_P_ALL, PacketType, dev_add_pack
from hardwire.stack.core.skbuff import consume_skb
from hardwire.stack.core.skbuff_data import skb_copy_bits
from hardwire.stack.core.timer import HZ, timer_pending
from hardwire.stack.drivers.veth import veth_newlink
from hardwire.stack.iproute import addr_add
from hardwire.stack.wire.bpdu import ConfigBpdu
from hardwire.tb.stack.bridged import OurBridge
from hardwire.tb.stack.test_veth import Namespaces

SECOND = 1_000_000_000


class Ring:
    """Bridges 0, 1, 2, ... each with two neighbours and a host, 10.0.0.N; port "r" of each leads to "l" of the next."""

    def __init__(self, count: int = 3, *, stp: bool = True) -> None:
        self.namespaces = Namespaces(2 * count)
        bridges, self.hosts = self.namespaces.nets[:count], self.namespaces.nets[count:]
        settings = {IflaBr.STP_STATE: int(stp)}
        self.bridges = [br_dev_newlink(net, "br0", settings) for net in bridges]
        self.bpdus: list[bytes] = []
        for number, (net, following) in enumerate(zip(bridges, (*bridges[1:], bridges[0]), strict=True)):
            for end in veth_newlink(net, "r", following, "l"):
                dev_open(end)
            end, port = veth_newlink(self.hosts[number], "eth0", net, "h")
            dev_open(end)
            dev_open(port)
            addr_add(end, f"10.0.0.{number + 1}/24")
        for net, bridge in zip(bridges, self.bridges, strict=True):
            dev_open(bridge)
            for name in "lrh":
                do_set_master(net.dev_by_name[name], bridge)

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self.namespaces.run(round(seconds * SECOND))

    def port(self, number: int, name: str):
        """Return a port of a bridge."""
        return br_port_get_rcu(self.bridges[number].net.dev_by_name[name])

    def states(self) -> list[int]:
        """Return the states of the ports around the ring."""
        return [self.port(number, name).state for number in range(len(self.bridges)) for name in "lr"]

    def heard(self, seconds: float = 0.01) -> list[int]:
        """Broadcast from the first host, and return how often each of the others hears it."""
        here, *others = [net.socket() for net in self.hosts]
        for sock in others:
            sock.bind(("", 9000))
        here.setsockopt(1, 6, 1)  # SO_BROADCAST
        here.sendto(b"all", ("10.0.0.255", 9000))
        self.run(seconds)
        counts = []
        for sock in (*others, here):
            counts.append(len(sock.sk.sk_receive_queue))
            sock.close()
        return counts[:-1]

    def listen(self, number: int, name: str) -> None:
        """Keep the spanning tree's messages that come to a port in ``bpdus``."""

        def tap(skb, dev, pt, orig_dev):
            if skb.protocol == 4:
                skb_octets = bytes(skb.view[skb.mac_header : skb.data])
                self.bpdus.append(skb_octets + skb_copy_bits(skb, 0, skb.len))
            consume_skb(skb)
            return 0

        net = self.bridges[number].net
        dev_add_pack(net, PacketType(ETH_P_ALL, tap, net.dev_by_name[name], ignore_outgoing=True))


def test_a_ring_of_bridges_converges_and_forwards_each_broadcast_once():
    ring = Ring()
    ring.run(0.1)
    assert set(ring.states()) == {BR_STATE_LISTENING}
    assert ring.heard() == [0, 0]
    ring.run(16)
    assert BR_STATE_LEARNING in ring.states()
    assert ring.heard() == [0, 0]
    ring.run(20)
    assert sorted(ring.states()) == [BR_STATE_FORWARDING] * 5 + [BR_STATE_BLOCKING]
    root = min(bridge.priv.bridge_id for bridge in ring.bridges)
    assert {bridge.priv.designated_root for bridge in ring.bridges} == {root}
    for _ in range(3):
        assert ring.heard() == [1, 1]


@pytest.mark.parametrize("failing", range(3))
@pytest.mark.parametrize("far", [False, True])
def test_a_failure_anywhere_is_got_over(failing, far):
    ring = Ring()
    ring.run(60)
    here, there = ring.hosts[0].socket(), ring.hosts[failing].socket()
    there.bind(("", 9001))
    there.settimeout(1)
    number = (failing + 1) % 3 if far else failing
    dev_close(ring.bridges[number].net.dev_by_name["l" if far else "r"])
    ring.run(60)
    states = ring.states()
    assert sorted(states) == [BR_STATE_DISABLED] * 2 + [BR_STATE_FORWARDING] * 4
    assert ring.heard() == [1, 1]
    here.sendto(b"one", (f"10.0.0.{failing + 1}", 9001))
    ring.run(0.1)
    assert there.recv(10) == b"one"
    dev_open(ring.bridges[number].net.dev_by_name["l" if far else "r"])
    ring.run(60)
    assert sorted(ring.states()) == [BR_STATE_FORWARDING] * 5 + [BR_STATE_BLOCKING]
    assert ring.heard() == [1, 1]


def test_a_bridge_that_falls_silent_is_missed_after_the_maximum_age():
    ring = Ring()
    ring.run(60)
    root = next(n for n, bridge in enumerate(ring.bridges) if not bridge.priv.root_port)
    # It has links still, but says nothing any more, and hears nothing.
    br_changelink(ring.bridges[root], {IflaBr.STP_STATE: 0})
    for name in "lr":
        br_setport(ring.bridges[root].net.dev_by_name[name], {IflaBrport.STATE: BR_STATE_DISABLED})
    ring.run(15)
    others = [bridge.priv for n, bridge in enumerate(ring.bridges) if n != root]
    assert {br.designated_root for br in others} == {ring.bridges[root].priv.bridge_id}
    ring.run(10)
    assert {br.designated_root for br in others} == {min(br.bridge_id for br in others)}
    ring.run(60)
    assert sorted(ring.states()) == [BR_STATE_DISABLED] * 2 + [BR_STATE_FORWARDING] * 4


def test_priority_and_cost_choose_root_and_way():
    ring = Ring()
    ring.run(40)
    for number in range(3):
        for other in range(3):
            br_changelink(ring.bridges[other], {IflaBr.PRIORITY: 4096 if other == number else 32768})
        ring.run(60)
        assert [bridge.priv.root_port for bridge in ring.bridges].index(0) == number
        way = (number + 1) % 3
        assert ring.bridges[way].priv.root_port == ring.port(way, "l").port_no
        assert ring.bridges[way].priv.root_path_cost == 2
        br_setport(ring.bridges[way].net.dev_by_name["l"], {IflaBrport.COST: 100})
        ring.run(60)
        assert ring.bridges[way].priv.root_port == ring.port(way, "r").port_no
        assert ring.bridges[way].priv.root_path_cost == 4
        br_setport(ring.bridges[way].net.dev_by_name["l"], {IflaBrport.COST: 2})


def test_scapy_reads_the_messages():
    ring = Ring()
    for number in range(3):
        br_changelink(ring.bridges[number], {IflaBr.PRIORITY: 0x1000 * (number + 1)})
    ring.run(100)
    ring.listen(2, "r")
    ring.run(10)
    root, last = ring.bridges[0].priv, ring.bridges[2]
    assert len(ring.bpdus) == 5  # One each two seconds, from the root.
    frame = Dot3(ring.bpdus[0])
    assert (frame.dst, frame.len, frame[LLC].dsap, frame[LLC].ssap, frame[LLC].ctrl) == (
        "01:80:c2:00:00:00",
        38,
        66,
        66,
        3,
    )
    bpdu = frame[STP]
    assert (bpdu.rootid, bpdu.bridgeid, bpdu.pathcost) == (0x1000, 0x1000, 0)
    assert bpdu.rootmac == bpdu.bridgemac == root.bridge_id[2:].hex(":")
    assert (bpdu.age, bpdu.maxage, bpdu.hellotime, bpdu.fwddelay) == (0, 20, 2, 15)
    dev_close(last.net.dev_by_name["h"])
    dev_open(last.net.dev_by_name["h"])
    ring.run(28)
    ring.bpdus.clear()
    ring.listen(0, "l")
    ring.run(4)
    # The last bridge notifies the root of the host's port, and is acknowledged; all hear of the change.
    notified = [octets[14:21] for octets in ring.bpdus if octets[20] == 0x80]
    assert notified == [bytes.fromhex("42420300000080")]
    told = [Dot3(octets)[STP].bpduflags for octets in ring.bpdus if octets[20] == 0]
    assert 0x81 in told
    assert told[-1] == 1


def test_addresses_age_fast_after_a_change():
    ring = Ring()
    ring.run(100)
    assert not any(bridge.priv.topology_change for bridge in ring.bridges)
    dev_close(ring.bridges[1].net.dev_by_name["h"])
    dev_open(ring.bridges[1].net.dev_by_name["h"])
    ring.run(33)
    assert all(bridge.priv.topology_change for bridge in ring.bridges)
    assert {bridge.priv.ageing_time for bridge in ring.bridges} == {2 * 15 * HZ}  # As ip -d shows it of Linux.
    ring.run(60)
    assert not any(bridge.priv.topology_change for bridge in ring.bridges)
    assert {bridge.priv.ageing_time for bridge in ring.bridges} == {300 * HZ}


def test_guards_keep_bpdus_and_roots_out():
    ring = Ring()
    ring.run(60)
    root = next(n for n, bridge in enumerate(ring.bridges) if not bridge.priv.root_port)
    victim = (root + 1) % 3
    for name in "lr":
        br_setport(ring.bridges[root].net.dev_by_name[name], {IflaBrport.PROTECT: 1})
    br_changelink(ring.bridges[victim], {IflaBr.PRIORITY: 0})
    ring.run(60)
    # The protected ports do not forward as long as they hear of a better root, which is none for this bridge.
    assert not ring.bridges[root].priv.root_port
    assert {ring.port(root, name).state for name in "lr"} == {BR_STATE_LISTENING}
    br_setport(ring.bridges[root].net.dev_by_name["r"], {IflaBrport.GUARD: 1})
    ring.run(3)
    assert ring.port(root, "r").state == BR_STATE_DISABLED


def test_times_of_0_from_another_root_do_not_stop_time():
    ours = OurBridge(2, data={IflaBr.STP_STATE: 1})
    root = bytes(7) + b"\1"
    bpdu = ConfigBpdu(False, False, root, 0, root, 0x8001, 0, 256, 0, 0).emit()
    ours.send(0, bytes.fromhex("0180c2000000 020000000099 0026 424203".replace(" ", "")) + bpdu)
    assert ours.dev.priv.designated_root == root
    for stp in (0, 1):
        br_changelink(ours.dev, {IflaBr.STP_STATE: stp})
    ours.platform.advance(100_000_000)
    assert ours.dev.priv.hello_time == 0
    ours.platform.advance(2_000_000_000)
    assert ours.dev.priv.designated_root == ours.dev.priv.bridge_id


HEADER = bytes.fromhex("0180c2000000 020000000099 0026 424203".replace(" ", ""))
BETTER = bytes.fromhex("1000020000000099")  # A root that no bridge here is.


def told(root: bytes, cost: int, bridge: bytes, age: int = 0) -> bytes:
    """Return a frame with a message; ages in 1/256 s, at most 20 s."""
    return HEADER + ConfigBpdu(False, True, root, cost, bridge, 0x8001, age, 20 * 256, 2 * 256, 15 * 256).emit()


@pytest.fixture
def settled() -> OurBridge:
    """Return a bridge whose three ports forward, and whose root port is the first."""
    ours = OurBridge(3, data={IflaBr.STP_STATE: 1})
    for _ in range(40):
        ours.send(0, told(BETTER, 0, BETTER))
        ours.platform.advance(SECOND)
    ours.frames()
    return ours


def test_only_the_root_says_hello_by_itself(settled):
    assert [br_port_get_rcu(port).state for port in settled.ports] == [BR_STATE_FORWARDING] * 3
    assert not timer_pending(settled.dev.priv.hello_timer)
    settled.platform.advance(10 * SECOND)
    assert settled.frames() == [[], [], []]
    settled.send(0, told(BETTER, 0, BETTER))
    assert [len(frames) for frames in settled.frames()] == [0, 1, 1]
    settled.platform.advance(22 * SECOND)
    assert timer_pending(settled.dev.priv.hello_timer)


def test_a_message_that_would_be_too_old_is_not_sent_on(settled):
    settled.send(0, told(BETTER, 0, BETTER, 20 * 256 - 2))
    assert settled.frames() == [[], [], []]
    settled.send(0, told(BETTER, 0, BETTER, 19 * 256))
    sent = ConfigBpdu.parse(settled.frames()[1][0][17:])
    assert 19 * 256 < sent.message_age < 19 * 256 + 10


def test_an_own_message_that_comes_back_is_not_answered(settled):
    settled.send(0, told(BETTER, 0, BETTER))
    mine = settled.frames()[1][0]
    settled.send(1, mine)
    settled.platform.advance(SECOND - 1)
    assert settled.frames() == [[], [], []]
    assert not br_port_get_rcu(settled.ports[1]).config_pending


def test_a_port_that_begins_to_block_is_told_to_the_root(settled):
    settled.send(1, told(BETTER, 1, BETTER[:7] + b"\x98"))
    assert br_port_get_rcu(settled.ports[1]).state == BR_STATE_BLOCKING
    assert [octets[17:] for octets in settled.frames()[0]] == [bytes.fromhex("00000080")]
    settled.platform.advance(5 * SECOND)
    assert len(settled.frames()[0]) == 2  # Again each two seconds, until the root has heard.
    settled.send(0, told(BETTER, 0, BETTER))
    settled.platform.advance(5 * SECOND)
    assert settled.frames()[0] == []


def test_a_bridge_has_a_link_while_a_port_forwards():
    ring = Ring()
    assert not any(netif_carrier_ok(bridge) for bridge in ring.bridges)
    ring.run(31)
    assert all(netif_carrier_ok(bridge) for bridge in ring.bridges)
    for name in "lrh":
        dev_close(ring.bridges[0].net.dev_by_name[name])
    assert not netif_carrier_ok(ring.bridges[0])


def test_without_the_protocol_a_ring_storms():
    ring = Ring(stp=False)
    ring.run(0.1)
    assert min(ring.heard(0.0002)) > 10
