"""What ARP packets do to the table of neighbours, with each policy: the same as in a real Linux kernel."""

import os

import pytest

from hardwire.stack.iproute import addr_add, neigh_add, neigh_show
from hardwire.tb.stack.fake import FakePlatform
from hardwire.tb.stack.frames import ME, MY_MAC, PEER_MAC, SENTINEL, arp, is_sentinel
from hardwire.tb.stack.linux_peer import LinuxPeer, can_make_namespaces
from hardwire.tb.stack.pair import PairHost

pytestmark = pytest.mark.skipif(not can_make_namespaces(), reason="needs root, /dev/net/tun and ip(8)")

OTHER, SPARE = 0x0A000009, 0x0AC80001  # 10.200.0.1 is an address of loopback.
OTHER_MAC = bytes.fromhex("0200000000aa")
PACKETS = {
    "request": [arp(sip=OTHER, sha=OTHER_MAC)],
    "unsolicited reply": [arp(2, OTHER, ME, sha=OTHER_MAC, tha=MY_MAC, mac=MY_MAC)],
    "unsolicited reply to all": [arp(2, OTHER, ME, sha=OTHER_MAC, tha=MY_MAC)],
    "gratuitous request": [arp(1, OTHER, OTHER, sha=OTHER_MAC)],
    "gratuitous reply": [arp(2, OTHER, OTHER, sha=OTHER_MAC, tha=OTHER_MAC)],
    "gratuitous reply to nobody": [arp(2, OTHER, OTHER, sha=OTHER_MAC)],
    "gratuitous from far away": [arp(1, 0xC0000201, 0xC0000201, sha=OTHER_MAC)],
    "probe": [arp(1, 0, ME, sha=OTHER_MAC)],
    "request for an address of loopback": [arp(1, OTHER, SPARE, sha=OTHER_MAC)],
    "request from another network": [arp(1, 0x0B000001, ME, sha=OTHER_MAC)],
    "request for others, sender known": [arp(sip=OTHER, sha=OTHER_MAC), arp(1, OTHER, 0x0A000033, sha=PEER_MAC)],
    "another address at once": [arp(sip=OTHER, sha=OTHER_MAC), arp(2, OTHER, ME, sha=PEER_MAC, mac=MY_MAC)],
    "gratuitous change at once": [arp(sip=OTHER, sha=OTHER_MAC), arp(1, OTHER, OTHER, sha=PEER_MAC)],
    "gratuitous reply to nobody at once": [arp(sip=OTHER, sha=OTHER_MAC), arp(2, OTHER, OTHER, sha=PEER_MAC)],
    "the same address again": [arp(sip=OTHER, sha=OTHER_MAC), arp(2, OTHER, ME, sha=OTHER_MAC, mac=MY_MAC)],
    "request, another address": [arp(sip=OTHER, sha=OTHER_MAC), arp(sip=OTHER, sha=PEER_MAC)],
    "duplicate of our address": [arp(2, ME, ME, sha=OTHER_MAC)],
}
SETTINGS = [
    {},
    {"arp_accept": 1},
    {"arp_accept": 2},
    {"drop_gratuitous_arp": 1},
    {"arp_ignore": 1},
    {"arp_ignore": 2},
    {"arp_ignore": 3},
    {"arp_ignore": 8},
    {"arp_filter": 1},
]


@pytest.fixture(scope="module")
def linux():
    with LinuxPeer(f"hardwire-arp{os.getpid()}") as peer:
        peer.ip("address", "add", "10.200.0.1/32", "dev", "lo")
        peer.ip("neigh", "replace", "10.0.0.1", "lladdr", "02:00:00:00:00:01", "nud", "permanent", "dev", "eth0")
        peer.frames()
        yield peer


def table(lines: list[str]) -> list[str]:
    """Return entries as sorted words: address, link address, state."""
    return sorted(" ".join(word for word in line.split() if word not in ("dev", "eth0")) for line in lines if line)


def probes(frames: list[bytes]) -> list[bytes]:
    """Return the ARP answers among frames."""
    return [frame[:42] for frame in frames if frame[12:14] == b"\x08\x06" and frame[21] == 2]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("name", PACKETS)
def test_arp_packet_is_answered_and_learned_as_by_linux(linux, name, settings):
    ours = PairHost(FakePlatform(), MY_MAC, "10.0.0.2/24")
    addr_add(ours.net.loopback_dev, "10.200.0.1/32")
    neigh_add(ours.dev, "10.0.0.1", "02:00:00:00:00:01")
    ours.platform.advance(10_000_000_000)
    for setting in ("arp_accept", "drop_gratuitous_arp", "arp_ignore", "arp_filter"):
        linux.sysctl(f"net.ipv4.conf.eth0.{setting}", settings.get(setting, 0))
        setattr(ours.dev.ip_ptr.cnf, setting, settings.get(setting, 0))
    for address in ("10.0.0.9", "192.0.2.1", "11.0.0.1", "10.0.0.51"):
        linux.ip("neigh", "flush", "to", address)
    for frame in (*PACKETS[name], SENTINEL):
        linux.receive(frame)
        ours.receive(frame)
    answers = probes(linux.until(is_sentinel))
    ours.platform.advance(1_000_000)
    assert probes(ours.dev.sent) == answers
    theirs = [line for line in linux.ip("neigh", "show", "dev", "eth0").splitlines() if "FAILED" not in line]
    assert table(neigh_show(ours.net)) == table(theirs)
