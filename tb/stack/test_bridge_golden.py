"""A frame through a bridge: our order of calls against that of a real kernel."""

from dataclasses import replace

from hardwire.stack.bridge.br_netlink import br_dev_newlink
from hardwire.stack.core.dev_register import dev_open
from hardwire.stack.core.dev_upper import do_set_master
from hardwire.stack.drivers.veth import veth_newlink
from hardwire.stack.iproute import addr_add
from hardwire.tb.stack.golden import Rules, compare, read_golden
from hardwire.tb.stack.test_veth import RECEIVED, SENT, Namespaces, changed, traced, warmed

RULES = Rules.read("receive", "veth", "bridge")
RULES = replace(RULES, ends={}, cut=RULES.cut - {"do_softirq"})


def test_a_datagram_is_forwarded_by_a_bridge_on_the_path_of_08a():
    namespaces = Namespaces(3)
    left, middle, right = namespaces.nets
    bridge = br_dev_newlink(middle, "br0", {})
    dev_open(bridge)
    for net, address in ((left, "10.0.3.1/24"), (right, "10.0.3.2/24")):
        end, port = veth_newlink(net, "veth%d", middle, "port%d")
        dev_open(end)
        dev_open(port)
        do_set_master(port, bridge)
        addr_add(end, address)
    namespaces.run(2_000_000_000)
    here, there = warmed(namespaces, ("10.0.3.1", 5000), ("10.0.3.2", 9000))
    before = [dict(net.mib) for net in namespaces.nets]
    golden = read_golden("08a")
    sent = traced(lambda: here.sendto(bytes(32), ("10.0.3.2", 9000)), "__x64_sys_sendto")
    compare(golden["H1: sendto 32 bytes"], sent, RULES)
    compare(golden["H2: recvfrom"], traced(lambda: there.recvfrom(100), "__x64_sys_recvfrom"), RULES, ["udp_recvmsg"])
    assert [changed(net, mib) for net, mib in zip(namespaces.nets, before, strict=True)] == [SENT, {}, RECEIVED]
