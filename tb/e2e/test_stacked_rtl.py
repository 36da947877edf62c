"""Devices on top of cards of real gateware: bonds that lose a cable, LACP, macvlans."""

import pytest

from hardwire.sim.link import Link
from hardwire.sim.machine import Machine, Setup
from hardwire.sim.switch import Switch
from hardwire.sim.world import World
from hardwire.stack.core.dev_register import dev_close, dev_get_stats, dev_open
from hardwire.stack.core.dev_upper import do_set_master
from hardwire.stack.core.net import Net
from hardwire.stack.core.netdevice import IFF_PROMISC, netif_carrier_ok
from hardwire.stack.drivers.bonding import BondMode, IflaBond, IflaBondSlave, XmitPolicy, bond_link_ops, bond_newlink
from hardwire.stack.drivers.macvlan_link import IFLA_MACVLAN_MODE, macvlan_newlink
from hardwire.stack.drivers.macvlan_port import MACVLAN_MODE_BRIDGE
from hardwire.stack.iproute import addr_add, addr_del
from hardwire.tb.bench import seed

MS = 1_000_000
SECOND = 1_000_000_000


def card(host: int, number: int = 0) -> Setup:
    """Return what a card is set up with."""
    return Setup(address=f"10.0.{number}.{host}/24", mac=bytes((2, 0, 0, 0, number, host)), phy_address=1)


def bond(machine: Machine, options: dict[int, int], address: str):
    """Put all cards of a machine into a bond; it runs in a task."""
    master = bond_newlink(machine.net, "bond0", options)
    for number, one in enumerate(machine.cards):
        addr_del(one.dev, f"10.0.{number}.{address.rpartition('.')[2]}")
        dev_close(one.dev)
        do_set_master(one.dev, master)
    dev_open(master)
    addr_add(master, address)
    return master


def exchange(world: World, here, there, count: int = 10) -> None:
    """Send datagrams there and back, from sockets that are bound; none is lost."""
    for number in range(count):
        octets = bytes((number,)) * (100 + 100 * number)
        here.sendto(octets, there.getsockname())
        data, back = there.recvfrom(2000)
        assert data == octets
        there.sendto(data, back)
        assert here.recv(2000) == octets


def sockets(a: Net, address: str, b: Net, other: str):
    """Return a socket in each of two namespaces, that wait a second at most."""
    made = []
    for net, text in ((a, address), (b, other)):
        sock = net.socket()
        sock.bind((text, 9000))
        sock.settimeout(1)
        made.append(sock)
    return made


def test_a_bond_goes_on_when_a_cable_is_pulled() -> None:
    world = World(seed=seed())
    a = Machine(world, card(1), name="a")
    a.add_card(card(1, 1))
    b = Machine(world, card(2), name="b")
    switch = Switch(world, ports=3)
    ends = (a.cards[0].nic, a.cards[1].nic, b.nic)
    cables = [Link(nic, port, name=f"cable{port.number}") for nic, port in zip(ends, switch.ports, strict=True)]

    def run() -> None:
        master = bond(a, {IflaBond.MODE: BondMode.ACTIVEBACKUP, IflaBond.MIIMON: 10}, "10.0.0.1/24")
        world.sleep(2 * SECOND)
        here, there = sockets(a.net, "10.0.0.1", b.net, "10.0.0.2")
        assert [netif_carrier_ok(one.dev) for one in a.cards] == [True, True]
        exchange(world, here, there)
        for pulled, other in ((0, 1), (1, 0)):
            before = dev_get_stats(a.cards[other].dev).tx_packets
            cables[pulled].set_up(False)
            world.sleep(1100 * MS)  # The PHY is asked every second.
            assert master.curr_active_slave.dev is a.cards[other].dev
            assert switch.port_of(master.dev_addr) is switch.ports[other]  # It was told.
            exchange(world, here, there)
            assert dev_get_stats(a.cards[other].dev).tx_packets >= before + 10
            cables[pulled].set_up(True)
            world.sleep(2 * SECOND)

    world.run(run)
    assert a.kernel.drop_counts().get("HW_ABORTED", 0) == 0
    for machine in (a, b):
        assert not [v for one in machine.cards for v in one.nic.take_violations()]


