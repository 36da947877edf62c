"""Journeys for tests: two machines on a cable, and what happens between them."""

from collections.abc import Callable
from random import Random

from hardwire.sim.journey import Journey, Recorder
from hardwire.sim.lan import Lan
from hardwire.sim.machine import Setup
from hardwire.sim.world import World
from hardwire.stack.uapi import AF_PACKET, SOCK_RAW

__all__ = ["first_datagram", "random_traffic", "recorded", "two_machines"]

ETHERTYPE = 0x88B5  # For experiments, IEEE Std 802.


def two_machines(*, seed: int = 1, waves: bool = False, offload: bool = True, mtu: int = 1500, **cable: float) -> Lan:
    """Two machines on a cable, at rest."""
    lan = Lan(World(seed=seed), like=Setup(waves=waves, offload=offload, mtu=mtu), **cable)
    lan.world.advance(100_000)
    return lan


def recorded(lan: Lan, *programs: Callable[[], None], title: str = "") -> Journey:
    """Run programs to their ends, and return what happened."""
    with Recorder(lan.world, title) as recorder:
        lan.world.join([lan.world.spawn(program) for program in programs])
        lan.settle()
    return recorder.journey()


def first_datagram(lan: Lan, *, text: bytes = b"hello") -> Journey:
    """The first datagram from the one to the other, whose MAC address is not known yet; a server receives it."""
    here, there = lan.machines

    def server() -> None:
        with there.net.socket() as sock:
            sock.bind(("0.0.0.0", 9000))
            assert sock.recvfrom(65_536)[0] == text

    def client() -> None:
        with here.net.socket() as sock:
            sock.sendto(text, ("10.0.0.2", 9000))

    return recorded(lan, server, client, title="the first datagram")


def random_traffic(lan: Lan, rng: Random, *, datagrams: int, mtu: int) -> Journey:
    """Datagrams of random lengths both ways, to ports that somebody listens to and to others, with random pauses.

    Between them go frames from packet sockets, which lie in several parts of memory if they are long.
    """
    addresses = [f"10.0.0.{number}" for number in (1, 2)]
    for machine in lan.machines:
        machine.net.socket().bind(("0.0.0.0", 9000))

    def program(number: int) -> None:
        net = lan.machines[number].net
        with net.socket() as sock, net.socket(AF_PACKET, SOCK_RAW, 0) as packet_sock:
            packet_sock.bind(("eth0", ETHERTYPE))
            header = bytes((2, 0, 0, 0, 0, 2 - number, 2, 0, 0, 0, 0, 1 + number)) + ETHERTYPE.to_bytes(2, "big")
            for _ in range(datagrams):
                if rng.random() < 0.2:
                    packet_sock.send(header + rng.randbytes(rng.randrange(46, mtu)))
                payload = rng.randbytes(rng.choice((0, 1, 18, 19, 200, 1472, rng.randrange(6000))))
                try:
                    sock.sendto(payload, (addresses[1 - number], rng.choice((9000, 9000, 9001))))
                except ConnectionRefusedError:
                    pass
                if rng.random() < 0.4:
                    lan.world.sleep(rng.randrange(40_000))

    return recorded(lan, lambda: program(0), lambda: program(1))
