"""Neighbours on the gateware: ARP requests on the wire, packets that wait, the device's cache, and sends that block."""

from errno import EHOSTUNREACH

import pytest
from scapy.layers.l2 import ARP, Ether

from hardwire.sim.machine import Machine, Setup
from hardwire.sim.world import World
from hardwire.stack.core.neighbour import NUD_FAILED, NUD_PROBE, NUD_REACHABLE, NUD_STALE
from hardwire.stack.core.neighbour_table import neigh_lookup
from hardwire.stack.core.neighbour_update import NEIGH_UPDATE_F_OVERRIDE, neigh_update
from hardwire.stack.core.timer import HZ
from hardwire.stack.iproute import neigh_del
from hardwire.stack.socket import SO_ERROR, SO_SNDBUF, SOL_SOCKET

ADDRESS = ("10.0.0.2", 9000)
IP = 0x0A000002
MAC = bytes.fromhex("020000000002")
SECOND = 1_000_000_000


@pytest.fixture
def machine():
    return Machine(World(seed=1), Setup())


def frames(machine):
    machine.world.drain()
    return [Ether(frame.octets) for frame in machine.nic.take_frames()]


def answer(machine):
    neigh = neigh_lookup(machine.net.ipv4.arp_tbl, IP, machine.dev)
    assert neigh_update(neigh, MAC, NUD_REACHABLE, NEIGH_UPDATE_F_OVERRIDE) == 0
    return neigh


def test_an_unknown_neighbour_is_asked_for_and_its_datagrams_follow_the_answer(machine):
    sock = machine.net.socket()
    world = machine.world
    world.run(sock.sendto, b"one", ADDRESS)
    world.run(sock.sendto, b"two", ADDRESS)
    (request,) = frames(machine)
    wanted = ARP(op=1, hwsrc="02:00:00:00:00:01", psrc="10.0.0.1", hwdst="00:00:00:00:00:00", pdst="10.0.0.2")
    assert (request.dst, bytes(request.payload)[:28]) == ("ff:ff:ff:ff:ff:ff", bytes(wanted))
    world.run(answer, machine)
    assert [bytes(frame.payload)[28:31] for frame in frames(machine)] == [b"one", b"two"]
    # By now the device's cache knows him, and writes the address itself.
    offload = machine.dev.priv.neigh
    assert offload.shadow == {IP: MAC}
    world.run(sock.sendto, b"six", ADDRESS)
    (frame,) = frames(machine)
    assert (frame.dst, bytes(frame.payload)[28:31]) == ("02:00:00:00:00:02", b"six")


def test_a_neighbour_that_never_answers_is_ehostunreach_for_its_senders(machine):
    sock = machine.net.socket()
    world = machine.world
    world.run(sock.sendto, b"one", ADDRESS)
    world.run(world.sleep, 4 * SECOND)
    assert neigh_lookup(machine.net.ipv4.arp_tbl, IP, machine.dev).nud_state == NUD_FAILED
    assert len(frames(machine)) == 3
    assert machine.kernel.drop_counts() == {"NEIGH_FAILED": 1}
    with pytest.raises(OSError, match=rf"\[Errno {EHOSTUNREACH}\]"):
        world.run(sock.sendto, b"two", ADDRESS)
    assert sock.getsockopt(SOL_SOCKET, SO_ERROR) == 0
    assert sock.sk.sk_wmem_alloc == 0


def test_a_miss_in_the_device_comes_back_and_waits_for_the_answer(machine):
    sock = machine.net.socket()
    world = machine.world

    def program():
        sock.sendto(b"one", ADDRESS)
        answer(machine)
        world.sleep(100_000)
        machine.nic.take_frames()
        sock.sendto(b"gone", ADDRESS)  # Its descriptor says: resolve.
        # Before the device looks, the entry goes, there and here.
        neigh_del(machine.dev, ADDRESS[0])

    world.run(program)
    sent = frames(machine)
    kinds = [frame.type for frame in sent]
    if kinds == [0x0806]:  # The deletion was faster: the datagram came back and is waiting.
        assert len(neigh_lookup(machine.net.ipv4.arp_tbl, IP, machine.dev).arp_queue) == 1
        world.run(answer, machine)
        sent = frames(machine)
    (frame,) = sent
    assert (frame.dst, bytes(frame.payload)[28:32]) == ("02:00:00:00:00:02", b"gone")
    assert sock.sk.sk_wmem_alloc == 0


@pytest.mark.parametrize("used", [True, False])
def test_a_neighbour_that_the_device_sends_to_is_probed_and_another_gets_stale(machine, used):
    parms = machine.dev.arp_parms
    parms.base_reachable_time, parms.delay_probe_time = HZ, HZ // 10
    sock = machine.net.socket()
    world = machine.world
    world.run(sock.sendto, b"one", ADDRESS)
    neigh = world.run(answer, machine)
    while neigh.nud_state == NUD_REACHABLE:
        if used:
            world.run(sock.sendto, b"more", ADDRESS)
        world.run(world.sleep, SECOND // 50)
    world.run(world.sleep, SECOND // 5)
    assert neigh.nud_state == (NUD_PROBE if used else NUD_STALE)
    probes = [frame.dst for frame in frames(machine) if frame.type == 0x0806]
    assert probes == ["ff:ff:ff:ff:ff:ff", "02:00:00:00:00:02"][: 1 + used]


def test_a_send_waits_for_room_in_its_buffer(machine):
    sock = machine.net.socket()
    sock.setsockopt(SOL_SOCKET, SO_SNDBUF, 1)
    world = machine.world

    def program():
        sock.sendto(b"one", ADDRESS)
        answer(machine)
        return [sock.sendto(bytes([number]) * 1000, ADDRESS) for number in range(50)]

    assert world.run(program) == [1000] * 50
    assert world.now_ns > 49 * 8 * 1000  # No faster than the wire, since no more than some fit the buffer.
    payloads = [bytes(frame.payload)[28:] for frame in frames(machine) if frame.type == 0x0800]
    assert payloads[1:] == [bytes([number]) * 1000 for number in range(50)]
    assert sock.sk.sk_wmem_alloc == 0
