"""Figures of simulated hosts among real kernels: echoes and TCP over TAP, streams through ``hardwire wire``."""

import json
import os
import re
import shutil
import subprocess
from typing import Any

from .bench_tap import tap_streams
from .live_command import LiveCommand

__all__ = ["company", "obstacle", "stream", "tap_echoes"]

_TOOLS = {"ping": "iputils-ping", "iperf3": "iperf3", "ip": "iproute2"}


def obstacle() -> str | None:
    """Return why these figures cannot be had here; None if they can."""
    if os.geteuid() != 0:
        return "needs root"
    if not os.path.exists("/dev/net/tun"):
        return "needs /dev/net/tun"
    missing = [package for tool, package in _TOOLS.items() if shutil.which(tool) is None]
    return f"needs apt-get install {' '.join(missing)}" if missing else None


def company(echoes: int = 10_000, seconds: int = 10, octets: int = 2_000_000) -> dict[str, Any]:
    """Measure what can be measured here; ``obstacle`` says why nothing was."""
    reason = obstacle()
    if reason is not None:
        return {"obstacle": reason}
    return {"obstacle": None, "tap": tap_echoes(echoes), "tcp": tap_streams(octets), "wire": stream(seconds)}


def tap_echoes(count: int) -> dict[str, Any]:
    """Return echoes a second of ``ping -f`` from the real kernel over a TAP device, and how many were lost."""
    space = f"hwbench{os.getpid()}"
    with LiveCommand("tap", "--tap", "hw0", "--ip", "10.0.0.1/24", "--netns", space) as live:
        said = _inside(space, "ping", "-f", "-q", "-c", str(count), "10.0.0.1")
        live.stop()
    found = re.search(r"(\d+) received.* time (\d+)ms", said)
    if found is None:
        raise RuntimeError(f"ping says: {said}")
    received, time_ms = map(int, found.groups())
    return {"echoes_per_s": received / max(time_ms, 1) * 1000, "lost": count - received}


def stream(seconds: int) -> dict[str, Any]:
    """Return what TCP of two real kernels moves through driver and gateware, as iperf3 measures it."""
    spaces = [f"hwbench{os.getpid()}{side}" for side in "ab"]
    words = [word for space in spaces for word in ("--tap", "hw0", "--netns", space)]
    with LiveCommand("wire", *words, "--ip", "10.9.0.1/24") as live:
        server = subprocess.Popen(
            ["ip", "netns", "exec", spaces[1], "iperf3", "-s", "-1", "--forceflush"], stdout=subprocess.PIPE, text=True
        )
        try:
            assert server.stdout is not None
            while "listening" not in (server.stdout.readline() or "listening"):
                pass
            said = json.loads(_inside(spaces[0], "iperf3", "-J", "-c", "10.9.0.2", "-t", str(seconds)))
        finally:
            server.terminate()
            server.communicate()
        report = live.stop()
    frames = sum(side["to_kernel"] for side in report["sides"])
    end = said["end"]
    return {
        "mbit_per_s": end["sum_received"]["bits_per_second"] / 1e6,
        "frames_per_s": frames / end["sum_sent"]["seconds"],
        "retransmits": end["sum_sent"]["retransmits"],
    }


def _inside(space: str, *words: str) -> str:
    result = subprocess.run(["ip", "netns", "exec", space, *words], capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(f"{' '.join(words)}: {result.stderr or result.stdout}")
    return result.stdout
