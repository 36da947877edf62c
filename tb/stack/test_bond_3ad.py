"""Link aggregation: two bonds of ours, and one with a partner whose every LACPDU scapy reads and writes."""

import pytest
from scapy.contrib.lacp import LACP, MarkerProtocol, SlowProtocol
from scapy.layers.l2 import Ether

from hardwire.stack.core.dev_register import dev_close, dev_open, dev_set_mac_address
from hardwire.stack.core.dev_upper import do_set_master
from hardwire.stack.core.netdevice import netif_carrier_ok
from hardwire.stack.core.packet_type import ETH_P_ALL, PacketType, dev_add_pack
from hardwire.stack.core.skbuff import PACKET_OUTGOING, consume_skb
from hardwire.stack.drivers.bonding import (
    BondMode,
    IflaBond,
    IflaBondSlave,
    XmitPolicy,
    bond_link_ops,
    slave_of,
)
from hardwire.stack.drivers.bonding.bond_3ad_port import MuxState, PeriodicState, RxState
from hardwire.stack.wire.lacp import SLOW_PROTOCOLS, LacpState
from hardwire.tb.stack.bonds import MS, SECOND, Bonds

SLOW = "01:80:c2:00:00:02"
SHORT, COLLECTING = 0x02, 0x3C  # Behind it: aggregatable, in step, collecting, distributing.


def info(dev) -> list[int]:
    """Return aggregator, own state and the partner's, as netlink tells them."""
    told = bond_link_ops.fill_slave_info(dev)
    return [
        told[IflaBondSlave.AD_AGGREGATOR_ID],
        told[IflaBondSlave.AD_ACTOR_OPER_PORT_STATE],
        told[IflaBondSlave.AD_PARTNER_OPER_PORT_STATE],
    ]


@pytest.fixture
def joined() -> Bonds:
    bonds = Bonds(BondMode.AD, 3, both=True, ad_lacp_rate=1, xmit_hash_policy=XmitPolicy.LAYER34)
    bonds.run(6 * SECOND)
    return bonds


def flows(bonds: Bonds, count: int = 40) -> list[int]:
    """Send datagrams of several flows, all of which arrive; return how many each slave sent."""
    there = bonds.pb.socket()
    there.bind(("10.0.8.2", 9000))
    before = bonds.sent()
    for number in range(count):
        here = bonds.bd.socket()
        here.bind(("10.0.8.1", 6000 + 3 * number))
        here.sendto(bytes((number,)), ("10.0.8.2", 9000))
        bonds.run(MS)
        assert there.recv(10) == bytes((number,))
        here.close()
    there.close()
    return [now - old for now, old in zip(bonds.sent(), before, strict=True)]


def test_two_bonds_form_one_aggregate_and_spread_flows_over_it(joined):
    for devs in (joined.slaves, joined.peers):
        assert len({info(dev)[0] for dev in devs}) == 1
        assert {tuple(info(dev)[1:]) for dev in devs} == {(0x3F, 0x3F)}
    assert netif_carrier_ok(joined.bond)
    assert min(flows(joined)) > 3


def test_a_port_without_a_link_is_left_out_and_taken_in_again(joined):
    dev_close(joined.peers[1])
    joined.run(300 * MS)
    assert flows(joined)[1] == 0
    dev_open(joined.peers[1])
    joined.run(6 * SECOND)
    assert min(flows(joined)) > 3


def test_a_port_whose_partner_falls_silent_is_left_out(joined):
    """As when something between them breaks, and the link stays."""
    joined.peers[1].rx_handler, kept = None, joined.peers[1].rx_handler
    joined.slaves[1].rx_handler, mine = None, joined.slaves[1].rx_handler
    joined.run(4 * SECOND)
    assert LacpState(info(joined.slaves[1])[1]) & LacpState.EXPIRED
    assert flows(joined)[1] == 0
    joined.run(4 * SECOND)
    assert LacpState(info(joined.slaves[1])[1]) & LacpState.DEFAULTED
    joined.peers[1].rx_handler, joined.slaves[1].rx_handler = kept, mine
    joined.run(36 * SECOND)  # Nobody answered, so they ask every 30 s only.
    assert min(flows(joined)) > 3


def test_slaves_that_go_and_come_leave_the_others_at_work(joined):
    for dev in list(joined.slaves):
        do_set_master(dev, None)
        assert SLOW_PROTOCOLS not in dev.mc
        joined.run(300 * MS)
        assert flows(joined, 10)
        do_set_master(dev, joined.bond)
        joined.run(6 * SECOND)
        assert len(joined.bond.ad.aggregators) == 3
        assert min(flows(joined)) > 3
    joined.run(SECOND)
    for dev in (joined.bond, joined.other):
        dev_close(dev)
    joined.run(SECOND)
    assert len(joined.platform.buffers) == 0


