"""Machines on a network: frames of real stacks pass, and captures show both directions."""

from pathlib import Path
from socket import AF_INET, SOCK_DGRAM

import pytest
from pcapng import FileScanner
from pcapng.blocks import EnhancedPacket

from hardwire.sim.capture import INBOUND, OUTBOUND, Capture
from hardwire.sim.lan import Lan
from hardwire.sim.machine import Setup
from hardwire.sim.world import World
from hardwire.stack.iproute import neigh_add


def send(lan: Lan, count: int, *, listens: bool = True) -> None:
    """Let the first machine send datagrams to the second one."""
    first, second = lan.machines[:2]
    if listens:  # Otherwise each is answered by an error.
        second.net.socket(AF_INET, SOCK_DGRAM).bind(("0.0.0.0", 9))
    neigh_add(first.dev, "10.0.0.2", second.dev.dev_addr.hex(":"))
    sock = first.net.socket(AF_INET, SOCK_DGRAM)
    for _ in range(count):
        first.world.run(sock.sendto, b"hello", ("10.0.0.2", 9))
    first.world.drain()
    first.world.advance(50_000)


@pytest.mark.filterwarnings("ignore:Field type should not be:DeprecationWarning")
@pytest.mark.parametrize(("hosts", "switched"), [(2, None), (2, True), (3, None)])
def test_frames_pass_and_captures_show_both_ends(tmp_path: Path, hosts: int, switched: bool | None) -> None:
    world = World(seed=1)
    lan = Lan(world, hosts, switched=switched)
    names = [f"host{number}" for number in range(hosts)]
    path = tmp_path / "lan.pcapng"
    with Capture(path, names) as capture:
        for machine, name in zip(lan.machines, names, strict=True):
            capture.watch(machine.nic, name)
        send(lan, 3)
    with path.open("rb") as file:
        packets = [
            (block.interface_id, block.options["epb_flags"].inout == "outbound", block.packet_data)
            for block in FileScanner(file)
            if isinstance(block, EnhancedPacket)
        ]
    sent = [octets for interface, outbound, octets in packets if interface == 0 and outbound]
    received = [octets for interface, outbound, octets in packets if interface == 1 and not outbound]
    assert len(sent) == 3
    assert received == sent
    assert (INBOUND, OUTBOUND) == (1, 2)
    assert all(counters.balanced for link in lan.links for counters in link.counters)
    assert (lan.switch is not None) == (hosts > 2 or bool(switched))


def test_machines_are_alike_but_for_their_addresses() -> None:
    lan = Lan(World(), 3, like=Setup(mtu=4000))
    assert [machine.dev.mtu for machine in lan] == [4000] * 3
    assert [machine.address for machine in lan] == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    assert [machine.dev.dev_addr[-1] for machine in lan] == [1, 2, 3]


@pytest.mark.parametrize(
    ("hosts", "switched", "error"),
    [
        (1, None, "a network has 2 to 254 machines, not 1"),
        ([Setup()], None, "a network has at least 2 machines, not 1"),
        (3, False, "a cable has 2 ends, not 3"),
    ],
)
def test_impossible_networks_are_refused(hosts: int | list[Setup], switched: bool | None, error: str) -> None:
    with pytest.raises(ValueError, match=f"^{error}$"):
        Lan(World(), hosts, switched=switched)


@pytest.mark.parametrize("switched", [False, True])
def test_network_settles_once_all_has_arrived(switched: bool) -> None:
    lan = Lan(World(), 2, switched=switched, delay_ns=5_000_000)
    send(lan, 3, listens=False)
    lan.settle()
    # Three datagrams for a port where nobody listens: three errors go back, after an ARP request and its reply.
    assert [machine.nic.counters["rx_frames_total"] for machine in lan.machines] == [4, 4]
    assert all(counters.in_flight == 0 and counters.balanced for link in lan.links for counters in link.counters)
