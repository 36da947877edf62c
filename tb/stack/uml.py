"""A second Linux kernel, under this one: User-mode Linux runs a program, and what it printed comes back.

The machine's kernel need not have netem or ESP; Debian's ``user-mode-linux`` has both, as modules. It needs no rights.
"""

import os
import shutil
import signal
import subprocess
import sys
from json import dumps
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

__all__ = ["needs_uml", "run_in_uml"]

_LINUX = shutil.which("linux.uml") or shutil.which("linux")
_MODULES = Path("/usr/lib/uml/modules")

needs_uml = pytest.mark.skipif(
    _LINUX is None or not _MODULES.is_dir(), reason="no User-mode Linux here: apt-get install user-mode-linux"
)

# The first process: it shares the machine's files, but has its own /proc, /sys and /run, and loads modules itself.
_INIT = """#!{python}
import ctypes, os, subprocess, sys
from pathlib import Path

libc = ctypes.CDLL(None, use_errno=True)
config = {config}
try:
    for kind, where in (("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev"), ("tmpfs", "/run")):
        libc.mount(kind.encode(), where.encode(), kind.encode(), 0, None)
    folder = Path(config["modules"]) / os.uname().release
    needs = dict(line.split(":") for line in (folder / "modules.dep").read_text().splitlines())
    paths = {{Path(path).stem: path for path in needs}}
    for name in config["load"]:
        for path in [*reversed(needs[paths[name]].split()), paths[name]]:
            with open(folder / path, "rb") as module:
                libc.syscall(313, module.fileno(), b"", 0)  # finit_module(); one may be there already.
    os.environ |= config["environ"]
    with open(config["stdout"], "wb") as stdout, open(config["stderr"], "wb") as stderr:
        code = subprocess.run(config["command"], stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr).returncode
        Path(config["status"]).write_text(str(code))
finally:
    os.sync()
    libc.reboot(ctypes.c_int(0x4321FEDC))  # Power off.
"""


def run_in_uml(*command: str, load: tuple[str, ...] = (), timeout_s: float, memory: str = "256M") -> str:
    """Run a program under a kernel of its own, as root there, with the machine's files; return what it printed.

    Parameters
    ----------
    command : str
        The program, by its whole path, and its arguments.
    load : tuple[str, ...]
        Modules that the kernel loads before.
    timeout_s : float
        After so many seconds it is ended.
    memory : str
        How much memory the kernel has.

    Raises
    ------
    RuntimeError
        If the program failed, or the kernel did; with what they said.
    """
    assert _LINUX is not None
    with TemporaryDirectory() as text:
        folder = Path(text)
        files = {name: str(folder / name) for name in ("stdout", "stderr", "status")}
        paths = {"PYTHONPATH": os.environ.get("PYTHONPATH", ""), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        config = files | {"modules": str(_MODULES), "load": load, "command": command, "environ": paths}
        init = folder / "init"
        init.write_text(_INIT.format(python=sys.executable, config=dumps(config)))
        init.chmod(0o755)
        kernel = [_LINUX, f"mem={memory}", "rootfstype=hostfs", "rootflags=/", "rw", f"init={init}", "quiet"]
        # Its sockets lie in HOME, and the file that is its memory in /dev/shm, unless it is told otherwise.
        environ = {"HOME": text, "PATH": os.environ["PATH"]}
        with subprocess.Popen(
            [*kernel, "con=null", "con0=null,fd:1"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environ,
            start_new_session=True,  # It is several processes, which end together.
        ) as process:
            try:
                console, _ = process.communicate(timeout=timeout_s)
            except BaseException as problem:
                os.killpg(process.pid, signal.SIGKILL)
                if not isinstance(problem, subprocess.TimeoutExpired):
                    raise
                console, _ = process.communicate()
        status = Path(files["status"])
        if not status.exists() or status.read_text() != "0":
            said = [Path(files[name]).read_text() for name in ("stdout", "stderr") if Path(files[name]).exists()]
            said.append(console.decode(errors="replace"))
            raise RuntimeError("\n".join((f"{command} under User-mode Linux:", *said)))
        return Path(files["stdout"]).read_text()
