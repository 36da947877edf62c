"""What the mission map names is there: each function and object of the rows on sending, receiving and messages."""

import ast
import re
from pathlib import Path

import pytest

from hardwire import stack
from hardwire.stack.core.dst import dst_output, dst_output_sk
from hardwire.stack.core.neighbour_output import dst_neigh_output, hh_output, neigh_hh_output
from hardwire.stack.core.skbuff import alloc_skb, skb_put_data, skb_reserve
from hardwire.stack.ethernet.eth import ETH_P_IP
from hardwire.stack.ipv4.flow import Flowi4
from hardwire.stack.ipv4.ip_output import __ip_local_out, __ip_local_out_sk
from hardwire.stack.ipv4.route import ip_route_output_key
from hardwire.stack.ipv4.xfrm4_output import xfrm4_output_one
from hardwire.stack.xfrm.xfrm_output import xfrm_output_one

MISSION = Path(__file__).parents[3] / "shared" / "MISSION-MAP.md"
ROWS = re.compile(r"\| (?:[ABDE]\d+|C\d+) \|")

# Words in backticks that are no names of code here, each with its reason.
NO_CODE = {
    "E": "the octet that an echo request is filled with",
    "NLMSG_*": "a family of names; its rules are those of nlmsg_* functions",
    "noqueue": "the name of a qdisc, a text",
    "tcpdump": "a program of the simulator, not of the stack",
}
# Structures of the kernel under Python's kind of name, and calls that programs know without their prefix.
OTHER_NAME = {
    "-EIOCBQUEUED": "EIOCBQUEUED",
    "dst.input": "input",
    "dst.output": "output",
    "dst_entry": "DstEntry",
    "dst_ops": "DstOps",
    "hh_cache": "HhCache",
    "inet_peer": "InetPeer",
    "iovec": "iov",
    "msghdr": "Msghdr",
    "nlmsghdr": "Nlmsghdr",
    "packet_type": "PacketType",
    "proto_ops": "ProtoOps",
    "rtable": "RTable",
    "socket(AF_INET, SOCK_DGRAM, IPPROTO_UDP)": "socket",
    "socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE)": "socket",
}


def defined() -> set[str]:
    """Return every name that the stack defines: functions, classes, members, constants; and the errnos that it uses."""
    names = set[str]()
    for path in Path(stack.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                names.add(node.name)
            elif isinstance(node, ast.ImportFrom) and node.module == "errno":
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.id)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                names.add(node.attr)
    return names


@pytest.fixture(scope="module")
def wanted() -> set[str]:
    """Return the names in backticks of the rows."""
    if not MISSION.exists():
        pytest.skip("no shared/MISSION-MAP.md beside the checkout")
    rows = [line for line in MISSION.read_text().splitlines() if ROWS.match(line)]
    assert len(rows) > 40
    return {name for line in rows for name in re.findall(r"`([^`]+)`", line)}


def test_each_name_of_the_mission_map_is_defined(wanted):
    names = defined()
    assert sorted(name for name in wanted - set(NO_CODE) if OTHER_NAME.get(name, name) not in names) == []


def test_no_exception_is_made_without_need(wanted):
    names = defined()
    assert [name for name in (*NO_CODE, *OTHER_NAME) if name not in wanted or name in names] == []
    assert all(NO_CODE.values())


def test_the_older_names_are_those_of_the_same_functions():
    assert __ip_local_out_sk is __ip_local_out
    assert dst_output_sk is dst_output
    assert hh_output is neigh_hh_output
    assert xfrm4_output_one is xfrm_output_one


def test_a_packet_of_a_route_goes_to_its_neighbour_by_the_older_name(host):
    rt = ip_route_output_key(host.net, Flowi4(host.peer.primary_key))
    skb = alloc_skb(host.kernel, 100)
    skb_reserve(skb, 50)
    skb_put_data(skb, b"octets")
    skb.network_header, skb.protocol = skb.data, ETH_P_IP
    skb.dev = rt.dev
    assert dst_neigh_output(rt, host.peer, skb) == 0
    (frame,) = host.frames()
    assert (frame.dst, frame.payload) == (host.peer.ha, b"octets")
