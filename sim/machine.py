"""A simulated computer, set up: a host with its stack, network cards, addresses."""

from dataclasses import dataclass, field

from ..hdl.config import NicConfig
from ..stack.core.dev_register import dev_change_features, dev_open, dev_set_mtu
from ..stack.core.net import Kernel, Net
from ..stack.core.netdevice import NETIF_F_HW_CSUM, NETIF_F_HW_NEIGH, NetDevice
from ..stack.drivers.hardwire import hardwire_probe
from ..stack.iproute import addr_add, neigh_add
from .bridge.card_memory import ring_log2s
from .bridge.nic import BridgeNic
from .bus_model import BusModel
from .crypto import cryptography_library
from .devices import open_device
from .nic import SimNic
from .world import World

__all__ = ["Card", "Machine", "Setup"]


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What a machine is set up with.

    Parameters
    ----------
    address : str or None
        IPv4 address of its card, with the length of its network's prefix; None for none.
    mac : bytes
        MAC address of its card.
    mtu : int
        MTU of its card.
    offload : bool
        Whether the card does checksums and address resolution, or the stack.
    neighbours : dict[str, str]
        MAC addresses that it need not ask for, by IPv4 address.
    ring_log2 : int or None
        Log2 of the number of descriptors; None for the driver's default, or what a card behind a bridge has room for.
    bus : BusModel
        How its memory behaves.
    config : NicConfig
        Parameters of the gateware.
    waves : bool
        Use the library that can write waves.
    device : str
        Kind of the card, and for some where it is; see ``devices``.
    phy_address : int
        Where the driver looks for the card's PHY, which is at 1; where there is none, the link counts as a fixed one.
        A card behind a bridge may say otherwise.
    """

    address: str | None = "10.0.0.1/24"
    mac: bytes = bytes.fromhex("020000000001")
    mtu: int = 1500
    offload: bool = True
    neighbours: dict[str, str] = field(default_factory=dict)
    ring_log2: int | None = None
    bus: BusModel = field(default_factory=BusModel)
    config: NicConfig = field(default_factory=NicConfig)
    waves: bool = False
    device: str = "sim"
    phy_address: int = 0


@dataclass(frozen=True)
class Card:
    """A network card, and the device that the stack sees of it."""

    nic: SimNic
    dev: NetDevice


class Machine:
    """A computer in a world.

    Members
    -------
    net : Net
        Its network namespace: what sockets are made in.
    cards : list of Card
        Its network cards: ``eth0`` and so on.
    nic, dev : SimNic, NetDevice
        The first one.
    address : str
        IPv4 address that this one was set up with; empty for none.

    Raises
    ------
    OSError
        If a part of the setup is impossible, such as an MTU that the card cannot do.
    """

    def __init__(self, world: World, setup: Setup, *, name: str | None = None) -> None:
        self.world = world
        self.host = world.host(name)
        self.kernel = Kernel(self.host)
        self.kernel.crypto = cryptography_library()
        self.net: Net = self.kernel.init_net
        self.cards: list[Card] = []
        self.address = (setup.address or "").partition("/")[0]
        first = self.add_card(setup)
        self.nic, self.dev = first.nic, first.dev

    def add_card(self, setup: Setup) -> Card:
        """Put one more card in and set it up: a router has two or more.

        Raises
        ------
        OSError
            As for a new machine.
        """
        nic = open_device(setup.device, host=self.host, config=setup.config, bus=setup.bus, waves=setup.waves)
        if isinstance(nic, BridgeNic):
            dev = self._probe_bridged(nic, setup)
        else:
            dev = hardwire_probe(self.net, nic, nic.dma, [nic], mac=setup.mac, phy_address=setup.phy_address)
        if setup.ring_log2 is not None:
            dev.ethtool_ops.set_ringparam(1 << setup.ring_log2)
        dev_set_mtu(dev, setup.mtu)
        if not setup.offload:
            dev_change_features(dev, 0, NETIF_F_HW_CSUM | NETIF_F_HW_NEIGH)
        dev_open(dev)
        if setup.address is not None:
            addr_add(dev, setup.address)
        for address, mac in setup.neighbours.items():
            neigh_add(dev, address, mac)
        self.cards.append(Card(nic, dev))
        return self.cards[-1]

    def _probe_bridged(self, nic: BridgeNic, setup: Setup) -> NetDevice:
        """Take a card behind a bridge into use, with rings that its memory has room for."""
        address = setup.phy_address if nic.phy_address is None else nic.phy_address
        dev = hardwire_probe(
            self.net, nic, nic.dma, [nic], mac=setup.mac, phy_address=address, speed_mbps=nic.speed_mbps
        )
        most = dev.ethtool_ops.get_ringparam()
        tx_log2, rx_log2 = ring_log2s(nic.hello["memory_octets"], setup.mtu)
        tx, rx = min(1 << tx_log2, most.tx_max_pending), min(1 << rx_log2, most.rx_max_pending)
        dev.ethtool_ops.set_ringparam(tx, rx or None)
        return dev

    def counters(self) -> dict[str, int]:
        """Return what its first card and the driver have counted, without zeros (``ethtool -S``)."""
        ethtool = self.dev.ethtool_ops
        named = zip(ethtool.get_strings(), ethtool.get_ethtool_stats(), strict=True)
        return {name: count for name, count in named if count}
