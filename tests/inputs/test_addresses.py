"""Images on the web: limits, hosts, servers that mean harm. The servers are in the test's own process."""

import http.server
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import vlmres
from tests.compare import assert_equal_batches
from tests.images import EXAMPLES
from vlmres import Fetch
from vlmres.inputs import addresses

PHOTO = EXAMPLES / "photo.jpg"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    together = 0
    most_together = 0
    lock = threading.Lock()

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        name, _, rest = self.path.strip("/").partition("/")
        getattr(self, f"send_{name.partition('?')[0]}", self.send_nothing)(rest)

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def send_photo(self, _: str) -> None:
        with self.lock:
            Handler.together += 1
            Handler.most_together = max(Handler.together, Handler.most_together)
        if "wait" in self.path:
            time.sleep(0.3)
        self.answer(200, PHOTO.read_bytes())
        with self.lock:
            Handler.together -= 1

    def send_nothing(self, _: str) -> None:
        self.answer(404, b"no such page")

    def send_again(self, rest: str) -> None:
        left = int(rest)
        self.answer(302, Location=f"/again/{left - 1}" if left else "/photo")

    def send_to(self, rest: str) -> None:
        self.answer(301, Location=rest)

    def send_short(self, _: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"x" * 10)
        self.close_connection = True

    def send_drip(self, _: str) -> None:
        self.send_response(200)
        self.end_headers()
        self.forever(b"x", 0.05)

    def send_headers(self, _: str) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
        self.forever(b"x", 0.05)

    def send_flood(self, _: str) -> None:
        self.send_response(200)
        self.end_headers()
        self.forever(bytes(1 << 16), 0)

    def forever(self, piece: bytes, pause: float) -> None:
        try:
            while True:
                self.wfile.write(piece)
                self.wfile.flush()
                time.sleep(pause)
        except OSError:
            self.close_connection = True


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def processor(**limits: Any) -> vlmres.Processor:
    return vlmres.Processor("llava-1.5", dtype="uint8", fetch=Fetch(private=True, **limits))


def test_addresses_are_fetched_where_asked(site: str) -> None:
    proc = processor()
    expected = proc([PHOTO, PHOTO, PHOTO])
    row = {"bytes": None, "path": f"{site}/photo"}
    assert_equal_batches(proc([f"{site}/photo?token=secret", PHOTO, row]).torch(), expected.torch())
    assert proc.plan(f"{site}/photo") == expected.plans[0]
    assert_equal_batches(proc([f"{site}/again/4"]).torch(), proc([PHOTO]).torch())
    with pytest.raises(vlmres.VlmresError, match=r"image 0: .*fetch=True"):
        vlmres.Processor("llava-1.5")([f"{site}/photo"])
    for call in (vlmres.image_size, lambda address: vlmres.plan(address, "llava-1.5")):
        with pytest.raises(vlmres.VlmresError, match="fetch=True"):
            call(f"{site}/photo")


def test_files_of_a_call_are_fetched_beside_each_other(site: str) -> None:
    Handler.most_together = 0
    processor(concurrent=4)([f"{site}/photo?wait"] * 8)
    assert 2 <= Handler.most_together <= 4


def test_frames_are_fetched_too(site: str) -> None:
    proc = vlmres.Processor("qwen2-vl", fetch=Fetch(private=True))
    frames = [f"{site}/photo", f"{site}/photo"]
    assert_equal_batches(proc(videos=[frames]).torch(), proc(videos=[[PHOTO, PHOTO]]).torch())
    with pytest.raises(vlmres.VlmresError, match=r"video 0: frame 1: .*404"):
        proc(videos=[[f"{site}/photo", f"{site}/nowhere"]])


def test_what_is_wrong_costs_the_image_alone(site: str) -> None:
    proc = processor(redirects=2, max_bytes=1_000_000, timeout=3)
    bad = {
        f"{site}/nowhere": "answers 404",
        f"{site}/again/3": "redirects more than 2 times",
        f"{site}/to/ftp://example.org/x": "begins with http",
        f"{site}/to/file:///etc/passwd": "begins with http",
        f"{site}/short": "ends after 10 of 1,000 bytes",
        f"{site}/flood": "over 1,000,000 bytes",
        f"{site}/drip": "takes over 3 s",
        f"{site}/headers": "takes over 3 s|got more than",
        "http://": "begins with http",
        "http://127.0.0.1:99999/": "cannot fetch",
        "http://a..b/": "cannot fetch",
    }
    batch = proc([f"{site}/photo", *bad, f"{site}/photo"], errors="return")
    assert batch.indices == [0, len(bad) + 1]
    for index, (address, message) in enumerate(bad.items(), 1):
        with pytest.raises(vlmres.VlmresError, match=message):
            raise batch.errors[index]
        assert len(str(batch.errors[index])) < 300, address


def test_errors_have_no_secrets(site: str) -> None:
    with pytest.raises(vlmres.VlmresError, match="404") as caught:
        processor()([f"{site}/nowhere?X-Signature=secret"])
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "10.1.2.3",
        "192.168.0.1",
        "169.254.169.254",
        "0.0.0.0",
        "100.64.0.1",
        "224.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[fd00::1]",
        "[fe80::1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "2130706433",
        "0x7f.1",
    ],
)
def test_private_hosts_are_out_of_reach(host: str) -> None:
    proc = vlmres.Processor("llava-1.5", fetch=True)
    with pytest.raises(vlmres.VlmresError, match="not a public address"):
        proc([f"http://{host}/image.png"])


def test_each_redirect_is_checked_and_the_checked_address_is_asked(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is public at first and private later: of a redirect, or at a second question."""
    port = int(site.rpartition(":")[2])
    asked: list[str] = []

    def resolve(host: str, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        address = "127.0.0.1" if host == "public.test" else "10.0.0.7"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(addresses, "_is_public", lambda address: str(address) == "127.0.0.1")
    monkeypatch.setattr(socket, "create_connection", _connect)
    proc = vlmres.Processor("llava-1.5", dtype="uint8", fetch=True)
    assert proc([f"http://public.test:{port}/photo"]).indices == [0]
    assert asked == ["public.test"]
    with pytest.raises(vlmres.VlmresError, match=r"'inner\.test' is 10\.0\.0\.7, which is not a public address"):
        proc([f"http://public.test:{port}/to/http://inner.test/x"])


def _connect(address: tuple[str, int], timeout: float) -> socket.socket:
    """Fails for a name, which would be resolved once more."""
    assert address[0] == "127.0.0.1"
    connection = socket.socket()
    connection.settimeout(timeout)
    connection.connect(address)
    return connection


@pytest.mark.parametrize("limits", [{"max_bytes": 0}, {"timeout": 0}, {"redirects": -1}, {"concurrent": 0}])
def test_limits_are_positive(limits: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(limits))):
        Fetch(**limits)
