"""``ip xfrm state`` (iproute2: ip/xfrm_state.c)."""

from functools import partial
from struct import Struct
from typing import TYPE_CHECKING, Any

from ..netlink.attr import Nlattr
from ..netlink.uapi import NETLINK_XFRM
from ..netlink.xfrm import (
    XFRM_MARK,
    XFRM_REPLAY_STATE,
    XFRM_STATS,
    XFRM_USERSA_ID,
    XFRM_USERSA_INFO,
    XFRM_USERSPI_INFO,
    Xfrma,
    XfrmMsg,
    pack_address,
    pack_algo,
    pack_algo_aead,
    pack_algo_auth,
    pack_encap,
    pack_id,
    pack_lifetimes,
    pack_replay_esn,
    pack_selector,
    unpack_address,
    unpack_algo,
    unpack_algo_aead,
    unpack_algo_auth,
    unpack_encap,
    unpack_id,
    unpack_replay_esn,
    unpack_selector,
)
from ..uapi import AF_INET
from ..wire.address import ipv4_to_text
from ..xfrm.xfrm import (
    IPPROTO_AH,
    IPPROTO_ESP,
    XFRM_STATE_ESN,
    XfrmEncap,
    XfrmLifetimeCfg,
    XfrmLifetimeCur,
    XfrmMark,
    XfrmSelector,
)
from ..xfrm.xfrm_algo import XfrmAlgo
from .args import Args, CommandError, addr, dispatch, invarg
from .ipxfrm import (
    PROTOCOLS,
    Id,
    lifetime_text,
    mark_and_if_id_text,
    mode_text,
    number,
    parse_id,
    parse_limit,
    parse_mark,
    parse_mode,
    parse_selector,
    proto_text,
    selector_text,
)
from .libnetlink import Answer, Request, Rtnl

if TYPE_CHECKING:
    from .ip import Ip

__all__ = ["do_xfrm_state"]

_FLAGS = {
    "noecn": 1,
    "decap-dscp": 2,
    "nopmtudisc": 4,
    "wildrecv": 8,
    "icmp": 16,
    "af-unspec": 32,
    "align4": 64,
    "esn": XFRM_STATE_ESN,
}
_ENCAPS = {"espinudp-nonike": 1, "espinudp": 2, "espintcp": 7}
_COUNT = Struct("=I")


def do_xfrm_state(ip: "Ip", args: Args) -> None:
    """Do ``ip xfrm state ...``.

    Raises
    ------
    CommandError
        As the command says it.
    """
    with Rtnl(ip.rtnl.net, NETLINK_XFRM) as xfrm:
        commands: dict[str, Any] = {name: partial(do, xfrm=xfrm) for name, do in _COMMANDS.items()}
        dispatch(ip, args, commands, "ip xfrm state")


def _key(word: str) -> bytes:
    """Return a key in hexadecimal behind ``0x``, else the octets of the word."""
    if not word.startswith("0x"):
        return word.encode()
    try:
        return bytes.fromhex(word[2:].rjust(len(word) - 2 + (len(word) & 1), "0"))
    except ValueError:
        invarg("ALGO-KEYMAT value is invalid", word)


def _word(args: Args, what: str) -> str:
    if not args:
        raise CommandError(f'Error: argument "{what}" is required', status=255)
    return args.take()


