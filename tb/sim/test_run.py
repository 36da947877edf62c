"""``hardwire run``: a program runs as under Python, but for its network and its time."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from errno import ECONNREFUSED
from pathlib import Path
from textwrap import dedent

import pytest

COMMAND = [sys.executable, "-c", "from hardwire.sim.cli import main; main()", "run"]
UDP = "import socket; sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"


def run(
    *words: str, stdin: str = "", cwd: Path | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **(env or {})}
    return subprocess.run(
        [*COMMAND, *words],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=cwd,
        env=environment,
    )


def script(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(dedent(text))
    return str(path)


def output(*words: str, **options: Path) -> str:
    ran = run(*words, **options)
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout


# As under Python.


def test_a_script_has_the_name_arguments_and_path_that_python_gives(tmp_path: Path) -> None:
    text = "import sys, os; print([__name__, __file__, sys.argv, sys.path[0], sorted(os.environ), sys.flags])"
    path = script(tmp_path, "program.py", text)
    words = [path, "-x", "--seed", "3", "--help"]
    python = [sys.executable, *words]
    under_python = subprocess.run(python, capture_output=True, text=True, check=True, env={**os.environ}).stdout
    assert output(*words) == under_python


def test_a_module_runs_with_m(tmp_path: Path) -> None:
    script(tmp_path, "program.py", "import sys; print(__name__, sys.argv[1:], __spec__.name)")
    assert output("-m", "program", "--pcap", "x", cwd=tmp_path) == "__main__ ['--pcap', 'x'] program\n"


def test_text_runs_with_c_and_a_program_may_come_from_stdin() -> None:
    assert output("-c", "print(__name__)") == "__main__\n"
    assert run("-", stdin="print(__name__)").stdout == "__main__\n"


def test_standard_streams_that_are_closed_stay_closed() -> None:
    text = "import sys; print(sys.stdin, sys.stdout, file=open(sys.argv[1], 'w'))"
    for closed, found in (("<&-", "None"), (">&-", "<_io.TextIOWrapper name='<stdin>'"), ("<&- >&- 2>&-", "None None")):
        read, write = os.pipe()
        with os.fdopen(read) as told:
            words = ["sh", "-c", f'"$@" {closed}', "sh", *COMMAND, "-c", text, f"/dev/fd/{write}"]
            subprocess.run(words, stdin=subprocess.DEVNULL, pass_fds=[write], timeout=60, check=True)
            os.close(write)
            assert told.read().startswith(found)


def test_a_program_reads_stdin() -> None:
    assert run("-c", "print(input().upper())", stdin="hello\n").stdout == "HELLO\n"


@pytest.mark.parametrize(
    ("text", "status", "stderr"),
    [
        ("pass", 0, ""),
        ("raise SystemExit(7)", 7, ""),
        ("raise SystemExit('that is all')", 1, "that is all\n"),
        ("import os; os._exit(9)", 9, ""),
        ("import os; os.kill(os.getpid(), 9)", -9, ""),
    ],
)
def test_exit_status_is_the_programs(text: str, status: int, stderr: str) -> None:
    ran = run("-c", text)
    assert (ran.returncode, ran.stderr) == (status, stderr)


def test_a_traceback_has_frames_of_the_program_only(tmp_path: Path) -> None:
    text = UDP + "def receive():\n    sock.settimeout(1)\n    sock.recv(1)\nreceive()\n"
    path = script(tmp_path, "program.py", text)
    under_python = subprocess.run([sys.executable, path], capture_output=True, text=True, check=False)
    ran = run(path)
    assert (ran.returncode, ran.stderr) == (under_python.returncode, under_python.stderr)
    assert "TimeoutError: timed out" in ran.stderr


def test_what_is_registered_with_atexit_and_threads_still_run_at_the_end() -> None:
    text = """if True:
        import atexit, threading, time
        atexit.register(lambda: print("at exit", time.monotonic() >= 2))
        threading.Thread(target=lambda: (time.sleep(2), print("thread"))).start()
        threading.Thread(target=lambda: time.sleep(1e6), daemon=True).start()
    """
    assert output("-c", text) == "thread\nat exit True\n"


def test_what_is_cleared_away_after_the_end_says_nothing() -> None:
    text = """if True:
        import asyncio
        loop = asyncio.new_event_loop()
        made = loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=("host2", 7))
        transport, protocol = loop.run_until_complete(made)
    """
    assert output("-c", text) == ""


def interrupted(text: str, number: signal.Signals, *options: str) -> tuple[int, str]:
    """Send a signal to a program when there is "ready"; return its status and the rest of its output."""
    process = subprocess.Popen(
        # These tests may themselves have been started by what ignores SIGINT.
        ["env", "--default-signal=INT", *COMMAND, *options, "-c", dedent(text)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.2)
    process.send_signal(number)
    rest, _ = process.communicate(timeout=60)  # To the end of the last process that has the output.
    return process.returncode, rest


@pytest.mark.parametrize(
    "wait",
    [
        "while True: time.sleep(0.01)",
        "select.select([sock, sys.stdin], [], [])",
        "while True: sum(range(1000))",
        "sys.stdin.read()",
        "asyncio.run(listen())",
    ],
)
def test_an_interrupt_ends_what_the_program_waits_for_and_the_simulation(wait: str) -> None:
    text = f"""
        import asyncio, select, socket, sys, time
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        async def listen():
            # Without this it would wait for ever, and be told so.
            asyncio.get_running_loop().add_reader(sys.stdin, lambda: None)
            await asyncio.Event().wait()
        print("ready", flush=True)
        try:
            {wait}
        except KeyboardInterrupt:
            sock.sendto(b"still there", ("host2", 7))
            print(sock.recv(100), flush=True)
            raise
    """
    status, rest = interrupted(text, signal.SIGINT)
    assert status == -signal.SIGINT
    assert rest.startswith("b'still there'\n")
    assert rest.endswith("KeyboardInterrupt\n")


def test_a_killed_program_takes_the_simulation_with_it() -> None:
    text = 'import time\nprint("ready", flush=True)\nwhile True: time.sleep(0.01)'
    assert interrupted(text, signal.SIGKILL) == (-signal.SIGKILL, "")


def test_what_a_killed_program_has_started_does_not_keep_the_simulation(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    text = """
        import os, time
        os.system("sleep 60 >/dev/null 2>&1 &")
        print("ready", flush=True)
        while True: time.sleep(0.01)
    """
    began = time.monotonic()
    assert interrupted(text, signal.SIGKILL, "--json", str(path)) == (-signal.SIGKILL, "")
    assert time.monotonic() - began < 50


def test_an_interrupt_ends_a_program_whose_thread_reads_what_does_not_come() -> None:
    text = """
        import os, threading, time
        threading.Thread(target=lambda: (time.sleep(1), os.read(os.pipe()[0], 1)), daemon=True).start()
        print("ready", flush=True)
        time.sleep(2)
    """
    status, rest = interrupted(text, signal.SIGINT)
    assert status == -signal.SIGINT
    assert rest.endswith("KeyboardInterrupt\n")


def test_a_signals_handler_may_use_the_network_while_a_call_waits() -> None:
    text = """if True:
        import os, select, signal, socket
        reader, writer = os.pipe()
        sock, other = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        def handle(*_):
            other.sendto(b"from the handler", ("host2", 7))
            print(other.recv(100))
            sock.sendto(b"to the call", ("host2", 7))
        signal.signal(signal.SIGALRM, handle)
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        print(select.select([sock, reader], [], [])[0] == [sock], sock.recv(100))
    """
    assert output("-c", text) == "b'from the handler'\nTrue b'to the call'\n"


# Time.


def test_time_passes_in_calls_that_wait_only_and_costs_none() -> None:
    text = """if True:
        import datetime, time
        began = time.monotonic(), time.time(), time.perf_counter_ns(), datetime.datetime.now()
        sum(range(1_000_000))
        print(time.monotonic() - began[0] < 1e-5)
        time.sleep(36_000)
        print(round(time.monotonic() - began[0], 3), round(time.time() - began[1], 3))
        print(round((time.perf_counter_ns() - began[2]) / 1e9, 3), datetime.datetime.now() - began[3])
        print(datetime.datetime.now(datetime.timezone.utc), time.strftime("%H", time.gmtime()), datetime.date.today())
    """
    began = time.monotonic()
    lines = output("-c", text).splitlines()
    assert time.monotonic() - began < 60
    assert lines[:2] == ["True", "36000.0 36000.0"]
    assert lines[2].startswith("36000.0 10:00:00")
    assert lines[3].startswith("2025-01-01 10:00:00.")
    assert lines[3].endswith(" 10 2025-01-01")


@pytest.mark.parametrize(
    "loop",
    [
        "while time.monotonic() < began + 0.2: pass",
        "while time.time() < today + 0.2: pass",
        "sock.setblocking(False)\nwhile time.monotonic() < began + 0.2:\n try: sock.recv(1)\n except OSError: pass",
        "while time.monotonic() < began + 0.2: select.select([sock], [], [], 0)",
    ],
)
def test_a_program_that_only_looks_at_the_clock_sees_it_move(loop: str) -> None:
    text = UDP + f"import select, time\nbegan, today = time.monotonic(), time.time()\n{loop}\nprint('over')"
    assert output("-c", text) == "over\n"


def test_programs_that_wait_for_ever_are_named() -> None:
    ran = run("-c", UDP + "try: sock.recv(1)\nfinally: print('cleaned up')")
    assert (ran.returncode, ran.stdout) == (1, "cleaned up\n")
    words = re.escape("python -c 'import socket;")
    assert re.match(f"hardwire: waiting for ever: host2: udp-echo, host1: {words}", ran.stderr)


# Network.


def test_hosts_of_the_scenario_are_found_by_name_and_nobody_else() -> None:
    text = """if True:
        import socket
        print(socket.gethostname(), socket.getfqdn(), socket.gethostbyname("HOST2"), socket.gethostbyaddr("10.0.0.2"))
        print(socket.getaddrinfo("host2", 53, type=socket.SOCK_DGRAM)[0][4], socket.getnameinfo(("10.0.0.2", 7), 0)[0])
        try: socket.getaddrinfo("example.com", 53)
        except socket.gaierror as error: print(error)
    """
    assert output("-c", text).splitlines() == [
        "host1 host1 10.0.0.2 ('host2', [], ['10.0.0.2'])",
        "('10.0.0.2', 53) host2",
        "[Errno -2] Name or service not known",
    ]


def test_streams_are_what_the_stack_says_of_them() -> None:
    text = "import socket\ntry: socket.create_connection(('host2', 80))\nexcept OSError as error: print(error.errno)"
    assert output("-c", text) == f"{ECONNREFUSED}\n"  # Nobody listens there.


def test_a_forked_process_is_told_that_it_has_no_host() -> None:
    text = (
        UDP
        + """if True:
        import os, threading, time
        thread = threading.Thread(target=time.sleep, args=(1,))
        thread.start()
        for does in (lambda: sock.send(b"x"), threading.Thread(target=print).start):
            if os.fork() == 0: does()
            else: print(os.wait()[1] >> 8)
        thread.join()
        print("the parent has", time.monotonic() >= 1)
    """
    )
    ran = run("-c", text)
    assert (ran.returncode, ran.stdout) == (0, "1\n1\nthe parent has True\n")
    says = "OSError: [Errno 38] a forked process, or a thread not made by Python, has no simulated host\n"
    assert ran.stderr.count(says) == 2


def test_processes_that_a_program_starts_are_on_the_real_machine() -> None:
    inner = "import select, os; print(hasattr(select, 'epoll'), os.environ.get('PYTHONPATH'))"
    text = f"import subprocess, sys; print(subprocess.run([sys.executable, '-c', {inner!r}]).returncode)"
    assert run("-c", text, env={"PYTHONPATH": "/some/where"}).stdout == "True /some/where\n0\n"


# Scenarios.

SERVER = """
    import socket, sys
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("", 5000))
    try:
        while True:
            data, sender = sock.recvfrom(100)
            print("server has", data, file=sys.stderr)
            sock.sendto(data.upper(), sender)
    finally:
        print("server ends")
