"""Neighbours: every state and timer, packets that wait, ARP on the wire, prebuilt headers, the device's cache."""

from errno import EHOSTUNREACH, EINVAL, ENOENT, EPERM

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from scapy.layers.l2 import ARP

from hardwire.stack import socket as api
from hardwire.stack.core.dev_register import dev_close, dev_set_mac_address
from hardwire.stack.core.neighbour import (
    NUD_CONNECTED,
    NUD_DELAY,
    NUD_FAILED,
    NUD_IN_TIMER,
    NUD_INCOMPLETE,
    NUD_NAMES,
    NUD_NOARP,
    NUD_NONE,
    NUD_PERMANENT,
    NUD_PROBE,
    NUD_REACHABLE,
    NUD_STALE,
    NUD_TRANSITIONS,
    NUD_VALID,
    NeighCause,
    neigh_confirm,
    neigh_event_send,
)
from hardwire.stack.core.neighbour_output import neigh_hw_miss
from hardwire.stack.core.neighbour_table import neigh_lookup
from hardwire.stack.core.neighbour_update import NEIGH_UPDATE_F_OVERRIDE, NEIGH_UPDATE_F_WEAK_OVERRIDE, neigh_update
from hardwire.stack.core.netdevice import IFF_XMIT_DST_RELEASE, netif_keep_dst
from hardwire.stack.core.netevent import NetEvent, register_netevent_notifier, unregister_netevent_notifier
from hardwire.stack.core.packet_type import ETH_P_ALL, PacketType, dev_add_pack
from hardwire.stack.core.timer import HZ
from hardwire.stack.iproute import neigh_add, neigh_del, neigh_show
from hardwire.stack.wire.arp import ArpOperation
from hardwire.tb.stack.inet_host import MS, PEER, PEER_MAC, SECOND, InetHost

NEW = ("10.0.0.3", 9000)
NEW_IP = 0x0A000003
NEW_MAC = bytes.fromhex("020000000003")


@pytest.fixture
def host():
    return InetHost()


def find(host, address=NEW_IP):
    return neigh_lookup(host.net.ipv4.arp_tbl, address, host.dev)


def answer(host, address=NEW_IP, mac=NEW_MAC, state=NUD_REACHABLE):
    return neigh_update(find(host, address), mac, state, NEIGH_UPDATE_F_OVERRIDE)


def test_a_miss_queues_the_packet_and_asks_on_the_wire(host):
    sock = host.socket()
    assert sock.sendto(b"first", NEW) == 5
    (frame,) = host.frames()
    wanted = ARP(op=1, hwsrc="02:00:00:00:00:01", psrc="10.0.0.1", hwdst="00:00:00:00:00:00", pdst="10.0.0.3")
    assert (frame.dst, frame.payload) == (b"\xff" * 6, bytes(wanted))
    neigh = find(host)
    assert (neigh.nud_state, len(neigh.arp_queue)) == (NUD_INCOMPLETE, 1)
    sock.sendto(b"second", NEW)
    assert host.frames() == []  # Asked already.
    assert answer(host) == 0
    frames = host.frames()
    assert [frame.dst for frame in frames] == [NEW_MAC] * 2
    assert [frame.payload[28:] for frame in frames] == [b"first", b"second"]
    assert neigh.arp_queue_len_bytes == 0
    sock.sendto(b"third", NEW)
    assert [frame.payload[28:] for frame in host.frames()] == [b"third"]
    host.check_memory()


def test_a_miss_does_not_hold_up_other_destinations(host):
    sock = host.socket()
    sock.sendto(b"waits", NEW)
    host.frames()
    sock.sendto(b"goes", ("10.0.0.2", 9))
    assert [frame.payload[28:] for frame in host.frames()] == [b"goes"]


def test_nobody_answers_three_requests_a_second_apart_then_ehostunreach(host):
    sock = host.socket()
    sock.sendto(b"x", NEW)
    start = host.platform.now_ns()
    times = []
    for _ in range(40):
        times += [host.platform.now_ns() - start for _ in host.arps()]
        host.platform.advance(100 * MS)
    assert times == [0, SECOND, 2 * SECOND]
    assert find(host).nud_state == NUD_FAILED
    assert host.kernel.drop_counts() == {"NEIGH_FAILED": 1}
    with pytest.raises(OSError, match=rf"\[Errno {EHOSTUNREACH}\] No route to host"):
        sock.sendto(b"x", ("10.0.0.2", 9))
    assert sock.sendto(b"x", ("10.0.0.2", 9)) == 1  # The error was told once.
    sock.sendto(b"x", NEW)
    host.platform.advance(4 * SECOND)
    assert sock.getsockopt(api.SOL_SOCKET, api.SO_ERROR) == EHOSTUNREACH
    assert sock.getsockopt(api.SOL_SOCKET, api.SO_ERROR) == 0
    host.check_memory()


