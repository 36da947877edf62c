"""The five IPv4 hooks and what their functions may decide (Linux: net/netfilter/core.c)."""

from bisect import insort
from collections.abc import Callable
from dataclasses import dataclass
from errno import EPERM, ESRCH
from typing import TYPE_CHECKING, Any

from ..core.drop_reasons import SkbDropReason
from ..core.skbuff import kfree_skb_reason
from .nf_conntrack_common import CTINFO2DIR, IP_CT_DIR_ORIGINAL, IP_CT_RELATED, IP_CT_RELATED_REPLY

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.netdevice import NetDevice
    from ..core.skbuff import SkBuff
    from ..core.sock import Sock
    from .nf_conntrack_netns import NetnsCt
    from .nf_nat_core import NetnsNat
    from .nf_tables_api import NetnsNft

__all__ = [
    "NF_ACCEPT",
    "NF_DROP",
    "NF_DROP_ERR",
    "NF_HOOK",
    "NF_HOOK_COND",
    "NF_INET_FORWARD",
    "NF_INET_LOCAL_IN",
    "NF_INET_LOCAL_OUT",
    "NF_INET_POST_ROUTING",
    "NF_INET_PRE_ROUTING",
    "NF_IP_PRI_CONNTRACK",
    "NF_IP_PRI_FILTER",
    "NF_IP_PRI_FIRST",
    "NF_IP_PRI_LAST",
    "NF_IP_PRI_MANGLE",
    "NF_IP_PRI_NAT_DST",
    "NF_IP_PRI_NAT_SRC",
    "NF_IP_PRI_RAW",
    "NF_QUEUE",
    "NF_REPEAT",
    "NF_STOLEN",
    "NF_STOP",
    "NetnsNf",
    "NfHookOps",
    "NfHookState",
    "NfQueueEntry",
    "nf_ct_attach",
    "nf_hook",
    "nf_hook_slow",
    "nf_register_net_hook",
    "nf_reinject",
    "nf_unregister_net_hook",
]

NF_INET_PRE_ROUTING = 0
NF_INET_LOCAL_IN = 1
NF_INET_FORWARD = 2
NF_INET_LOCAL_OUT = 3
NF_INET_POST_ROUTING = 4

NF_DROP = 0
NF_ACCEPT = 1
NF_STOLEN = 2
NF_QUEUE = 3
NF_REPEAT = 4
NF_STOP = 5  # Accept, and do not ask the hooks that follow.
_VERDICT_MASK = 0xFF
_QUEUE_BYPASS = 0x8000  # NF_VERDICT_FLAG_QUEUE_BYPASS: go on when nobody takes the queue.

NF_IP_PRI_FIRST = -(1 << 31)
NF_IP_PRI_RAW = -300
NF_IP_PRI_CONNTRACK = -200
NF_IP_PRI_MANGLE = -150
NF_IP_PRI_NAT_DST = -100
NF_IP_PRI_FILTER = 0
NF_IP_PRI_NAT_SRC = 100
NF_IP_PRI_LAST = (1 << 31) - 1

OkFn = Callable[["Net", "Sock | None", "SkBuff"], int]


def NF_DROP_ERR(error: int) -> int:  # noqa: N802 - the kernel's name
    """Return the verdict that drops and makes the sender see this (positive) errno instead of ``EPERM``."""
    return error << 16 | NF_DROP


@dataclass(slots=True)
class NfHookState:
    """Where a packet is: the hook, its devices, its socket, and what happens to it next."""

    hook: int
    in_dev: "NetDevice | None"
    out_dev: "NetDevice | None"
    sk: "Sock | None"
    net: "Net"
    okfn: OkFn


@dataclass(frozen=True, slots=True)
class NfHookOps:
    """A function that wants to see packets: ``hook(priv, skb, state)`` returns a verdict; low priorities come first."""

    hook: Callable[[Any, "SkBuff", NfHookState], int]
    hooknum: int
    priority: int = NF_IP_PRI_FILTER
    priv: Any = None


@dataclass(slots=True)
class NfQueueEntry:
    """A packet that waits for a verdict of somebody else; give it back with ``nf_reinject``."""

    skb: "SkBuff"
    state: NfHookState
    hooks: tuple[NfHookOps, ...]
    index: int
    queue: int


class NetnsNf:
    """The hooks of one namespace.

    Members
    -------
    hooks_ipv4 : list[tuple[NfHookOps, ...]]
        Functions of each hook, in order of priority; replaced as a whole, so a packet on its way keeps its own list.
    queue_handler : callable or None
        Takes an ``NfQueueEntry`` and returns 0, or a negative errno when it does not want it.
    conntrack, nat, tables : NetnsCt, NetnsNat, NetnsNft
        Connections, their translations, and tables of rules; each there from its first use on.
    sysctl_nf_log_all_netns : bool
        Write packets of a namespace other than the first to the log, too.
    """

    __slots__ = ("conntrack", "hooks_ipv4", "nat", "queue_handler", "sysctl_nf_log_all_netns", "tables")

    conntrack: "NetnsCt"
    nat: "NetnsNat"
    tables: "NetnsNft"

    def __init__(self) -> None:
        self.hooks_ipv4: list[tuple[NfHookOps, ...]] = [()] * 5
        self.sysctl_nf_log_all_netns = False
        self.queue_handler: Callable[[NfQueueEntry], int] | None = None


