"""Links of every kind, made, joined, changed, deleted at random while packets pass: nothing breaks, nothing is left."""

from random import Random

import pytest

from hardwire.stack import socket as api
from hardwire.stack.core.net import Net
from hardwire.stack.iproute2.args import CommandError
from hardwire.stack.iproute2.ip import ip
from hardwire.stack.iproute2.tc import tc
from hardwire.stack.nft import nft
from hardwire.tb.bench import seed
from hardwire.tb.stack.fake import make_kernel

NAMES = [f"d{number}" for number in range(12)]
KINDS = (
    "link add {a} type dummy",
    "link add {a} type veth peer name {b}",
    "link add {a} type bridge",
    "link add {a} type bridge stp_state 1",
    "link add {a} type bond mode {bond}",
    "link add link {b} name {a} type vlan id {small}",
    "link add link {b} name {a} type vlan protocol 802.1ad id {small}",
    "link add link {b} name {a} type macvlan mode {macvlan}",
    "link add {a} type ipip remote 10.0.0.{small} local 10.0.0.{small}",
    "link add {a} type ipip remote 10.0.0.{small} dev {b}",
)
CHANGES = (
    "link set {a} up",
    "link set {a} up",
    "link set {a} down",
    "link set {a} master {master}",
    "link set {a} down master {master}",
    "link set {a} down master {master} up",
    "link set {a} nomaster",
    "link set {a} mtu {mtu}",
    "link set {a} address 02:00:00:00:00:{small:02x}",
    "link set {a} promisc on",
    "link set {a} promisc off",
    "link set {a} allmulticast on arp off",
    "link set {a} type macvlan mode {macvlan}",
    "link set {a} type bond mode {bond}",
    "link set {a} type bridge stp_state 0",
    "link set {a} name {b}",
    "link del {a}",
    "addr add 10.0.{small}.1/24 dev {a}",
    "addr flush dev {a}",
    "neigh add 10.0.{small}.9 lladdr 02:00:00:00:00:09 dev {a}",
    "route add 10.99.{small}.0/24 dev {a}",
    "-s -d link",
    "-j addr",
    "route show table all",
)
QDISCS = (
    "qdisc replace dev {a} root netem delay 1ms",
    "qdisc replace dev {a} root tbf rate 1mbit burst 5kb latency 10ms",
    "qdisc replace dev {a} root fq_codel",
    "qdisc del dev {a} root",
)


class Shaken:
    """A namespace whose links change at random."""

    def __init__(self, number: int) -> None:
        self.rng = Random(number)
        self.kernel, self.platform = make_kernel()
        self.net: Net = self.kernel.init_net
        ip(self.net, "link set lo up")
        nft(
            self.net,
            "add table ip t; add chain ip t c { type filter hook forward priority 0; }",
        )
        self.tap = self.net.socket(api.AF_PACKET, api.SOCK_RAW, 3)
        self.done: list[str] = []

    def name(self) -> str:
        """Return the name of a link, often of one that there is."""
        there = [name for name in self.net.dev_by_name if name != "lo"]
        return self.rng.choice(there if there and self.rng.random() < 0.7 else NAMES)

    def step(self) -> None:
        """Do one thing."""
        rng, devs = self.rng, self.net.dev_by_name
        run, texts = rng.choice(((ip, KINDS), (ip, CHANGES), (ip, CHANGES), (ip, CHANGES), (tc, QDISCS)))
        words = {
            "a": self.name(),
            "b": self.name(),
            "master": rng.choice([name for name, dev in devs.items() if dev.netdev_ops.ndo_add_slave] or ["lo"]),
            "small": rng.randrange(1, 4),
            "mtu": rng.choice((68, 500, 1280, 1500, 9000)),
            "bond": rng.choice(("balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad")),
            "macvlan": rng.choice(("private", "vepa", "bridge", "passthru", "source")),
        }
        command = rng.choice(texts).format(**words)
        self.done.append(command)
        try:
            run(self.net, command)
        except CommandError:
            self.done.pop()
        if rng.random() < 0.3:
            self.send(f"10.0.{words['small']}.{rng.choice((1, 2, 9, 255))}", rng.choice((0, 100, 3000)))
        self.platform.advance(rng.choice((0, 1_000, 1_000_000, 400_000_000)))

    def send(self, address: str, size: int) -> None:
        """Send a datagram, and one through every device."""
        with self.net.socket() as sock:
            sock.setsockopt(api.SOL_SOCKET, api.SO_BROADCAST, 1)
            sock.setblocking(False)
            try:
                sock.sendto(bytes(size), (address, 9))
            except OSError:
                pass
        for name in [name for name in self.net.dev_by_name if name != "lo"]:
            frame = b"\xff" * 6 + bytes.fromhex("020000000099") + b"\x08\x00" + bytes(50)
            try:
                self.tap.sendto(frame, (name, 0x0800))
            except OSError:
                pass

    def clear(self) -> None:
        """Delete all links, and wait until what is left has timed out."""
        while left := [name for name in self.net.dev_by_name if name != "lo"]:
            ip(self.net, f"link del {left[0]}")
        self.tap.close()
        self.platform.advance(400_000_000_000)


def shake(number: int, steps: int) -> None:
    shaken = Shaken(number)
    try:
        for _ in range(steps):
            shaken.step()
        shaken.clear()
    except Exception:
        print("\n".join(shaken.done))
        raise
    assert list(shaken.net.dev_by_name) == ["lo"]
    assert len(shaken.platform.buffers) == 0
    routes = ip(shaken.net, "route show table all").splitlines()
    assert all(" lo " in route for route in routes)


@pytest.mark.parametrize("number", range(4))
def test_no_sequence_of_commands_breaks_anything(number):
    shake(seed() + number, 150)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_no_long_sequence_of_commands_breaks_anything():
    first = seed()
    for number in range(30):
        shake(first + number, 1000)
