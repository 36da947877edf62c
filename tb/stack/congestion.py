"""One connection in bulk over a path of 100 Mb/s and 40 ms that loses packets: on our stack, or on a real kernel's.

The path is the same on both: a sender, a router and a receiver, each in a namespace, joined by veths, and a netem on
each side of the router. Hosts leave segmentation to their veths, so that netem sees, and loses, segments.
"""

import json
import sys
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from hardwire.stack import socket as api
from hardwire.stack.core.dev_register import dev_open
from hardwire.stack.core.net import Kernel, Net
from hardwire.stack.drivers.veth import veth_newlink
from hardwire.stack.iproute2.ip import ip
from hardwire.stack.iproute2.tc import tc
from hardwire.stack.select import select
from hardwire.stack.socket import Socket
from hardwire.stack.sysctl import sysctl
from hardwire.tb.stack.fake import FakePlatform
from hardwire.tb.stack.uml import run_in_uml
from hardwire.tb.stack.uml_bulk import TCP_INFO

__all__ = [
    "CASES",
    "DELAY_MS",
    "RECORD",
    "RUNS",
    "Bulk",
    "TcpInfo",
    "bulk",
    "bulk_in_linux",
    "info",
    "runs_in_linux",
]

# What is compared, each by ten connections: algorithm, % of packets lost, and for how many s. Then each loses some 100
# packets, and the mean of ten is uncertain by 2 to 4 %.
CASES = [("reno", 0.1, 120), ("reno", 1.0, 60), ("cubic", 0.1, 120), ("cubic", 1.0, 60)]
RUNS = 10
_AT_ONCE = 5
RECORD = Path(__file__).with_name("golden") / "congestion.json"

_SYSCTL = {"net.ipv4.tcp_rmem": "4096 131072 6291456", "net.ipv4.tcp_wmem": "4096 16384 4194304"}
DELAY_MS = 20.0  # Each way.
_MSS = 1448
_OMIT = 100  # Samples: ten seconds.
_SAMPLE_NS = 100_000_000
_SECOND_NS = 1_000_000_000


class TcpInfo(NamedTuple):
    """Some of what ``TCP_INFO`` says (Linux: ``struct tcp_info``)."""

    retransmits: int
    rtt_us: int
    snd_cwnd: int
    rcv_rtt_us: int
    total_retrans: int
    bytes_acked: int


def info(sock: Socket) -> TcpInfo:
    """Return it of a socket of ours."""
    found = TCP_INFO.unpack(sock.getsockopt(api.IPPROTO_TCP, api.TCP_INFO, TCP_INFO.size))
    return TcpInfo(found[2], found[23], found[26], found[29], found[31], found[34])


@dataclass(frozen=True)
class Bulk:
    """What a connection did after its first seconds, in which chance decides how far slow start overshoots.

    Members
    -------
    seconds, octets : float, int
        How long it sent, and what was acknowledged.
    resent : int
        Packets that were sent once more.
    rtt_ms : float
        Mean of the sender's smoothed round trip.
    windows : list[int]
        Congestion window, in packets, each 100 ms, from the start.
    """

    seconds: float
    octets: int
    resent: int
    rtt_ms: float
    windows: list[int]

    @property
    def mbps(self) -> float:
        """Throughput, in Mb/s of payload."""
        return self.octets * 8 / self.seconds / 1e6

    @property
    def response(self) -> float:
        """Packets a round trip, times the root of the share of packets lost: what Mathis et al. (1997) call C.

        It is nearly the same whatever the round trip is and however many packets chance took, so that few runs tell
        much.
        """
        packets = self.octets / _MSS
        return packets / self.seconds * self.rtt_ms / 1000 * sqrt(self.resent / packets)

    @classmethod
    def of(cls, samples: list[tuple[float, int, int, int, int]]) -> "Bulk":
        """Make one of samples: time in s, window, round trip in µs, octets acknowledged, packets sent once more."""
        first, *_, last = samples[_OMIT:]
        seconds, _, _, octets, resent = (end - start for start, end in zip(first, last, strict=True))
        rtt_ms = fmean(sample[2] for sample in samples[_OMIT:]) / 1000
        return cls(seconds, int(octets), int(resent), rtt_ms, [sample[1] for sample in samples])


def _netem(delay_ms: float, loss_percent: float = 0) -> str:
    return f"netem delay {delay_ms:.3f}ms rate 100mbit limit 1000" + (f" loss {loss_percent}%" if loss_percent else "")


