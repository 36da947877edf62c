"""What the link of a device is, whichever driver it has (Linux: net/ethtool/ioctl.c)."""

from dataclasses import dataclass
from errno import EOPNOTSUPP
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .netdevice import NetDevice

__all__ = ["LinkSettings", "__ethtool_get_link_ksettings"]


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """``ethtool DEV``; without a link the speed is None, and what the partner advertises is not known."""

    speed_mbps: int | None
    duplex: str
    autoneg: bool
    link: bool
    advertising: tuple[str, ...]
    lp_advertising: tuple[str, ...]


def __ethtool_get_link_ksettings(dev: "NetDevice") -> LinkSettings:
    """Return what the link of a device is.

    Raises
    ------
    OSError
        ``EOPNOTSUPP`` if its driver does not say.
    """
    get = getattr(dev.ethtool_ops, "get_link_ksettings", None)
    if get is None:
        raise OSError(EOPNOTSUPP, f"{dev.name} does not say what its link is")
    settings: LinkSettings = get()
    return settings
