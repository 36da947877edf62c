"""Random addresses, routes, rules and flows, in the words of ip(8) and for our stack at once."""

from dataclasses import dataclass, field
from random import Random
from struct import pack
from typing import Any

from hardwire.stack.core.dev_register import dev_open, register_netdevice
from hardwire.stack.core.net import Net
from hardwire.stack.core.netdevice import NetDevice
from hardwire.stack.core.skbuff import SkBuff, alloc_skb, kfree_skb, skb_put_data
from hardwire.stack.iproute2.ip import ip
from hardwire.stack.ipv4.devinet import inet_forward_change
from hardwire.stack.ipv4.fib_trie import fib_lookup
from hardwire.stack.ipv4.flow import Flowi4
from hardwire.stack.ipv4.route import RTable, ip_route_output_flow
from hardwire.stack.ipv4.route_input import ip_route_input_noref
from hardwire.stack.ipv4.rtnetlink import RtScope, RtType
from hardwire.stack.wire.address import ipv4_from_text, ipv4_to_text
from hardwire.tb.stack.fake import FakeNetDevice, make_kernel

__all__ = ["DEVICES", "Answer", "Flow", "Router", "random_change", "random_flow"]

DEVICES = ("v0", "v1", "v2")
_SECRETS = 128
TOS = (0, 0, 0, 4, 8, 16)
MARKS = (0, 0, 1, 2, 0x11)
PORTS = (0, 53, 1000, 2000)


@dataclass
class Answer:
    """A route: or the errno that there is in its place."""

    error: int = 0
    kind: str = "unicast"
    gateway: str = ""
    dev: str = ""
    source: str = ""


@dataclass
class Flow:
    """What a route is asked for; ``iif`` makes it one of a received packet."""

    daddr: str
    saddr: str = ""
    tos: int = 0
    mark: int = 0
    oif: str = ""
    iif: str = ""
    proto: int = 0
    sport: int = 0
    dport: int = 0

    @property
    def words(self) -> str:
        """What follows ``ip route get``."""
        names = {
            "from": self.saddr,
            "iif": self.iif,
            "oif": self.oif,
            "mark": self.mark,
            "tos": self.tos and hex(self.tos),
        }
        names |= {"ipproto": {0: "", 6: "tcp", 17: "udp"}[self.proto], "sport": self.sport, "dport": self.dport}
        return " ".join([self.daddr, *(f"{name} {value}" for name, value in names.items() if value)])


@dataclass
class Router:
    """Our host: ``v0`` to ``v2``, up."""

    forwarding: bool = True
    rp_filter: int = 0
    changes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.kernel, self.platform = make_kernel()
        self.net: Net = self.kernel.init_net
        for name in DEVICES:
            dev = FakeNetDevice(self.net, name)
            register_netdevice(dev)
            dev_open(dev)
            dev.ip_ptr.cnf.rp_filter = self.rp_filter
        inet_forward_change(self.net, self.forwarding)

    def dev(self, name: str) -> NetDevice:
        return self.net.dev_by_name[name]

    def change(self, words: str) -> bool:
        """Make a change; return whether it could be made."""
        try:
            ip(self.net, words)
        except OSError:
            return False
        return True

    def flow(self, flow: Flow) -> Flowi4:
        """Return the key for a flow that this host sends."""
        return Flowi4(
            ipv4_from_text(flow.daddr),
            ipv4_from_text(flow.saddr) if flow.saddr else 0,
            flow.proto or 17,  # What "ip route get" asks for, unless told otherwise.
            flow.sport,
            flow.dport,
            tos=flow.tos,
            mark=flow.mark,
            oif=self.dev(flow.oif).ifindex if flow.oif else 0,
        )

    def paths(self, flow: Flow) -> list[tuple[str, str]]:
        """Return device and gateway of the next hops that a flow's hash chooses among; none if it has no choice."""
        key = self.flow(flow)
        key.iif = self.dev(flow.iif).ifindex if flow.iif else 0
        found = fib_lookup(self.net, key)
        if isinstance(found, int) or key.oif or len(found.fi.nhs) == 1:
            return []
        alive = [nh for nh in found.fi.nhs if not nh.dead]
        # A gateway that is this host itself is none.
        return [(nh.dev.name, ipv4_to_text(nh.gw) if nh.gw and nh.scope == RtScope.LINK else "") for nh in alive]

    def packet(self, flow: Flow) -> SkBuff:
        """Return a packet of a flow, received."""
        key = self.flow(flow)
        skb = alloc_skb(self.kernel, 28)
        ports = pack("!HHI", key.sport, key.dport, 8)
        header = pack("!BBHHHBBHII", 0x45, key.tos, 28, 0, 0, 64, key.proto, 0, key.saddr, key.daddr)
        skb_put_data(skb, header + ports)
        skb.network_header = 0
        skb.transport_header = 20
        skb.protocol = 0x0800
        skb.mark = key.mark
        skb.dev = self.dev(flow.iif)
        return skb

    def get(self, flow: Flow) -> Answer:
        """Return the route for a flow, as ``ip route get`` shows it."""
        rt: Any
        if flow.iif:
            skb = self.packet(flow)
            key = self.flow(flow)
            reason = ip_route_input_noref(skb, key.daddr, key.saddr, key.tos, self.dev(flow.iif))
            rt = skb.dst
            kfree_skb(skb)
            if reason is not None or rt.error:
                return Answer(22 if reason is not None else rt.error)
            return self.answer(rt)
        key = self.flow(flow)
        try:
            rt = ip_route_output_flow(self.net, key)
        except OSError as error:
            return Answer(error.errno or 0)
        answer = self.answer(rt)
        answer.source = "" if flow.saddr or not key.saddr else ipv4_to_text(key.saddr)
        return answer

    def answers(self, flow: Flow) -> list[Answer]:
        """Return what ``get`` gives with many secrets of the hash: every next hop is chosen by some."""
        ipv4 = self.net.ipv4
        own, answers = ipv4.hash_secret, []
        for ipv4.hash_secret in range(_SECRETS):
            answers.append(self.get(flow))
        ipv4.hash_secret = own
        return answers

    def answer(self, rt: RTable) -> Answer:
        kind = RtType(rt.type).name.lower()
        return Answer(0, kind, ipv4_to_text(rt.gw) if rt.gw else "", rt.dev.name)


