"""``hardwire run``: unmodified programs of the standard library talk over TCP, stack, driver and RTL on both sides."""

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

COMMAND = [sys.executable, "-c", "from hardwire.sim.cli import main; main()", "run"]
CABLES = ("", "[cable]\nloss = 0.02\nduplication = 0.02\nreordering = 0.02\ndelay_ns = 1000000\n")


def talk(folder: Path, server: str, client: str, cable: str = "") -> str:
    """Return what a client says whose server is on another host."""
    (folder / "server.py").write_text(dedent(server))
    (folder / "client.py").write_text(dedent(client))
    net = folder / "net.toml"
    net.write_text(f"seed = 5\n{cable}[hosts.here]\n[hosts.there]\nrun = ['python server.py']\n")
    words = [*COMMAND, "--scenario", str(net), str(folder / "client.py")]
    ran = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout


@pytest.mark.parametrize("cable", CABLES, ids=["clean", "bad"])
def test_http_server_and_http_client(tmp_path: Path, cable: str) -> None:
    server = """
        from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))[::-1]
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *words):
                pass

        ThreadingHTTPServer(("", 8000), Handler).serve_forever()
        """
    client = """
        import http.client
        connection = http.client.HTTPConnection("there", 8000)
        for size in (1, 1000, 100_000):
            body = bytes(range(251)) * (size // 251 + 1)
            connection.request("POST", "/", body)
            answer = connection.getresponse()
            print(answer.status, answer.read() == body[::-1])
        """
    assert talk(tmp_path, server, client, cable) == "200 True\n" * 3


@pytest.mark.parametrize("cable", CABLES, ids=["clean", "bad"])
def test_streams_of_asyncio(tmp_path: Path, cable: str) -> None:
    server = """
        import asyncio

        async def echo(reader, writer):
            while octets := await reader.read(5000):
                writer.write(octets)
                await writer.drain()
            writer.close()

        async def main():
            async with await asyncio.start_server(echo, "", 9000) as server:
                await server.serve_forever()

        asyncio.run(main())
        """
    client = """
        import asyncio

        async def one(number):
            reader, writer = await asyncio.open_connection("there", 9000)
            text = b"%d" % number * 20_000
            writer.write(text)
            writer.write_eof()
            same = await reader.read() == text
            writer.close()
            await writer.wait_closed()
            return same

        async def main():
            print(await asyncio.gather(*map(one, range(4))))

        asyncio.run(main())
        """
    assert talk(tmp_path, server, client, cable) == "[True, True, True, True]\n"


def test_ftplib_against_a_small_server(tmp_path: Path) -> None:
    server = """
        import socket

        stored = {}
        listener = socket.create_server(("", 21))
        control, _ = listener.accept()
        lines = control.makefile("rw", newline="")

        def say(text):
            lines.write(text + "\\r\\n")
            lines.flush()

        say("220 ready")
        for line in lines:
            word, _, rest = line.strip().partition(" ")
            if word == "PASV":
                data = socket.create_server(("", 0))
                port = data.getsockname()[1]
                host = control.getsockname()[0].replace(".", ",")
                say(f"227 ({host},{port >> 8},{port & 255})")
            elif word == "STOR":
                say("150 go")
                with data.accept()[0] as peer:
                    stored[rest] = b"".join(iter(lambda: peer.recv(4096), b""))
                say("226 done")
            elif word == "RETR":
                say("150 go")
                with data.accept()[0] as peer:
                    peer.sendall(stored[rest])
                say("226 done")
            elif word == "QUIT":
                say("221 bye")
                break
            else:
                say({"USER": "331 who", "PASS": "230 in", "TYPE": "200 fine"}.get(word, "502 no"))
        """
    client = """
        import ftplib, io
        text = bytes(range(256)) * 500
        got = io.BytesIO()
        with ftplib.FTP("there", "me", "word") as ftp:
            ftp.storbinary("STOR file", io.BytesIO(text))
            ftp.retrbinary("RETR file", got.write)
        print(got.getvalue() == text)
        """
    assert talk(tmp_path, server, client) == "True\n"


def test_a_reader_with_a_timeout_and_select(tmp_path: Path) -> None:
    server = """
        import socketserver, time

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                for line in self.rfile:
                    time.sleep(3600)
                    self.wfile.write(line.upper())

        socketserver.ThreadingTCPServer(("", 7), Handler).serve_forever()
        """
    client = """
        import select, socket, time
        sock = socket.create_connection(("there", 7), timeout=10)
        sock.sendall(b"later\\n")
        try:
            sock.recv(10)
        except TimeoutError as error:
            print(error)
        start = time.monotonic()
        print(select.select([sock], [], [], 5000)[0] == [sock], sock.recv(10), 3500 < time.monotonic() - start < 3601)
        """
    assert talk(tmp_path, server, client) == "timed out\nTrue b'LATER\\n' True\n"


def test_requests_talks_to_http_server(tmp_path: Path) -> None:
    pytest.importorskip("requests")
    (tmp_path / "page.txt").write_text("hello " * 5000)
    client = """
        import requests
        with requests.Session() as session:
            for _ in range(2):
                answer = session.get("http://there:8000/page.txt", timeout=10)
                print(answer.status_code, answer.text == "hello " * 5000)
            print(session.get("http://there:8000/none", timeout=10).status_code)
        """
    server = """
        from http.server import HTTPServer, SimpleHTTPRequestHandler
        SimpleHTTPRequestHandler.log_message = lambda *words: None
        HTTPServer(("", 8000), SimpleHTTPRequestHandler).serve_forever()
        """
    assert talk(tmp_path, server, client) == "200 True\n200 True\n404\n"