class _State:
    """A state as the words describe it."""

    def __init__(self) -> None:
        self.ident = Id()
        self.algos: dict[str, XfrmAlgo] = {}
        self.encap: XfrmEncap | None = None
        self.mark: XfrmMark | None = None
        self.sel: XfrmSelector | None = None
        self.limits: dict[str, int] = {}
        self.mode = self.reqid = self.seq = self.window = self.flags = self.if_id = 0
        self.oseq = self.rseq = self.oseq_hi = self.rseq_hi = 0

    def parse(self, ip: "Ip", args: Args) -> None:
        """Take all words."""
        simple = {"reqid": "reqid", "seq": "seq", "replay-window": "window", "replay-seq": "rseq"}
        simple |= {"replay-oseq": "oseq", "replay-seq-hi": "rseq_hi", "replay-oseq-hi": "oseq_hi", "if_id": "if_id"}
        while args:
            word = args.word
            if word in simple:
                args.take()
                setattr(self, simple[word], number(args.next(), word.upper()))
            elif args.taken("mode"):
                self.mode = parse_mode(args)
            elif args.taken("mark"):
                self.mark = parse_mark(args)
            elif args.taken("flag"):
                self._parse_flags(args)
            elif args.taken("sel"):
                self.sel = parse_selector(ip, args)
            elif args.taken("limit"):
                parse_limit(args, self.limits)
            elif args.taken("encap"):
                self._parse_encap(args)
            elif word in ("enc", "auth", "auth-trunc", "aead", "comp"):
                self._parse_algo(args)
            elif word in ("src", "dst", "proto", "spi"):
                self.ident = parse_id(args)
            elif not self.ident.proto:
                raise CommandError('Error: argument "XFRM-PROTO" is required', status=255)
            else:
                invarg("unknown", word)

    def _parse_flags(self, args: Args) -> None:
        word = args.next()
        while True:
            if word not in _FLAGS:
                invarg("unknown", word)
            self.flags |= _FLAGS[word]
            if not args or args.word not in _FLAGS:
                return
            word = args.take()

    def _parse_encap(self, args: Args) -> None:
        word = args.next()
        if word not in _ENCAPS:
            invarg("ENCAP-TYPE value is invalid", word)
        sport, dport = (number(args.next(), what, 0xFFFF) for what in ("SPORT", "DPORT"))
        self.encap = XfrmEncap(_ENCAPS[word], sport, dport, addr(args.next()))

    def _parse_algo(self, args: Args) -> None:
        kind = args.take()
        name = _word(args, "ALGO-NAME")
        key = b"" if kind == "comp" else _key(_word(args, "ALGO-KEYMAT"))
        bits = 0
        if kind in ("auth-trunc", "aead"):
            what = "ALGO-TRUNC-LEN" if kind == "auth-trunc" else "ALGO-ICV-LEN"
            bits = number(_word(args, what), what)
        self.algos[kind] = XfrmAlgo(name, key, bits)

    def check(self) -> None:
        """See that a protocol has the algorithms that it needs, and no others."""
        if not self.ident.proto:
            raise CommandError('Error: argument "XFRM-PROTO" is required', status=255)
        if self.ident.proto == IPPROTO_ESP and not {"enc", "aead"} & set(self.algos):
            raise CommandError('ALGO-TYPE value "enc" or "aead" is required with XFRM-PROTO value "esp"')
        if self.ident.proto == IPPROTO_AH:
            if {"enc", "aead", "comp"} & set(self.algos):
                raise CommandError('ALGO-TYPE values "enc", "aead", and "comp" are invalid with XFRM-PROTO value "ah"')
            if not {"auth", "auth-trunc"} & set(self.algos):
                raise CommandError('ALGO-TYPE value "auth" or "auth-trunc" is required with XFRM-PROTO value "ah"')

    def info(self) -> bytes:
        """Return the ``struct xfrm_usersa_info``."""
        ident = self.ident
        cfg, cur = pack_lifetimes(XfrmLifetimeCfg(**self.limits), XfrmLifetimeCur())
        sel = self.sel if self.sel is not None else XfrmSelector(family=0)
        return XFRM_USERSA_INFO.pack(
            pack_selector(sel),
            pack_id(ident.daddr, ident.spi, ident.proto),
            pack_address(ident.saddr),
            *(cfg, cur, XFRM_STATS.pack(0, 0, 0), self.seq, self.reqid, AF_INET, self.mode),
            *(min(self.window, 32), self.flags),
        )

    def put(self, request: Request) -> None:
        """Append the attributes."""
        packs = {
            "auth": (Xfrma.ALG_AUTH, pack_algo),
            "enc": (Xfrma.ALG_CRYPT, pack_algo),
            "comp": (Xfrma.ALG_COMP, pack_algo),
            "aead": (Xfrma.ALG_AEAD, pack_algo_aead),
        }
        for kind, algo in self.algos.items():
            if kind == "auth-trunc":
                request.put(Xfrma.ALG_AUTH_TRUNC, pack_algo_auth(algo, algo.icv_bits), "binary")
            else:
                attr, pack = packs[kind]
                request.put(attr, pack(algo), "binary")
        if self.encap is not None:
            request.put(Xfrma.ENCAP, pack_encap(self.encap), "binary")
        if self.window > 32 or self.flags & XFRM_STATE_ESN:
            oseq, seq = self.oseq_hi << 32 | self.oseq, self.rseq_hi << 32 | self.rseq
            request.put(Xfrma.REPLAY_ESN_VAL, pack_replay_esn(oseq, seq, self.window, 0), "binary")
        elif self.oseq or self.rseq:
            request.put(Xfrma.REPLAY_VAL, XFRM_REPLAY_STATE.pack(self.oseq, self.rseq, 0), "binary")
        _put_mark(request, self.mark, self.if_id)


