"""Two namespaces joined by several pairs, one end of each in a bond."""

from hardwire.stack.core.dev import dev_queue_xmit
from hardwire.stack.core.dev_register import dev_open
from hardwire.stack.core.dev_upper import do_set_master
from hardwire.stack.core.netdevice import NetDevice
from hardwire.stack.core.skbuff import alloc_skb, skb_put_data, skb_reserve
from hardwire.stack.drivers.bonding import BondMode, IflaBond, bond_newlink
from hardwire.stack.drivers.veth import VethDevice, veth_newlink
from hardwire.stack.iproute import addr_add
from hardwire.tb.stack.test_veth import Namespaces

__all__ = ["MS", "SECOND", "Bonds"]

MS = 1_000_000
SECOND = 1_000_000_000


class Bonds(Namespaces):
    """BD with bond0, 10.0.8.1/24, above s1 and so on, whose other ends x1 and so on are in PB, up.

    Parameters
    ----------
    mode : BondMode
        Mode of the bond.
    count : int
        Number of its slaves.
    options : dict
        Its other settings.
    both : bool
        The other ends are in a bond of the same kind, 10.0.8.2/24; else x1 has that address.
    """

    def __init__(self, mode: BondMode, count: int = 2, *, both: bool = False, **options: int) -> None:
        super().__init__(2)
        self.bd, self.pb = self.nets
        data = {IflaBond.MODE: mode} | {IflaBond[name.upper()]: value for name, value in options.items()}
        self.bond = bond_newlink(self.bd, "bond0", data)
        self.slaves: list[VethDevice] = []
        self.peers: list[VethDevice] = []
        for number in range(1, count + 1):
            mine, other = veth_newlink(self.bd, f"s{number}", self.pb, f"x{number}")
            self.slaves.append(mine)
            self.peers.append(other)
            do_set_master(mine, self.bond)
        self.other = bond_newlink(self.pb, "bond1", data) if both else None
        for peer in self.peers:
            if self.other is None:
                dev_open(peer)
            else:
                do_set_master(peer, self.other)
        dev_open(self.bond)
        addr_add(self.bond, "10.0.8.1/24")
        if self.other is not None:
            dev_open(self.other)
        addr_add(self.other or self.peers[0], "10.0.8.2/24")
        self.run()

    def transmit(self, dev: NetDevice, frame: bytes) -> None:
        """Send a frame through a device."""
        skb = alloc_skb(self.kernel, len(frame) + 32)
        skb_reserve(skb, 32)
        skb_put_data(skb, frame)
        skb.dev, skb.protocol, skb.network_header = dev, int.from_bytes(frame[12:14], "big"), skb.data + 14
        dev_queue_xmit(skb)

    def sent(self) -> list[int]:
        """Return how many frames each slave has sent."""
        return [slave.stats.tx_packets for slave in self.slaves]
