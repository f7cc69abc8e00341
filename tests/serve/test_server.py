"""The server in a process of its own: its address, its queue, its end."""

import asyncio
import json
import signal
import socket
import threading
import time
from contextlib import contextmanager

import pytest

from sav.cli import dispatch
from sav.commands import serve as command
from sav.errors import SAVError
from sav.serve.limits import Limits, RequestError
from sav.serve.server import allowed_hosts, is_loopback, listen
from sav.serve.worker import Worker

from ..fixtures.run_folder import make_photo
from .browser import server
from .conftest import as_png

PHOTO = as_png(make_photo(48, 80, 1))


@pytest.fixture(scope="module")
def start(run_folder, tmp_path_factory):
    """Starts a server; yields its process, its port, and the folder of its temporary files."""

    @contextmanager
    def start(*words):
        place = tmp_path_factory.mktemp("temporary")
        with server("--model", str(run_folder), *words, TMPDIR=str(place)) as (process, url):
            yield process, int(url.rpartition(":")[2]), place

    return start


@pytest.fixture(scope="module")
def small(start):
    """A server with little room, that several tests ask: its port and its folder."""
    with start("--queue", "2", "--time-limit", "15", "--max-mib", "1") as (_, port, place):
        yield port, place


def head(size, *lines, host="127.0.0.1"):
    first = ("POST /predict HTTP/1.1", f"Host: {host}", "Content-Type: image/png")
    return "\r\n".join([*first, f"Content-Length: {size}", *lines, "", ""]).encode()


class Client:
    """One connection, byte by byte."""

    def __init__(self, port):
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)

    def send(self, data):
        self._socket.sendall(data)

    def receive(self):
        """Status, headers and the body from JSON of one answer."""
        with self._socket.makefile("rb") as stream:
            status = int(stream.readline().split()[1])
            lines = iter(lambda: stream.readline().strip(), b"")
            headers = dict(line.decode().split(": ", 1) for line in lines)
            body = stream.read(int(headers["content-length"]))
        return status, headers, json.loads(body)

    def ask(self, photo=PHOTO):
        self.send(head(len(photo)) + photo)
        return self.receive()

    def close(self):
        self._socket.close()


def requests_at(port):
    client = Client(port)
    client.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    count = client.receive()[2]["requests"]
    client.close()
    return count


def wait_for(port, count):
    """Until as many requests are there; the test's time limit ends the wait."""
    while requests_at(port) != count:
        time.sleep(0.05)


def test_a_full_queue_says_so_and_when_to_come_again(small):
    port, _ = small
    slow = [Client(port), Client(port)]
    for client in slow:
        client.send(head(len(PHOTO)) + PHOTO[:100])
    wait_for(port, 2)
    status, headers, answer = Client(port).ask()
    assert status == 503
    assert int(headers["retry-after"]) > 0
    assert "ask again" in answer["error"]
    for client in slow:
        client.send(PHOTO[100:])
        assert client.receive()[0] == 200
    assert Client(port).ask()[0] == 200


def test_a_photo_that_does_not_come_loses_its_place(small):
    port, _ = small
    slow = Client(port)
    slow.send(head(len(PHOTO)) + PHOTO[:100])
    status, _, answer = slow.receive()
    assert status == 408
    assert "time" in answer["error"]
    wait_for(port, 0)


def test_clients_that_go_away_leave_nothing_behind(small):
    port, place = small
    for sent in (10, 100, len(PHOTO)):
        client = Client(port)
        client.send(head(len(PHOTO)) + PHOTO[:sent])
        client.close()
        wait_for(port, 0)
    assert Client(port).ask()[0] == 200
    assert list(place.glob("sav-serve-*")) == []


def test_a_client_that_asks_before_it_sends_is_refused_at_once(small):
    port, _ = small
    client = Client(port)
    client.send(head(5_000_000, "Expect: 100-continue"))
    assert client.receive()[0] == 413
    other = Client(port)
    other.send(head(2_000_000) + b"\0" * 2_000_000)
    assert other.receive()[0] == 413


