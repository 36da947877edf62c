"""Our order of calls in netlink, from system call to system call, against that of a real kernel."""

import socket as py
import struct

import pytest

from hardwire.sim.trace import Tracer
from hardwire.stack.core.net import Net
from hardwire.stack.netlink.attr import nla_iter
from hardwire.stack.netlink.if_link import Ifla
from hardwire.stack.netlink.rtnetlink import Rta, Rtm
from hardwire.stack.netlink.uapi import NlmF
from hardwire.tb.stack.golden import Rules, compare, read_golden
from hardwire.tb.stack.netlink_peer import attr, message
from hardwire.tb.stack.test_veth import Namespaces

RULES = Rules.read("receive", "veth", "netlink")


@pytest.fixture
def net() -> Net:
    """Return the namespace A of the traces."""
    namespaces = Namespaces(2)
    namespaces.join(0, "10.0.0.1/24", 1, "10.0.0.2/24")
    return namespaces.nets[0]


def exchange(net: Net, request: bytes, section: str, golden: str) -> bytes:
    """Send a request and receive its answer, twice; compare the calls of the second time, and return that answer."""
    sock = net.socket(py.AF_NETLINK, py.SOCK_RAW, py.NETLINK_ROUTE)
    sock.bind((0, 0))
    with Tracer(lambda: 0) as tracer:
        sock.sendmsg([request], [], 0, (0, 0))
    with Tracer(lambda: 0) as second:
        answer = sock.recvmsg(65536)[0]
    sections = read_golden(golden)
    for name, one in ((section, tracer), ("recvmsg", second)):
        calls = [call for call in one.roots for _, call in call.walk() if call.name.startswith("__x64_sys_")]
        # Theirs frees a copy of the notification that there is not: so runs of equal calls count as one.
        compare(sections[name], calls, RULES, ["netlink_sendmsg"])
    return answer


def test_a_new_route_takes_the_path_of_13a(net):
    dev = net.dev_by_name["veth0"]
    route = struct.pack("=8BI", 2, 24, 0, 0, 254, 3, 0, 1, 0)
    route += attr(Rta.DST, py.inet_aton("10.77.1.0")) + attr(Rta.GATEWAY, py.inet_aton("10.0.0.2"))
    route += attr(Rta.OIF, dev.ifindex)
    request = message(Rtm.NEWROUTE, NlmF.CREATE | NlmF.EXCL | NlmF.ACK, route)
    answer = exchange(net, request, "sendmsg RTM_NEWROUTE", "13a")
    assert len(answer) == 36
    assert answer[16:20] == bytes(4)


def test_asking_for_a_device_takes_the_path_of_13c_with_an_answer_of_as_many_octets(net):
    dev = net.dev_by_name["veth0"]
    request = message(Rtm.GETLINK, 0, struct.pack("=BxHiII", 0, 0, dev.ifindex, 0, 0))
    answer = exchange(net, request, "sendmsg RTM_GETLINK", "13c")
    name = next(one.data for one in nla_iter(answer, 32) if one.type == Ifla.IFNAME)
    assert len(answer) == 772 + 4  # Their device is a0.
    assert name == b"veth0\0"
