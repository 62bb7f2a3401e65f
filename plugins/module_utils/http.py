# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All HTTP of this collection: one request, many over a kept connection, one download, one question whether a file is there.

Certificates are always checked, proxies come from the environment, ``~/.netrc`` is not read. Redirects are followed here
and not by urllib, which would take the Authorization header along to any host.
Messages name addresses without credentials and query, where signed addresses carry their secret.
"""

from __future__ import annotations

import base64
import http.client
import io
import json
import os
import re
import ssl
import string
import time
import urllib.error
from typing import NamedTuple
from urllib.parse import quote, unquote, urljoin, urlsplit, urlunsplit

try:
    from ansible.module_utils.urls import open_url
except ImportError:
    # A program on a host, where there is no Ansible: it uses `direct` and Connection alone.
    open_url = None

# How a module is told to log in to a service; the doc fragment login tells the same.
LOGIN = {
    "ca_path": {"type": "path"},
    "username": {"type": "str"},
    "password": {"type": "str", "no_log": True},
}
USER_AGENT = "pachedu.observability"
MAX_REDIRECTS = 5
REDIRECT_STATUSES = (301, 302, 303, 307, 308)
RETRY_STATUSES = (429, 500, 502, 503, 504)
# Seconds before the second, third and fourth attempt; a server's Retry-After may make a pause longer, up to the last value.
RETRY_PAUSES = (1.0, 2.0, 4.0)
LONGEST_RETRY_AFTER = 30.0
CHUNK_BYTES = 256 * 1024
DEFAULT_PORTS = {"http": 80, "https": 443}
_BEARER_TOKEN = re.compile(r"[\x21-\x7e]+")


class HttpError(Exception):
    """The server could not be asked at all (DNS, refused, TLS, timeout...).

    ``requests`` is the number of requests made before it was given up.
    """

    requests = 0


class HttpTransientError(HttpError):
    """The same question may be answered a moment later."""


class HttpStatusError(HttpError):
    """A download or a probe was answered, but not with the file. ``status`` is the HTTP status."""

    def __init__(self, message, status):
        super().__init__(message)
        self.status = status


class Response:
    """An answer with any HTTP status: ``status``, ``headers`` (lower-case keys), ``body`` (bytes), ``url``."""

    def __init__(self, status, headers, body, url=""):
        self.status = status
        self.headers = headers
        self.body = body
        self.url = url

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    def json(self):
        """The parsed body; raises HttpError with the start of the body if it is not JSON."""
        try:
            return json.loads(self.body.decode("utf-8"))
        except ValueError as exc:
            start = self.text[:200].strip() or "nothing"
            raise HttpError(f"{public_address(self.url)} answered HTTP {self.status} with something that is not JSON: {start}") from exc


class Download(NamedTuple):
    """What was downloaded: its size, how many requests that took, and the address that answered in the end."""

    bytes: int
    requests: int
    final_url: str


class Probe(NamedTuple):
    """A file that a server has: its size (None where the server does not tell), requests made, the address that answered."""

    length: int | None
    requests: int
    final_url: str


def _split(url):
    try:
        return urlsplit(url)
    except ValueError as exc:
        raise HttpError("not a valid web address: the host in brackets is not an IPv6 address") from exc


def is_url(address):
    """Whether this names a file on a web server rather than a path."""
    return re.match(r"https?://", address, re.IGNORECASE) is not None


def public_address(url):
    """The address as it may be shown and recorded: without credentials, query and fragment."""
    parts = _split(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def file_name(address):
    """The last part of an address or path, as checksum files list it; empty for what ends in a slash."""
    path = unquote(_split(address).path) if is_url(address) else address
    return path.rpartition("/")[2]


def split_credentials(url):
    """``https://user:password@host/x`` → (``https://host/x``, user, password); user and password are None where none are given."""
    parts = _split(url)
    userinfo, at, host = parts.netloc.rpartition("@")
    if not at:
        return url, None, None
    username, dummy, password = userinfo.partition(":")
    return urlunsplit(parts._replace(netloc=host)), unquote(username), unquote(password)