def _put_mark(request: Request, mark: XfrmMark | None, if_id: int = 0) -> None:
    if mark is not None and mark.m:
        request.put(Xfrma.MARK, XFRM_MARK.pack(mark.v, mark.m), "binary")
    if if_id:
        request.put(Xfrma.IF_ID, if_id)


def _modify(ip: "Ip", args: Args, kind: int, xfrm: Rtnl) -> None:
    state = _State()
    state.parse(ip, args)
    state.check()
    request = Request(kind, state.info())
    state.put(request)
    xfrm.talk(request)


def _allocspi(ip: "Ip", args: Args, xfrm: Rtnl) -> None:
    state = _State()
    low = high = None
    while args:
        if args.taken("min"):
            low = number(args.next(), "MIN")
        elif args.taken("max"):
            high = number(args.next(), "MAX")
        else:
            before = args.word
            words = [args.take(), *([args.next()] if args else [])]
            if before in ("spi", "enc", "auth", "sel", "flag"):
                invarg("unknown", before)
            if before == "mark" and args and args.word == "mask":
                words += [args.take(), args.next()]
            one = _State()
            one.parse(ip, Args(words))
            for name in ("mode", "reqid", "seq", "if_id", "mark"):
                setattr(state, name, getattr(one, name) or getattr(state, name))
            for name in ("saddr", "daddr", "proto"):
                setattr(state.ident, name, getattr(one.ident, name) or getattr(state.ident, name))
    if low is not None and high is None:
        raise CommandError('"max" is missing')
    if high is not None and low is None:
        raise CommandError('"min" is missing')
    if low is not None and high is not None and low > high:
        raise CommandError('value after "min" is larger than value after "max"')
    if not state.ident.proto:
        raise CommandError('Missing required argument "XFRM-PROTO"')
    request = Request(XfrmMsg.ALLOCSPI, XFRM_USERSPI_INFO.pack(state.info(), low or 0x100, high or 0x0FFFFFFF))
    _put_mark(request, state.mark, state.if_id)
    _print_state(ip, xfrm.get(request))


def _ident(args: Args, kind: int) -> Request:
    ident = Id()
    mark = None
    while args:
        if args.taken("mark"):
            mark = parse_mark(args)
        elif args.word in ("src", "dst", "proto", "spi"):
            ident = parse_id(args)
        else:
            invarg("unknown", args.word)
    octets = XFRM_USERSA_ID.pack(pack_address(ident.daddr), ident.spi.to_bytes(4, "big"), AF_INET, ident.proto)
    request = Request(kind, octets)
    request.put(Xfrma.SRCADDR, pack_address(ident.saddr), "binary")
    _put_mark(request, mark)
    return request


def _delete(ip: "Ip", args: Args, xfrm: Rtnl) -> None:
    xfrm.talk(_ident(args, XfrmMsg.DELSA))


def _get(ip: "Ip", args: Args, xfrm: Rtnl) -> None:
    _print_state(ip, xfrm.get(_ident(args, XfrmMsg.GETSA)))