def test_a_failed_neighbour_is_asked_again(host):
    sock = host.socket()
    sock.sendto(b"x", NEW)
    host.platform.advance(4 * SECOND)
    host.frames()
    sock.getsockopt(api.SOL_SOCKET, api.SO_ERROR)
    sock.sendto(b"y", NEW)
    assert len(host.arps()) == 1
    answer(host)
    assert [frame.payload[28:] for frame in host.frames()] == [b"y"]


def test_the_queue_drops_the_oldest_when_it_is_full(host):
    host.dev.arp_parms.queue_len_bytes = 4000
    sock = host.socket()
    for number in range(20):
        sock.sendto(bytes([number]) * 10, NEW)
    neigh = find(host)
    kept = len(neigh.arp_queue)
    assert 1 < kept < 20
    assert neigh.arp_queue_len_bytes <= 4000
    assert host.kernel.drop_counts() == {"NEIGH_QUEUEFULL": 20 - kept}
    assert host.net.ipv4.arp_tbl.stats["unres_discards"] == 20 - kept
    host.frames()
    answer(host)
    assert [frame.payload[28] for frame in host.frames()] == list(range(20 - kept, 20))
    host.check_memory()


def test_one_packet_larger_than_the_queue_still_waits(host):
    host.dev.arp_parms.queue_len_bytes = 100
    host.socket().sendto(bytes(1000), NEW)
    assert len(find(host).arp_queue) == 1