def nf_register_net_hook(net: "Net", ops: NfHookOps) -> None:
    """Add a function to a hook, behind those of the same priority.

    Raises
    ------
    ValueError
        If there is no such hook.
    """
    if not 0 <= ops.hooknum <= NF_INET_POST_ROUTING:
        raise ValueError(f"hooknum must be in 0..4, not {ops.hooknum!r}")
    hooks = list(net.nf.hooks_ipv4[ops.hooknum])
    insort(hooks, ops, key=lambda entry: entry.priority)
    net.nf.hooks_ipv4[ops.hooknum] = tuple(hooks)


def nf_unregister_net_hook(net: "Net", ops: NfHookOps) -> None:
    """Take a function out of its hook again; unknown ones are ignored."""
    net.nf.hooks_ipv4[ops.hooknum] = tuple(entry for entry in net.nf.hooks_ipv4[ops.hooknum] if entry is not ops)


def nf_hook_slow(skb: "SkBuff", state: NfHookState, hooks: tuple[NfHookOps, ...], index: int = 0) -> int:
    """Ask the hooks from ``index`` on.

    Returns
    -------
    int
        1: go on with the packet. 0 or a negative errno: it is no longer the caller's.
    """
    while index < len(hooks):
        entry = hooks[index]
        verdict = entry.hook(entry.priv, skb, state)
        match verdict & _VERDICT_MASK:
            case 1:  # NF_ACCEPT
                index += 1
            case 0:  # NF_DROP
                kfree_skb_reason(skb, SkbDropReason.NETFILTER_DROP)
                return -(verdict >> 16 or EPERM)
            case 3:  # NF_QUEUE
                result = _nf_queue(skb, state, hooks, index, verdict)
                if result != 1:
                    return result
                index += 1
            case 4:  # NF_REPEAT
                pass
            case 5:  # NF_STOP
                return 1
            case _:  # NF_STOLEN
                return 0
    return 1


def _nf_queue(skb: "SkBuff", state: NfHookState, hooks: tuple[NfHookOps, ...], index: int, verdict: int) -> int:
    """Hand a packet to whoever decides later; return 1 if nobody does and the verdict lets it pass then."""
    handler = state.net.nf.queue_handler
    error = -ESRCH if handler is None else handler(NfQueueEntry(skb, state, hooks, index, verdict >> 16))
    if not error:
        return 0
    if error == -ESRCH and verdict & _QUEUE_BYPASS:
        return 1
    kfree_skb_reason(skb, SkbDropReason.NETFILTER_DROP)
    return error


def nf_reinject(entry: NfQueueEntry, verdict: int) -> None:
    """Go on with a queued packet: ACCEPT asks the hooks behind the one that queued it, REPEAT that one again."""
    state = entry.state
    match verdict & _VERDICT_MASK:
        case 1 | 4:  # NF_ACCEPT, NF_REPEAT
            first = entry.index + (verdict & _VERDICT_MASK == NF_ACCEPT)
            if nf_hook_slow(entry.skb, state, entry.hooks, first) == 1:
                state.okfn(state.net, state.sk, entry.skb)
        case 5:  # NF_STOP
            state.okfn(state.net, state.sk, entry.skb)
        case 2:  # NF_STOLEN
            pass
        case _:
            kfree_skb_reason(entry.skb, SkbDropReason.NETFILTER_DROP)


def nf_hook(
    hook: int,
    net: "Net",
    sk: "Sock | None",
    skb: "SkBuff",
    in_dev: "NetDevice | None",
    out_dev: "NetDevice | None",
    okfn: OkFn,
) -> int:
    """Return 1 if the caller shall call ``okfn``, else 0 or a negative errno."""
    hooks = net.nf.hooks_ipv4[hook]
    if not hooks:
        return 1
    return nf_hook_slow(skb, NfHookState(hook, in_dev, out_dev, sk, net, okfn), hooks)


def NF_HOOK(  # noqa: N802 - the kernel's name
    hook: int,
    net: "Net",
    sk: "Sock | None",
    skb: "SkBuff",
    in_dev: "NetDevice | None",
    out_dev: "NetDevice | None",
    okfn: OkFn,
) -> int:
    """Ask the hook, and call ``okfn`` if it lets the packet pass; return what that returns, or the hook's error."""
    hooks = net.nf.hooks_ipv4[hook]
    if hooks:
        result = nf_hook_slow(skb, NfHookState(hook, in_dev, out_dev, sk, net, okfn), hooks)
        if result != 1:
            return result
    return okfn(net, sk, skb)


def NF_HOOK_COND(  # noqa: N802 - the kernel's name
    hook: int,
    net: "Net",
    sk: "Sock | None",
    skb: "SkBuff",
    in_dev: "NetDevice | None",
    out_dev: "NetDevice | None",
    okfn: OkFn,
    cond: bool,
) -> int:
    """Like ``NF_HOOK``, but ask the hook only if ``cond``."""
    if not cond:
        return okfn(net, sk, skb)
    return NF_HOOK(hook, net, sk, skb, in_dev, out_dev, okfn)


def nf_ct_attach(new: "SkBuff", skb: "SkBuff") -> None:
    """Let a packet of this host belong to the connection of the packet that it is about."""
    if skb.nfct is not None and skb.nfct[0] is not None:
        ct, ctinfo = skb.nfct
        new.nfct = ct, IP_CT_RELATED_REPLY if CTINFO2DIR(ctinfo) == IP_CT_DIR_ORIGINAL else IP_CT_RELATED
