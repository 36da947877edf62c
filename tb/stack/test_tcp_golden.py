"""Our order of calls in TCP against that of a real kernel, over veth: the peer answers inside the softirq."""

from contextlib import suppress
from dataclasses import replace

import pytest

from hardwire.sim.trace import Call, Tracer
from hardwire.stack import socket as api
from hardwire.stack.iproute2.tc import tc
from hardwire.tb.stack.golden import Node, Rules, compare, find, read_golden
from hardwire.tb.stack.inet_host import MS
from hardwire.tb.stack.test_veth import Namespaces

RULES = Rules.read("receive", "veth", "stream", "tcp")
RULES = replace(RULES, ends={}, cut=RULES.cut - {"do_softirq"})
PEER = ("10.0.0.2", 9000)


@pytest.fixture
def two() -> Namespaces:
    """Return two hosts that have talked before: routes and neighbours are known."""
    namespaces = Namespaces(2)
    namespaces.join(0, "10.0.0.1/24", 1, "10.0.0.2/24")
    namespaces.nets[0].socket().sendto(b"", ("10.0.0.2", 7))
    namespaces.run()
    namespaces.run(1_000 * MS)
    return namespaces


def listener(two: Namespaces):
    sock = two.nets[1].socket(api.AF_INET, api.SOCK_STREAM)
    sock.bind(PEER)
    sock.listen(5)
    return sock


def connected(two: Namespaces):
    server = listener(two)
    client = two.nets[0].socket(api.AF_INET, api.SOCK_STREAM)
    client.connect(PEER)
    return client, server.accept()[0], server


def joined(nodes: list[Node]) -> list[Node]:
    """Return a call tree in which the parts that the compiler cut off a function are in it again."""
    whole: list[Node] = []
    for node in nodes:
        calls = joined(node.calls)
        while any(call.name == node.name for call in calls):
            calls = [inner for call in calls for inner in (call.calls if call.name == node.name else [call])]
        whole.append(Node(node.name, calls))
    return whole


def golden(name: str, section: str = "") -> list[Node]:
    """Return a section of a trace, by the beginning of its title."""
    (found,) = [nodes for title, nodes in read_golden(name).items() if nodes and title.startswith(section)]
    return joined(found)


def softirqs(function) -> list[Call]:
    """Return what ran in softirqs, all of it under one: how many turns it takes is up to the machine."""
    calls = [call for softirq in traced(function, "__do_softirq") for call in softirq.calls]
    return [Call("__do_softirq", "core.softirq", 0, 0, calls)]


def in_softirqs(nodes: list[Node]) -> list[Node]:
    """Return the same of a trace."""
    return [Node("__do_softirq", [call for softirq in nodes for call in softirq.calls])]


def traced(function, name: str):
    """Return the calls of one function that another makes, from anywhere below it."""
    with Tracer(lambda: 0) as tracer, suppress(OSError):
        function()
    return [call for root in tracer.roots for _, call in root.walk() if call.name == name]


def test_connect_takes_the_path_of_06a(two):
    server = listener(two)
    client = two.nets[0].socket(api.AF_INET, api.SOCK_STREAM)
    calls = traced(lambda: client.connect(PEER), "__x64_sys_connect")
    compare(golden("06a"), calls, RULES)
    assert server.accept()


def test_send_takes_the_path_of_06c(two):
    client, _, _ = connected(two)
    calls = traced(lambda: client.send(bytes(100)), "__x64_sys_sendto")
    compare(golden("06c"), calls, RULES)


def test_recv_takes_the_path_of_06d(two):
    client, server, _ = connected(two)
    client.send(bytes(100))
    calls = traced(lambda: server.recv(100), "__x64_sys_recvfrom")
    compare(golden("06d"), calls, RULES)


def test_a_refused_connect_takes_the_path_of_06y(two):
    client = two.nets[0].socket(api.AF_INET, api.SOCK_STREAM)
    calls = traced(lambda: client.connect(PEER), "__x64_sys_connect")
    compare(golden("06y"), calls, RULES)


def test_close_and_its_delayed_ack_take_the_path_of_06f(two):
    client, server, _ = connected(two)
    for _ in range(40):  # Until nobody is in a hurry any more.
        client.send(b"x")
        server.recv(1)
        server.send(b"y")
        client.recv(1)
        two.run(50 * MS)
    calls = traced(client.close, "inet_release")
    compare(find(golden("06f", "close"), "inet_release"), calls, RULES)
    compare(in_softirqs(golden("06f", "sleep")), softirqs(lambda: two.run(60 * MS)), RULES)


def test_a_delayed_ack_takes_the_path_of_06ta(two):
    client, server, _ = connected(two)
    for _ in range(40):
        client.send(bytes(100))
        two.run(60 * MS)
        server.recv(100)
    calls = traced(lambda: client.send(bytes(100)), "__x64_sys_sendto")
    compare(golden("06ta", "A: send"), calls, RULES)
    compare(in_softirqs(golden("06ta", "sleep")), softirqs(lambda: two.run(150 * MS)), RULES)


def test_a_loss_is_found_on_the_path_of_06tb(two):
    client, server, _ = connected(two)
    client.send(bytes(100))
    two.run(5_000 * MS)
    server.recv(100)
    tc(two.nets[0], "qdisc add dev veth0 root netem loss 100%")
    calls = traced(lambda: client.send(bytes(100)), "__x64_sys_sendto")
    compare(golden("06tb", "A: send"), calls, RULES)
    compare(in_softirqs(golden("06tb", "sleep")), softirqs(lambda: two.run(600 * MS)), RULES)
