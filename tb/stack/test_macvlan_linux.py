"""Macvlan devices of every mode against the real kernel: which device receives what, as what, and what leaves."""

import json
import os
import select
import socket as real
import subprocess
from collections import defaultdict
from itertools import product

import pytest

from hardwire.stack.core.dev import dev_queue_xmit
from hardwire.stack.core.dev_register import dev_get_stats, dev_open, dev_set_mac_address, dev_set_mtu
from hardwire.stack.core.packet_type import ETH_P_ALL, PacketType, dev_add_pack
from hardwire.stack.core.skbuff import alloc_skb, consume_skb, skb_put_data, skb_reserve
from hardwire.stack.drivers.macvlan_link import (
    IFLA_MACVLAN_FLAGS,
    IFLA_MACVLAN_MACADDR,
    IFLA_MACVLAN_MACADDR_MODE,
    IFLA_MACVLAN_MODE,
    MacvlanMacaddrMode,
    macvlan_changelink,
    macvlan_newlink,
)
from hardwire.tb.stack.fake import FakePlatform
from hardwire.tb.stack.frames import BROADCAST, MY_MAC, PEER_MAC, ip, udp
from hardwire.tb.stack.linux_peer import LinuxPeer, can_make_namespaces
from hardwire.tb.stack.pair import PairHost

pytestmark = pytest.mark.skipif(not can_make_namespaces(), reason="needs root, ip and /dev/net/tun")

MODES = {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8, "source": 16}
MARK = 0x88B5  # IEEE Std 802 §9.2.4: for experiments.
GROUP = bytes.fromhex("01005e010203")
SOURCE = bytes.fromhex("0200000000aa")


Seen = tuple[list[bytes], dict[str, list[tuple[int, bytes]]]]  # Frames that left; what taps saw, by device.


def in_order(came: Seen) -> Seen:
    """Return what came, sorted."""
    left, seen = came
    return sorted(left), {name: sorted(frames) for name, frames in seen.items()}


def mac(number: int) -> bytes:
    return bytes((2, 0, 0, 0, 1, number))


class Theirs:
    """A kernel's host with macvlans above eth0."""

    def __init__(self, peer: LinuxPeer, modes: list[str]) -> None:
        self.peer = peer
        self.names = [f"mv{number}" for number in range(len(modes))]
        for number, mode in enumerate(modes):
            words = ["address", mac(number).hex(":")] if mode != "passthru" else []
            kind, *flags = mode.split()
            peer.ip(
                "link", "add", "link", "eth0", "name", f"mv{number}", *words, "type", "macvlan", "mode", kind, *flags
            )
            if kind == "source":
                peer.ip(
                    "link", "set", "link", "dev", f"mv{number}", "type", "macvlan", "macaddr", "add", SOURCE.hex(":")
                )
            peer.ip("link", "set", f"mv{number}", "up")
        self.tap = peer.inside(lambda: real.socket(real.AF_PACKET, real.SOCK_RAW, real.htons(ETH_P_ALL)))
        self.tap.setsockopt(real.SOL_SOCKET, 33, 1 << 24)  # SO_RCVBUFFORCE
        self.out = {}
        for name in self.names:
            self.out[name] = peer.inside(lambda: real.socket(real.AF_PACKET, real.SOCK_RAW))
            self.out[name].bind((name, 0))
        self.step("wire", [])

    def step(self, way: str, frames: list[bytes]) -> Seen:
        """Let frames come from the wire, or send them through a device; return what left, and what the taps saw."""
        for frame in frames:
            if way == "wire":
                self.peer.receive(frame)
            else:
                self.out[way].send(frame)
        left: list[bytes] = []
        seen = defaultdict(list)
        while select.select([self.peer.fd, self.tap.fileno()], [], [], 0.03)[0]:
            left += self.peer.frames(0)
            while select.select([self.tap], [], [], 0)[0]:
                frame, (name, _, kind, *_) = self.tap.recvfrom(65536)
                seen[name].append((kind, frame))
        return left, dict(seen)

    def stats(self, name: str) -> list[int]:
        (link,) = json.loads(self.peer.ip("-s", "-j", "link", "show", name))
        rx, tx = link["stats64"]["rx"], link["stats64"]["tx"]
        keys = ("packets", "bytes", "errors", "dropped")
        return [*(rx[key] for key in keys), rx["multicast"], *(tx[key] for key in keys)]

    def close(self) -> None:
        self.tap.close()
        for sock in self.out.values():
            sock.close()
        for name in self.names:
            self.peer.ip("link", "del", name)


