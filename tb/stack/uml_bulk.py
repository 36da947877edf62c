"""Send in bulk over paths that netem makes, on a Linux of its own; print what the senders' TCP_INFO said, as JSON.

Senders are in one namespace, receivers in another, a router between; each connection has veths and netems of its own.
Runs under User-mode Linux by ``run_in_uml``, with nothing but the standard library.
"""

import ctypes
import json
import select
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

__all__ = ["TCP_INFO"]

TCP_INFO = struct.Struct("=8B24I4Q")  # struct tcp_info up to tcpi_bytes_received.
_SAMPLE_S = 0.1


def _run(command: str, text: str = "") -> str:
    done = subprocess.run(command.split(), input=text, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{command}: {done.stdout}{done.stderr}")
    return done.stdout


def _namespaces(config: dict) -> None:
    Path("/run/netns").mkdir(exist_ok=True)
    for name in "srd":
        _run(f"ip netns add {name}")
        for key, value in (config["sysctl"] | {"net.ipv4.ip_forward": "1"}).items():
            _run(f"ip netns exec {name} tee /proc/sys/{key.replace('.', '/')}", value)
    # All connections share the one queue of received packets that a path of its own would not fill.
    Path("/proc/sys/net/core/netdev_max_backlog").write_text("100000")


def _paths(config: dict) -> None:
    """Join sender, router and receiver once for each connection."""
    links, qdiscs = [], []
    lines: dict[str, list[str]] = {"s": [], "r": [], "d": []}
    for i in range(config["count"]):
        for net, side in ((1, "s"), (2, "d")):
            links.append(f"link add {side}{i} netns {side} type veth peer name r{side}{i} netns r")
            lines[side] += [f"addr add 10.{net}.{i}.1/24 dev {side}{i}", f"link set {side}{i} up"]
            lines["r"] += [f"addr add 10.{net}.{i}.254/24 dev r{side}{i}", f"link set r{side}{i} up"]
        qdiscs += [f"qdisc add dev rs{i} root {config['netem']}", f"qdisc add dev rd{i} root {config['netem_lossy']}"]
    for net, side in ((2, "s"), (1, "d")):  # They need their devices up.
        lines[side] += [f"route add 10.{net}.{i}.0/24 via 10.{3 - net}.{i}.254" for i in range(config["count"])]
    _run("ip -batch -", "\n".join(links))
    for side, text in lines.items():
        _run(f"ip -n {side} -batch -", "\n".join(text))
    _run("tc -n r -batch -", "\n".join(qdiscs))
    for i in range(config["count"]):
        for name, dev in (("s", f"s{i}"), ("r", f"rs{i}"), ("r", f"rd{i}"), ("d", f"d{i}")):
            _run(f"ip netns exec {name} ethtool -K {dev} tso off gso off gro off")


def _inside(name: str) -> socket.socket:
    """Return a stream socket of a namespace that does not wait."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f"/run/netns/{name}") as net:
        if libc.setns(net.fileno(), 0):
            raise OSError(ctypes.get_errno(), "setns")
    sock = socket.socket()
    sock.setblocking(False)
    return sock


def _connect(config: dict) -> tuple[list[socket.socket], list[socket.socket]]:
    senders, receivers = [], []
    for i in range(config["count"]):
        listener, sender = _inside("d"), _inside("s")
        listener.bind((f"10.2.{i}.1", 7000))
        listener.listen(1)
        sender.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, config["congestion"].encode())
        listener.setblocking(True)
        sender.connect_ex(listener.getsockname())
        receivers.append(listener.accept()[0])
        receivers[-1].setblocking(False)
        senders.append(sender)
    return senders, receivers


def _sample(sock: socket.socket, start: float) -> tuple[float, int, int, int, int]:
    """Return the time in s, the window, the round trip in µs, octets acknowledged, packets sent once more."""
    info = TCP_INFO.unpack(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO.size))
    return time.monotonic() - start, info[26], info[23], info[34], info[31]


def main() -> None:
    """Run as the configuration of the first argument says."""
    config = json.loads(sys.argv[1])
    _namespaces(config)
    _paths(config)
    senders, receivers = _connect(config)
    poll = select.epoll()
    for socks, event in ((senders, select.EPOLLOUT), (receivers, select.EPOLLIN)):
        for sock in socks:
            poll.register(sock, event)
    by_fd = {sock.fileno(): sock for sock in (*senders, *receivers)}
    zeros, room = bytes(65536), bytearray(1 << 20)
    samples: list[list] = [[] for _ in senders]
    start = time.monotonic()
    due = 0.0
    while due < config["seconds"] + _SAMPLE_S / 2:
        for fd, event in poll.poll(max(start + due - time.monotonic(), 0)):
            try:
                if event & select.EPOLLIN:
                    by_fd[fd].recv_into(room, 0, socket.MSG_TRUNC)  # Of TCP: what is read is thrown away.
                else:
                    by_fd[fd].send(zeros)
            except BlockingIOError:
                pass
        if time.monotonic() >= start + due:
            for found, sender in zip(samples, senders, strict=True):
                found.append(_sample(sender, start))
            due += _SAMPLE_S
    print(json.dumps(samples))


if __name__ == "__main__":
    main()
