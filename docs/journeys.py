"""The journeys of these pages: a small scenario for each chapter, run on the gateware whenever the pages are built."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from hardwire.sim.journey import Journey, Recorder
from hardwire.sim.journey.files import write_journey
from hardwire.sim.journey.html import page
from hardwire.sim.lan import Lan
from hardwire.sim.link import Link
from hardwire.sim.machine import Machine, Setup
from hardwire.sim.world import World
from hardwire.stack import socket as api
from hardwire.stack.abi import ArpOp
from hardwire.stack.core.net import Net
from hardwire.stack.drivers.macvlan_link import IFLA_MACVLAN_MODE, macvlan_newlink
from hardwire.stack.drivers.macvlan_port import MACVLAN_MODE_BRIDGE
from hardwire.stack.iproute2.ip import ip
from hardwire.stack.netlink.message import nlmsg
from hardwire.stack.netlink.rtnetlink import Rtm
from hardwire.stack.netlink.uapi import AF_NETLINK, NETLINK_ROUTE, NETLINK_USERSOCK, NLMSG_MIN_TYPE, NlmF
from hardwire.stack.nft import nft
from hardwire.stack.sysctl import sysctl
from hardwire.stack.wire.address import ipv4_from_text
from hardwire.stack.wire.checksum import ip_fast_csum

__all__ = ["JOURNEYS", "setup", "write"]

_MS = 1_000_000  # In ns.
_ETH_P_ALL = 3
_ANY, _PORT = "0.0.0.0", 9000


def _setup(address: str, number: int, **more: Any) -> Setup:
    return replace(Setup(address=f"{address}/24", mac=bytes((2, 0, 0, 0, 0, number))), **more)


def _two_hosts(*, loss: float = 0, **more: Any) -> Lan:
    return Lan(World(seed=1), [_setup("10.0.0.1", 1, **more), _setup("10.0.0.2", 2, **more)], loss=loss)


def _recorded(world: World, title: str, *programs: Callable[[], object]) -> Journey:
    """Run programs one after the other, and let what they have sent arrive."""
    world.advance(_MS)  # Devices have come up.
    with Recorder(world, title) as recorder:
        for program in programs:
            world.run(program)
        world.advance(_MS)
    return recorder.journey()


def _echo_request(payload: bytes, number: int) -> bytes:
    request = bytearray(b"\x08\x00\x00\x00\x12\x34" + number.to_bytes(2, "big") + payload)
    request[2:4] = ip_fast_csum(request).to_bytes(2, "big")
    return bytes(request)


def sending() -> list[Journey]:
    """A: a first datagram, while the MAC address of the next hop is not known yet."""
    lan = _two_hosts()
    here, there = (machine.net.socket() for machine in lan.machines)
    there.bind((_ANY, _PORT))

    def send() -> None:
        here.sendto(b"hello", ("10.0.0.2", _PORT))

    return [_recorded(lan.world, "A: the first datagram", send, lambda: there.recv(100))]


def routing() -> list[Journey]:
    """B: pings by a raw socket, two through a gateway, with the route cache on, and one to nobody."""
    lan = _two_hosts()
    here, there = (machine.net for machine in lan.machines)
    ip(there, "addr add 192.0.2.1/32 dev lo")
    ip(here, "route add 192.0.2.0/24 via 10.0.0.2")
    sysctl(here, "net.ipv4.route_cache", 1)
    sock = here.socket(api.AF_INET, api.SOCK_RAW, api.IPPROTO_ICMP)
    sock.setsockopt(api.IPPROTO_IP, api.IP_RECVERR, 1)
    requests = [_echo_request(payload, number) for number, payload in enumerate((b"ping", b"ping", b"anybody?"))]

    def ping() -> None:
        for request in requests[:2]:
            sock.sendto(request, ("192.0.2.1", 0))
            sock.recv(100)
        sock.sendto(requests[2], ("10.0.0.9", 0))
        try:
            sock.recv(100)
        except OSError:  # No route to host.
            pass

    return [_recorded(lan.world, "B: raw socket, routes, neighbours", ping)]


def forwarding() -> list[Journey]:
    """C: datagrams through a router: one that it cuts, one that must not be cut, one that has come too far."""
    world = World(seed=1)
    here = Machine(world, _setup("10.0.1.1", 1, neighbours={"10.0.1.254": "02:00:00:00:00:fe"}), name="here")
    router = Machine(world, _setup("10.0.1.254", 0xFE, neighbours={"10.0.1.1": "02:00:00:00:00:01"}), name="router")
    far = _setup("10.0.2.254", 0xFD, mtu=576, neighbours={"10.0.2.1": "02:00:00:00:00:02"})
    there = Machine(world, _setup("10.0.2.1", 2, mtu=576), name="there")
    Link(here.nic, router.nic)
    Link(there.nic, router.add_card(far).nic)
    sysctl(router.net, "net.ipv4.ip_forward", 1)
    ip(here.net, "route add default via 10.0.1.254")
    ip(there.net, "route add default via 10.0.2.254")
    source, other, sink = here.net.socket(), here.net.socket(), there.net.socket()
    source.connect(("10.0.2.1", _PORT))
    sink.bind((_ANY, _PORT))

    def send() -> None:
        source.setsockopt(api.IPPROTO_IP, api.IP_MTU_DISCOVER, api.IP_PMTUDISC_DONT)
        source.send(bytes(1000))
        sink.recv(2000)
        source.setsockopt(api.IPPROTO_IP, api.IP_MTU_DISCOVER, api.IP_PMTUDISC_DO)
        source.send(bytes(1000))
        world.sleep(_MS)
        other.setsockopt(api.IPPROTO_IP, api.IP_TTL, 1)
        other.sendto(b"one hop", ("10.0.2.1", _PORT))

    return [_recorded(world, "C: a router", send)]


def demultiplexing() -> list[Journey]:
    """D: a datagram through a bridge, which a packet socket watches, to a macvlan in a namespace of its own."""
    world = World(seed=1)
    here = Machine(world, _setup("10.0.0.1", 1), name="here")
    bridge = Machine(world, _setup("10.0.8.1", 0xF1), name="bridge")
    bridge.add_card(_setup("10.0.9.1", 0xF2))
    there = Machine(world, _setup("10.0.0.2", 2), name="there")
    for machine, card in zip((here, there), bridge.cards, strict=True):
        Link(machine.nic, card.nic)
    ip(bridge.net, "link add br0 type bridge")
    ip(bridge.net, "link set br0 up")
    ip(bridge.net, "link set eth0 master br0")
    ip(bridge.net, "link set eth1 master br0")
    inner = Net(there.kernel)
    macvlan_newlink(inner, "mv0", {IFLA_MACVLAN_MODE: MACVLAN_MODE_BRIDGE}, there.dev)
    ip(inner, "link set mv0 address 02:00:00:00:00:03 up")
    ip(inner, "addr add 10.0.0.3/24 dev mv0")
    tap = bridge.net.socket(api.AF_PACKET, api.SOCK_RAW, 0)
    tap.bind(("eth1", _ETH_P_ALL))
    source, sink = here.net.socket(), inner.socket()
    sink.bind((_ANY, _PORT))

    def send() -> None:
        source.sendto(b"to a macvlan", ("10.0.0.3", _PORT))
        sink.recv(100)
        for _ in range(3):  # The request and the reply of ARP, and the datagram.
            tap.recv(2000)

    return [_recorded(world, "D: bridge, macvlan, packet socket", send)]


def messages() -> list[Journey]:
    """E: the worked example, 40 octets to 172.16.48.1 and back; a text over netlink; a dump of addresses."""
    lan = Lan(World(seed=1), [_setup("172.16.48.2", 2), _setup("172.16.48.1", 1)])
    net = lan.machines[0].net
    raw = net.socket(api.AF_INET, api.SOCK_RAW, api.IPPROTO_ICMP)
    one, other = (net.socket(AF_NETLINK, api.SOCK_RAW, NETLINK_USERSOCK) for _ in range(2))
    other.bind((4711, 0))
    route = net.socket(AF_NETLINK, api.SOCK_RAW, NETLINK_ROUTE)

    request = _echo_request(b"E" * 32, 1)
    text = nlmsg(NLMSG_MIN_TYPE, 0, b"a text")
    dump = nlmsg(Rtm.GETADDR, NlmF.REQUEST | NlmF.DUMP, bytes(8))  # A struct ifaddrmsg of zeros: of all.

    def program() -> None:
        raw.sendto(request, ("172.16.48.1", 0))
        raw.recvmsg(100)
        one.sendmsg([text], [], 0, (4711, 0))
        other.recv(100)
        route.sendmsg([dump])
        for _ in range(2):  # The addresses, and the end.
            route.recv(65536)

    return [_recorded(lan.world, "E: messages", program)]


def offloads() -> list[Journey]:
    """F: the same datagram, summed and addressed by the card, then by the stack."""

    def run(title: str, offload: bool) -> Journey:
        lan = _two_hosts(offload=offload, neighbours={"10.0.0.2": "02:00:00:00:00:02"})
        here, there = (machine.net.socket() for machine in lan.machines)
        there.bind((_ANY, _PORT))

        def send() -> None:
            here.sendto(b"summed by whom?", ("10.0.0.2", _PORT))

        return _recorded(lan.world, title, send, lambda: there.recv(100))

    return [run("F: offloads on", True), run("F: offloads off", False)]


def misses() -> list[Journey]:
    """F: a datagram whose next hop is in the card's ARP cache, and one whose next hop has just been taken out."""

    def run(title: str, miss: bool) -> Journey:
        lan = _two_hosts(neighbours={"10.0.0.2": "02:00:00:00:00:02"})
        here, there = (machine.net.socket() for machine in lan.machines)
        there.bind((_ANY, _PORT))
        lan.world.advance(_MS)
        if miss:  # Behind the driver's back.
            lan.machines[0].dev.priv.neigh.submit(ArpOp.DELETE, ipv4_from_text("10.0.0.2"))

        def send() -> None:
            here.sendto(b"to whom?", ("10.0.0.2", _PORT))

        return _recorded(lan.world, title, send, lambda: there.recv(100))

    return [run("F: ARP cache hit", False), run("F: ARP cache miss", True)]