def secrets(url):
    """What of an address must not be shown: its password, as written and decoded, and a query long enough to be a signature."""
    parts = _split(url)
    password = parts.netloc.rpartition("@")[0].partition(":")[2]
    query = parts.query if len(parts.query) >= 8 else ""
    return {one for one in (password, unquote(password), query) if one}


def origin(url):
    """(scheme, host, port): who it is that a credential was meant for. Raises HttpError for what is no http(s) address."""
    parts = _split(url)
    try:
        port = parts.port
    except ValueError as exc:
        raise HttpError(f"{public_address(url)}: the port is not a number") from exc
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        raise HttpError(f"{public_address(url)}: not an http:// or https:// address")
    return parts.scheme, parts.hostname, port or DEFAULT_PORTS[parts.scheme]


def redirect_target(url, location):
    """The address that a redirect leads to; raises HttpError for one that must not be followed."""
    if not location:
        raise HttpError(f"{public_address(url)}: the server redirects without saying where")
    target = urljoin(url, quote(location, safe=string.punctuation))
    # Credentials and fragments in a redirect are of no use to us: the first are not ours, the second are for browsers.
    target = urlunsplit(_split(split_credentials(target)[0])._replace(fragment=""))
    scheme = origin(target)[0]
    if origin(url)[0] == "https" and scheme == "http":
        raise HttpError(f"{public_address(url)}: a redirect from https to plain http ({public_address(target)}) is refused")
    return target


def request(
    url,
    method="GET",
    data=None,
    headers=None,
    username=None,
    password=None,
    ca_path=None,
    client_cert=None,
    client_key=None,
    timeout=10.0,
    use_proxy=True,
    max_bytes=16 * 1024 * 1024,
):
    """One request to an API. Any HTTP status is returned, not raised; raises HttpError when no answer could be had.

    ``data``: bytes, or a dict or list (sent as JSON). A redirect of GET or HEAD is followed within the same scheme, host and
    port only; any other redirect is returned as it is.
    """
    url, url_username, url_password = split_credentials(url)
    sent = {str(key): value for key, value in (headers or {}).items()}
    if isinstance(data, (dict, list)):
        data = json.dumps(data).encode("utf-8")
        if "content-type" not in {key.lower() for key in sent}:
            sent["Content-Type"] = "application/json"
    if username is None:
        username, password = url_username, url_password
    if username is not None:
        sent["Authorization"] = _basic(username, password)
    options = {"ca_path": ca_path, "client_cert": client_cert, "client_key": client_key, "timeout": timeout, "use_proxy": use_proxy}
    for _hop in range(MAX_REDIRECTS + 1):
        answer = _open(url, method, sent, data=data, decompress=True, **options)
        with _closing(answer, url):
            if answer.status in REDIRECT_STATUSES and method in ("GET", "HEAD") and answer.headers.get("location"):
                target = urljoin(url, quote(answer.headers["location"], safe=string.punctuation))
                if _same_origin(url, target):
                    url = split_credentials(target)[0]
                    continue
            body = answer.read(max_bytes + 1)
            if len(body) > max_bytes:
                raise HttpError(f"{public_address(url)}: the answer is larger than {max_bytes} bytes")
            return Response(answer.status, answer.headers, body, url)
    raise HttpError(f"{public_address(url)}: more than {MAX_REDIRECTS} redirects")


def direct(
    url,
    method="GET",
    data=None,
    headers=None,
    username=None,
    password=None,
    ca_path=None,
    timeout=10.0,
    use_proxy=False,
    max_bytes=16 * 1024 * 1024,
):
    """As ``request``, with Python's own library alone: for programs on a host. There are no redirects, proxies and client certificates."""
    if use_proxy:
        raise HttpError(f"{public_address(url)}: a program on a host uses no proxy")
    base, url_username, url_password = split_credentials(url)
    scheme, host, port = origin(base)
    parts = _split(base)
    if username is None:
        username, password = url_username, url_password
    where = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
    with Connection(where, username, password, headers=headers, ca_path=ca_path, timeout=timeout) as connection:
        return connection.request((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), method, data, max_bytes)


