"""What commands share whose simulated hosts meet a real kernel."""

import ipaddress
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .report import FAILED, MISUSED, CommandError, say

if TYPE_CHECKING:
    from rich.tree import Tree

    from ..machine import Machine
    from ..realtime import Port
    from ..world import World

__all__ = ["add_counts", "drops_of", "host_report", "refusals", "run_live", "two_addresses", "within"]

_TOLD_TO_STOP = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# What the card counts of frames that go no further.
_CARD_DROPS = (
    "rx_fcs_errors rx_alignment_errors rx_symbol_errors rx_undersize rx_fragments rx_oversize rx_jabbers rx_no_sfd "
    "rx_filtered rx_missed rx_no_buffer rx_disabled rx_bus_errors rx_refused rxq0_alloc_errors tx_underruns "
    "tx_bus_errors tx_aborted tx_refused"
).split()

_CABLE_DROPS = ("lost", "overflowed", "cut")


@contextmanager
def refusals() -> Iterator[None]:
    """Say in one line why something could not be set up."""
    from ..build import BuildError
    from ..netns import KernelError

    try:
        yield
    except ValueError as error:
        raise CommandError(str(error), MISUSED) from error
    except KernelError as error:
        raise CommandError(str(error), FAILED) from error
    except BuildError as error:
        raise CommandError(f"the simulator could not be built: {error}", FAILED) from error


def two_addresses(text: str) -> tuple[ipaddress.IPv4Interface, ipaddress.IPv4Interface]:
    """Return the address that ``ADDR/PREFIX`` says, and the first other one of its network.

    Raises
    ------
    ValueError
        If it is malformed, or its network has no other one.
    """
    from ..send import host_address

    try:
        address = ipaddress.IPv4Interface(text)
    except ValueError:
        raise ValueError(f"--ip: {text!r} is no address with a prefix length, such as 10.0.0.1/24") from None
    network = address.network
    if "/" not in text or network.prefixlen == 32:
        raise ValueError(f"--ip: the network of {text} has no other address: write {address.ip}/24")
    if network.prefixlen < 31 and address.ip in (network.network_address, network.broadcast_address):
        raise ValueError(f"--ip: {text} is the network's own or its broadcast address")
    other = next(one for one in network.hosts() if one != address.ip)
    for one in (address.ip, other):
        try:
            host_address(str(one))
        except ValueError as error:
            raise ValueError(f"--ip: {error}") from error
    return address, ipaddress.IPv4Interface(f"{other}/{network.prefixlen}")


def within(namespace: str | None) -> str:
    """Return what to put before a command, for it to run in a namespace."""
    return "" if namespace is None else f"ip netns exec {namespace} "


class _Signals:
    """A port that becomes readable when there was a signal, so that what its handler wants is done at once."""

    ready = True

    def __init__(self) -> None:
        self._near, self._far = socket.socketpair()
        for end in (self._near, self._far):
            end.setblocking(False)
        self._before = signal.set_wakeup_fd(self._far.fileno(), warn_on_full_buffer=False)

    def fileno(self) -> int:
        return self._near.fileno()

    def pump(self) -> bool:
        try:
            return bool(self._near.recv(1000))
        except BlockingIOError:
            return False

    def overrun(self) -> int:
        return 0

    def close(self) -> None:
        signal.set_wakeup_fd(self._before)
        self._near.close()
        self._far.close()


def run_live(
    world: "World", ports: "Sequence[Port]", done: Callable[[], bool] = lambda: False
) -> tuple[dict[str, float], str | None]:
    """Run a world in real time until Ctrl-C, or until it is told to end; once more ends the program at once.

    Parameters
    ----------
    world : World
        The world.
    ports : sequence of Port
        Where frames come in.
    done : callable
        Whether there is nothing left to run it for.

    Returns
    -------
    dict[str, float], str or None
        How long it went on, for a report: ``time_ns`` of simulated time, ``wall_s`` of real time, and ``behind_s``, how
        far the one fell behind the other; what else ended it.
    """
    from ..netns import KernelError
    from ..realtime import RealTime

    signals = _Signals()
    realtime = RealTime(world, [*ports, signals], say=say, done=done)
    before = {number: signal.getsignal(number) for number in _TOLD_TO_STOP}

    def stop(number: int, _: object) -> None:
        realtime.stop()
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

    for number in _TOLD_TO_STOP:
        signal.signal(number, stop)
    failure = None
    started = time.monotonic()
    try:
        realtime.run()
    except KernelError as error:
        failure = str(error)
    except OSError as error:  # A capture finds no room.
        failure = f"{error.strerror}: {error.filename}"
    finally:
        signals.close()
        for number, handler in before.items():
            signal.signal(number, handler)
    wall_s = time.monotonic() - started
    return {"time_ns": world.now_ns, "wall_s": wall_s, "behind_s": realtime.behind_ns / 1e9}, failure


def host_report(machine: "Machine") -> dict[str, Any]:
    """Return what a simulated host and its card have counted."""
    return {
        "mac": machine.dev.dev_addr.hex(":"),
        "counters": machine.counters(),
        "received_by_stack": machine.kernel.softnet.processed,  # What the host sends to itself included.
        "stack": {name: count for name, count in machine.net.mib.items() if count},
        "dropped_by_stack": machine.kernel.drop_counts(),
        "cycles_evaluated": machine.nic.cycles_evaluated,
    }


def drops_of(
    host: dict[str, Any], tap: dict[str, Any], cable: dict[str, dict[str, int]] | None = None
) -> dict[str, int]:
    """Return the frames that went no further, by where and why."""
    found = {"kernel: its queue was full, or the device down": (tap["kernel"] or {}).get("tx_dropped", 0)}
    found |= {f"kernel: {why}": count for why, count in tap["refused_by_kernel"].items()}
    found |= {f"card: {name}": host["counters"].get(name, 0) for name in _CARD_DROPS}
    found |= {f"stack: {name}": count for name, count in host["dropped_by_stack"].items()}
    for way, counters in (cable or {}).items():
        found |= {f"cable {way}: {why}": counters[why] for why in _CABLE_DROPS}
    return {what: count for what, count in found.items() if count}


def add_counts(tree: "Tree", title: str, counts: dict[str, int]) -> None:
    """Add counts to what is printed, each on a line of its own."""
    branch = tree.add(title)
    for name, count in counts.items():
        branch.add(f"{name} {count:,}")
    if not counts:
        branch.add("none")
