"""Images on the web, fetched if the caller asks for it.

Addresses and servers are not trusted. The host's own network is out of reach: every IP address that a name resolves to
is checked, also after every redirect, and the connection goes to the IP address that was checked.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import math
import socket
import ssl
import threading
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmres._core import VlmresError
from vlmres.inputs.errors import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

_PIECE = 1 << 16
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_HEADERS = {"User-Agent": "vlmres", "Accept": "image/*,*/*;q=0.5", "Accept-Encoding": "identity", "Connection": "close"}
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class Fetch:
    """Limits of fetching images over http and https. Proxies are not used.

    Args:
        max_bytes: Most bytes of a file.
        timeout: Most seconds for a file, redirects included.
        redirects: Most redirects. A redirect from https to http is refused.
        private: Whether the host itself and private networks may be reached, too.
        concurrent: Most files that are fetched at the same time.

    Raises:
        ValueError: A number is not positive; redirects may be 0.
    """

    max_bytes: int = 64 << 20
    timeout: float = 20.0
    redirects: int = 5
    private: bool = False
    concurrent: int = 16

    def __post_init__(self) -> None:
        for name, least in (("max_bytes", 1), ("redirects", 0), ("concurrent", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if not 0 < self.timeout < math.inf:
            raise ValueError(f"timeout must be positive seconds, got {self.timeout}")

    def all(self, addresses: Sequence[str]) -> list[bytes | VlmresError]:
        """Fetches files at the same time: for each address its bytes, or the error."""
        if not addresses:
            return []
        with ThreadPoolExecutor(min(self.concurrent, len(addresses)), thread_name_prefix="vlmres-fetch") as pool:
            return list(pool.map(self._one, addresses))

    def _one(self, address: str) -> bytes | VlmresError:
        deadline = time.monotonic() + self.timeout
        try:
            return self._fetch(address, deadline)
        except VlmresError as error:
            return error
        except (OSError, http.client.HTTPException, ValueError) as error:
            is_late = time.monotonic() >= deadline
            reason = f"it takes over {self.timeout} s (Fetch.timeout)" if is_late else str(error)[:100]
            return VlmresError(f"cannot fetch {named(address)}: {reason or type(error).__name__}")

    def _fetch(self, address: str, deadline: float) -> bytes:
        place = address
        for _ in range(self.redirects + 1):
            found = urllib.parse.urlsplit(place)
            with contextlib.closing(_Connection(found, self.private, deadline)) as connection:
                target = urllib.parse.urlunsplit(("", "", found.path or "/", found.query, ""))
                connection.request("GET", urllib.parse.quote(target, safe="/%?=&;:@+,!$'()*~#[]"), headers=_HEADERS)
                with connection.getresponse() as response:  # which holds the socket, too
                    moved = response.getheader("Location") if response.status in _REDIRECTS else None
                    if moved is None:
                        if response.status != http.HTTPStatus.OK:
                            raise VlmresError(f"cannot fetch {named(address)}: the server answers {response.status}")
                        return self._body(response, deadline, address)
            before, place = found.scheme, urllib.parse.urljoin(place, moved)
            if before == "https" and not place.startswith("https:"):
                raise VlmresError(f"{named(address)} redirects to {named(place)}, which is not https")
        raise VlmresError(f"{named(address)} redirects more than {self.redirects} times")

    def _body(self, response: http.client.HTTPResponse, deadline: float, address: str) -> bytes:
        said = response.length
        pieces: list[bytes] = []
        size = 0
        while True:
            if max(size, said or 0) > self.max_bytes:
                raise VlmresError(f"{named(address)} has over {self.max_bytes:,} bytes (Fetch.max_bytes)")
            piece = response.read1(_PIECE)
            _left(deadline)
            if not piece:
                break
            size += len(piece)
            pieces.append(piece)
        if said is not None and size < said:
            raise VlmresError(f"{named(address)} ends after {size:,} of {said:,} bytes")
        return b"".join(pieces)


class _Connection(http.client.HTTPConnection):
    """A connection to a checked IP address of a host, with a deadline."""

    def __init__(self, place: urllib.parse.SplitResult, private: bool, deadline: float) -> None:
        if place.scheme not in ("http", "https") or not place.hostname:
            raise VlmresError(f"an address begins with http:// or https:// and a host, got {named(place.geturl())}")
        self._is_https = place.scheme == "https"
        super().__init__(place.hostname, place.port or (443 if self._is_https else 80))
        self._private = private
        self._deadline = deadline
        # The timeout of a read alone is not enough: a slow server that sends single bytes never exceeds it.
        self._watch = threading.Timer(_left(deadline), self._cut)
        self._watch.daemon = True

    def close(self) -> None:
        """Ends the connection."""
        self._watch.cancel()
        super().close()

    def _cut(self) -> None:
        if self.sock is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self.sock, socket.SHUT_RDWR)

    def connect(self) -> None:
        """Connects to the first of the host's addresses that answers."""
        failed: OSError | None = None
        for address in _resolved(self.host, self.port, self._private):
            try:
                self.sock = socket.create_connection((address, self.port), timeout=_left(self._deadline))
                break
            except OSError as error:
                failed = error
        else:
            raise failed or OSError("no address")
        self._watch.start()
        if self._is_https:
            context = ssl.create_default_context()
            self.sock = context.wrap_socket(self.sock, server_hostname=self.host, do_handshake_on_connect=False)
            self.sock.do_handshake()


def _left(deadline: float) -> float:
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


def _resolved(host: str, port: int, private: bool) -> list[str]:
    """The addresses of a host.

    Raises:
        VlmresError: One of them is not public.
    """
    found = dict.fromkeys(str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    for text in found:
        if not private and not _is_public(ipaddress.ip_address(text.partition("%")[0])):
            raise VlmresError(f"{shown(host)} is {text}, which is not a public address (Fetch(private=True) allows it)")
    return list(found)


def _is_public(address: _Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        # IPv6 addresses that contain an IPv4 address.
        held = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            held = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if held is not None:
            return _is_public(held)
        if address.teredo is not None or address.is_site_local:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def named(address: str) -> str:
    """An address without the parts that may be secret."""
    found = urllib.parse.urlsplit(address)
    return shown(f"{found.scheme}://{found.hostname or ''}{found.path}")
