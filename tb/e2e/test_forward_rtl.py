"""A router between two hosts, four cards of real gateware: forwarding, traced ways, path MTUs, fragments."""

from errno import EMSGSIZE

import pytest

from hardwire.sim.link import Link
from hardwire.sim.machine import Machine, Setup
from hardwire.sim.world import World
from hardwire.stack import socket as api
from hardwire.stack.iproute import route_add
from hardwire.stack.ipv4.devinet import inet_forward_change
from hardwire.tb.bench import seed
from hardwire.tb.stack.inet_host import error_of

THERE = ("10.0.2.1", 9000)
SECOND = 1_000_000_000


class Network:
    """Hosts ``a`` and ``b`` with the router ``r`` between them, each host on a cable of its own."""

    def __init__(self, *, near_mtu: int = 1500, far_mtu: int = 1500) -> None:
        self.world = World(seed=seed())

        def card(network: int, host: int, mtu: int) -> Setup:
            return Setup(address=f"10.0.{network}.{host}/24", mac=bytes((2, 0, 0, 0, network, host)), mtu=mtu)

        self.a = Machine(self.world, card(1, 1, near_mtu), name="a")
        self.r = Machine(self.world, card(1, 254, near_mtu), name="r")
        self.b = Machine(self.world, card(2, 1, far_mtu), name="b")
        self.far = self.r.add_card(card(2, 254, far_mtu))
        Link(self.a.nic, self.r.nic, name="near")
        Link(self.b.nic, self.far.nic, name="far")
        inet_forward_change(self.r.net, True)
        route_add(self.a.net, "default", via="10.0.1.254")
        route_add(self.b.net, "default", via="10.0.2.254")

    def sockets(self):
        """Return a connected socket of ``a`` that hears of errors, and one of ``b`` that it sends to."""
        there, here = self.b.net.socket(), self.a.net.socket()
        there.bind(THERE)
        there.settimeout(1)
        here.setsockopt(api.IPPROTO_IP, api.IP_RECVERR, 1)
        here.connect(THERE)
        return here, there


def test_datagrams_pass_the_router_both_ways() -> None:
    network = Network()
    here, there = network.sockets()
    here.settimeout(1)

    def exchange() -> None:
        for size in (0, 1, 64, 1472):
            here.send(bytes(size))
            data, back = there.recvfrom(2000)
            assert (data, back[0]) == (bytes(size), "10.0.1.1")
            there.sendto(data, back)
            assert here.recv(2000) == bytes(size)

    network.world.run(exchange)
    assert network.r.net.mib["Ip:ForwDatagrams"] == 8
    network.world.drain()


def test_the_way_is_traced() -> None:
    network = Network()
    hops = []

    def trace() -> None:
        sock = network.a.net.socket()
        sock.setsockopt(api.IPPROTO_IP, api.IP_RECVERR, 1)
        for ttl in (1, 2):
            sock.setsockopt(api.IPPROTO_IP, api.IP_TTL, ttl)
            sock.sendto(bytes(32), ("10.0.2.1", 33434))
            network.world.sleep(SECOND // 10)
            hops.append(error_of(sock)[1:4:2])

    network.world.run(trace)
    assert hops == [((11, 0), "10.0.1.254"), ((3, 3), "10.0.2.1")]


@pytest.mark.parametrize(("near", "far"), [(1500, 1400), (1400, 1280)])
def test_a_path_mtu_is_found_and_kept_to(near: int, far: int) -> None:
    network = Network(near_mtu=near, far_mtu=far)
    here, there = network.sockets()

    def send() -> None:
        here.send(bytes(near - 28))  # With DF, as it fits the first cable.
        network.world.sleep(SECOND // 10)
        assert error_of(here) == (EMSGSIZE, (3, 4), far, "10.0.1.254")
        assert here.getsockopt(api.IPPROTO_IP, api.IP_MTU) == far
        here.send(bytes(range(200)) * 6)
        assert there.recv(2000) == bytes(range(200)) * 6
        here.send(bytes(near - 28))  # Now its sender fragments it.
        assert len(there.recv(2000)) == near - 28

    network.world.run(send)
    assert network.a.net.mib["Ip:FragCreates"] == 2
    assert network.r.net.mib["Ip:FragCreates"] == 0
    assert network.b.net.mib["Ip:ReasmOKs"] == 1


def test_the_router_fragments_what_may_be_fragmented() -> None:
    network = Network(far_mtu=1280)
    here, there = network.sockets()
    here.setsockopt(api.IPPROTO_IP, api.IP_MTU_DISCOVER, api.IP_PMTUDISC_DONT)
    octets = bytes(range(251)) * 20

    def send() -> None:
        here.send(octets)
        assert there.recv(9000) == octets

    network.world.run(send)
    # Four fragments came, three of them too long for the second cable.
    assert network.a.net.mib["Ip:FragCreates"] == 4
    assert network.r.net.mib["Ip:FragCreates"] == 6
    assert network.b.net.mib["Ip:ReasmReqds"] == 7
