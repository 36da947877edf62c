"""Going through rules (Linux: net/netfilter/nf_tables_core.c)."""

from typing import TYPE_CHECKING, Any, ClassVar

from ..core.skbuff_data import skb_header_pointer
from .core import NF_DROP

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.skbuff import SkBuff
    from .core import NfHookState
    from .nf_tables_api import NftChain, NftRule

__all__ = [
    "NFT_BREAK",
    "NFT_CONTINUE",
    "NFT_GOTO",
    "NFT_JUMP",
    "NFT_JUMP_STACK_SIZE",
    "NFT_RETURN",
    "NftExpr",
    "NftPktinfo",
    "NftRegs",
    "nft_do_chain",
    "nft_set_pktinfo_ipv4",
]

# Verdicts of expressions, beside those of hooks.
NFT_CONTINUE = -1
NFT_BREAK = -2  # The rule does not fit.
NFT_JUMP = -3
NFT_GOTO = -4
NFT_RETURN = -5
NFT_JUMP_STACK_SIZE = 16


class NftRegs:
    """Registers: the verdict with its chain, and the value that expressions pass on."""

    __slots__ = ("chain", "value", "verdict")

    def __init__(self) -> None:
        self.verdict = NFT_CONTINUE
        self.chain: NftChain | None = None
        self.value: Any = 0


class NftPktinfo:
    """A packet in a hook: its transport protocol and where that begins, in octets from the IPv4 header.

    Of a packet too short to say, or a later fragment, ``thoff`` is 0.
    """

    __slots__ = ("fragoff", "skb", "state", "thoff", "tprot", "tprot_set")

    def __init__(self, skb: "SkBuff", state: "NfHookState") -> None:
        self.skb = skb
        self.state = state
        self.tprot_set = False
        self.tprot = self.thoff = self.fragoff = 0


class NftExpr:
    """A part of a rule: ``eval`` reads the packet or the value, and sets the value or the verdict.

    Members
    -------
    hooks : tuple[int, ...] or None
        Where it may be; None: everywhere.
    nat : bool
        Only chains of type nat may have it.
    """

    __slots__ = ()

    hooks: "ClassVar[tuple[int, ...] | None]" = None
    nat: "ClassVar[bool]" = False

    def eval(self, regs: NftRegs, pkt: NftPktinfo, /) -> None:
        """Do what the expression does."""
        raise NotImplementedError

    def init(self, net: "Net") -> None:
        """Get what the expression needs in a namespace: its rule is there from now on."""

    def destroy(self, net: "Net") -> None:
        """Give that back: the rule is gone."""


def nft_set_pktinfo_ipv4(pkt: NftPktinfo) -> None:
    """Find the transport header of a packet."""
    header = skb_header_pointer(pkt.skb, 0, 20)
    if header is None:
        return
    ihl = (header[0] & 15) << 2
    pkt.tprot_set = True
    pkt.tprot = header[9]
    pkt.thoff = ihl
    pkt.fragoff = (header[6] << 8 | header[7]) & 0x1FFF


def _eval(rule: "NftRule", regs: NftRegs, pkt: NftPktinfo) -> int:
    """Return a rule's verdict."""
    regs.verdict = NFT_CONTINUE
    for expr in rule.exprs:
        expr.eval(regs, pkt)
        if regs.verdict != NFT_CONTINUE:
            break
    return regs.verdict


def nft_do_chain(pkt: NftPktinfo, basechain: "NftChain") -> int:
    """Go through a base chain, and those that it leads to; return a verdict."""
    regs = NftRegs()
    stack: list[tuple[tuple[NftRule, ...], int]] = []
    rules = basechain.rules
    at = 0
    while True:
        while at < len(rules):
            rule = rules[at]
            at += 1
            verdict = _eval(rule, regs, pkt)
            if verdict >= NF_DROP:
                return verdict
            if verdict == NFT_JUMP or verdict == NFT_GOTO:
                assert regs.chain is not None
                if verdict == NFT_JUMP:
                    if len(stack) >= NFT_JUMP_STACK_SIZE:
                        return NF_DROP
                    stack.append((rules, at))
                rules, at = regs.chain.rules, 0
            elif verdict == NFT_RETURN:
                break
        if not stack:
            return basechain.policy
        rules, at = stack.pop()
