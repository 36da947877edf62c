"""``hardwire tap`` for tests: our host, 10.0.0.1, whose partner is a real kernel, 10.0.0.2, in a namespace."""

import subprocess
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

from hardwire.sim.live_command import LiveCommand
from hardwire.tb.bench import seed

__all__ = ["OURS", "THEIRS", "check_cable", "exchange", "octets_of", "python", "said_by", "same", "tap_host", "until"]

OURS, THEIRS = "10.0.0.1", "10.0.0.2"


def tap_host(space: str, *words: str) -> LiveCommand:
    """Return the command, running; with ``--run python ...`` it ends by itself when that does."""
    return LiveCommand("tap", "--tap", "hw0", "--ip", f"{OURS}/24", "--netns", space, *words)


def python(folder: Path, name: str, text: str, *words: str) -> str:
    """Write a program, and return the command line that runs it."""
    path = folder / name
    path.write_text(text)
    return " ".join(("python", str(path), *words))


def octets_of(count: int) -> bytes:
    """Return random octets, and print the seed that gives them again."""
    number = seed()
    print("HARDWIRE_SEED", number)
    return Random(number).randbytes(count)


def exchange(space: str, *words: str, octets: bytes = b"", timeout_s: float = 120) -> bytes:
    """Run a program in the namespace; return its output, octet for octet."""
    command = ["ip", "netns", "exec", space, *words]
    return subprocess.run(command, input=octets, stdout=subprocess.PIPE, check=True, timeout=timeout_s).stdout


def said_by(live: LiveCommand, timeout_s: float = 60) -> list[str]:
    """Wait for the command to end by itself; return what its program has said."""
    live.process.wait(timeout_s)
    live.stop()
    return [line for line in live.said if " is behind " not in line and "behind real time" not in line]


def same(one: bytes, other: bytes) -> bool:
    """Return whether two long strings are the same, by their hashes."""
    return sha256(one).digest() == sha256(other).digest()


def check_cable(report: dict[str, Any]) -> None:
    """Check that each frame that entered a bad cable is accounted for, there and at both its ends."""
    card, cable = report["host"]["counters"], report["cable"]
    for way in cable.values():
        assert way["sent"] + way["duplicated"] == way["delivered"] + way["lost"] + way["overflowed"] + way["in_flight"]
    out, back = cable["to the kernel"], cable["from the kernel"]
    assert card["tx_frames"] == out["sent"]
    assert out["delivered"] == report["to_kernel"] + sum(report["refused_by_kernel"].values()) + report["damaged"]
    assert report["from_kernel"] == back["sent"]
    assert card["rx_frames"] + card.get("rx_fcs_errors", 0) == back["delivered"]
    for name, way in cable.items():
        assert report["drops"].get(f"cable {name}: lost", 0) == way["lost"]


def until(happened: Callable[[], bool], limit_s: float = 30) -> None:
    """Wait for something to happen."""
    end = time.monotonic() + limit_s
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.02)
