"""Programs of traffic control that run on a real kernel and on our stack: ``linux_tc.py`` says what the steps are.

``python -m hardwire.tb.stack.tc_programs`` prints them as JSON, for ``linux_tc.py`` in a machine that has all qdiscs.
"""

import json
from typing import Any

__all__ = ["PROGRAMS"]

ROOT = 0xFFFFFFFF
ADD, REPLACE, CHANGE, LINK = 0x600, 0x500, 0, 0x100
_PRIOMAP = [1, 2, 2, 2, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]


def _class(major: int, minor: int = 0) -> int:
    return major << 16 | minor


def _qdisc(flags: int, kind: str | None, parent: int, handle: int, **options: Any) -> list[Any]:
    return ["qdisc", flags, kind, parent, handle, options]


def _filter(
    flags: int, kind: str | None, parent: int, prio: int, handle: int, protocol: int = 3, **options: Any
) -> list[Any]:
    return ["filter", flags, kind, parent, protocol, prio, handle, options]


def _send(flow: int = 1, length: int = 100, priority: int = 0, mark: int = 0) -> list[Any]:
    return ["send", flow, length, priority, mark]


# A root that lets one frame of 1,000 octets through, and no other for some minutes; then it is opened.
_SHUT = [_qdisc(ADD, "tbf", ROOT, _class(1), rate=1, burst=1100, limit=1_000_000), _send(length=1000)]
_OPEN = [
    _qdisc(CHANGE, "tbf", ROOT, 0, rate=1_000_000_000, burst=1_000_000, limit=1_000_000),
    _send(length=1000),
    ["order"],
]


def _behind(*steps: list[Any]) -> list[list[Any]]:
    return [*_SHUT, *steps, ["dump"], *_OPEN, ["dump"]]


_PRIO = _qdisc(ADD, "prio", _class(1, 1), _class(2), bands=3, priomap=_PRIOMAP)