class Connection:
    """Requests to one server over one connection that is kept open: for many small questions. For one thread at a time.

    Nothing is asked before the first ``request``. There are no redirects and no proxies. ``base`` may have a path, which stands
    before each request's own. Use it in ``with``, or ``close`` it.
    """

    def __init__(self, base, username=None, password=None, token=None, headers=None, ca_path=None, timeout=30.0):
        base, url_username, url_password = split_credentials(base)
        self.base = base.rstrip("/")
        self.ca_path = ca_path
        self.timeout = timeout
        self.headers = {"User-Agent": USER_AGENT, "Accept": "application/json", **(headers or {})}
        if username is None:
            username, password = url_username, url_password
        authorization = _authorization(base, token) if token else (_basic(username, password) if username is not None else None)
        if authorization:
            self.headers["Authorization"] = authorization
        self._wire = None

    def __enter__(self):
        return self

    def __exit__(self, *dummy):
        self.close()

    def close(self):
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    def request(self, path, method="GET", data=None, max_bytes=64 * 1024 * 1024):
        """The answer with any HTTP status; raises HttpError when none could be had.

        ``data``: bytes, or a dict or list (sent as JSON). A kept connection that the server has closed meanwhile is opened anew for GET
        and HEAD. After any other method nobody knows whether the server still did it: that is an HttpTransientError.
        """
        url = self.base + path
        headers = dict(self.headers)
        if isinstance(data, (dict, list)):
            data = json.dumps(data).encode("utf-8")
            headers["Content-Type"] = "application/json"
        kept = self._wire is not None
        try:
            return self._exchange(url, method, data, headers, max_bytes)
        except HttpTransientError:
            if not kept or method not in ("GET", "HEAD"):
                raise
        return self._exchange(url, method, data, headers, max_bytes)

    def _exchange(self, url, method, data, headers, max_bytes):
        shown = public_address(url)
        finished = False
        try:
            if self._wire is None:
                self._wire = self._connect(url)
            parts = _split(url)
            self._wire.request(method, parts.path + (f"?{parts.query}" if parts.query else ""), body=data, headers=headers)
            raw = self._wire.getresponse()
            body = raw.read(max_bytes + 1)
            if len(body) > max_bytes:
                raise HttpError(f"{shown}: the answer is larger than {max_bytes} bytes")
            answer = Response(raw.status, {key.lower(): value for key, value in raw.getheaders()}, body, url)
            finished = raw.isclosed() and not raw.will_close
            return answer
        except ssl.SSLCertVerificationError as exc:
            raise HttpError(_untrusted(shown, exc)) from exc
        except http.client.InvalidURL as exc:
            raise HttpError(f"{shown}: not a valid address: it has spaces or control characters") from exc
        except (OSError, http.client.HTTPException) as exc:
            raise HttpTransientError(f"{shown} cannot be reached: {_reason(exc)}") from exc
        except ValueError as exc:
            raise HttpError(f"{shown}: not a valid address or header") from exc
        finally:
            if not finished:
                self.close()

    def _connect(self, url):
        scheme, host, port = origin(url)
        if scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=self.timeout)
        if self.ca_path and not os.access(self.ca_path, os.R_OK):
            raise HttpError(f"ca_path: {self.ca_path} does not exist or cannot be read, so {public_address(url)} was not asked")
        try:
            context = ssl.create_default_context(cafile=self.ca_path)
        except ssl.SSLError as exc:
            raise HttpError(f"ca_path: {self.ca_path} has no certificate in PEM format ({_reason(exc)})") from exc
        return http.client.HTTPSConnection(host, port, timeout=self.timeout, context=context)


