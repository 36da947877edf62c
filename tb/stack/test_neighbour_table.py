"""The table of neighbours: its limits, who has to go, and the settings that a host starts with."""

from errno import ENOBUFS

import pytest

from hardwire.stack import socket as api
from hardwire.stack.core.neighbour import NUD_REACHABLE, NUD_STALE
from hardwire.stack.core.neighbour_table import __neigh_create as neigh_create
from hardwire.stack.core.neighbour_table import neigh_lookup
from hardwire.stack.core.neighbour_update import NEIGH_UPDATE_F_OVERRIDE, neigh_update
from hardwire.stack.core.timer import HZ
from hardwire.stack.iproute import neigh_add, route_add
from hardwire.tb.stack.inet_host import SECOND

NEW = ("10.0.0.3", 9000)


def find(host, address=0x0A000003):
    return neigh_lookup(host.net.ipv4.arp_tbl, address, host.dev)


def test_settings_are_those_of_linux(host):
    """The numbers are those under /proc/sys/net/ipv4/neigh/default; times there are in seconds."""
    tbl = host.net.ipv4.arp_tbl
    assert (tbl.gc_thresh1, tbl.gc_thresh2, tbl.gc_thresh3, tbl.gc_interval) == (128, 512, 1024, 30 * HZ)
    for parms in (tbl.parms, host.dev.arp_parms):
        assert parms.base_reachable_time == 30 * HZ
        assert parms.retrans_time == 1 * HZ
        assert parms.delay_probe_time == 5 * HZ
        assert parms.gc_staletime == 60 * HZ
        assert (parms.ucast_probes, parms.mcast_probes, parms.app_probes, parms.mcast_reprobes) == (3, 3, 0, 0)
        assert parms.queue_len_bytes == 212992


def test_the_table_has_limits(host):
    tbl = host.net.ipv4.arp_tbl
    tbl.gc_thresh1, tbl.gc_thresh2, tbl.gc_thresh3 = 2, 4, 8
    for last in range(10, 18):
        neigh_create(tbl, 0x0A000000 + last, host.dev).nud_state = NUD_STALE
    with pytest.raises(OSError, match=rf"\[Errno {ENOBUFS}\]"):
        neigh_create(tbl, 0x0A000063, host.dev)  # All are too young to go.
    sock = host.socket()
    sock.setsockopt(api.IPPROTO_IP, api.IP_RECVERR, 1)
    with pytest.raises(OSError, match=rf"\[Errno {ENOBUFS}\]"):
        sock.sendto(b"x", NEW)
    assert host.kernel.drop_counts() == {"NEIGH_CREATEFAIL": 1}
    host.platform.advance(6 * SECOND)
    neigh_create(tbl, 0x0A000063, host.dev)
    assert len(tbl.nht) == 6
    assert find(host, 0x0A000002) is host.peer  # Set by hand: stays.
    host.platform.advance(200 * SECOND)
    assert len(tbl.nht) <= 2


def test_groups_do_not_fill_the_table(host):
    tbl = host.net.ipv4.arp_tbl
    tbl.gc_thresh1, tbl.gc_thresh2, tbl.gc_thresh3 = 2, 4, 8
    route_add(host.net, "224.0.0.0/4", dev=host.dev)
    sock = host.socket()
    for last in range(1, 30):
        sock.sendto(b"x", (f"224.1.1.{last}", 9))
    assert len(host.dev.frames) == 29
    assert len(tbl.nht) <= 9
    sock.sendto(b"x", NEW)
    assert host.kernel.drop_counts() == {}
    neigh_update(find(host), bytes.fromhex("020000000003"), NUD_REACHABLE, NEIGH_UPDATE_F_OVERRIDE)
    assert len(host.dev.frames) == 31  # A request for the address, and the datagram.


def test_entries_set_by_hand_do_not_count_against_the_limits(host):
    host.net.ipv4.arp_tbl.gc_thresh3 = 8
    host.net.ipv4.arp_tbl.gc_thresh2 = 4
    for last in range(10, 60):
        neigh_add(host.dev, f"10.0.0.{last}", "02:00:00:00:00:09")
    neigh_create(host.net.ipv4.arp_tbl, 0x0A000063, host.dev)