"""
CLIENT = """
    import socket, sys
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(1)
    for word in (b"one", b"two"):
        sock.sendto(word, (sys.argv[1], 5000))
        print(sock.recv(100))
    sock.sendto(b"last", (sys.argv[1], 5000))
"""


def scenario(folder: Path, text: str = "") -> str:
    script(folder, "server.py", SERVER)
    return script(folder, "net.toml", text or "[hosts.client]\n[hosts.server]\nrun = ['python server.py']\n")


def test_servers_run_in_the_scenarios_folder_until_the_main_program_has_ended(tmp_path: Path) -> None:
    ran = run("--scenario", scenario(tmp_path), script(tmp_path, "client.py", CLIENT), "server")
    assert (ran.returncode, ran.stdout) == (0, "b'ONE'\nb'TWO'\n")
    assert ran.stderr == "server has b'one'\nserver has b'two'\nserver has b'last'\nserver ends\n"


def test_other_programs_end_in_their_own_way_with_calls_that_still_work(tmp_path: Path) -> None:
    script(
        tmp_path,
        "server.py",
        """
        import asyncio, socket, sys, threading
        def work():
            try: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).recv(1)
            finally: print("thread ends", file=sys.stderr)
        async def main():
            threading.Thread(target=work).start()
            await asyncio.to_thread(int)
            loop = asyncio.get_running_loop()
            transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=("client", 7))
            try: await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0.1)
                transport.sendto(b"goodbye")
                print("server ends", file=sys.stderr)
        asyncio.run(main())
        """,
    )
    path = script(tmp_path, "net.toml", "[hosts.client]\n[hosts.server]\nrun = ['python server.py']\n")
    report = tmp_path / "report.json"
    ran = run("--scenario", path, "--json", str(report), "-c", "pass")
    assert (ran.returncode, ran.stderr) == (0, "server ends\nthread ends\n")
    assert json.loads(report.read_text())["hosts"][1]["counters"]["tx_frames"] > 0


def test_servers_in_threads_end_without_a_word(tmp_path: Path) -> None:
    script(
        tmp_path,
        "server.py",
        """
        import socketserver, threading
        for port in (5000, 5001):
            server = socketserver.UDPServer(("", port), socketserver.DatagramRequestHandler)
            threading.Thread(target=server.serve_forever).start()
        """,
    )
    path = script(tmp_path, "net.toml", "[hosts.client]\n[hosts.server]\nrun = ['python server.py']\n")
    ran = run("--scenario", path, "-c", "pass")
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_program_that_will_not_end_is_ended(tmp_path: Path) -> None:
    forever = "import time\nwhile True:\n try: time.sleep(1)\n except SystemExit: pass"
    script(tmp_path, "server.py", forever)
    path = script(tmp_path, "net.toml", "[hosts.client]\n[hosts.server]\nrun = ['python server.py']\n")
    assert run("--scenario", path, "-c", "print('over')").stdout == "over\n"


def test_a_killed_program_takes_others_with_it_that_compute_for_ever(tmp_path: Path) -> None:
    script(tmp_path, "server.py", "print('ready', flush=True)\nwhile True: pass")
    path = script(tmp_path, "net.toml", "[hosts.client]\n[hosts.server]\nrun = ['python server.py']\n")
    status, rest = interrupted("pass", signal.SIGKILL, "--scenario", path)
    assert (status, rest) == (-9, "hardwire: server: python server.py ended with status -9\n")


def test_the_program_runs_on_the_host_that_is_named(tmp_path: Path) -> None:
    text = "import socket; print(socket.gethostname(), socket.gethostbyname(socket.gethostname()))"
    assert run("--scenario", scenario(tmp_path), "--host", "server", "-c", text).stdout == "server 10.0.0.2\n"


def test_a_server_that_fails_is_named(tmp_path: Path) -> None:
    path = scenario(tmp_path, "[hosts.client]\n[hosts.server]\nrun = ['python -c \"raise SystemExit(5)\"']\n")
    ran = run("--scenario", path, "-c", "pass")
    assert ran.returncode == 0
    assert ran.stderr == "hardwire: server: python -c 'raise SystemExit(5)' ended with status 5\n"


def test_a_built_in_program_that_fails_is_named_and_ends_the_run(tmp_path: Path) -> None:
    path = scenario(tmp_path, "[hosts.a]\nrun = ['udp-echo 7', 'udp-echo 7']\n[hosts.b]\n")
    ran = run("--scenario", path, "-c", "pass")
    assert (ran.returncode, ran.stdout, ran.stderr) == (1, "", "hardwire: a: udp-echo 7: port 7 is in use\n")


def test_a_gateway_is_where_packets_for_elsewhere_go_and_built_in_programs_are_heard(tmp_path: Path) -> None:
    path = scenario(tmp_path, "[hosts.a]\ngateway = '10.0.0.2'\nrun = ['ip route show default']\n[hosts.b]\n")
    ran = run("--scenario", path, "-c", "pass")
    assert (ran.returncode, ran.stderr) == (0, "a: default via 10.0.0.2 dev eth0 \n")


def test_the_same_seed_gives_the_same_captures_and_report(tmp_path: Path) -> None:
    path = scenario(tmp_path)
    with open(path, "a") as file:
        file.write("[cable]\nloss = 0.3\nreordering = 0.2\n")
    client = script(
        tmp_path,
        "client.py",
        """
        import socket
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.settimeout(0.1)
        for number in range(30):
            sock.sendto(b"%d" % number, ("server", 5000))
            try: print(sock.recv(100))
            except TimeoutError: print("lost")
        """,
    )
    runs = []
    for name, seed in (("a", "5"), ("b", "5"), ("c", "6")):
        folder = tmp_path / name
        report = folder / "report.json"
        folder.mkdir()
        ran = run("--scenario", path, "--seed", seed, "--pcap", str(folder), "--json", str(report), client)
        assert ran.returncode == 0
        runs.append((ran.stdout, ran.stderr, *((folder / file).read_bytes() for file in os.listdir(folder))))
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]
    assert "lost" in runs[0][0]
    assert len(runs[0]) == 5
    told = json.loads((tmp_path / "a" / "report.json").read_text())
    assert [host["host"] for host in told["hosts"]] == ["client", "server"]
    assert told["hosts"][1]["programs"] == [{"program": "python server.py", "status": None}]
    assert sum(link["lost"] for link in told["links"]) > 0
    assert told["hosts"][0]["counters"]["tx_frames"] == told["links"][0]["sent"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nothing.py"], "cannot read nothing.py: No such file or directory"),
        (["--wavs", "x.py"], "there is no option --wavs; options for the program come after its name"),
        (["-m"], "-m: say what to run"),
        (
            ["--scenario", "nothing.toml", "-c", "pass"],
            "--scenario: cannot read nothing.toml: No such file or directory",
        ),
        (["--host", "host3", "-c", "pass"], "there is no host 'host3'; there are host1, host2"),
        (["--json", "no/where", "-c", "pass"], "cannot write no/where: No such file or directory"),
        (["--pcap", "/dev/null", "-c", "pass"], "cannot write /dev/null: File exists"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(words: list[str], says: str, tmp_path: Path) -> None:
    ran = run(*words, cwd=tmp_path)
    assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", f"hardwire: {says}\n")