def test_reachable_stale_delay_probe_failed(host):
    parms = host.dev.arp_parms
    parms.base_reachable_time, parms.delay_probe_time, parms.retrans_time = 3 * HZ, HZ, HZ // 4
    parms.ucast_probes = parms.mcast_probes = 2
    sock = host.socket()
    sock.sendto(b"x", NEW)
    answer(host)
    neigh = find(host)
    host.frames()
    assert parms.reachable_time(0) in range(3 * HZ // 2, 9 * HZ // 2 + 1)
    host.platform.advance(5 * SECOND)
    assert neigh.nud_state == NUD_STALE
    sock.sendto(b"y", NEW)
    assert neigh.nud_state == NUD_DELAY
    (frame,) = host.frames()
    assert (frame.dst, frame.payload[28:]) == (NEW_MAC, b"y")  # It went at once, to the old address.
    host.platform.advance(SECOND + 20 * MS)
    assert neigh.nud_state == NUD_PROBE
    (frame,) = host.frames()
    assert (frame.dst, frame.ethertype) == (NEW_MAC, 0x0806)  # Asks him alone.
    host.platform.advance(260 * MS)
    assert len(host.arps()) == 1
    host.platform.advance(260 * MS)
    assert neigh.nud_state == NUD_FAILED
    assert host.frames() == []


def test_a_confirmation_in_delay_makes_it_reachable_again(host):
    sock = host.socket()
    sock.sendto(b"x", NEW)
    answer(host, state=NUD_STALE)
    neigh = find(host)
    sock.sendto(b"y", NEW)
    assert neigh.nud_state == NUD_DELAY
    host.platform.advance(2 * SECOND)
    neigh_confirm(neigh)
    host.platform.advance(4 * SECOND)
    assert neigh.nud_state == NUD_REACHABLE


def test_a_neighbour_in_use_goes_from_reachable_to_delay(host):
    sock = host.socket()
    sock.sendto(b"x", NEW)
    answer(host)
    neigh = find(host)
    host.platform.advance(14 * SECOND)
    while neigh.nud_state == NUD_REACHABLE:
        neigh_event_send(neigh, None)
        host.platform.advance(SECOND)
    assert neigh.nud_state == NUD_DELAY


def test_a_packet_to_a_reachable_neighbour_takes_the_prebuilt_header(host, monkeypatch):
    sock = host.socket()
    sock.sendto(b"1", ("10.0.0.2", 9))
    assert host.peer.hh.hh_data == PEER_MAC + host.dev.dev_addr + b"\x08\x00"
    monkeypatch.setattr(host.peer, "output", lambda *_: pytest.fail("resolved again"))
    sock.sendto(b"2", ("10.0.0.2", 9))
    neigh_add(host.dev, "10.0.0.2", "02:00:00:00:00:99")
    sock.sendto(b"3", ("10.0.0.2", 9))
    assert [frame.dst[5] for frame in host.frames()] == [2, 2, 0x99]


def test_an_invalid_neighbour_loses_its_prebuilt_header(host):
    sock = host.socket()
    sock.sendto(b"1", ("10.0.0.2", 9))
    assert host.peer.hh.hh_len == 14
    neigh_add(host.dev, "10.0.0.2", "", NUD_FAILED)
    assert host.peer.hh.hh_len == 0


def test_notifiers_hear_of_each_change_of_state_or_address(host):
    heard = []

    def notifier(event, neigh):
        heard.append((event, neigh.primary_key, NUD_NAMES[neigh.nud_state], neigh.ha))

    register_netevent_notifier(host.kernel, notifier)
    host.socket().sendto(b"x", NEW)
    answer(host)
    answer(host, mac=PEER_MAC)
    answer(host, mac=PEER_MAC)
    host.platform.advance(60 * SECOND)
    neigh_del(host.dev, "10.0.0.3")
    unregister_netevent_notifier(host.kernel, notifier)
    neigh_add(host.dev, "10.0.0.3", "02:00:00:00:00:03")
    update = NetEvent.NEIGH_UPDATE
    assert heard == [
        (update, NEW_IP, "REACHABLE", NEW_MAC),
        (update, NEW_IP, "REACHABLE", PEER_MAC),
        (update, NEW_IP, "STALE", PEER_MAC),
        (update, NEW_IP, "FAILED", PEER_MAC),
    ]


@pytest.mark.parametrize(
    ("old", "mac", "new", "flags", "result", "state", "after"),
    [
        (NUD_PERMANENT, NEW_MAC, NUD_REACHABLE, NEIGH_UPDATE_F_OVERRIDE, -EPERM, NUD_PERMANENT, PEER_MAC),
        (NUD_REACHABLE, NEW_MAC, NUD_STALE, 0, 0, NUD_REACHABLE, PEER_MAC),
        (NUD_REACHABLE, NEW_MAC, NUD_STALE, NEIGH_UPDATE_F_OVERRIDE, 0, NUD_STALE, NEW_MAC),
        (NUD_REACHABLE, NEW_MAC, NUD_REACHABLE, NEIGH_UPDATE_F_WEAK_OVERRIDE, 0, NUD_STALE, PEER_MAC),
        (NUD_STALE, NEW_MAC, NUD_REACHABLE, NEIGH_UPDATE_F_WEAK_OVERRIDE, 0, NUD_STALE, PEER_MAC),
        (NUD_REACHABLE, PEER_MAC, NUD_STALE, 0, 0, NUD_REACHABLE, PEER_MAC),
        (NUD_STALE, None, NUD_REACHABLE, 0, 0, NUD_REACHABLE, PEER_MAC),
        (NUD_FAILED, None, NUD_REACHABLE, 0, -EINVAL, NUD_FAILED, None),
        (NUD_STALE, b"short", NUD_REACHABLE, 0, -EINVAL, NUD_STALE, PEER_MAC),
        (NUD_REACHABLE, None, NUD_FAILED, 0, 0, NUD_FAILED, None),
        (NUD_STALE, PEER_MAC, NUD_PROBE, 0, 0, NUD_PROBE, PEER_MAC),
    ],
)
def test_what_an_update_may_change(host, old, mac, new, flags, result, state, after):
    neigh = neigh_add(host.dev, "10.0.0.3", "02:00:00:00:00:02", old)
    assert neigh_update(neigh, mac, new, flags) == result
    assert neigh.nud_state == state
    if after:
        assert neigh.ha == after


def test_the_administrator_may_change_anything(host):
    for state in (NUD_PERMANENT, NUD_STALE, NUD_NOARP, NUD_REACHABLE, NUD_FAILED, NUD_PERMANENT):
        neigh = neigh_add(host.dev, "10.0.0.3", "02:00:00:00:00:09", state)
        assert neigh.nud_state == state
    assert "10.0.0.3 dev eth0 lladdr 02:00:00:00:00:09 PERMANENT" in neigh_show(host.net)
    neigh_del(host.dev, "10.0.0.3")
    with pytest.raises(OSError, match=rf"\[Errno {ENOENT}\]"):
        neigh_del(host.dev, "10.0.0.3")
    assert neigh_update(neigh, NEW_MAC, NUD_STALE) == -ENOENT


def test_deleting_a_neighbour_reports_what_waited(host):
    sock = host.socket()
    sock.sendto(b"x", NEW)
    neigh_del(host.dev, "10.0.0.3")
    assert host.kernel.drop_counts() == {"NEIGH_FAILED": 1}
    assert sock.getsockopt(api.SOL_SOCKET, api.SO_ERROR) == EHOSTUNREACH
    host.platform.advance(10 * SECOND)
    assert len(host.arps()) == 1
    host.check_memory()


@pytest.mark.parametrize(
    "change", [dev_close, lambda dev: dev_set_mac_address(dev, bytes.fromhex("02000000aaaa"))], ids=["down", "address"]
)
def test_what_waits_is_dropped_with_a_reason_but_unreported_when_its_device_changes(host, change):
    sock = host.socket()
    sock.setsockopt(api.SOL_IP, api.IP_RECVERR, 1)
    sock.sendto(b"x", NEW)
    change(host.dev)
    assert find(host) is None
    assert host.kernel.drop_counts() == {"NEIGH_DEAD": 1}
    assert host.net.ipv4.arp_tbl.stats["res_failed"] == 0
    assert sock.getsockopt(api.SOL_SOCKET, api.SO_ERROR) == 0
    host.check_memory()


def test_a_device_going_down_or_changing_its_address_forgets_neighbours(host):
    sock = host.socket()
    sock.sendto(b"x", NEW)
    answer(host)
    sock.sendto(b"x", PEER)
    dev_set_mac_address(host.dev, bytes.fromhex("02000000aaaa"))
    assert find(host) is None
    assert find(host, 0x0A000002) is None  # Although it was set by hand: its link header has the old address.
    neigh_add(host.dev, "10.0.0.2", "02:00:00:00:00:02")
    sock.sendto(b"y", PEER)
    assert host.dev.frames[-1][6:12].hex() == "02000000aaaa"
    dev_close(host.dev)
    assert find(host, 0x0A000002) is None


def test_a_hardware_miss_of_a_known_neighbour_is_sent_again_with_its_address(host):
    netif_keep_dst(host.dev)
    assert not host.dev.priv_flags & IFF_XMIT_DST_RELEASE
    seen = []
    dev_add_pack(host.net, PacketType(ETH_P_ALL, lambda skb, *_: seen.append(skb.len) or 0))
    sock = host.socket()
    host.dev.hold = True
    sock.sendto(b"x", ("10.0.0.2", 9))
    (skb,) = host.dev.held
    host.dev.held.clear()
    assert neigh_hw_miss(skb) == 0
    first, second = host.frames()
    assert first == second
    assert seen == [43]  # Tapped once.
    assert host.dev.held == [skb]
    host.release()
    assert sock.sk.sk_wmem_alloc == 0


def test_a_hardware_miss_of_an_unknown_neighbour_waits_for_resolution(host):
    netif_keep_dst(host.dev)
    sock = host.socket()
    sock.sendto(b"x", NEW)
    answer(host)
    sock.sendto(b"gone", NEW)
    host.frames()
    host.dev.hold = True
    sock.sendto(b"back", NEW)
    (skb,) = host.dev.held
    host.dev.held.clear()
    neigh_del(host.dev, "10.0.0.3")
    host.frames()
    assert neigh_hw_miss(skb) == 0
    assert len(host.arps()) == 1
    assert len(find(host).arp_queue) == 1
    answer(host, mac=PEER_MAC)
    (frame,) = host.frames()
    assert (frame.dst, frame.payload[28:]) == (PEER_MAC, b"back")
    host.release()
    assert sock.sk.sk_wmem_alloc == 0


def test_a_hardware_miss_without_a_route_is_dropped_with_a_reason(host):
    host.dev.hold = True
    host.socket().sendto(b"x", ("10.0.0.2", 9))
    (skb,) = host.dev.held
    assert skb.dst is None  # The device did not ask to keep it.
    host.dev.held.clear()
    assert neigh_hw_miss(skb) < 0
    assert host.kernel.drop_counts() == {"NEIGH_CREATEFAIL": 1}


@pytest.mark.parametrize(("announce", "sender"), [(0, 0x0A090001), (1, 0x0A000001), (2, 0x0A000001)])
def test_arp_announce_decides_which_source_is_shown(host, announce, sender):
    from hardwire.stack.iproute import addr_add

    addr_add(host.dev, "10.9.0.1/24")
    host.dev.arp_parms.arp_announce = announce
    sock = host.socket()
    sock.bind(("10.9.0.1", 0))
    sock.sendto(b"x", NEW)
    (arp,) = host.arps()
    assert (arp.operation, arp.sender_ip) == (ArpOperation.REQUEST, sender)


def test_the_table_of_transitions_knows_all_states():
    assert set(NUD_TRANSITIONS) == set(NeighCause)
    for targets in NUD_TRANSITIONS.values():
        assert set(targets) <= set(NUD_NAMES)
        assert all(target <= set(NUD_NAMES) for target in targets.values())
    assert set(NUD_TRANSITIONS[NeighCause.TIMER]) == {state for state in NUD_NAMES if state & NUD_IN_TIMER}


class NeighbourMachine(RuleBasedStateMachine):
    """One neighbour under packets, answers and time, in any order: nothing is lost, timers run when they should."""

    def __init__(self):
        super().__init__()
        self.host = InetHost()
        self.host.dev.arp_parms.queue_len_bytes = 6000
        self.sock = self.host.socket()
        self.sent = 0

    def neigh(self):
        """Return the entry, if there is one."""
        return find(self.host)

    @rule()
    def send(self):
        """Send a datagram."""
        try:
            self.sent += self.sock.sendto(b"d", NEW)
        except OSError as error:
            if error.errno != EHOSTUNREACH:
                raise

    @rule(ms=st.sampled_from([4, 100, 999, 1000, 1001, 5000, 20000, 60000]))
    def wait(self, ms):
        """Let time pass."""
        self.host.platform.advance(ms * MS)

    @rule(
        mac=st.sampled_from([None, NEW_MAC, PEER_MAC]),
        state=st.sampled_from([NUD_REACHABLE, NUD_STALE, NUD_FAILED, NUD_PROBE, NUD_DELAY, NUD_INCOMPLETE]),
        flags=st.sampled_from([0, NEIGH_UPDATE_F_OVERRIDE, NEIGH_UPDATE_F_WEAK_OVERRIDE]),
    )
    def update(self, mac, state, flags):
        """Learn something."""
        if self.neigh() is not None and (state & NUD_VALID or mac is None):
            neigh_update(self.neigh(), mac, state, flags)

    @rule()
    def confirm(self):
        """Hear of it from above."""
        if self.neigh() is not None:
            neigh_confirm(self.neigh())

    @rule()
    def delete(self):
        """Delete the entry."""
        if self.neigh() is not None:
            neigh_del(self.host.dev, "10.0.0.3")

    @invariant()
    def nothing_is_lost(self):
        """Each packet waits, was sent, or was dropped with a reason."""
        neigh = self.neigh()
        waiting = len(neigh.arp_queue) if neigh is not None else 0
        out = sum(frame[12:14] == b"\x08\x00" for frame in self.host.dev.frames)
        dropped = self.host.kernel.drop_counts()
        assert set(dropped) <= {"NEIGH_DEAD", "NEIGH_FAILED", "NEIGH_QUEUEFULL"}
        assert self.sent == waiting + out + sum(dropped.values())
        assert len(self.host.platform.buffers) == self.host.buffers_at_rest + waiting

    @invariant()
    def states_are_consistent(self):
        """What the entry holds fits its state."""
        neigh = self.neigh()
        if neigh is None:
            return
        state = neigh.nud_state
        assert bool(neigh.arp_queue) <= (state in (NUD_INCOMPLETE, NUD_FAILED, NUD_NONE))
        assert neigh.arp_queue_len_bytes == sum(skb.truesize for skb in neigh.arp_queue)
        if state & (NUD_STALE | NUD_FAILED):
            assert neigh.timer.timer is None
        if state & NUD_CONNECTED:
            assert neigh.hh.hh_len in (0, 14)
            assert neigh.hh.hh_len == 0 or neigh.hh.hh_data[:6] == neigh.ha


TestNeighbourMachine = NeighbourMachine.TestCase
TestNeighbourMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