class _Path:
    """Namespaces of one kernel of ours, and a connection."""

    def __init__(self, congestion: str, loss_percent: float, seed: int, delay_ms: float) -> None:
        self.platform = FakePlatform(seed)
        self.kernel = kernel = Kernel(self.platform)
        self.sender, router, receiver = nets = [Net(kernel) for _ in range(3)]
        for net in nets:
            for key, value in _SYSCTL.items():
                sysctl(net, key, value)
        sysctl(router, "net.ipv4.ip_forward", "1")
        for number, net in ((1, self.sender), (2, receiver)):
            for end in veth_newlink(net, "eth0", router, f"eth{number}"):
                dev_open(end)
            ip(net, f"addr add 10.{number}.0.1/24 dev eth0")
            ip(router, f"addr add 10.{number}.0.254/24 dev eth{number}")
            ip(net, f"route add default via 10.{number}.0.254")
        tc(router, f"qdisc add dev eth1 root {_netem(delay_ms)}")
        tc(router, f"qdisc add dev eth2 root {_netem(delay_ms, loss_percent)}")
        listener = receiver.socket(api.AF_INET, api.SOCK_STREAM)
        listener.bind(("10.2.0.1", 7000))
        listener.listen(1)
        self.client = self.sender.socket(api.AF_INET, api.SOCK_STREAM)
        self.client.setsockopt(api.IPPROTO_TCP, api.TCP_CONGESTION, congestion.encode())
        self.client.connect(("10.2.0.1", 7000))
        self.server, _ = listener.accept()
        for sock in (self.client, self.server):
            sock.setblocking(False)

    def run_until(self, end_ns: int) -> None:
        """Send and receive until then."""
        zeros = bytes(65536)
        while (left_ns := end_ns - self.platform.now_ns()) > 0:
            readable, writable, _ = select(self.kernel, [self.server], [self.client], [], left_ns / _SECOND_NS)
            if readable:
                self.server.recv(1 << 20)
            if writable:
                self.client.send(zeros)


def bulk(congestion: str, loss_percent: float, *, seed: int, seconds: float, delay_ms: float = DELAY_MS) -> Bulk:
    """Let our stack send for so long, in simulated time.

    Parameters
    ----------
    congestion : str
        ``"cubic"`` or ``"reno"``.
    loss_percent : float
        How many of the packets with data the path loses.
    seed : int
        Of chance.
    seconds : float
        How long.
    delay_ms : float
        How long each way takes.
    """
    path = _Path(congestion, loss_percent, seed, delay_ms)
    start_ns = path.platform.now_ns()
    samples = []
    for number in range(round(seconds * 10) + 1):
        path.run_until(start_ns + number * _SAMPLE_NS)
        now = info(path.client)
        seconds = (path.platform.now_ns() - start_ns) / _SECOND_NS
        samples.append((seconds, now.snd_cwnd, now.rtt_us, now.bytes_acked, now.total_retrans))
    return Bulk.of(samples)


def bulk_in_linux(congestion: str, loss_percent: float, *, count: int, seconds: float) -> list[Bulk]:
    """Let a real kernel send for so long, in real time, over so many paths at once that are strangers to each other."""
    config = {
        "congestion": congestion,
        "netem": _netem(DELAY_MS),
        "netem_lossy": _netem(DELAY_MS, loss_percent),
        "sysctl": _SYSCTL | {"net.ipv4.tcp_no_metrics_save": "1"},  # Ours keeps none.
        "count": count,
        "seconds": seconds,
    }
    command = [sys.executable, str(Path(__file__).with_name("uml_bulk.py")), json.dumps(config)]
    text = run_in_uml(*command, load=("veth", "sch_netem"), timeout_s=2 * seconds + 60)
    return [Bulk.of(samples) for samples in json.loads(text)]


def runs_in_linux(congestion: str, loss_percent: float, seconds: float) -> list[Bulk]:
    """Return what a kernel does; only so many at once as it carries without being late by much."""
    return [
        run
        for _ in range(RUNS // _AT_ONCE)
        for run in bulk_in_linux(congestion, loss_percent, count=_AT_ONCE, seconds=seconds)
    ]


def record() -> None:
    """Write what a kernel does to ``RECORD``: ``python -m hardwire.tb.stack.congestion``."""
    found = {}
    for congestion, loss_percent, seconds in CASES:
        runs = runs_in_linux(congestion, loss_percent, seconds)
        found[f"{congestion} {loss_percent}"] = {
            "mbps": [round(run.mbps, 3) for run in runs],
            "response": [round(run.response, 3) for run in runs],
            "rtt_ms": round(fmean(run.rtt_ms for run in runs), 2),
            "windows": runs[0].windows[:601],
        }
        print(congestion, loss_percent, found[f"{congestion} {loss_percent}"]["mbps"], flush=True)
    RECORD.write_text(json.dumps(found, separators=(",", ":")).replace('},"', '},\n"') + "\n")


if __name__ == "__main__":
    record()