class Ours:
    """Ours like that."""

    def __init__(self, modes: list[str]) -> None:
        self.host = PairHost(FakePlatform(), MY_MAC, "10.0.0.2/24")
        self.seen = defaultdict(list)
        self.vlans = {}
        for number, mode in enumerate(modes):
            kind, *flags = mode.split()
            data = {
                IFLA_MACVLAN_MODE: MODES[kind],
                IFLA_MACVLAN_FLAGS: {"nodst": 2, "nopromisc": 1}[flags[0]] if flags else 0,
            }
            vlan = macvlan_newlink(self.host.net, f"mv{number}", data, self.host.dev, address=mac(number))
            if kind == "source":
                senders = {IFLA_MACVLAN_MACADDR_MODE: MacvlanMacaddrMode.ADD, IFLA_MACVLAN_MACADDR: SOURCE}
                macvlan_changelink(vlan, senders)
            dev_open(vlan)
            self.vlans[vlan.name] = vlan
        dev_add_pack(self.host.net, PacketType(ETH_P_ALL, self.tapped))
        self.host.platform.advance(10_000_000)

    def tapped(self, skb, dev, _, __) -> int:
        if dev.name != "lo":
            self.seen[dev.name].append((skb.pkt_type, bytes(skb.view[skb.mac_header : skb.tail])))
        consume_skb(skb)
        return 0

    def step(self, way: str, frames: list[bytes]) -> Seen:
        """Let frames come from the wire, or send them through a device; return what left, and what the taps saw."""
        self.seen.clear()
        before = len(self.host.dev.sent)
        for frame in frames:
            if way == "wire":
                self.host.receive(frame)
                self.host.platform.advance()
            else:
                skb = alloc_skb(self.host.kernel, len(frame) + 32)
                skb_reserve(skb, 32)
                skb_put_data(skb, frame)
                skb.dev = self.vlans[way]
                skb.protocol = int.from_bytes(frame[12:14], "big")
                skb.network_header = skb.data + 14
                dev_queue_xmit(skb)
        self.host.platform.advance(10_000_000)
        return self.host.dev.sent[before:], dict(self.seen)

    def stats(self, name: str) -> list[int]:
        s = dev_get_stats(self.vlans[name])
        rx = [s.rx_packets, s.rx_bytes, s.rx_errors, s.rx_dropped, s.multicast]
        return [*rx, s.tx_packets, s.tx_bytes, s.tx_errors, s.tx_dropped]


SETS = [
    ["bridge", "bridge", "bridge"],
    ["vepa", "vepa"],
    ["private", "private"],
    ["passthru"],
    ["passthru nopromisc"],
    ["source", "bridge"],
    ["source nodst", "vepa"],
    ["private", "vepa", "bridge", "bridge"],
]

ADDRESSES = [mac(0), mac(1), mac(2), mac(3), MY_MAC, PEER_MAC, SOURCE]
DESTS = [*ADDRESSES, BROADCAST, GROUP, bytes.fromhex("01005e000001"), bytes.fromhex("0180c2000000")]


@pytest.fixture(scope="module")
def peer():
    with LinuxPeer(f"hardwire-mv{os.getpid()}") as peer:
        yield peer


@pytest.fixture(params=SETS, ids=" + ".join)
def both(request, peer):
    theirs = Theirs(peer, request.param)
    yield theirs, Ours(request.param)
    theirs.close()


def test_the_same_frames_come_out_where_they_do_in_linux(both):
    """Every way in, destination and source; broadcasts are handed out later, so order counts for nothing here."""
    theirs, ours = both
    for way in ("wire", *theirs.names):
        frames = []
        for number, (dest, source) in enumerate(product(DESTS, ADDRESSES)):
            frames.append(dest + source + MARK.to_bytes(2, "big") + number.to_bytes(2, "big") + bytes(44 + number % 9))
        assert in_order(ours.step(way, frames)) == in_order(theirs.step(way, frames)), way
    for name in theirs.names:
        assert ours.stats(name) == theirs.stats(name)
    assert len(ours.host.platform.buffers) == 0


