"""A router between two networks on one fake platform: hosts at 10.0.1.1 and 10.0.2.1, the router at .254 of each."""

from hardwire.stack.core.dev_napi import napi_enable
from hardwire.stack.core.dev_register import dev_open, dev_set_mtu, register_netdevice
from hardwire.stack.core.netdevice import NETIF_F_HW_CSUM, NETIF_F_SG
from hardwire.stack.iproute import addr_add, route_add
from hardwire.stack.ipv4.devinet import inet_forward_change
from hardwire.tb.stack.fake import FakePlatform
from hardwire.tb.stack.pair import PairHost, WireDevice

__all__ = ["Routed"]


class Routed:
    """Hosts ``a`` and ``b``, and the router ``r`` with ``r.dev`` towards ``a`` and ``far`` towards ``b``."""

    def __init__(self, seed: int = 1, *, far_mtu: int = 1500, complete: bool = False) -> None:
        self.platform = FakePlatform(seed)
        kwargs = {"features": NETIF_F_SG | NETIF_F_HW_CSUM, "complete": complete}
        self.a = PairHost(self.platform, bytes.fromhex("020000000101"), "10.0.1.1/24", **kwargs)
        self.b = PairHost(self.platform, bytes.fromhex("020000000201"), "10.0.2.1/24", **kwargs)
        self.r = PairHost(self.platform, bytes.fromhex("020000000102"), "10.0.1.254/24", **kwargs)
        self.far = WireDevice(self.r.net, bytes.fromhex("020000000202"), **kwargs)
        register_netdevice(self.far)
        napi_enable(self.far.napi)
        dev_open(self.far)
        addr_add(self.far, "10.0.2.254/24")
        dev_set_mtu(self.far, far_mtu)
        dev_set_mtu(self.b.dev, far_mtu)
        inet_forward_change(self.r.net, True)
        route_add(self.a.net, "default", via="10.0.1.254")
        route_add(self.b.net, "default", via="10.0.2.254")
        self.a.dev.peer, self.r.dev.peer = self.r.dev, self.a.dev
        self.b.dev.peer, self.far.peer = self.far, self.b.dev

    def run(self, ns: int = 1_000_000) -> None:
        """Let time pass."""
        self.platform.advance(ns)