def _wanted(ip: "Ip", args: Args, xfrm: Rtnl) -> tuple[list[Answer], bool]:
    """Return the states that the words ask for, and whether their keys are not to be shown."""
    ident, filters, nokeys = Id(), dict[str, int](), False
    while args:
        if args.taken("nokeys"):
            nokeys = True
        elif args.taken("mode"):
            filters["mode"] = parse_mode(args)
        elif args.taken("reqid"):
            filters["reqid"] = number(args.next(), "REQID")
        elif args.taken("flag"):
            word = args.next()
            if word not in _FLAGS:
                invarg("unknown", word)
            filters["flags"] = filters.get("flags", 0) | _FLAGS[word]
        elif args.word in ("src", "dst", "proto", "spi"):
            ident = parse_id(args)
        else:
            invarg("unknown", args.word)
    found: list[Answer] = []
    for answer in xfrm.dump(Request(XfrmMsg.GETSA, b"")):
        fields = _fields(answer)
        if all(getattr(ident, name) in (0, fields[name]) for name in ("saddr", "daddr", "spi", "proto")) and all(
            fields[name] & value == value if name == "flags" else fields[name] == value
            for name, value in filters.items()
        ):
            found.append(answer)
    return found, nokeys


def _list(ip: "Ip", args: Args, xfrm: Rtnl) -> None:
    found, nokeys = _wanted(ip, args, xfrm)
    for answer in found:
        _print_state(ip, answer, nokeys=nokeys)


def _deleteall(ip: "Ip", args: Args, xfrm: Rtnl) -> None:
    for answer in _wanted(ip, args, xfrm)[0]:
        fields = _fields(answer)
        spi = fields["spi"].to_bytes(4, "big")
        octets = XFRM_USERSA_ID.pack(pack_address(fields["daddr"]), spi, AF_INET, fields["proto"])
        request = Request(XfrmMsg.DELSA, octets)
        tb = answer.attrs(XFRM_USERSA_INFO)
        if Xfrma.MARK in tb:
            request.put(Xfrma.MARK, tb[Xfrma.MARK].data, "binary")
        xfrm.talk(request)


def _flush(ip: "Ip", args: Args, xfrm: Rtnl) -> None:
    proto = 0
    while args:
        if not args.taken("proto"):
            invarg("unknown", args.word)
        word = args.next()
        if word not in PROTOCOLS:
            invarg("XFRM-PROTO value is invalid", word)
        proto = PROTOCOLS[word]
    xfrm.talk(Request(XfrmMsg.FLUSHSA, bytes((proto,))))


def _count(ip: "Ip", args: Args, xfrm: Rtnl) -> None:
    answer = xfrm.get(Request(XfrmMsg.GETSADINFO, bytes(4)))
    ip.out.text(f"\t SAD count {answer.attrs(_COUNT)[1].u32}\n")


def _fields(answer: Answer) -> dict[str, int]:
    _, ident, saddr, _, _, _, seq, reqid, _, mode, window, flags = answer.header(XFRM_USERSA_INFO)
    daddr, spi, proto = unpack_id(_octets(ident))
    return {
        "daddr": daddr,
        "spi": spi,
        "proto": proto,
        "saddr": unpack_address(_octets(saddr)),
        "seq": seq,
        "reqid": reqid,
        "mode": mode,
        "window": window,
        "flags": flags,
    }


def _octets(value: object) -> bytes:
    assert isinstance(value, bytes)
    return value


def _flags_text(flags: int) -> str:
    names = " ".join(name for name, bit in _FLAGS.items() if flags & bit)
    return f"flag {names}"


def _algo(kind: str, algo: XfrmAlgo, nokeys: bool, bits: bool) -> str:
    key = "<<Keys hidden>>" if nokeys else f"0x{algo.key.hex()}" if algo.key else ""
    return f"\t{kind} {algo.name} {key}{f' {algo.icv_bits}' if bits else ''}\n"