_BEHIND = {
    "pfifo": _behind(_qdisc(ADD, "pfifo", _class(1, 1), _class(2), limit=3), *[_send() for _ in range(6)]),
    "bfifo": _behind(
        _qdisc(ADD, "bfifo", _class(1, 1), _class(2), limit=500),
        *[_send(length=length) for length in (200, 400, 150, 151, 149, 60, 60)],
        _qdisc(CHANGE, "bfifo", _class(1, 1), 0, limit=1000),
        _send(length=400),
        _send(length=200),
    ),
    "pfifo_head_drop": _behind(
        _qdisc(ADD, "pfifo_head_drop", _class(1, 1), _class(2), limit=3), *[_send(length=60 + n) for n in range(6)]
    ),
    "prio": _behind(
        _PRIO, *[_send(priority=priority) for priority in (*range(16), *range(0x20000, 0x20005), 0x30001, 16, 99)]
    ),
    "prio with other maps": _behind(
        _qdisc(ADD, "prio", _class(1, 1), _class(2), bands=5, priomap=[4, 3, 2, 1, 0, 4, 3, 2, 1, 0, 0, 0, 0, 0, 0, 4]),
        *[_send(priority=priority) for priority in range(16)],
        _send(priority=0x20005),
        _send(priority=0x20004),
        _qdisc(CHANGE, "prio", _class(1, 1), 0, bands=2, priomap=[1] * 8 + [0] * 8),
        ["dump"],
        *[_send(priority=priority) for priority in (0, 8, 0x20002, 0x20003)],
    ),
    "prio with qdiscs in its bands": _behind(
        _PRIO,
        _qdisc(ADD, "pfifo", _class(2, 1), _class(3), limit=2),
        _qdisc(ADD, "bfifo", _class(2, 2), _class(4), limit=250),
        _qdisc(ADD, "prio", _class(2, 3), _class(5), bands=2, priomap=[0, 1] * 8),
        _qdisc(ADD, "pfifo", _class(5, 1), _class(6), limit=1),
        *[_send(priority=6) for _ in range(4)],
        *[_send(priority=0) for _ in range(4)],
        *[_send(priority=priority) for priority in (1, 2, 3, 1, 2, 3)],
        ["dump"],
        ["del", None, _class(2, 1), 0],
        ["dump"],
        *[_send(priority=6) for _ in range(4)],
    ),
    "filters by mark": _behind(
        _PRIO,
        _filter(ADD, "fw", _class(2), 10, 5, classid=_class(2, 3)),
        _filter(ADD, "fw", _class(2), 10, 6, classid=_class(2, 1)),
        _filter(ADD, "fw", _class(2), 10, 6, classid=_class(2, 2)),
        _filter(ADD, "fw", _class(2), 5, 0x10, classid=_class(2, 2), mask=0xF0),
        _filter(ADD, "fw", _class(2), 5, 0x20, classid=_class(2, 2), mask=0xF),
        _filter(ADD, "fw", _class(2), 10, 0, classid=_class(2, 2)),
        *[_send(mark=mark) for mark in (0, 5, 6, 7, 0x15, 0x16, 0x26, 0x105)],
        _filter(CHANGE, "fw", _class(2), 10, 5, classid=_class(2, 1)),
        ["delfilter", "fw", _class(2), 3, 10, 6],
        ["delfilter", "fw", _class(2), 3, 10, 6],
        *[_send(mark=mark) for mark in (5, 6)],
    ),
    "marks as classes": _behind(
        _PRIO,
        ["filter", ADD, "fw", _class(2), 3, 7, 0, None],
        *[_send(mark=mark) for mark in (0, 1, 2, 3, 4, 0x20001, 0x20003, 0x30001)],
        *[_send(priority=priority, mark=1) for priority in (0, 0x20003)],
    ),
    "filters by octets": _behind(
        _PRIO,
        _filter(ADD, "u32", _class(2), 1, 0, 0x0800, classid=_class(2, 1), sel=[["ip dst 10.0.1.1/32"], {}]),
        _filter(
            ADD,
            "u32",
            _class(2),
            1,
            0,
            0x0800,
            classid=_class(2, 3),
            sel=[["ip dst 10.0.1.2", "ip sport 1002 0xffff"], {}],
        ),
        _filter(
            ADD,
            "u32",
            _class(2),
            2,
            0,
            0x0800,
            classid=_class(2, 1),
            sel=[["ip protocol 17 0xff", "udp src 1003 0xffff"], {}],
        ),
        _filter(ADD, "u32", _class(2), 3, 0, 3, classid=_class(2, 3), sel=[["u32 0x0a000104 0xffffffff at 16"], {}]),
        _filter(ADD, "u32", _class(2), 3, 0, 0x0806, classid=_class(2, 3), sel=[["u32 0 0 at 0"], {}]),
        _filter(ADD, "u32", _class(2), 4, 0, 0x86DD, classid=_class(2, 1), sel=[["u32 0 0 at 0"], {}]),
        _filter(ADD, "u32", _class(2), 5, 0, 0x0800, classid=_class(2, 1), sel=[["u32 0 0 at 2000"], {}]),
        _filter(ADD, "u32", _class(2), 5, 0, 0x0800, classid=_class(2, 3), sel=[["ip dst 10.0.1.5"], {}]),
        *[_send(flow) for flow in (1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6)],
    ),
    "tables of filters": _behind(
        _PRIO,
        _filter(ADD, "u32", _class(2), 1, 0x00200000, 0x0800, divisor=256),
        _filter(ADD, "u32", _class(2), 1, 0x00300000, 0x0800, divisor=3),
        _filter(ADD, "u32", _class(2), 1, 0x00300000, 0x0800, divisor=512),
        _filter(
            ADD,
            "u32",
            _class(2),
            1,
            0,
            0x0800,
            link=0x00200000,
            sel=[["ip dst 10.0.1.0/24"], {"flags": 0, "hoff": 16, "hmask": 0xFF}],
        ),
        *[
            _filter(
                ADD,
                "u32",
                _class(2),
                1,
                0,
                0x0800,
                hash=0x00200000 | flow << 12,
                classid=_class(2, band),
                sel=[["u32 0 0 at 0"], {}],
            )
            for flow, band in ((1, 3), (2, 1), (3, 2), (4, 1))
        ],
        _filter(ADD, "u32", _class(2), 1, 0, 0x0800, hash=0x00400000, classid=_class(2, 1), sel=[["u32 0 0 at 0"], {}]),
        # By the length of the header, then in the ports.
        _filter(ADD, "u32", _class(2), 2, 0x00500000, 0x0800, divisor=1),
        _filter(
            ADD,
            "u32",
            _class(2),
            2,
            0,
            0x0800,
            link=0x00500000,
            sel=[["ip protocol 17 0xff"], {"flags": 4 | 8, "offoff": 0, "offmask": 0x0F00, "offshift": 6}],
        ),
        _filter(
            ADD,
            "u32",
            _class(2),
            2,
            0,
            0x0800,
            hash=0x00500000,
            classid=_class(2, 3),
            sel=[["u16 1006 0xffff at 0"], {}],
        ),
        _filter(
            ADD,
            "u32",
            _class(2),
            2,
            0,
            0x0800,
            hash=0x00500000,
            classid=_class(2, 1),
            sel=[["u16 9000 0xffff at 2"], {}],
        ),
        *[_send(flow) for flow in (1, 2, 3, 4, 5, 6, 7, 1, 2, 3, 4, 5, 6, 7)],
        ["delfilter", "u32", _class(2), 0x0800, 1, 0x00200000],
        ["delfilter", "u32", _class(2), 0x0800, 1, 0],
        *[_send(flow) for flow in (1, 2, 6)],
    ),
    "sfq": _behind(
        _qdisc(ADD, "sfq", _class(1, 1), _class(2), quantum=1514, limit=20, divisor=65536, depth=6),
        *[_send(1, 300) for _ in range(8)],
        *[_send(2, 1000) for _ in range(5)],
        *[_send(3, 100) for _ in range(5)],
        *[_send(4, 1500) for _ in range(4)],
        _send(1, 300),
    ),
    "sfq that drops at the head": _behind(
        _qdisc(ADD, "sfq", _class(1, 1), _class(2), quantum=300, limit=8, divisor=65536, depth=4, headdrop=1),
        *[_send(1, 300 + n) for n in range(6)],
        *[_send(2, 200 + n) for n in range(5)],
        *[_send(3, 100) for _ in range(3)],
    ),
    "sfq with flows that filters name": _behind(
        _qdisc(ADD, "sfq", _class(1, 1), _class(2), quantum=100, limit=100, divisor=16),
        _filter(ADD, "fw", _class(2), 1, 1, classid=_class(2, 1)),
        _filter(ADD, "fw", _class(2), 1, 2, classid=_class(2, 2)),
        _filter(ADD, "fw", _class(2), 1, 3, classid=_class(2, 99)),
        *[_send(1, 100, mark=mark) for mark in (1, 1, 1, 2, 2, 3, 4)],
        *[_send(1, 100, priority=0x20003) for _ in range(2)],
    ),
    "fq_codel": _behind(
        _qdisc(ADD, "fq_codel", _class(1, 1), _class(2), limit=12, flows=65535, quantum=500, drop_batch_size=2),
        *[_send(1, 300) for _ in range(6)],
        *[_send(2, 1000) for _ in range(3)],
        *[_send(3, 100) for _ in range(3)],
        _send(4, 100),
        _send(1, 300),
        _send(2, 1000),
        _send(2, 1000),
    ),
    "fq_codel with flows that filters name": _behind(
        _qdisc(ADD, "fq_codel", _class(1, 1), _class(2), limit=100, flows=4, quantum=300),
        _filter(ADD, "fw", _class(2), 1, 1, classid=_class(2, 1)),
        _filter(ADD, "fw", _class(2), 1, 2, classid=_class(2, 2)),
        _filter(ADD, "fw", _class(2), 1, 3, classid=_class(2, 99)),
        *[_send(1, 100, mark=mark) for mark in (1, 1, 1, 1, 1, 2, 2, 2, 3, 4)],
        *[_send(1, 100, priority=0x20003) for _ in range(2)],
        _qdisc(CHANGE, "fq_codel", _class(1, 1), 0, limit=4, target=10_000, interval=50_000, ecn=0, ce_threshold=1_000),
        _qdisc(CHANGE, "fq_codel", _class(1, 1), 0, flows=8),
    ),
    "codel": _behind(
        _qdisc(ADD, "codel", _class(1, 1), _class(2), limit=4),
        *[_send() for _ in range(6)],
        _qdisc(CHANGE, "codel", _class(1, 1), 0, limit=2, target=2_000, interval=30_000, ecn=1),
    ),
    "netem that duplicates": [
        _qdisc(ADD, "netem", ROOT, _class(1), limit=100, duplicate=ROOT),
        *[_send() for _ in range(3)],
        ["order"],
        ["dump"],
    ],
    "netem that loses": [
        _qdisc(ADD, "netem", ROOT, _class(1), limit=100, loss=ROOT),
        *[_send() for _ in range(3)],
        ["order"],
        ["dump"],
        _qdisc(CHANGE, "netem", ROOT, 0, limit=3, latency64=30_000_000),
        *[_send() for _ in range(6)],
        ["dump"],
        ["order"],
        ["dump"],
    ],
    "netem that reorders": [
        _qdisc(ADD, "netem", ROOT, _class(1), limit=100, latency64=50_000_000, gap=3, reorder=ROOT),
        *[_send() for _ in range(10)],
        ["dump"],
        ["order"],
        ["dump"],
    ],
    "netem with a qdisc": [
        _qdisc(ADD, "netem", ROOT, _class(1), limit=100, latency64=100_000_000),
        _qdisc(ADD, "tbf", _class(1, 1), _class(2), rate=1, burst=300, limit=4000),
        *[_send(length=100) for _ in range(10)],
        ["order"],
        ["dump"],
        ["del", None, _class(1, 1), 0],
        ["dump"],
        _send(length=100),
        ["order"],
    ],
    "netem in a band": _behind(
        _PRIO,
        _qdisc(ADD, "netem", _class(2, 1), _class(3), limit=3, latency64=100_000_000),
        *[_send(priority=priority) for priority in (6, 0, 6, 1, 6, 6, 6)],
        ["order"],
    ),
    "netem that duplicates in a band": [
        _qdisc(ADD, "prio", ROOT, _class(1), bands=3, priomap=_PRIOMAP),
        _qdisc(ADD, "netem", _class(1, 1), _class(2), limit=100, latency64=20_000_000, duplicate=ROOT),
        *[_send(priority=6) for _ in range(3)],
        ["dump"],
        ["order"],
        ["dump"],
    ],
    "all options of netem": [
        _qdisc(
            ADD,
            "netem",
            ROOT,
            _class(1),
            limit=5,
            latency64=1000,
            jitter64=100,
            loss=1,
            gap=2,
            duplicate=3,
            delay_corr=4,
            loss_corr=5,
            dup_corr=6,
            reorder=7,
            reorder_corr=8,
            corrupt=9,
            corrupt_corr=10,
            rate=1000,
            packet_overhead=-3,
            cell_size=48,
            cell_overhead=5,
            ecn=1,
        ),
        ["dump"],
        _qdisc(CHANGE, "netem", ROOT, 0, limit=6, p=1, r=2, h=3, k1=4),
        ["dump"],
        _qdisc(
            CHANGE,
            "netem",
            ROOT,
            0,
            limit=6,
            p13=1,
            p31=2,
            p32=3,
            p14=4,
            p23=5,
            min_delay=1000,
            max_delay=2000,
            max_packets=3,
        ),
        ["dump"],
        _qdisc(CHANGE, "netem", ROOT, 0, limit=7, rate64=1 << 33, rate=ROOT),
        ["dump"],
    ],
}

