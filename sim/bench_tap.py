"""Figures of TCP between a simulated host and the real kernel, over a TAP device."""

import os
import socket
import statistics
import threading
import time
from contextlib import ExitStack
from ipaddress import IPv4Interface
from typing import Any

from ..stack.iproute2.ip import ip
from ..stack.uapi import AF_INET, SOCK_STREAM
from .machine import Machine, Setup
from .netns import Namespace
from .realtime import RealTime
from .tap import Tap
from .tap_link import TapLink
from .world import World

__all__ = ["tap_stream", "tap_streams"]

_OURS, _THEIRS = IPv4Interface("10.0.0.1/24"), IPv4Interface("10.0.0.2/24")
_PORT = 9000
_CHUNK = 65536
_OCTETS = 2_000_000
_REPEATS = 3
_LIMIT_S = 300


def tap_streams(octets: int = _OCTETS, repeats: int = _REPEATS) -> dict[str, Any]:
    """Return octets a second of real time that TCP carries to the kernel and from it; medians.

    To the kernel with software GSO and without: then each segment goes through the stack by itself.
    """
    with_gso, without, back = [], [], []
    for _ in range(repeats):
        # In turns, so that a change of the computer's speed meets all.
        with_gso.append(tap_stream(octets))
        without.append(tap_stream(octets, gso=False))
        back.append(tap_stream(octets, to_kernel=False))
    return {
        "to_kernel_octets_per_s": statistics.median(with_gso),
        "to_kernel_without_gso_octets_per_s": statistics.median(without),
        "gso_ratio": statistics.median(a / b for a, b in zip(with_gso, without, strict=True)),
        "from_kernel_octets_per_s": statistics.median(back),
    }


def tap_stream(octets: int, *, to_kernel: bool = True, gso: bool = True) -> float:
    """Return how many octets a second go through one connection.

    Raises
    ------
    RuntimeError
        If others arrive than were sent, or it takes too long.
    """
    with ExitStack() as stack:
        namespace = stack.enter_context(Namespace(f"hwbench{os.getpid()}"))
        device = stack.enter_context(Tap("hw0", namespace))
        machine = Machine(World(), Setup(address=str(_OURS)))
        if not gso:
            ip(machine.net, "link set eth0 gso_max_segs 1")
        link = TapLink(machine.nic, device)
        device.set_up(address=_THEIRS, mtu=1500)
        with namespace.entered():
            listener = stack.enter_context(socket.create_server((str(_THEIRS.ip), _PORT)))
        listener.settimeout(_LIMIT_S)
        live = RealTime(machine.world, [link], say=lambda _: None)
        arrived = [0, 0]  # In the kernel, and here.
        took_s = [0.0]

        def theirs() -> None:
            try:
                sock, _ = listener.accept()
                with sock:
                    sock.settimeout(_LIMIT_S)
                    started = time.perf_counter()
                    if not to_kernel:
                        sock.sendall(_data(octets))
                        sock.shutdown(socket.SHUT_WR)
                    while part := sock.recv(_CHUNK):
                        arrived[0] += len(part)
                    took_s[0] = time.perf_counter() - started
            finally:
                live.stop()

        def ours() -> None:
            with machine.net.socket(AF_INET, SOCK_STREAM) as sock:
                sock.connect((str(_THEIRS.ip), _PORT))
                if to_kernel:
                    sock.sendall(_data(octets))
                else:
                    while part := sock.recv(_CHUNK):
                        arrived[1] += len(part)

        machine.world.spawn(ours)
        program = threading.Thread(target=theirs)
        program.start()
        live.run()
        program.join()
    if arrived != ([octets, 0] if to_kernel else [0, octets]):
        raise RuntimeError(f"{arrived} octets arrived of {octets}")
    return octets / took_s[0]


def _data(octets: int) -> bytes:
    return (bytes(range(256)) * (octets // 256 + 1))[:octets]