def test_hostile_requests_end_and_the_server_goes_on(small):
    port, _ = small
    for data in (b"\0" * 100, b"GET / HTTP/9.9\r\n\r\n", b"GET /" + b"a" * 100_000):
        client = Client(port)
        client.send(data)
        client._socket.shutdown(socket.SHUT_WR)
        assert b" 200 " not in client._socket.recv(1000)
    assert Client(port).ask()[0] == 200


def test_ctrl_c_answers_the_last_request_and_ends_well(start, capfd):
    with start() as (process, port, place):
        gone = Client(port)
        gone.send(head(len(PHOTO)) + PHOTO[:100])
        gone.close()
        broken = Client(port)
        broken.send(head(4).replace(b"image/png", b"multipart/form-data; boundary=b") + b"junk")
        assert broken.receive()[0] == 400
        wait_for(port, 0)
        client = Client(port)
        client.send(head(len(PHOTO)) + PHOTO[:100])
        wait_for(port, 1)
        process.send_signal(signal.SIGINT)
        client.send(PHOTO[100:])
        assert client.receive()[0] == 200
        client.close()
        assert process.wait(60) == 0
        assert process.stdout.read() == "stopped\n"
    assert list(place.iterdir()) == []
    assert capfd.readouterr().err == ""  # strangers do not write the log


def test_a_busy_port_is_one_line_before_the_model_is_loaded(tmp_path):
    with listen("127.0.0.1", 0) as taken:
        port = str(taken.getsockname()[1])
        with pytest.raises(SAVError, match=rf"^127\.0\.0\.1 port {port}: in use .*--port"):
            dispatch(["serve", "--port", port, "--model", str(tmp_path / "nowhere")])


def test_a_package_that_is_missing_is_one_line(monkeypatch):
    monkeypatch.setattr(command, "_NEEDS", ("uvicorn", "no_such_package"))
    with pytest.raises(SAVError, match=r"^sav serve needs no_such_package; .*\[serve\]"):
        dispatch(["serve"])


def test_addresses_of_other_machines_are_refused():
    with pytest.raises(SAVError, match=r"203\.0\.113\.1 port 0: cannot be listened at"):
        listen("203.0.113.1", 0)
    with pytest.raises(SAVError, match="no-such-host"):
        listen("no-such-host.invalid", 0)


def test_only_this_machine_is_answered_unless_more_is_said():
    assert all(map(is_loopback, ("127.0.0.1", "127.0.0.2", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.0.2", "example.org")))
    assert allowed_hosts("127.0.0.1", []) == {"127.0.0.1", "localhost", "::1"}
    assert "cars.example" in allowed_hosts("127.0.0.1", ["Cars.example"])
    assert allowed_hosts("0.0.0.0", []) is None
    assert "0.0.0.0" in allowed_hosts("0.0.0.0", ["cars.example"])


def test_jobs_have_their_turn_in_the_order_in_which_they_come():
    async def run():
        worker, done = Worker(9), []
        await asyncio.gather(*(worker.run(lambda i=i: done.append(i)) for i in range(9)))
        worker.close()
        return done

    assert asyncio.run(run()) == list(range(9))


def test_a_job_that_nobody_waits_for_is_not_begun():
    async def run():
        worker, go, done = Worker(9), threading.Event(), []
        first = asyncio.ensure_future(worker.run(go.wait))
        second = asyncio.ensure_future(worker.run(lambda: done.append(2)))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        go.set()
        await first
        await worker.run(lambda: done.append(3))
        worker.close()
        return done

    assert asyncio.run(run()) == [3]


def test_a_job_that_fails_leaves_the_worker_as_it_was():
    async def run():
        worker = Worker(1)
        with worker.place(), pytest.raises(ZeroDivisionError):
            await worker.run(lambda: 1 / 0)
        with worker.place(), pytest.raises(RequestError), worker.place():
            pass
        assert worker.taken == 0
        return await worker.run(lambda: "next")

    assert asyncio.run(run()) == "next"


def test_the_limits_are_those_of_a_phone():
    assert Limits().max_pixels >= 12_000_000
    assert Limits().max_bytes >= 10 * 2**20
