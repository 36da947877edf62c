"""Qdiscs over the gateware: a delay of netem shows in the time of an echo, and prio lets packets overtake."""

from struct import pack

from hardwire.sim.lan import Lan
from hardwire.sim.machine import Machine, Setup
from hardwire.sim.world import World
from hardwire.stack import socket as api
from hardwire.stack.sched.cls_filter import filter_add
from hardwire.stack.sched.sch_api import gnet_stats, qdisc_add, qdisc_change
from hardwire.stack.wire.checksum import csum_fold, csum_partial
from hardwire.tb.bench import seed

MS = 1_000_000


def test_a_delay_of_netem_is_in_the_time_of_an_echo() -> None:
    macs = {f"10.0.0.{n}": f"02:00:00:00:00:{n:02x}" for n in (1, 2)}
    setups = [
        Setup(address=f"{address}/24", mac=bytes.fromhex(mac.replace(":", "")), neighbours=macs)
        for address, mac in macs.items()
    ]
    lan = Lan(World(seed=seed()), setups)
    here, there = lan.machines
    times: list[int] = []

    def echo(sock: api.Socket, sequence: int) -> None:
        message = bytearray(pack("!BBHHH", 8, 0, 0, 7, sequence) + bytes(32))
        message[2:4] = csum_fold(csum_partial(bytes(message))).to_bytes(2, "big")
        start = here.kernel.now_ns()
        sock.sendto(bytes(message), ("10.0.0.2", 0))
        sock.recvfrom(100)
        times.append(here.kernel.now_ns() - start)

    def program() -> None:
        with here.net.socket(api.AF_INET, api.SOCK_RAW, api.IPPROTO_ICMP) as sock:
            echo(sock, 1)
            echo(sock, 2)
            qdisc_add(here.dev, "netem", latency64=3 * MS)
            echo(sock, 3)
            qdisc_add(there.dev, "netem", latency64=2 * MS)
            echo(sock, 4)
            qdisc_change(here.dev, latency64=0)
            echo(sock, 5)

    lan.world.run(program)
    plain = times[1]
    print(times)
    # What is left is where in the cycles of the clocks a frame comes.
    for time, delay in zip(times[2:], (3 * MS, 5 * MS, 2 * MS), strict=True):
        assert abs(time - plain - delay) < 200, times


def test_marked_and_urgent_datagrams_overtake_when_the_ring_is_full() -> None:
    machine = Machine(World(seed=seed()), Setup(neighbours={"10.0.0.2": "02:00:00:00:00:02"}, ring_log2=6))
    machine.world.advance(MS)
    qdisc_add(machine.dev, "prio", handle=0x10000)
    filter_add(machine.dev, "fw", parent=0x10000, handle=5, classid=0x10001)
    ring = machine.dev.priv.rings[0]
    ring.txq.dql.limit = ring.txq.dql.min_limit = 1 << 20
    sock = machine.net.socket()
    for number in range(60):
        sock.sendto(b"bulk %2d" % number, ("10.0.0.2", 9000))
    waits = machine.dev.qdisc.qlen
    assert waits > 5
    sock.setsockopt(api.SOL_SOCKET, api.SO_PRIORITY, 6)
    sock.sendto(b"urgent", ("10.0.0.2", 9000))
    sock.setsockopt(api.SOL_SOCKET, api.SO_PRIORITY, 0)
    sock.setsockopt(api.SOL_SOCKET, api.SO_MARK, 5)
    sock.sendto(b"marked", ("10.0.0.2", 9000))
    machine.world.advance(3 * MS)
    order = [frame.octets[42:60].rstrip(b"\0")[:7] for frame in machine.nic.take_frames()]
    assert len(order) == 62
    # One may have been on its way to the driver before, which did not take it: it goes first.
    first = 60 - waits
    assert set(order[first : first + 3]) >= {b"urgent", b"marked"}
    assert order.index(b"urgent") < order.index(b"marked")
    assert [text for text in order if text.startswith(b"bulk")] == [b"bulk %2d" % number for number in range(60)]
    assert gnet_stats(machine.dev.qdisc)["qlen"] == 0
    assert machine.kernel.drop_counts() == {}