def drops() -> list[Journey]:
    """G: where did it go? Datagrams that do not arrive, each for another reason."""
    lan = _two_hosts(loss=0.2, neighbours={f"10.0.0.{n}": f"02:00:00:00:00:0{n}" for n in (1, 2)})
    here, there = (machine.net for machine in lan.machines)
    nft(there, "table ip t { chain input { type filter hook input priority 0; udp dport 9002 drop; } }")
    source, slow = here.socket(), there.socket()
    slow.bind((_ANY, 9003))
    slow.setsockopt(api.SOL_SOCKET, api.SO_RCVBUF, 1)  # As little as there may be.

    def program() -> None:
        source.sendto(b"nobody listens", ("10.0.0.2", 9001))
        source.sendto(b"a rule says no", ("10.0.0.2", 9002))
        for size in (1000, 1001, 1002):
            source.sendto(bytes(size), ("10.0.0.2", 9003))

    return [_recorded(lan.world, "G: where did it go?", program)]


# Under the names of their pages.
JOURNEYS = {
    "sending": sending,
    "routing": routing,
    "forwarding": forwarding,
    "demultiplexing": demultiplexing,
    "messages": messages,
    "offloads": offloads,
    "misses": misses,
    "drops": drops,
}


def write(folder: Path) -> None:
    """Run all scenarios; write each one's page, and its journeys as JSON: ``NAME.html``, ``NAME-0.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, scenario in JOURNEYS.items():
        journeys = scenario()
        (folder / f"{name}.html").write_text(page([journey.to_json() for journey in journeys]))
        for number, journey in enumerate(journeys):
            write_journey(journey, folder / f"{name}-{number}.json")


def setup(app: Sphinx) -> None:
    """Be an extension of Sphinx: the journeys lie beside the pages."""
    app.connect("builder-inited", lambda app: write(Path(app.outdir) / "journeys"))
