"""``hardwire run``: pairs of local sockets, by which a program's threads wake each other."""

import subprocess
import sys

import pytest

COMMAND = [sys.executable, "-c", "from hardwire.sim.cli import main; main()", "run"]


def run(text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, "-c", text], capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(
    "receive",
    [
        "here.recv(9)",
        "here.makefile('rb').readline()",
        "here.recv_into(bytearray(9))",
        "here.recvmsg(9)",
        "here.settimeout(5), here.recvfrom(9)",
        "select.select([here], [], []), here.recv(9)",
        "asyncio.run(asyncio.to_thread(time.sleep, 2))",
    ],
)
def test_a_thread_may_wait_for_what_another_writes_to_a_pair_of_local_sockets(receive: str) -> None:
    text = f"""if True:
        import asyncio, select, socket, threading, time
        here, there = socket.socketpair()
        threading.Thread(target=lambda: (time.sleep(2), there.send(b"hello\\n"))).start()
        {receive}
        print(2 <= time.monotonic() < 2.1)
    """
    ran = run(text)
    assert (ran.stdout, ran.stderr) == ("True\n", "")


def test_a_wait_for_a_pair_of_local_sockets_ends_in_time_or_is_said_to_be_for_ever() -> None:
    text = """if True:
        import socket
        here, there = socket.socketpair()
        here.settimeout(3600)
        try: here.recv(1)
        except TimeoutError as error: print(error, flush=True)
        here.settimeout(None)
        here.recv(1)
    """
    ran = run(text)
    assert (ran.returncode, ran.stdout) == (1, "timed out\n")
    assert ran.stderr.startswith("hardwire: waiting for ever")
