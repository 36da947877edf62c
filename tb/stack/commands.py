"""The same commands by the real ``ip`` and ``tc``, in a namespace of a real kernel, and by ours: what both say."""

import os
import re
import subprocess
from dataclasses import dataclass
from typing import Self

from hardwire.stack.iproute2.args import CommandError
from hardwire.stack.iproute2.ip import ip
from hardwire.stack.iproute2.tc import tc
from hardwire.tb.stack.fake import make_kernel

__all__ = ["Said", "Sides"]

_COMMANDS = {"ip": ip, "tc": tc}
_SECOND = 1_000_000_000
# What differs between two hosts, or that only one of them has, and what stands in its place.
_DIFFERENCES = (
    (r"(?<![\w:])(?:[0-9a-f]{2}:){5}[0-9a-f]{2}", "MAC"),
    (r"used \d+/\d+/\d+", "used N"),
    (r'"(used|confirmed|updated)":\d+', r'"\1":N'),
    (r"(num[tr]xqueues|[tg]s[or]_max_size|refcnt) \d+", r"\1 N"),
    (r'"(num_[tr]x_queues|[tg]s[or]_max_size|refcnt)":\d+', r'"\1":N'),
    (r"(qdisc \w+ )8[0-9a-f]{3}:", r"\1 8000:"),
    (r'"handle":"8[0-9a-f]{3}:"', '"handle":"8000:"'),
    (r"addrgenmode eui64 ", ""),
    (r'"inet6_addr_gen_mode":"eui64",', ""),
)


@dataclass(frozen=True)
class Said:
    """What a command printed, its status, and the kernel's errno as text, if that was why it failed."""

    output: str
    status: int
    error: str


class Sides:
    """A namespace of a real kernel, without IPv6, and one of ours; use it in a ``with``."""

    def __init__(self) -> None:
        self.name = f"cmd{os.getpid()}"

    def __enter__(self) -> Self:
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        names = [f"net.ipv6.conf.{where}.disable_ipv6=1" for where in ("all", "default")]
        subprocess.run(["ip", "netns", "exec", self.name, "sysctl", "-qw", *names], check=False)
        kernel, self.platform = make_kernel()
        self.net = kernel.init_net
        self.both("ip link set lo up")
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["ip", "netns", "del", self.name], check=True)

    def theirs(self, command: str) -> Said:
        """Run a command of the machine."""
        program, *words = command.split()
        done = subprocess.run([program, "-n", self.name, *words], capture_output=True, text=True, check=False)
        said = re.match(r"RTNETLINK answers: (.*)", done.stderr)
        return Said(_same(command, done.stdout), done.returncode, said[1] if said else "")

    def ours(self, command: str) -> Said:
        """Run a command of ours."""
        program, _, words = command.partition(" ")
        try:
            output = _COMMANDS[program](self.net, words)
        except CommandError as error:
            return Said("", error.status, os.strerror(error.errno or 0) if error.status == 2 else "")
        return Said(_same(command, output), 0, "")

    def both(self, command: str) -> None:
        """Run a command on both sides, and see that they say the same: output and status, and the errno.

        The words of errors are Linux's where it has some; where it only gives a number, ours say more.
        """
        theirs, ours = self.theirs(command), self.ours(command)
        self.platform.advance(_SECOND)  # Until all that follows has been noticed.
        if not theirs.error:
            ours = Said(ours.output, ours.status, "")
        assert (command, ours) == (command, theirs)


def _same(command: str, output: str) -> str:
    """Return an output without what may differ; neighbours come in the order of a hash table."""
    for pattern, text in _DIFFERENCES:
        output = re.sub(pattern, text, output)
    if " neigh" in command:
        return "\n".join(sorted(output.strip("[]\n").replace("},{", "}\n{").split("\n")))
    return output
