"""What ``iperf3 -c`` talks to: one test after the other, by TCP, in both directions.

Ref: iperf3's ``iperf_api.h`` (states) and the exchange of ``iperf_server_api.c`` as seen on the wire. A control
connection carries one octet for each change of state, and JSON behind its length in four octets; each stream is a
connection of its own that begins with the control connection's cookie of 37 octets.
"""

import json
import select
import socket
import struct
import sys
import time

__all__ = ["serve"]

TEST_START, TEST_RUNNING, TEST_END = 1, 2, 4
PARAM_EXCHANGE, CREATE_STREAMS, EXCHANGE_RESULTS, DISPLAY_RESULTS, IPERF_DONE = 9, 10, 13, 14, 16
COOKIE_OCTETS = 37
PART_OCTETS = 128 * 1024


def exactly(sock: socket.socket, count: int) -> bytes:
    """Receive so many octets."""
    octets = b""
    while len(octets) < count:
        part = sock.recv(count - len(octets))
        if not part:
            raise EOFError
        octets += part
    return octets


def receive_json(control: socket.socket) -> dict:
    """Receive an object."""
    (length,) = struct.unpack("!I", exactly(control, 4))
    found: dict = json.loads(exactly(control, length))
    return found


def send_json(control: socket.socket, value: dict) -> None:
    """Send an object."""
    text = json.dumps(value).encode()
    control.sendall(struct.pack("!I", len(text)) + text)


def send_state(control: socket.socket, state: int) -> None:
    """Tell the client that the test is in another state."""
    control.sendall(bytes([state]))


def move(control: socket.socket, streams: list[socket.socket], *, reverse: bool) -> dict[int, int]:
    """Move octets until the client ends the test; return how many went by each stream."""
    counts = {stream.fileno(): 0 for stream in streams}
    by_fd = {stream.fileno(): stream for stream in streams}
    zeros = bytes(PART_OCTETS)
    poll = select.poll()
    poll.register(control, select.POLLIN)
    for stream in streams:
        stream.setblocking(False)
        poll.register(stream, select.POLLOUT if reverse else select.POLLIN)
    while True:
        for fd, _ in poll.poll():
            if fd == control.fileno():
                state = exactly(control, 1)[0]
                assert state == TEST_END, state
                return counts
            try:
                count = by_fd[fd].send(zeros) if reverse else len(by_fd[fd].recv(PART_OCTETS))
            except BlockingIOError:
                continue
            counts[fd] += count
            if not count:
                poll.unregister(fd)


def retransmits(stream: socket.socket) -> int:
    """Return how many segments have been sent again (``tcpi_total_retrans``)."""
    info = stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192)
    number: int = struct.unpack_from("I", info, 100)[0]
    return number


def one_test(listener: socket.socket) -> None:
    """Do one test."""
    control, _ = listener.accept()
    with control:
        cookie = exactly(control, COOKIE_OCTETS)
        send_state(control, PARAM_EXCHANGE)
        parameters = receive_json(control)
        send_state(control, CREATE_STREAMS)
        streams = []
        for _ in range(parameters.get("parallel", 1)):
            stream, _ = listener.accept()
            assert exactly(stream, COOKIE_OCTETS) == cookie
            streams.append(stream)
        send_state(control, TEST_START)
        send_state(control, TEST_RUNNING)
        started = time.monotonic()
        counts = move(control, streams, reverse=parameters.get("reverse", False))
        took_s = time.monotonic() - started
        rest = {"jitter": 0, "errors": 0, "packets": 0, "start_time": 0, "end_time": took_s}
        numbers = [1, *range(3, len(streams) + 2)]  # As iperf3 counts them.
        results = [
            {"id": number, "bytes": counts[stream.fileno()], "retransmits": retransmits(stream), **rest}
            for number, stream in zip(numbers, streams, strict=True)
        ]
        for stream in streams:
            stream.close()  # Now: a client that receives waits for a whole block, or for the end.
        send_state(control, EXCHANGE_RESULTS)
        receive_json(control)
        cpu = dict.fromkeys(("cpu_util_total", "cpu_util_user", "cpu_util_system"), 0)
        send_json(control, {**cpu, "sender_has_retransmits": 1, "streams": results})
        send_state(control, DISPLAY_RESULTS)
        assert exactly(control, 1)[0] == IPERF_DONE
        print(f"{sum(counts.values())} octets in {took_s:.3f} s", flush=True)


def serve(port: int) -> None:
    """Do tests for ever."""
    with socket.create_server(("", port)) as listener:
        while True:
            one_test(listener)


if __name__ == "__main__":
    serve(int(sys.argv[1]) if sys.argv[1:] else 5201)