def _address(rng: Random) -> str:
    return f"10.{rng.randrange(4)}.{rng.randrange(2)}.{rng.choice((1, 2, 3, 4, 254))}"


def _prefix(rng: Random) -> str:
    length = rng.choice((0, 8, 14, 16, 16, 23, 24, 24, 24, 30, 32))
    value = ipv4_from_text(_address(rng)) & (0xFFFFFFFF << 32 - length)
    return "default" if not length else f"{ipv4_to_text(value & 0xFFFFFFFF)}/{length}"


def _change_address(rng: Random) -> str:
    name, text = rng.choice(DEVICES), f"{_address(rng)}/{rng.choice((16, 24, 24, 30, 32))}"
    if rng.random() < 0.2:
        return f"address del {text} dev {name}"
    return f"address add {text} brd + dev {name}"


def _hop(rng: Random) -> str:
    """Return a gateway, a device, both or none."""
    via, name = rng.choice(("", "", _address(rng))), rng.choice(("", *DEVICES))
    return f"{'via ' + via if via else ''} {'dev ' + name if name else ''}".strip()


def _add_route(rng: Random) -> str:
    words = f"{_prefix(rng)} table {rng.choice((254, 254, 254, 100, 101, 253))}"
    if rng.random() < 0.3:
        words += f" metric {rng.randrange(1, 4)}"
    if rng.random() < 0.15:
        words += f" tos {rng.choice((4, 8, 16)):#x}"
    kind = rng.random()
    if kind < 0.15:
        return f"route add {rng.choice(('blackhole', 'unreachable', 'prohibit', 'throw'))} {words}"
    if rng.random() < 0.15:
        words += f" src {_address(rng)}"
    if kind < 0.8:
        return f"route add {words} {_hop(rng)}"
    hops = [hop for hop in (_hop(rng) for _ in range(rng.randrange(2, 4))) if hop] or ["dev v0"]
    return f"route add {words} " + " ".join(f"nexthop {hop} weight {1 + rng.randrange(3)}" for hop in hops)


def _change_rule(rng: Random) -> str:
    words = "not " if rng.random() < 0.1 else ""
    words += f"pref {rng.choice((10, 20, 30, 40, 32766, 32800))}"
    for name, value in (
        ("from", _prefix(rng)),
        ("to", _prefix(rng)),
        ("tos", hex(rng.choice((4, 8, 16)))),
        ("iif", rng.choice(("lo", *DEVICES, "v9"))),
        ("oif", rng.choice(DEVICES)),
        ("ipproto", rng.choice(("tcp", "udp"))),
        ("fwmark", f"{rng.choice((1, 2))}/{rng.choice((0xFF, 0x3, 0x10))}"),
    ):
        if rng.random() < 0.2:
            words += f" {name} {value}"
    for name in ("sport", "dport"):
        if rng.random() < 0.1:
            words += f" {name} 53-{rng.choice((53, 1500))}"
    action = rng.choice((
        "lookup 100", "lookup 101", "lookup 254", "lookup 255", "lookup 102",
        "goto 30", "goto 35", "nop", "blackhole", "unreachable", "prohibit",
    ))  # fmt: skip
    words += f" {action}"
    if action.startswith("lookup") and rng.random() < 0.3:
        words += f" suppress_prefixlength {rng.choice((0, 8, 24))}"
    return f"rule {'del' if rng.random() < 0.1 else 'add'} {words}"


def _set_link(rng: Random) -> str:
    return f"link set {rng.choice(DEVICES)} {'down' if rng.random() < 0.4 else 'up'}"


def random_change(rng: Random, *, rules: bool) -> str:
    """Return the words of some change; with ``rules`` it may be one of them."""
    makers = [_change_address] * 4 + [_add_route] * 10 + [_set_link] + [_change_rule] * (5 * rules)
    return rng.choice(makers)(rng)


def random_flow(rng: Random) -> Flow:
    """Return some flow."""
    flow = Flow(rng.choice((_address(rng), _address(rng), _address(rng), "10.0.0.255", "11.0.0.1", "127.0.0.1")))
    flow.tos, flow.mark = rng.choice(TOS), rng.choice(MARKS)
    if rng.random() < 0.4:
        flow.proto, flow.sport, flow.dport = rng.choice((6, 17)), rng.choice(PORTS), rng.choice(PORTS)
    if rng.random() < 0.5:
        flow.iif, flow.saddr = rng.choice(DEVICES), rng.choice((_address(rng), _address(rng), "12.0.0.1"))
    else:
        flow.saddr = rng.choice(("", "", _address(rng)))
        flow.oif = rng.choice(("", "", "", *DEVICES))
    return flow