def download(url, output, token=None, ca_path=None, timeout=30.0, max_bytes=None, on_chunk=None, on_start=None):
    """Streams a file into the binary file object ``output``; returns Download, raises HttpError or HttpStatusError.

    At most 5 redirects; https→http is refused. ``token`` (as ``Authorization: Bearer``), or the login that stands in the
    address, is sent only while scheme, host and port are those of the first address. Proxies of the environment are used.
    Three retries with growing pauses on connection errors, a body cut short, 429 and 5xx.

    ``on_start(length)`` is called before the body of each attempt with its announced size or None: the place to reset a hash,
    or to refuse by raising. ``on_chunk(bytes)`` is called for each piece. ``timeout`` is in seconds without any answer.
    The bytes are stored as they travel, whatever Content-Encoding says: that is what publishers' digests are of.
    """
    start = output.tell()

    def attempt(address, counter):
        answer = _follow(address, "GET", {}, _authorization(url, token), ca_path, timeout, counter)
        with _closing(answer, answer.url):
            if answer.status != 200:
                raise _status_error(answer)
            output.seek(start)
            output.truncate()
            length = _length(answer.headers.get("content-length"))
            if max_bytes is not None and length is not None and length > max_bytes:
                raise HttpError(f"{public_address(answer.url)}: {length} bytes, more than the {max_bytes} that are allowed")
            if on_start:
                on_start(length)
            size = _stream(answer, output, on_chunk, max_bytes)
            if length is not None and size != length:
                raise HttpTransientError(f"{public_address(answer.url)}: the server ended after {size} of {length} bytes")
            return Download(size, counter.requests, answer.url)

    return _with_retries(split_credentials(url)[0], attempt)


def fetch(url, token=None, ca_path=None, timeout=30.0, max_bytes=1024 * 1024):
    """A small file by ``download``: returns (its bytes, number of requests)."""
    output = io.BytesIO()
    done = download(url, output, token=token, ca_path=ca_path, timeout=timeout, max_bytes=max_bytes)
    return output.getvalue(), done.requests


def probe(url, token=None, ca_path=None, timeout=30.0):
    """Asks whether a file is there without fetching it: HEAD, or the first byte by GET where HEAD is refused. Rules as ``download``."""

    def attempt(address, counter):
        authorization = _authorization(url, token)
        answer = _follow(address, "HEAD", {}, authorization, ca_path, timeout, counter)
        with _closing(answer, answer.url):
            if answer.status == 200:
                return Probe(_length(answer.headers.get("content-length")), counter.requests, answer.url)
            if answer.status in (404, 410) or answer.status in RETRY_STATUSES:
                raise _status_error(answer)
        answer = _follow(address, "GET", {"Range": "bytes=0-0"}, authorization, ca_path, timeout, counter)
        with _closing(answer, answer.url):
            if answer.status == 206:
                return Probe(_length(answer.headers.get("content-range", "").rpartition("/")[2]), counter.requests, answer.url)
            if answer.status == 200:
                return Probe(_length(answer.headers.get("content-length")), counter.requests, answer.url)
            raise _status_error(answer)

    return _with_retries(split_credentials(url)[0], attempt)


class _Counter:
    """Counts requests over redirects and retries."""

    def __init__(self):
        self.requests = 0


class _Answer:
    """What urllib gives for a good and for a bad status, made alike."""

    def __init__(self, raw, url):
        self.raw = raw
        self.url = url
        self.status = getattr(raw, "code", None) or raw.status
        self.headers = {}
        for key, value in raw.headers.items():
            key = key.lower()
            self.headers[key] = f"{self.headers[key]}, {value}" if key in self.headers else value

    def read(self, size):
        # The one read of a response in the collection, so that a connection that breaks in the middle looks the same everywhere.
        try:
            return self.raw.read(size)
        except http.client.IncompleteRead as exc:
            return exc.partial
        except (OSError, http.client.HTTPException, EOFError) as exc:
            raise HttpTransientError(f"{public_address(self.url)}: the connection broke: {_reason(exc)}") from exc


class _closing:
    """Closes an answer, whose connection is of no further use."""

    def __init__(self, answer, url):
        self.answer = answer
        self.url = url

    def __enter__(self):
        return self.answer

    def __exit__(self, *dummy):
        self.answer.raw.close()


def _same_origin(one, other):
    try:
        return origin(one) == origin(other)
    except HttpError:
        return False


def _basic(username, password):
    return "Basic " + base64.b64encode(f"{username}:{password or ''}".encode()).decode("ascii")


def _authorization(url, token):
    """The Authorization header for the first address, or None."""
    if token:
        # http.client would quote the whole value in its own message.
        if not _BEARER_TOKEN.fullmatch(token):
            raise HttpError("token: it has characters that cannot be sent in a header (spaces, line ends, or not ASCII)")
        return f"Bearer {token}"
    dummy, username, password = split_credentials(url)
    return _basic(username, password) if username is not None else None


