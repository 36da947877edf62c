"""The administrator's commands inside a simulated host: ``ip``, ``tc``, ``ethtool``, ``sysctl``, ``nft``, ``cat``."""

import shlex
from collections.abc import Callable
from errno import ENOENT

from ..stack.core.net import Net
from ..stack.iproute2.ethtool import ethtool
from ..stack.iproute2.ip import ip
from ..stack.iproute2.tc import tc
from ..stack.nft import nft
from ..stack.proc import proc_net
from ..stack.sysctl import sysctl, sysctl_names

__all__ = ["COMMANDS", "run_command", "split_commands"]


def _cat(net: Net, command: str) -> str:
    """Return what files under ``/proc/net`` hold."""
    return "".join(_proc_net(net, path) for path in shlex.split(command))


def _proc_net(net: Net, path: str) -> str:
    name = path.removeprefix("/proc/net/")
    if name == path:
        raise OSError(ENOENT, f"cat: {path}: No such file or directory; there are those of /proc/net")
    return proc_net(net, name)


def _sysctl(net: Net, command: str) -> str:
    """Show settings, ``NAME``, or set them, ``[-w] NAME=VALUE``; ``-a`` shows all (sysctl(8))."""
    words = [word for word in shlex.split(command) if word != "-w"]
    lines: list[str] = []
    for word in sysctl_names(net) if words == ["-a"] else words:
        name, given, value = word.partition("=")
        if given:
            sysctl(net, name, value)
        lines.append(f"{name} = {sysctl(net, name)}\n")
    return "".join(lines)


COMMANDS: dict[str, Callable[[Net, str], str]] = {
    "ip": ip,
    "tc": tc,
    "ethtool": ethtool,
    "sysctl": _sysctl,
    "nft": nft,
    "cat": _cat,
}


def run_command(net: Net, words: list[str]) -> str:
    """Run a command, and return what it prints.

    Raises
    ------
    OSError
        As the command says it.
    """
    join = " ".join if words[0] == "nft" else shlex.join  # nft puts its words together itself.
    return COMMANDS[words[0]](net, join(words[1:]))


def split_commands(words: list[str]) -> list[list[str]]:
    """Return commands that ``;`` parts."""
    parts: list[list[str]] = [[]]
    for word in words:
        if word == ";":
            parts.append([])
        else:
            parts[-1].append(word)
    return [part for part in parts if part]