def test_a_new_address_makes_a_new_system_of_the_bond(joined):
    dev_set_mac_address(joined.bond, bytes.fromhex("02000000beef"))
    joined.run(8 * SECOND)
    assert {slave_of(dev).ad.partner.system for dev in joined.peers} == {bytes.fromhex("02000000beef")}
    assert min(flows(joined)) > 3


def test_too_few_links_are_none():
    bonds = Bonds(BondMode.AD, 3, both=True, ad_lacp_rate=1, min_links=2)
    bonds.run(6 * SECOND)
    assert netif_carrier_ok(bonds.bond)
    dev_close(bonds.peers[0])
    bonds.run(300 * MS)
    assert netif_carrier_ok(bonds.bond)
    dev_close(bonds.peers[1])
    bonds.run(300 * MS)
    assert not netif_carrier_ok(bonds.bond)


class Partner:
    """The other end of each of a bond's ports: an aggregatable system that scapy speaks for."""

    def __init__(self, count: int = 2, **options: int) -> None:
        self.bonds = Bonds(BondMode.AD, count, **options)
        self.heard: dict[str, list[tuple[int, Ether]]] = {dev.name: [] for dev in self.bonds.peers}
        dev_add_pack(self.bonds.pb, PacketType(ETH_P_ALL, self.tapped))
        self.system = ["02:00:00:00:99:00"] * count
        self.key = [7] * count

    def tapped(self, skb, dev, _, __) -> int:
        if skb.pkt_type != PACKET_OUTGOING and skb.protocol == 0x8809:
            frame = Ether(bytes(skb.view[skb.mac_header : skb.tail]))
            self.heard[dev.name].append((self.bonds.platform.now_ns(), frame))
        consume_skb(skb)
        return 0

    def send(self, number: int, payload, dest: str = SLOW) -> None:
        """Send a slow protocol's frame on a link."""
        octets = bytes(Ether(dst=dest, src="02:00:00:00:99:01", type=0x8809) / payload)
        self.bonds.transmit(self.bonds.peers[number], octets)

    def last(self, number: int) -> LACP:
        """Return the last LACPDU that came on a link."""
        return self.heard[f"x{number + 1}"][-1][1][LACP]

    def say(self, number: int, state: int, **changed) -> None:
        """Send a LACPDU with what the last one said of the other end."""
        last = self.last(number)
        values = {
            "actor_system_priority": 100,
            "actor_system": self.system[number],
            "actor_key": self.key[number],
            "actor_port_priority": 200,
            "actor_port_number": 40 + number,
            "actor_state": state,
        }
        for name in ("system_priority", "system", "key", "port_priority", "port_number", "state"):
            values[f"partner_{name}"] = getattr(last, f"actor_{name}")
        self.send(number, SlowProtocol() / LACP(**values | changed))

    def state(self, number: int) -> LacpState:
        """Return what a port said of itself last."""
        return LacpState(self.last(number).actor_state)

    def agree(self, numbers=None) -> None:
        """Send what a partner would until the ports collect and distribute."""
        for _ in range(6):
            for number in numbers if numbers is not None else range(len(self.bonds.peers)):
                self.say(number, 0x3D)
            self.bonds.run(SECOND)


def test_a_passive_end_speaks_when_it_is_spoken_to_and_one_link_works_meanwhile():
    partner = Partner(ad_lacp_active=0)
    partner.bonds.run(10 * SECOND)
    partner.heard["x1"][:-1] = []
    partner.bonds.run(100 * SECOND)
    assert len(partner.heard["x1"]) == 1
    active = [slave_of(dev) for dev in partner.bonds.slaves if not slave_of(dev).inactive]
    assert len(active) == 1
    assert partner.bonds.bond.usable_slaves == active
    partner.agree()
    assert [partner.state(number) & COLLECTING for number in range(2)] == [COLLECTING] * 2
    partner.heard["x1"][:-1] = []
    for _ in range(3):
        partner.say(0, 0x3D)
        partner.bonds.run(30 * SECOND)
    assert len(partner.heard["x1"]) == 4


def test_a_lacpdu_says_what_the_port_is():
    partner = Partner(ad_user_port_key=3, ad_actor_sys_prio=1234)
    partner.bonds.run(2 * SECOND)
    for number, dev in enumerate(partner.bonds.slaves):
        frame = partner.heard[f"x{number + 1}"][0][1]
        lacp = frame[LACP]
        assert (frame.dst, frame.src) == (SLOW, slave_of(dev).perm_hwaddr.hex(":"))
        assert lacp.actor_system == partner.bonds.bond.dev_addr.hex(":")
        assert (lacp.actor_system_priority, lacp.actor_port_number) == (1234, number + 1)
        assert lacp.actor_key == 3 << 6 | 7 << 1 | 1  # 10 Gb/s, full duplex.
        assert lacp.actor_state == LacpState.ACTIVITY | LacpState.AGGREGATION | LacpState.DEFAULTED | LacpState.EXPIRED
        assert (lacp.partner_system, lacp.partner_port_number) == ("00:00:00:00:00:00", 1)