def test_fragments_to_a_group_come_whole_as_in_linux(peer):
    theirs, ours = Theirs(peer, ["bridge", "vepa"]), Ours(["bridge", "vepa"])
    try:
        group = 0xE0000001
        whole = udp(9000, bytes(range(200)), dst=group)
        kwargs = {"dst": group, "mac": bytes.fromhex("01005e000001"), "pad": b""}
        for frame in (ip(whole[:104], frag=0x2000, **kwargs), ip(whole[104:], frag=13, **kwargs)):
            _, seen = ours.step("wire", [frame])
            _, wanted = theirs.step("wire", [frame])
            assert {key: [kind for kind, _ in value] for key, value in seen.items()} == {
                key: [kind for kind, _ in value] for key, value in wanted.items()
            }
        assert set(seen) == {"eth0", "mv0", "mv1"}
        assert ours.stats("mv0") == theirs.stats("mv0")
    finally:
        theirs.close()


M0, M1 = mac(0), mac(1)
CHANGES = {
    "link set mv1 address {M0}": lambda host, vlans: dev_set_mac_address(vlans["mv1"], M0),
    "link set mv1 address {ETH0}": lambda host, vlans: dev_set_mac_address(vlans["mv1"], MY_MAC),
    "link set mv1 address 02:00:00:00:01:09": lambda host, vlans: dev_set_mac_address(vlans["mv1"], mac(9)),
    "link set mv0 mtu 1400": lambda host, vlans: dev_set_mtu(vlans["mv0"], 1400),
    "link set mv0 mtu 1501": lambda host, vlans: dev_set_mtu(vlans["mv0"], 1501),
    "link add link eth0 name new type macvlan mode passthru": lambda host, vlans: make(host, "new", 8),
    "link add link eth0 name new mtu 1501 type macvlan": lambda host, vlans: make(host, "new", 2, mtu=1501),
    "link add link lo name new type macvlan": lambda host, vlans: macvlan_newlink(
        host.net, "new", {}, host.net.loopback_dev
    ),
    "link add link eth0 name new address 03:00:00:00:00:01 type macvlan": lambda host, vlans: make(
        host, "new", 2, address=bytes.fromhex("030000000001")
    ),
    "link add link mv0 name new type macvlan": lambda host, vlans: macvlan_newlink(host.net, "new", {}, vlans["mv0"]),
    "link add link eth0 name mv0 type macvlan": lambda host, vlans: make(host, "mv0", 2),
    "link set mv0 type macvlan mode passthru": lambda host, vlans: macvlan_changelink(
        vlans["mv0"], {IFLA_MACVLAN_MODE: 8}
    ),
    "link set mv0 type macvlan macaddr add 02:00:00:00:00:11": lambda host, vlans: macvlan_changelink(
        vlans["mv0"], {IFLA_MACVLAN_MACADDR_MODE: 0, IFLA_MACVLAN_MACADDR: mac(17)}
    ),
    "link set mv0 type macvlan mode source": lambda host, vlans: macvlan_changelink(
        vlans["mv0"], {IFLA_MACVLAN_MODE: 16}
    ),
}


def make(host: PairHost, name: str, mode: int, **kwargs):
    return macvlan_newlink(host.net, name, {IFLA_MACVLAN_MODE: mode}, host.dev, **kwargs)


@pytest.mark.parametrize("words", CHANGES)
def test_what_linux_refuses_is_refused_with_the_same_error(peer, words):
    theirs, ours = Theirs(peer, ["bridge", "bridge"]), Ours(["bridge", "bridge"])
    try:
        full = words.format(M0=M0.hex(":"), ETH0=MY_MAC.hex(":"))
        done = subprocess.run(["ip", "-n", peer.name, *full.split()], capture_output=True, text=True, check=False)
        wanted = done.stderr.partition("answers: ")[2].strip()
        try:
            CHANGES[words](ours.host, ours.vlans)
            found = ""
        except OSError as error:
            found = os.strerror(error.errno)
        assert found == wanted
        if " new " in words and not wanted:
            peer.ip("link", "del", "new")
    finally:
        theirs.close()