def _length(value):
    return int(value) if value is not None and re.fullmatch(r"[0-9]{1,15}", value.strip()) else None


def _reason(exc):
    reason = (exc.reason if isinstance(exc, urllib.error.URLError) else None) or exc
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror
    return str(reason) or type(reason).__name__


def _untrusted(shown, exc):
    detail = exc.verify_message or str(exc)
    if "expired" in detail:
        return f"{shown}: the server's certificate is not trusted ({detail}): it has to be renewed"
    return f"{shown}: the server's certificate is not trusted ({detail}); name its CA with ca_path"


def _status_error(answer):
    error = HttpStatusError(f"{public_address(answer.url)} answered HTTP {answer.status}", answer.status)
    error.retry_after = _length(answer.headers.get("retry-after"))
    return error


def _open(url, method, headers, ca_path=None, timeout=10.0, data=None, decompress=False, use_proxy=True, client_cert=None, client_key=None):
    """One request on the wire; returns _Answer for any status, raises HttpError or HttpTransientError."""
    origin(url)
    shown = public_address(url)
    for option, path in (("ca_path", ca_path), ("client_cert", client_cert), ("client_key", client_key)):
        if path and not os.access(path, os.R_OK):
            raise HttpError(f"{option}: {path} does not exist or cannot be read, so {shown} was not asked")
    try:
        raw = open_url(
            url,
            method=method,
            data=data,
            headers=headers,
            http_agent=USER_AGENT,
            use_proxy=use_proxy,
            timeout=timeout,
            validate_certs=True,
            ca_path=ca_path,
            client_cert=client_cert,
            client_key=client_key,
            follow_redirects="none",
            use_netrc=False,
            decompress=decompress,
        )
    except urllib.error.HTTPError as exc:
        raw = exc
    except (urllib.error.URLError, http.client.HTTPException, OSError) as exc:
        cause = exc.reason if isinstance(exc, urllib.error.URLError) else exc
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise HttpError(_untrusted(shown, cause)) from exc
        if isinstance(exc, http.client.InvalidURL):
            raise HttpError(f"{shown}: not a valid address: it has spaces or control characters") from exc
        raise HttpTransientError(f"{shown} cannot be reached: {_reason(exc)}") from exc
    except ValueError as exc:
        # Not the text of the exception: it may quote a header.
        raise HttpError(f"{shown}: not a valid address or header") from exc
    return _Answer(raw, url)


def _follow(url, method, headers, authorization, ca_path, timeout, counter):
    """Asks and follows redirects; the Authorization header goes only where scheme, host and port are those of ``url``."""
    first = origin(url)
    for _hop in range(MAX_REDIRECTS + 1):
        sent = dict(headers)
        if authorization and origin(url) == first:
            sent["Authorization"] = authorization
        counter.requests += 1
        answer = _open(url, method, sent, ca_path=ca_path, timeout=timeout)
        if answer.status not in REDIRECT_STATUSES:
            return answer
        with _closing(answer, url):
            url = redirect_target(url, answer.headers.get("location"))
    raise HttpError(f"{public_address(url)}: more than {MAX_REDIRECTS} redirects")


def _with_retries(url, attempt):
    counter = _Counter()
    pauses = list(RETRY_PAUSES)
    while True:
        try:
            return attempt(url, counter)
        except HttpError as exc:
            exc.requests = counter.requests
            transient = isinstance(exc, HttpTransientError) or getattr(exc, "status", None) in RETRY_STATUSES
            if not transient or not pauses:
                raise
            pause = max(pauses.pop(0), min(getattr(exc, "retry_after", None) or 0, LONGEST_RETRY_AFTER))
        time.sleep(pause)


def _stream(answer, output, on_chunk, max_bytes):
    size = 0
    while True:
        chunk = answer.read(CHUNK_BYTES)
        if not chunk:
            return size
        size += len(chunk)
        if max_bytes is not None and size > max_bytes:
            raise HttpError(f"{public_address(answer.url)}: more than the {max_bytes} bytes that are allowed")
        output.write(chunk)
        if on_chunk:
            on_chunk(chunk)
