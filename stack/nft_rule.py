"""Rules of nft(8): statements as expressions."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from .netfilter.core import NF_ACCEPT, NF_DROP
from .netfilter.nf_nat_core import NfNatRange
from .netfilter.nf_tables_api import NftRule, NftTable, nft_chain_lookup
from .netfilter.nf_tables_core import NFT_GOTO, NFT_JUMP, NFT_RETURN, NftExpr
from .netfilter.nft_bitwise import NftBitwise
from .netfilter.nft_cmp import NftCmp
from .netfilter.nft_counter import NftCounter
from .netfilter.nft_ct import NftCt, NftCtSet, NftNotrack
from .netfilter.nft_immediate import NftImmediate
from .netfilter.nft_limit import NftLimit
from .netfilter.nft_log import NftLog
from .netfilter.nft_meta import NftMeta, NftMetaSet
from .netfilter.nft_nat import NftDnat, NftMasq, NftRedir, NftSnat
from .netfilter.nft_queue import NftQueue
from .netfilter.nft_reject_ipv4 import NftReject
from .nft_datatype import ADDRESS, ICMP_CODE, MARK, PORT
from .nft_match import CT_KEYS, HEADERS, META_KEYS, Key, parse_match, parse_values
from .uapi import IPPROTO_TCP, IPPROTO_UDP

if TYPE_CHECKING:
    from .core.net import Net
    from .nft_scanner import Scanner

__all__ = ["parse_rule"]

Text = str | Callable[[], str]

_SECOND = 1_000_000_000
_PERIODS = {
    "second": _SECOND,
    "minute": 60 * _SECOND,
    "hour": 3600 * _SECOND,
    "day": 86400 * _SECOND,
    "week": 604800 * _SECOND,
}
_LEVELS = ("emerg", "alert", "crit", "err", "warn", "notice", "info", "debug")
_BURST = 5
_PORT_UNREACHABLE = 3
_ALL_ONES = 0xFFFFFFFF
_IMPLIED = {1: "icmp", 6: "tcp", 17: "udp"}


class _Rule:
    """A rule while it is read.

    Members
    -------
    protocols : frozenset[int] or None
        The transport protocols that packets may still have here; None: any.
    implying : int or None
        Which statement says so, if it says nothing else: a match of one of their headers says it again.
    """

    def __init__(self, scanner: "Scanner", net: "Net", table: NftTable) -> None:
        self.scanner = scanner
        self.net = net
        self.table = table
        self.exprs: list[NftExpr] = []
        self.text: list[Text] = []
        self.protocols: frozenset[int] | None = None
        self.implying: int | None = None
        self.ends = False

    def add(self, text: Text, *exprs: NftExpr, terminal: bool = False) -> None:
        """Add a statement."""
        self.text.append(text)
        self.exprs += exprs
        self.ends = terminal

    def need(self, protocol: int) -> None:
        """Let only packets of a transport protocol get further."""
        if self.protocols is None:
            self.exprs += [NftMeta("l4proto"), NftCmp("==", protocol)]
            self.protocols = frozenset({protocol})
        elif protocol not in self.protocols:
            names = ", ".join(_IMPLIED.get(number, str(number)) for number in sorted(self.protocols))
            self.scanner.fail(f"conflicting protocols specified: {names} vs. {_IMPLIED[protocol]}")
        elif len(self.protocols) > 1:
            self.exprs += [NftMeta("l4proto"), NftCmp("==", protocol)]
            self.protocols = frozenset({protocol})
        elif self.implying is not None:
            self.text[self.implying] = ""
        self.implying = None

    def match(self, key: Key) -> None:
        """Add a match."""
        if key.protocol:
            self.need(key.protocol)
        match = parse_match(self.scanner, key, self.net)
        if match.text.startswith("th ") and self.protocols is not None and len(self.protocols) == 1:
            (protocol,) = self.protocols
            match.text = {IPPROTO_TCP: "tcp", IPPROTO_UDP: "udp"}.get(protocol, "th") + match.text[2:]
        if match.protocols is not None and self.protocols is None:
            self.protocols = match.protocols
            self.implying = len(self.text) if len(match.protocols) == 1 else None
        self.add(match.text, *match.exprs)


def parse_rule(scanner: "Scanner", net: "Net", table: NftTable) -> NftRule:
    """Take a rule, up to the end of the line.

    Raises
    ------
    OSError
        ``EINVAL`` with line and column; ``ENOENT`` for a chain or device that is not there.
    """
    rule = _Rule(scanner, net, table)
    if scanner.at_end():
        scanner.unexpected()
    while not scanner.at_end():
        token = scanner.token
        if scanner.accept("comment"):
            rule.text.append(f'comment "{scanner.name().text}"')
            break
        if rule.ends:
            scanner.fail("Statement after terminal statement has no effect")
        _statement(rule, scanner.word().text, token)
    return NftRule(rule.exprs, [text for text in rule.text if text])


def _statement(rule: _Rule, word: str, token: object) -> None:
    scanner = rule.scanner
    if word in HEADERS:
        fields = HEADERS[word]
        rule.match(fields[scanner.expect(*fields).text])
    elif word == "meta":
        _keyed(rule, "meta", scanner.expect(*META_KEYS).text)
    elif word == "ct":
        _keyed(rule, "ct", scanner.expect(*CT_KEYS).text)
    elif word in ("mark", "iif", "oif", "iifname", "oifname"):
        _keyed(rule, "meta", word)
    elif word in _STATEMENTS:
        _STATEMENTS[word](rule)
    elif word in ("jump", "goto"):
        name = scanner.word()
        chain = nft_chain_lookup(rule.table, name.text)
        verdict = NFT_JUMP if word == "jump" else NFT_GOTO
        rule.add(f"{word} {name.text}", NftImmediate(verdict=verdict, chain=chain), terminal=word == "goto")
    elif word in _VERDICTS:
        rule.add(word, NftImmediate(verdict=_VERDICTS[word]), terminal=True)
    else:
        scanner.fail(f"syntax error, unexpected {word}", token)  # type: ignore[arg-type]  # A token.


def _keyed(rule: _Rule, base: str, key: str) -> None:
    """Add a match of a key, or a statement that sets it."""
    keys = META_KEYS if base == "meta" else CT_KEYS
    if key == "mark" and rule.scanner.accept("set"):
        exprs, text = _mark(rule.scanner)
        rule.add(f"{base} mark set {text}", *exprs, NftMetaSet() if base == "meta" else NftCtSet())
    else:
        rule.match(keys[key])


def _mark(scanner: "Scanner") -> tuple[list[NftExpr], str]:
    """Take what a mark is set to: a number, or another mark with some of its bits changed."""
    base = scanner.accept("meta", "ct", "mark")
    if base is None:
        intervals, text = parse_values(scanner, MARK)
        if len(intervals) != 1 or intervals[0][0] != intervals[0][1]:
            scanner.fail("a mark is set to one number")
        return [NftImmediate(intervals[0][0])], text
    if base.text != "mark":
        scanner.expect("mark")
    of_ct = base.text == "ct"
    exprs: list[NftExpr] = [NftCt("mark") if of_ct else NftMeta("mark")]
    text = "ct mark" if of_ct else "meta mark"
    while True:
        token = scanner.accept("&", "|", "^", "and", "or", "xor")
        if token is None:
            return exprs, text
        op = {"and": "&", "or": "|", "xor": "^"}.get(token.text, token.text)
        intervals, value = parse_values(scanner, MARK)
        number = intervals[0][0]
        if op == "&":
            exprs.append(NftBitwise(number))
        elif op == "|":
            exprs.append(NftBitwise(_ALL_ONES & ~number, number))
        else:
            exprs.append(NftBitwise(_ALL_ONES, number))
        text += f" {op} {value}"


def _counter(rule: _Rule) -> None:
    counter = NftCounter()
    if rule.scanner.accept("packets"):
        counter.packets = rule.scanner.number()
        rule.scanner.expect("bytes")
        counter.octets = rule.scanner.number()
    rule.add(lambda: f"counter packets {counter.packets} bytes {counter.octets}", counter)


def _log(rule: _Rule) -> None:
    scanner = rule.scanner
    prefix, level = "", "warn"
    while True:
        if scanner.accept("prefix"):
            prefix = scanner.name().text
        elif scanner.accept("level"):
            level = scanner.expect(*_LEVELS).text
        else:
            break
    text = "log" + (f' prefix "{prefix}"' if prefix else "") + (f" level {level}" if level != "warn" else "")
    rule.add(text, NftLog(prefix))


def _limit(rule: _Rule) -> None:
    scanner = rule.scanner
    scanner.expect("rate")
    over = scanner.accept("over") is not None
    token = scanner.word()
    rate, _, period = token.text.partition("/")
    if not (rate.isascii() and rate.isdigit()) or period not in _PERIODS or not 0 < int(rate) <= _ALL_ONES:
        scanner.fail(f"{token.text!r} is no rate", token)
    burst = _BURST
    if scanner.accept("burst"):
        burst = scanner.number()
        scanner.expect("packets")
    text = f"limit rate {'over ' if over else ''}{rate}/{period}" + (
        f" burst {burst} packets" if burst != _BURST else ""
    )
    rule.add(text, NftLimit(int(rate), _PERIODS[period], burst, invert=over))


def _reject(rule: _Rule) -> None:
    scanner = rule.scanner
    if not scanner.accept("with"):
        rule.add("reject", NftReject(_PORT_UNREACHABLE), terminal=True)
    elif scanner.accept("tcp"):
        scanner.expect("reset")
        if rule.protocols is None and rule.text:
            rule.exprs[:0] = [NftMeta("l4proto"), NftCmp("==", IPPROTO_TCP)]
            rule.text.insert(0, "meta l4proto tcp")
        else:
            rule.need(IPPROTO_TCP)
        rule.add("reject with tcp reset", NftReject(None), terminal=True)
    else:
        scanner.expect("icmp")
        scanner.accept("type")
        intervals, text = parse_values(scanner, ICMP_CODE)
        code = intervals[0][0]
        rule.add("reject" if code == _PORT_UNREACHABLE else f"reject with icmp {text}", NftReject(code), terminal=True)


def _queue(rule: _Rule) -> None:
    scanner = rule.scanner
    bypass = False
    number = 0
    if scanner.accept("flags"):
        scanner.expect("bypass")
        bypass = True
    if scanner.accept("num", "to"):
        number = scanner.number()
    bypass = scanner.accept("bypass") is not None or bypass
    if number > 0xFFFF:
        scanner.fail(f"Value {number} exceeds valid range 0-65535")
    rule.add(f"queue{' flags bypass' if bypass else ''} to {number}", NftQueue(number, bypass=bypass), terminal=True)


def _notrack(rule: _Rule) -> None:
    rule.add("notrack", NftNotrack())


def _continue(rule: _Rule) -> None:
    rule.add("continue")


def _nat(rule: _Rule, word: str) -> None:
    """Add a translation; of the forms with ``to`` nft's long one is shown."""
    scanner = rule.scanner
    address = proto = None
    text = word
    to = scanner.accept("to") is not None
    if word in ("snat", "dnat"):
        if not to or not scanner.peek(":"):
            intervals, shown = parse_values(scanner, ADDRESS)
            address = intervals[0]
            text += f" to {shown}"
        else:
            text += " to "
    if scanner.peek(":") or (to and word == "redirect"):
        if word in ("masquerade", "redirect"):
            text += " to "
        token = scanner.token
        scanner.accept(":")
        intervals, shown = parse_values(scanner, PORT)
        proto = intervals[0]
        text += f":{shown}"
        if rule.protocols is None or not rule.protocols <= {1, IPPROTO_TCP, IPPROTO_UDP}:
            scanner.fail("transport protocol mapping is only valid after transport protocol match", token)
    elif to and word == "masquerade":
        scanner.unexpected()
    flags = set[str]()
    while scanner.peek("random", "fully-random", "persistent"):
        flags.add(scanner.next().text)
        scanner.accept(",")
    if flags:
        text += " " + ",".join(flag for flag in ("random", "fully-random", "persistent") if flag in flags)
    wanted = NfNatRange(address, proto, bool(flags & {"random", "fully-random"}), "persistent" in flags)
    rule.add(text, _NAT[word](wanted), terminal=True)


_NAT = {"snat": NftSnat, "dnat": NftDnat, "masquerade": NftMasq, "redirect": NftRedir}
_VERDICTS = {"accept": NF_ACCEPT, "drop": NF_DROP, "return": NFT_RETURN}
_STATEMENTS: dict[str, Callable[[_Rule], None]] = {
    "continue": _continue,
    "counter": _counter,
    "log": _log,
    "limit": _limit,
    "reject": _reject,
    "queue": _queue,
    "notrack": _notrack,
    "snat": lambda rule: _nat(rule, "snat"),
    "dnat": lambda rule: _nat(rule, "dnat"),
    "masquerade": lambda rule: _nat(rule, "masquerade"),
    "redirect": lambda rule: _nat(rule, "redirect"),
}