def test_two_bonds_agree_by_lacp_and_use_both_cables() -> None:
    world = World(seed=seed())
    machines = [Machine(world, card(host), name=name) for host, name in ((1, "a"), (2, "b"))]
    for host, machine in enumerate(machines, 1):
        machine.add_card(card(host, 1))
    a, b = machines
    cables = [Link(one.nic, other.nic, name="x") for one, other in zip(a.cards, b.cards, strict=True)]
    options = {
        IflaBond.MODE: BondMode.AD,
        IflaBond.AD_LACP_RATE: 1,
        IflaBond.XMIT_HASH_POLICY: XmitPolicy.LAYER34,
        IflaBond.MIIMON: 10,
    }

    def sent() -> list[int]:
        world.sleep(MS)  # Frames are counted when they are done.
        return [dev_get_stats(one.dev).tx_packets for one in a.cards]

    def run() -> None:
        bond(a, options, "10.0.0.1/24")
        bond(b, options, "10.0.0.2/24")
        world.sleep(6 * SECOND)
        for machine in machines:
            for one in machine.cards:
                info = bond_link_ops.fill_slave_info(one.dev)
                assert info[IflaBondSlave.AD_ACTOR_OPER_PORT_STATE] == 0x3F
        there = b.net.socket()
        there.bind(("10.0.0.2", 9000))
        there.settimeout(1)
        before = sent()
        for port in range(20):
            here = a.net.socket()
            here.bind(("10.0.0.1", 6000 + 2 * port))
            here.sendto(bytes((port,)), ("10.0.0.2", 9000))
            assert there.recv(10) == bytes((port,))
        assert min(now - old for now, old in zip(sent(), before, strict=True)) >= 5
        cables[1].set_up(False)
        world.sleep(1100 * MS)
        before = sent()
        for port in range(20):
            here = a.net.socket()
            here.bind(("10.0.0.1", 7000 + 2 * port))
            here.sendto(bytes((port,)), ("10.0.0.2", 9000))
            assert there.recv(10) == bytes((port,))
        assert sent()[0] - before[0] >= 20

    world.run(run)


@pytest.mark.parametrize("offload", [True, False])
def test_a_macvlan_receives_by_an_address_of_its_own(offload: bool) -> None:
    world = World(seed=seed())
    a = Machine(world, Setup(address="10.0.0.1/24", mac=bytes.fromhex("020000000001"), offload=offload), name="a")
    b = Machine(world, Setup(address="10.0.0.2/24", mac=bytes.fromhex("020000000002"), offload=offload), name="b")
    Link(a.nic, b.nic)
    inner = Net(a.kernel)
    vlan = macvlan_newlink(inner, "mv0", {IFLA_MACVLAN_MODE: MACVLAN_MODE_BRIDGE}, a.dev)

    def run() -> None:
        assert not a.dev.flags & IFF_PROMISC
        dev_open(vlan)
        addr_add(vlan, "10.0.0.11/24")
        here, there = sockets(inner, "10.0.0.11", b.net, "10.0.0.2")
        exchange(world, here, there)
        own = a.net.socket()
        own.bind(("10.0.0.1", 9000))
        own.settimeout(1)
        exchange(world, own, there)
        assert vlan.stats.rx_packets >= 10
        assert a.dev.flags & IFF_PROMISC  # The card filters by one address.
        dev_close(vlan)
        before = dev_get_stats(a.dev).rx_packets
        there.sendto(b"x", ("10.0.0.11", 9000))
        world.sleep(MS)
        assert dev_get_stats(a.dev).rx_packets == before
        assert not a.dev.flags & IFF_PROMISC

    world.run(run)
