"""Messages about rules: errors, dumps and notifications as a real kernel has them, and pyroute2's octets."""

import os
import warnings
from struct import pack

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # What pyroute2 does at its import is its own affair.
    from pyroute2.netlink.rtnl.fibmsg import fibmsg

from hardwire.stack.netlink.fib_rules import FIB_RULE_HDR, Fra, FrAct
from hardwire.stack.netlink.rtnetlink import Rtm, Rtnlgrp
from hardwire.stack.netlink.uapi import NlmF
from hardwire.tb.stack.fake import make_kernel
from hardwire.tb.stack.linux_peer import can_make_namespaces
from hardwire.tb.stack.netlink_peer import NetlinkClient, attr, attrs_of, kernel_namespace, ours

CREATE = NlmF.CREATE | NlmF.EXCL
EXT_ACK, STRICT = 11, 12


def new(*attrs: bytes, flags=CREATE, **header):
    return Rtm.NEWRULE, flags, rule(**({"action": FrAct.TO_TBL, "table": 100} | header)) + b"".join(attrs)


def delete(*attrs: bytes, **header):
    return Rtm.DELRULE, 0, rule(**header) + b"".join(attrs)


def dump(octets: bytes):
    return Rtm.GETRULE, NlmF.DUMP, octets


def rule(family=2, dst=0, src=0, tos=0, table=0, action=0, flags=0) -> bytes:
    return FIB_RULE_HDR.pack(family, dst, src, tos, table, action, flags)


def pref(number: int) -> bytes:
    return attr(Fra.PRIORITY, number)


REQUESTS = [
    (Rtm.NEWRULE, CREATE, b"\2\0\0"),
    new(family=99),
    new(pref(3), action=0, table=0),
    new(pref(4), table=0),
    new(src=8),
    new(attr(Fra.SRC, b"\1\2\3\4"), src=33),
    new(attr(Fra.SRC, b"\1\2\3"), src=8),
    new(attr(Fra.SRC, b"\1\2\3\4\5"), src=8),
    new(dst=8),
    new(attr(Fra.DST, b"\1\2\3\4"), dst=33),
    new(attr(Fra.SRC, b"\x0a\2\3\4"), pref(5), src=8),
    new(attr(Fra.SRC, b"\x0a\2\3\4"), pref(6)),
    new(tos=3),
    new(pref(7), tos=0xE0),
    new(pref(8), tos=0x1C),
    new(attr(Fra.GOTO, 100)),
    new(action=FrAct.GOTO),
    new(attr(Fra.GOTO, 5), pref(5), action=FrAct.GOTO),
    new(attr(Fra.GOTO, 50), pref(9), action=FrAct.GOTO),
    new(attr(Fra.UID_RANGE, pack("=II", 5, 4))),
    new(attr(Fra.UID_RANGE, pack("=II", 0xFFFFFFFF, 0xFFFFFFFF))),
    new(attr(Fra.UID_RANGE, 0)),
    new(attr(Fra.UID_RANGE, pack("=II", 5, 10)), pref(11)),
    new(attr(Fra.SPORT_RANGE, pack("=HH", 5, 4))),
    new(attr(Fra.SPORT_RANGE, pack("=HH", 0, 4))),
    new(attr(Fra.DPORT_RANGE, pack("=HH", 1, 0xFFFF))),
    new(attr(Fra.DPORT_RANGE, b"\0\0")),
    new(attr(Fra.DPORT_RANGE, pack("=HHH", 1, 2, 3)), pref(12)),
    new(attr(Fra.DPORT_RANGE, pack("=HH", 1, 0xFFFE)), pref(13)),
    new(attr(Fra.IIFNAME, "0123456789abcdef")),
    new(attr(Fra.IIFNAME, "nodev"), attr(Fra.OIFNAME, "lo"), pref(14)),
    new(attr(Fra.IIFNAME, ""), pref(15)),
    new(attr(Fra.PRIORITY, b"\0\0")),
    new(attr(Fra.IP_PROTO, b"")),
    new(attr(Fra.IP_PROTO, b"\6"), pref(16)),
    new(attr(Fra.TUN_ID, b"\0\0\0\0\0\0\0\7"), pref(17)),
    new(attr(Fra.SUPPRESS_IFGROUP, 7), attr(Fra.SUPPRESS_PREFIXLEN, 8), pref(18)),
    new(attr(Fra.FWMARK, 7), pref(19)),
    new(attr(Fra.FWMARK, 0), pref(20)),
    new(attr(Fra.FWMASK, 7), pref(21)),
    new(pref(23), flags=CREATE)[:2] + (rule(table=100, action=1, flags=0xFFFFFFFF) + pref(23),),
    new(pref(24), action=77, table=0),
    new(attr(Fra.TABLE, 1000), attr(Fra.PROTOCOL, b"\x4d"), pref(25), table=5),
    new(pref(26), action=FrAct.BLACKHOLE, table=5),
    new(attr(99, 5), pref(27), table=5),
    new(pref(27), table=5),
    new(pref(27), table=5, flags=NlmF.CREATE),
    new(attr(Fra.SRC, b"\x0a\0\0\0"), pref(28), table=5, src=8),
    new(pref(28), table=5),  # The one with a source is enough.
    new(table=6),
    dump(rule()),
    delete(pref(23), action=1, table=100),
    delete(action=1, table=77),
    (Rtm.DELRULE, 0, b"\2"),
    delete(family=99),
    delete(src=8),
    delete(attr(Fra.UID_RANGE, pack("=II", 5, 10))),
    delete(attr(Fra.SUPPRESS_IFGROUP, 7)),
    delete(attr(Fra.TUN_ID, b"\0\0\0\0\0\0\0\7")),
    delete(attr(Fra.PROTOCOL, b"\x4d")),
    (Rtm.GETRULE, 0, rule()),
    dump(b"\2"),
    dump(b"\2" + bytes(7)),
    dump(rule(table=5)),
    dump(rule() + pref(3)),
    dump(rule(family=99)),
    dump(rule(family=0)),
    dump(rule()),
]