_TREES = {
    "defaults": [
        ["dump"],
        ["qdisc", ADD, "pfifo", ROOT, _class(1), None],
        ["dump"],
        ["qdisc", REPLACE, "bfifo", ROOT, _class(2), None],
        ["dump"],
        ["del", None, ROOT, 0],
        ["dump"],
    ],
    "errors of qdiscs": [
        ["del", None, ROOT, 0],
        _qdisc(ADD, "nonsense", ROOT, 0),
        _qdisc(CHANGE, "pfifo", ROOT, 0, limit=1),
        _qdisc(ADD, "pfifo", ROOT, _class(1, 1), limit=1),
        _qdisc(ADD, "pfifo", ROOT, _class(1), limit=1),
        _qdisc(ADD, "pfifo", ROOT, _class(1), limit=1),
        _qdisc(ADD, "pfifo", ROOT, _class(2), limit=1),
        _qdisc(ADD, "pfifo", ROOT, 0, limit=1),
        _qdisc(CHANGE, "pfifo", ROOT, _class(1), limit=7),
        _qdisc(CHANGE, "pfifo", ROOT, _class(9), limit=7),
        _qdisc(ADD, "bfifo", ROOT, 0, limit=7),
        ["dump"],
        _qdisc(LINK, "pfifo", ROOT, 0, limit=7),
        _qdisc(0x400, "pfifo", ROOT, 0, limit=7),
        _qdisc(CHANGE, "pfifo_head_drop", ROOT, 0, limit=7),
        ["dump"],
        ["qdisc", CHANGE, None, ROOT, 0, None],
        _qdisc(CHANGE, "pfifo", 0, _class(1), limit=8),
        _qdisc(CHANGE, "pfifo", 0, _class(8), limit=8),
        _qdisc(CHANGE, "pfifo", 0, 0, limit=8),
        _qdisc(REPLACE, "pfifo", ROOT, 0, limit=9),
        ["dump"],
        _qdisc(REPLACE, "pfifo", ROOT, _class(3), limit=10),
        _qdisc(REPLACE, "tbf", ROOT, _class(3), rate=1000, burst=2000, limit=3000),
        _qdisc(REPLACE, "tbf", ROOT, _class(4), rate=1000, burst=2000, limit=3000),
        ["dump"],
        _qdisc(ADD, "pfifo", _class(7, 1), _class(5), limit=1),
        _qdisc(ADD, "noqueue", _class(4, 1), _class(5)),
        _qdisc(ADD, "mq", _class(4, 1), _class(5)),
        _qdisc(REPLACE, "mq", ROOT, _class(6)),
        ["del", "pfifo", ROOT, 0],
        ["del", None, ROOT, _class(5)],
        ["del", None, 0, _class(4)],
        ["del", None, _class(9, 1), 0],
        ["del", None, _class(4, 1), 0],
        ["dump"],
        _qdisc(ADD, "pfifo", _class(4, 1), _class(5), limit=2),
        _qdisc(ADD, "pfifo", _class(4, 1), _class(5), limit=2),
        _qdisc(ADD, "pfifo", _class(4, 1), _class(4), limit=2),
        _qdisc(LINK, "tbf", _class(4, 1), _class(4)),
        _qdisc(ADD, "pfifo", _class(5, 1), _class(6), limit=2),
        ["dump"],
        ["del", None, _class(4, 1), _class(5)],
        _send(length=100),
        ["order"],
        ["dump"],
        ["del", None, ROOT, _class(4)],
        ["dump"],
    ],
    "impossible options": [
        _qdisc(ADD, "tbf", ROOT, _class(1), rate=1000, burst=0, limit=3000),
        _qdisc(ADD, "tbf", ROOT, _class(1), rate=1000, burst=2000, limit=3000, peakrate=1000, pburst=1600),
        _qdisc(ADD, "tbf", ROOT, _class(1), rate=1000, burst=2000, limit=3000, peakrate=4000, pburst=1600),
        ["dump"],
        _qdisc(REPLACE, "tbf", ROOT, 0, rate=1000, buffer=31_250_000, limit=3000, rate_overhead=10),
        ["dump"],
        _qdisc(CHANGE, "tbf", ROOT, 0, rate64=1 << 33, rate=ROOT, burst=1 << 20, limit=4000),
        ["dump"],
    ],
    "errors of filters": [
        _filter(ADD, "u32", 0, 1, 0, classid=1, sel=[["u32 0 0 at 0"], {}]),
        _qdisc(ADD, "tbf", ROOT, _class(1), rate=1000, burst=2000, limit=3000),
        _filter(ADD, "u32", _class(1), 1, 0, classid=1, sel=[["u32 0 0 at 0"], {}]),
        _filter(ADD, "u32", _class(9), 1, 0, classid=1, sel=[["u32 0 0 at 0"], {}]),
    ],
    "errors of prio": [
        _qdisc(ADD, "prio", ROOT, _class(1), bands=1, priomap=[0] * 16),
        _qdisc(ADD, "prio", ROOT, _class(1), bands=17, priomap=[0] * 16),
        _qdisc(ADD, "prio", ROOT, _class(1), bands=2, priomap=[2] * 16),
        _PRIO,
        _qdisc(ADD, "prio", ROOT, _class(1), bands=2, priomap=[1] * 16),
        _qdisc(ADD, "prio", _class(1, 2), _class(2), bands=2, priomap=[1] * 16),
        _qdisc(ADD, "pfifo", _class(1, 3), _class(3), limit=1),
        _qdisc(ADD, "pfifo", _class(1), _class(3), limit=1),
        _qdisc(LINK, "prio", _class(2, 1), _class(1)),
        _qdisc(LINK, "prio", _class(2, 1), _class(2)),
        _qdisc(ADD, "noqueue", _class(2, 1), _class(3)),
        _qdisc(ADD, "fq_codel", _class(2, 1), _class(3), flows=0),
        _qdisc(ADD, "fq_codel", _class(2, 1), _class(3), flows=65537),
        _qdisc(ADD, "fq_codel", _class(2, 1), _class(3), quantum=2 << 20),
        _qdisc(ADD, "fq_codel", _class(2, 1), _class(3), quantum=10),
        _qdisc(ADD, "pfifo", _class(3, 1), _class(4), limit=1),
        _qdisc(ADD, "sfq", _class(2, 2), _class(5), divisor=3),
        _qdisc(ADD, "sfq", _class(2, 2), _class(5), limit=1000, divisor=64, depth=10),
        _qdisc(CHANGE, "sfq", _class(2, 2), 0, limit=1000),
        ["qdisc", ADD, "codel", _class(1, 1), _class(6), None],
        _filter(ADD, "u32", _class(1), 1, 0, classid=1, sel=[["u32 0 0 at 0"], {}]),
        _filter(ADD, "fw", _class(1), 1, 1, classid=1),
        _filter(ADD, "nonsense", _class(1), 2, 1, classid=1),
        _filter(ADD, "fw", _class(1), 2, 1, 0, classid=1),
        _filter(ADD, "fw", _class(1, 1), 2, 1, classid=1),
        _filter(ADD, "fw", _class(1, 7), 2, 1, classid=1),
        _filter(CHANGE, "fw", _class(1), 2, 1, classid=1),
        _filter(CHANGE, "fw", _class(1), 0, 1, classid=1),
        _filter(ADD, "fw", _class(1), 2, 1, classid=1),
        _filter(ADD, "fw", _class(1), 2, 1, classid=1),
        _filter(ADD, "fw", _class(1), 2, 2, 0x0800, classid=1),
        _filter(CHANGE, "fw", _class(1), 2, 2, classid=1),
        ["delfilter", "fw", _class(1), 0, 0, 0],
        ["delfilter", "u32", _class(1), 3, 2, 0],
        ["delfilter", "fw", _class(1), 3, 3, 0],
        ["delfilter", "fw", _class(1), 3, 2, 9],
        ["delfilter", "fw", _class(1), 3, 2, 1],
        ["delfilter", "fw", _class(1), 3, 2, 1],
        ["delfilter", None, _class(1), 0, 0, 0],
        ["dump"],
        ["del", None, _class(1, 2), 0],
        ["dump"],
        ["del", None, ROOT, 0],
        ["dump"],
    ],
}

_QUEUES = {
    "mq": [
        ["dump"],
        _qdisc(ADD, "mq", ROOT, _class(1)),
        ["dump"],
        _qdisc(REPLACE, "pfifo", _class(1, 2), _class(2), limit=5),
        _qdisc(ADD, "pfifo", _class(1, 1), _class(2), limit=5),
        _qdisc(ADD, "tbf", _class(1, 3), _class(3), rate=1_000_000, burst=2000, limit=5000),
        ["dump"],
        ["del", None, _class(1, 2), 0],
        ["dump"],
        _qdisc(REPLACE, "pfifo", ROOT, _class(7), limit=9),
        ["dump"],
        *[_send(flow) for flow in range(8)],
        ["dump"],
        ["del", None, ROOT, 0],
        ["dump"],
    ],
}

PROGRAMS: dict[str, dict[str, Any]] = {
    **{name: {"queues": 1, "program": program} for name, program in (*_BEHIND.items(), *_TREES.items())},
    **{name: {"queues": 4, "program": program} for name, program in _QUEUES.items()},
}

if __name__ == "__main__":
    print(json.dumps(PROGRAMS))