def _algos_text(tb: dict[int, Nlattr], nokeys: bool) -> str:
    text = ""
    if Xfrma.ALG_AUTH_TRUNC in tb:
        text += _algo("auth-trunc", unpack_algo_auth(tb[Xfrma.ALG_AUTH_TRUNC].data), nokeys, True)
    elif Xfrma.ALG_AUTH in tb:
        text += _algo("auth", unpack_algo(tb[Xfrma.ALG_AUTH].data), nokeys, False)
    if Xfrma.ALG_AEAD in tb:
        text += _algo("aead", unpack_algo_aead(tb[Xfrma.ALG_AEAD].data), nokeys, True)
    if Xfrma.ALG_CRYPT in tb:
        text += _algo("enc", unpack_algo(tb[Xfrma.ALG_CRYPT].data), nokeys, False)
    return text


def _replay_text(tb: dict[int, Nlattr]) -> str:
    if Xfrma.REPLAY_ESN_VAL in tb:
        oseq, seq, window, bitmap = unpack_replay_esn(tb[Xfrma.REPLAY_ESN_VAL].data)
        low = 0xFFFFFFFF
        words = -(-window // 32)
        bits = " ".join(f"{bitmap >> 32 * word & low:08x}" for word in range(words))
        return (
            "\tanti-replay esn context:\n"
            f"\t seq-hi {seq >> 32:#x}, seq {seq & low:#x}, oseq-hi {oseq >> 32:#x}, oseq {oseq & low:#x}\n"
            f"\t replay_window {window}, bitmap-length {words}\n"
            f"\t {bits} \n"
        )
    oseq, seq, bitmap = XFRM_REPLAY_STATE.unpack_from(tb[Xfrma.REPLAY_VAL].data)
    return f"\tanti-replay context: seq {seq:#x}, oseq {oseq:#x}, bitmap 0x{bitmap:08x}\n"


def _print_state(ip: "Ip", answer: Answer, *, nokeys: bool = False) -> None:
    fields = _fields(answer)
    tb = answer.attrs(XFRM_USERSA_INFO)
    header: tuple[Any, ...] = answer.header(XFRM_USERSA_INFO)
    spi, reqid, flags = fields["spi"], fields["reqid"], fields["flags"]
    many = ip.statistics > 0
    out = ip.out
    out.text(f"src {ipv4_to_text(fields['saddr'])} dst {ipv4_to_text(fields['daddr'])}\n")
    out.text(f"\tproto {proto_text(fields['proto'])} spi 0x{spi:08x}{f'({spi})' if many else ''} ")
    out.text(f"reqid {reqid}{f'(0x{reqid:08x})' if many else ''} mode {mode_text(fields['mode'])}\n")
    out.text(f"\treplay-window {fields['window']} ")
    if many:
        out.text(f"seq 0x{fields['seq']:08x} {_flags_text(flags)} (0x{flags:08b})\n")  # So it is: in binary.
    else:
        out.text(f"{_flags_text(flags) if flags else ''}\n")
    mark, if_id = mark_and_if_id_text(tb)
    out.text(mark)
    out.text(_algos_text(tb, nokeys))
    if Xfrma.ENCAP in tb:
        encap = unpack_encap(tb[Xfrma.ENCAP].data)
        kind = next((name for name, value in _ENCAPS.items() if value == encap.encap_type), str(encap.encap_type))
        ports = f"sport {encap.encap_sport} dport {encap.encap_dport}"
        out.text(f"\tencap type {kind} {ports} addr {ipv4_to_text(encap.encap_oa)}\n")
    out.text(_replay_text(tb))
    out.text(if_id)
    out.text("\tsel " + selector_text(ip, unpack_selector(header[0])))
    if many:
        out.text(lifetime_text(header[3], header[4]))
        window, replay, failed = XFRM_STATS.unpack(header[5])
        out.text(f"\tstats:\n\t  replay-window {window} replay {replay} failed {failed}\n")


_COMMANDS: dict[str, Any] = {
    "list": _list,
    "show": _list,
    "lst": _list,
    "add": partial(_modify, kind=XfrmMsg.NEWSA),
    "update": partial(_modify, kind=XfrmMsg.UPDSA),
    "allocspi": _allocspi,
    "delete": _delete,
    "deleteall": _deleteall,
    "delall": _deleteall,
    "get": _get,
    "flush": _flush,
    "count": _count,
}