def play(client: NetlinkClient, listener: NetlinkClient, *, strict: bool) -> list:
    """Return what comes back for each request, and what those hear who listen."""
    listener.listen(Rtnlgrp.IPV4_RULE)
    client.option(EXT_ACK)
    if strict:
        client.option(STRICT)
    found = []
    for kind, flags, payload in REQUESTS:
        answer = client.ask(kind, flags, payload)
        said = [one for one in answer.messages if one.octets[16] == 2]  # Rules of IPv4.
        found.append((kind, payload, answer.error, answer.text, [contents(one) for one in said]))
    return [*found, [contents(one) for one in listener.events()]]


def contents(one) -> tuple:
    return one.type, one.flags, one.octets[16:28], attrs_of(one.octets, 28)


@pytest.mark.skipif(not can_make_namespaces(), reason="needs root, /dev/net/tun and ip(8)")
@pytest.mark.parametrize("strict", [False, True])
def test_requests_about_rules_are_answered_and_told_of_as_in_linux(strict):
    net = make_kernel()[0].init_net
    with kernel_namespace(f"hardwire-rules{os.getpid()}") as client, client() as one, client() as other:
        theirs = play(one, other, strict=strict)
    for mine, real in zip(play(ours(net), ours(net), strict=strict), theirs, strict=True):
        if isinstance(real, tuple) and not real[3]:  # Where the kernel has no words ours say more.
            mine = (*mine[:3], "", mine[4])
        assert mine == real


def test_pyroute2_makes_and_reads_rules():
    net = make_kernel()[0].init_net
    client = ours(net)
    asked = {
        "FRA_SRC": "10.1.0.0", "FRA_DST": "192.0.2.0", "FRA_IIFNAME": "lo", "FRA_OIFNAME": "v9", "FRA_PRIORITY": 7,
        "FRA_FWMARK": 5, "FRA_FWMASK": 0xFF, "FRA_TABLE": 1000, "FRA_SUPPRESS_PREFIXLEN": 8, "FRA_PROTOCOL": 4,
        "FRA_IP_PROTO": 17, "FRA_SUPPRESS_IFGROUP": 3, "FRA_UID_RANGE": "5:10",
        "FRA_SPORT_RANGE": "53:60", "FRA_DPORT_RANGE": "1:2",
    }  # fmt: skip
    message = fibmsg()
    fields = {"family": 2, "src_len": 16, "dst_len": 24, "tos": 8, "action": FrAct.TO_TBL}
    for name, value in fields.items():
        message[name] = value
    message["attrs"] = list(asked.items())
    message.encode()
    assert client.ask(Rtm.NEWRULE, CREATE, bytes(message.data[16:])).error == 0
    answers = client.ask(Rtm.GETRULE, NlmF.DUMP, rule()).messages
    read = fibmsg(answers[1].octets)
    read.decode()
    assert {name: read[name] for name in fields} == fields
    assert {name: value for name, value in read["attrs"]} == asked
