"""A tunnel between two hosts with cards of real gateware: datagrams, pings and path MTUs go through it."""

from errno import EMSGSIZE

from hardwire.sim.lan import Lan
from hardwire.sim.world import World
from hardwire.stack import socket as api
from hardwire.stack.core.dev_register import dev_get_stats, dev_open
from hardwire.stack.iproute import addr_add
from hardwire.stack.ipv4.ipip import IFLA_IPTUN_LOCAL, IFLA_IPTUN_REMOTE, ipip_link_ops
from hardwire.stack.wire.address import ipv4_from_text
from hardwire.tb.bench import seed
from hardwire.tb.stack.inet_host import raises


def test_datagrams_of_all_sizes_pass_a_tunnel_both_ways() -> None:
    first_seed = seed()
    print(f"HARDWIRE_SEED={first_seed}")
    world = World(seed=first_seed)
    lan = Lan(world, 2)
    tunnels = []
    for number, machine in enumerate(lan.machines):
        local, remote = (ipv4_from_text(f"10.0.0.{1 + end}") for end in (number, 1 - number))
        tunnels.append(
            ipip_link_ops.newlink(machine.net, "tun0", {IFLA_IPTUN_LOCAL: local, IFLA_IPTUN_REMOTE: remote}, None)
        )
        dev_open(tunnels[-1])
        addr_add(tunnels[-1], f"172.16.0.{1 + number}/24")
    here, there = (machine.net.socket() for machine in lan.machines)
    there.bind(("172.16.0.2", 9000))
    here.connect(("172.16.0.2", 9000))
    here.settimeout(1)
    there.settimeout(1)
    rng = world.random("payloads")
    sizes = (0, 1, 17, 18, 64, 1000, 1452, 1453, 3000, 9000)

    def exchange() -> None:
        for size in sizes:
            payload = rng.randbytes(size)
            here.send(payload)
            data, back = there.recvfrom(10_000)
            assert (data, back[0]) == (payload, "172.16.0.1")
            there.sendto(data[::-1], back)
            assert here.recv(10_000) == payload[::-1]
        here.setsockopt(api.IPPROTO_IP, api.IP_MTU_DISCOVER, api.IP_PMTUDISC_DO)
        here.send(bytes(1452))
        assert len(there.recv(2000)) == 1452
        with raises(EMSGSIZE):
            here.send(bytes(1453))

    world.run(exchange)
    world.drain()
    a, b = (dev_get_stats(tunnel) for tunnel in tunnels)
    pieces = sum(1 if size <= 1452 else -(-(size + 8) // 1456) for size in sizes)
    assert a.rx_packets == b.tx_packets == pieces
    assert a.tx_packets == b.rx_packets == a.rx_packets + 1
    assert a.tx_errors == b.tx_errors == a.rx_errors == b.rx_errors == 0