def test_a_port_comes_in_step_with_its_partner():
    partner = Partner()
    partner.bonds.run(2 * SECOND)
    partner.say(0, 0x05)
    partner.bonds.run(200 * MS)
    port = slave_of(partner.bonds.slaves[0]).ad
    assert (port.rx_state, port.mux_state) == (RxState.CURRENT, MuxState.WAITING)
    partner.bonds.run(3 * SECOND)
    assert port.mux_state == MuxState.ATTACHED
    assert partner.state(0) == LacpState.ACTIVITY | LacpState.AGGREGATION | LacpState.SYNCHRONIZATION
    partner.say(0, 0x0D, partner_port_number=99)  # In step with some other port.
    partner.bonds.run(SECOND)
    assert port.mux_state == MuxState.ATTACHED
    partner.say(0, 0x0D)
    partner.bonds.run(SECOND)
    assert port.mux_state == MuxState.COLLECTING_DISTRIBUTING
    assert partner.state(0) == 0x3D
    assert LacpState(partner.last(0).partner_state) == 0x0D
    partner.say(0, 0x05)  # Out of step.
    partner.bonds.run(SECOND)
    assert port.mux_state == MuxState.ATTACHED
    assert partner.state(0) & COLLECTING == LacpState.AGGREGATION | LacpState.SYNCHRONIZATION


