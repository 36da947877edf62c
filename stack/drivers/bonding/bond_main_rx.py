"""Receiving by a slave for its bond, and counting (Linux: drivers/net/bonding/bond_main.c)."""

from dataclasses import fields

from ...core.dev_receive import RxHandlerResult
from ...core.dev_register import dev_get_stats
from ...core.netdevice import NetDevice, Stats64
from ...core.skbuff import SkBuff, consume_skb
from ...core.skbuff_data import skb_share_check
from .bonding import Bonding, bond_is_slave_inactive, bonding_of, slave_of

__all__ = ["bond_fold_stats", "bond_get_stats", "bond_handle_frame"]

_LINK_LOCAL = bytes.fromhex("0180c20000")  # And 0 to 15 behind it: IEEE Std 802.1Q table 8-1.


def bond_handle_frame(skb: SkBuff) -> tuple[RxHandlerResult, SkBuff]:
    """Make a frame that a slave received one of the bond's, or one for exactly that slave (its receive handler)."""
    skb = skb_share_check(skb)
    assert skb.dev is not None
    slave = slave_of(skb.dev)
    assert slave is not None
    bond = slave.bond
    if bond.recv_probe is not None and bond.recv_probe(skb, bond, slave) == RxHandlerResult.CONSUMED:
        consume_skb(skb)
        return RxHandlerResult.CONSUMED, skb
    if bond_is_slave_inactive(slave):  # bond_should_deliver_exact_match()
        at = skb.mac_header
        # Who listens for neighbours on the link is to hear them on each one.
        link_local = bytes(skb.view[at : at + 5]) == _LINK_LOCAL and skb.view[at + 5] < 16
        return RxHandlerResult.PASS if link_local else RxHandlerResult.EXACT, skb
    skb.dev = bond
    return RxHandlerResult.ANOTHER, skb


def bond_fold_stats(bond: Bonding) -> None:
    """Add to the bond's counters what its slaves have counted since the last time."""
    for slave in bond.slave_list:
        now = dev_get_stats(slave.dev)
        for name in (field.name for field in fields(Stats64)):
            # Some drivers start anew from 0, as veth when the other end goes.
            new = max(getattr(now, name) - getattr(slave.slave_stats, name), 0)
            setattr(bond.bond_stats, name, getattr(bond.bond_stats, name) + new)
        slave.slave_stats = now


def bond_get_stats(dev: NetDevice) -> Stats64:
    """Return the counters of a bond: what its slaves have done while they were in it (``ndo_get_stats64``)."""
    bond = bonding_of(dev)
    bond_fold_stats(bond)
    return bond.bond_stats