@pytest.mark.parametrize(("state", "seconds"), [(0x3D, 30), (0x3F, 1)])
def test_lacpdus_come_as_often_as_the_partner_asks(state, seconds):
    partner = Partner(1)
    partner.bonds.run(SECOND)
    for _ in range(6):
        partner.say(0, state)
        partner.bonds.run(SECOND)
    partner.heard["x1"].clear()
    for _ in range(12):
        partner.bonds.run(10 * SECOND)
    times = [time for time, _ in partner.heard["x1"]]
    assert len(times) >= 3
    gaps = {(later - earlier) // (100 * MS) for earlier, later in zip(times, times[1:], strict=False)}
    assert min(abs(gap - seconds * 10) for gap in gaps) <= 1


@pytest.mark.parametrize(("fast", "seconds"), [(0, 90), (1, 3)])
def test_a_silent_partner_is_expired_then_forgotten(fast, seconds):
    partner = Partner(1, ad_lacp_rate=fast)
    partner.bonds.run(SECOND)
    partner.agree()
    port = slave_of(partner.bonds.slaves[0]).ad
    assert partner.state(0) & COLLECTING == COLLECTING
    partner.say(0, 0x3D)
    partner.bonds.run((seconds - 1) * SECOND)
    assert port.rx_state == RxState.CURRENT
    partner.bonds.run(2 * SECOND)
    assert port.rx_state == RxState.EXPIRED
    assert port.periodic_state == PeriodicState.FAST_PERIODIC
    partner.bonds.run(3 * SECOND)
    assert port.rx_state == RxState.DEFAULTED
    partner.bonds.run(SECOND)
    assert partner.state(0) & LacpState.DEFAULTED
    assert not port.aggregator.has_partner
    partner.agree()
    assert partner.state(0) & COLLECTING == COLLECTING


def test_at_most_three_lacpdus_a_second_are_sent_however_much_there_is_to_tell():
    partner = Partner(1)
    partner.bonds.run(SECOND)
    partner.agree()
    partner.heard["x1"].clear()
    for number in range(100):
        partner.say(0, 0x3D, partner_key=number) if partner.heard["x1"] else partner.send(
            0, SlowProtocol() / LACP(actor_key=number, actor_system="02:00:00:00:99:00", partner_system=SLOW)
        )
        partner.bonds.run(100 * MS)
    times = [time for time, _ in partner.heard["x1"]]
    assert 25 <= len(times) <= 34


@pytest.mark.parametrize("by_key", [False, True])
def test_ports_that_lead_to_different_systems_or_aggregates_of_one_are_not_used_together(by_key):
    partner = Partner(3)
    if by_key:
        partner.key = [7, 8, 7]
    else:
        partner.system = ["02:00:00:00:99:00", "02:00:00:00:aa:00", "02:00:00:00:99:00"]
    partner.bonds.run(SECOND)
    partner.agree()
    ids = [info(dev)[0] for dev in partner.bonds.slaves]
    assert ids[0] == ids[2] != ids[1]
    used = [partner.state(number) & COLLECTING == COLLECTING for number in range(3)]
    assert used in ([True, False, True], [False, True, False])
    assert [not slave_of(dev).inactive for dev in partner.bonds.slaves] == used


@pytest.mark.parametrize(("select", "stays"), [(0, True), (1, False), (2, False)])
def test_the_aggregator_is_chosen_as_it_was_asked_to(select, stays):
    """A single link to one system is in use; then two links to another one come up."""
    partner = Partner(3, ad_select=select)
    partner.system = ["02:00:00:00:aa:00", "02:00:00:00:99:00", "02:00:00:00:99:00"]
    for peer in partner.bonds.peers[1:]:
        dev_close(peer)
    partner.bonds.run(SECOND)
    partner.agree([0])
    assert not slave_of(partner.bonds.slaves[0]).inactive
    for peer in partner.bonds.peers[1:]:
        dev_open(peer)
    partner.bonds.run(2 * SECOND)
    partner.agree()
    partner.agree()
    used = [not slave_of(dev).inactive for dev in partner.bonds.slaves]
    assert used == ([True, False, False] if stays else [False, True, True])
    assert [bool(partner.state(number) & LacpState.COLLECTING) for number in range(3)] == used
    dev_close(partner.bonds.peers[0])
    partner.bonds.run(300 * MS)
    partner.agree([1, 2])
    assert [not slave_of(dev).inactive for dev in partner.bonds.slaves] == [False, True, True]


def test_a_partner_that_cannot_be_aggregated_gets_one_link():
    partner = Partner(2)
    partner.bonds.run(SECOND)
    for _ in range(6):
        for number in range(2):
            partner.say(number, 0x39)
        partner.bonds.run(SECOND)
    assert len({info(dev)[0] for dev in partner.bonds.slaves}) == 2
    assert sum(not slave_of(dev).inactive for dev in partner.bonds.slaves) == 1


def test_ports_are_numbered_anew_when_all_have_gone():
    partner = Partner()
    for dev in partner.bonds.slaves:
        do_set_master(dev, None)
    do_set_master(partner.bonds.slaves[1], partner.bonds.bond)
    assert slave_of(partner.bonds.slaves[1]).ad.number == 1


def test_a_port_that_leaves_says_so():
    partner = Partner()
    partner.bonds.run(SECOND)
    partner.agree()
    do_set_master(partner.bonds.slaves[1], None)
    partner.bonds.run(MS)
    assert not partner.state(1) & (LacpState.SYNCHRONIZATION | LacpState.AGGREGATION)


def test_a_marker_is_answered_and_other_pdus_are_told_apart():
    partner = Partner(1)
    partner.bonds.run(SECOND)
    stats = partner.bonds.bond.ad.stats
    marker = MarkerProtocol(requester_port=5, requester_system="02:00:00:00:99:00", requester_transaction_id=77)
    partner.heard["x1"].clear()
    partner.send(0, SlowProtocol() / marker)
    partner.bonds.run(MS)
    answer = partner.heard["x1"][-1][1][MarkerProtocol]
    assert (answer.marker_type, answer.requester_port, answer.requester_transaction_id) == (2, 5, 77)
    assert (stats.marker_rx, stats.marker_resp_tx) == (1, 1)
    partner.send(0, SlowProtocol() / MarkerProtocol(marker_type=2))
    partner.send(0, SlowProtocol(bytes(partner.heard["x1"][0][1][SlowProtocol])[:10]))
    partner.send(0, b"\x0a" + bytes(60))  # OSSP.
    partner.send(0, SlowProtocol() / LACP(actor_type=9))
    partner.bonds.run(MS)
    assert (stats.marker_resp_rx, stats.marker_unknown_rx) == (1, 1)
    assert (stats.lacpdu_unknown_rx, stats.lacpdu_illegal_rx) == (1, 1)
    before = stats.lacpdu_rx
    partner.send(0, SlowProtocol() / LACP(), dest="02:00:00:00:00:01")
    partner.bonds.run(MS)
    assert stats.lacpdu_rx == before


def test_a_cable_that_leads_back_makes_no_aggregate():
    partner = Partner(1)
    partner.bonds.run(SECOND)
    for _ in range(8):
        frame = partner.heard["x1"][-1][1]
        partner.send(0, frame[SlowProtocol])
        partner.bonds.run(SECOND)
    assert partner.bonds.bond.ad.stats.lacpdu_illegal_rx == 8
    assert not partner.state(0) & LacpState.COLLECTING


def test_the_miimon_that_a_bond_needs_is_set():
    bonds = Bonds(BondMode.AD, 1)
    assert bond_link_ops.fill_info(bonds.bond)[IflaBond.MIIMON] == 100
