#!/usr/bin/python3
"""A worker for Kronos in one file. It delivers the HTTP executions of one workspace.

    DATABASE_URL='host=/var/run/postgresql user=postgres dbname=postgres' worker.py --workspace default

It follows the protocol in docs/workers.md, and is meant to be read by whoever writes a worker in another language. It
needs psycopg2 and nothing else. From top to bottom:

    Attempt, Outcome     what is claimed, and what is reported
    Database             the calls of the protocol, on one connection
    Worker               when to claim, to extend leases, to report, and to reconnect
    deliver()            one HTTP request, in a thread of its own
    connect_to_host()    which addresses a request may go to

Only the main thread uses the database. A thread that has sent a request puts the outcome into a queue and wakes the
main thread up, which reports it.
"""

import argparse
import contextlib
import dataclasses
import http.client
import ipaddress
import json
import math
import os
import queue
import re
import select
import signal
import socket
import ssl
import sys
import threading
import time
import urllib.parse
import uuid

import psycopg2
import psycopg2.extensions

SHORTEST_PAUSE, LONGEST_PAUSE = 0.2, 30  # in seconds, before the worker reconnects
SHORTEST_SLEEP, LONGEST_SLEEP = 0.1, 60  # in seconds, after a claim that found nothing
CONNECT_TIMEOUT = 10  # in seconds, for each address of a receiver
MAX_READ_BYTES = 1 << 20  # how much of a response's body is read
MAX_BODY_BYTES = 4096  # how much of it is kept
TLS = ssl.create_default_context()  # verifies certificates with the system's authorities


@dataclasses.dataclass
class Outcome:
    """What a report says of an attempt."""

    function: str  # "complete", "fail" or "release"
    fields: dict = dataclasses.field(default_factory=dict)  # what complete and fail need besides the key
    retry_after: int = None  # in seconds, if the receiver asks for it


def failed(error, retryable, retry_after=None):
    """The outcome of an attempt that has failed."""
    return Outcome("fail", {"error": error, "retryable": retryable}, retry_after)


class Cancellation:
    """Ends a request from another thread, because Python cannot end a thread: it closes the request's socket. A request
    that has no socket yet ends as soon as it has one."""

    def __init__(self):
        self.cancelled = False
        self.socket = None

    def watch(self, sock):
        """Sets the socket of the request."""
        self.socket = sock
        if self.cancelled:
            raise TimeoutError

    def cancel(self):
        """Makes all reads and writes of the request fail or end."""
        self.cancelled = True
        if self.socket is not None:
            with contextlib.suppress(OSError):  # The socket may be closed already.
                # Not SSLSocket.shutdown(), which would let the other thread read on without TLS.
                socket.socket.shutdown(self.socket, socket.SHUT_RDWR)


@dataclasses.dataclass(eq=False)
class Attempt:
    """An attempt that the worker holds, from the claim until the report."""

    execution_id: str
    number: int  # every claim raises it; reports name it, so that a late one cannot change a later attempt
    body: str  # JSON as PostgreSQL prints it; never parsed here, so that it keeps numbers that a float cannot hold
    spec: dict
    time_limit: float  # in seconds, from the claim
    lease_ends: float  # by time.monotonic(); the lease lasts at least until then
    cancellation: Cancellation = dataclasses.field(default_factory=Cancellation)
    outcome: Outcome = None  # None while the request runs

    @property
    def key(self):
        """What names an attempt in the protocol."""
        return (self.execution_id, self.number)


class Database:
    """A connection to the database. Every call commits on its own, because a claim must commit before its executions
    run. All times are durations by the database's clock, because the worker's clock may differ."""

    def __init__(self, settings, worker_id):
        self.settings = settings
        self.worker_id = worker_id
        self.lease = f"{settings.lease} seconds"
        call_timeout = max(settings.lease // 3, 1)  # A longer call would delay the heartbeat.
        defaults = {
            "fallback_application_name": "worker.py",
            "connect_timeout": call_timeout,
            # Without these, a call would hang for hours if the network swallows packets.
            "keepalives_idle": call_timeout,
            "keepalives_interval": 1,
            "keepalives_count": call_timeout,
            "tcp_user_timeout": call_timeout * 1000,
        }
        # libpq reads the variables PGHOST, PGPASSWORD, PGSSLMODE and so on by itself.
        self.connection = psycopg2.connect(**{**defaults, **connection_options()})
        self.connection.autocommit = True
        self.cursor = self.connection.cursor()
        self.cursor.execute("set statement_timeout = %s", (call_timeout * 1000,))
        self.cursor.execute("listen kronos_executions")

    def close(self):
        """Closes the connection."""
        self.connection.close()

    def claim(self, count):
        """Claims up to `count` executions that may start now, and returns their attempts."""
        now = time.monotonic()  # before the call, so that the lease is never taken for longer than it is
        self.cursor.execute(
            """select execution_id::text, attempt, input::text, endpoint_spec,
                      extract(epoch from deadline_at - clock_timestamp())::float8
               from kronos.claim_executions(%s, %s, %s, '{HTTP}', workspace => %s)""",
            (self.worker_id, count, self.lease, self.settings.workspace),
        )
        return [
            Attempt(
                execution_id,
                number,
                body,
                spec,
                time_limit=self.time_limit(time_left),
                lease_ends=now + self.settings.lease,
            )
            for execution_id, number, body, spec, time_left in self.cursor.fetchall()
        ]

    def time_limit(self, time_left):
        """How long a request may take. It ends before the deadline, because the lease ends there."""
        if time_left is None:
            return self.settings.timeout
        return max(time_left * 0.9, time_left - 1, 0.01)

    def heartbeat(self, attempts):
        """Extends the leases of attempts. Yields each with whether the worker still holds it and should stop it."""
        now = time.monotonic()
        by_key = {attempt.key: attempt for attempt in attempts}
        rows = self.call("heartbeat_executions(%s, %s, %s)", [self.key_fields(a) for a in attempts], self.lease)
        for execution_id, number, accepted, stop_requested in rows:
            attempt = by_key[execution_id, number]
            if accepted:
                attempt.lease_ends = now + self.settings.lease
            yield attempt, accepted, stop_requested

    def report(self, attempt):
        """Reports the outcome of an attempt. Returns whether it was accepted: a late report changes nothing."""
        outcome = attempt.outcome
        execution = {**self.key_fields(attempt), **outcome.fields}
        if outcome.retry_after is None:
            rows = self.call(f"{outcome.function}_executions(%s, %s)", [execution])
        else:
            rows = self.call(
                """fail_executions(%s, jsonb_build_array(%s::jsonb || jsonb_build_object(
                       'retry_at', clock_timestamp() + make_interval(secs => %s))))""",
                execution,
                outcome.retry_after,
            )
        ((_, _, accepted, _),) = rows
        return accepted

    def key_fields(self, attempt):
        """The fields that every report starts with."""
        return {"execution_id": attempt.execution_id, "attempt": attempt.number}

    def call(self, call, executions, *arguments):
        """Calls a function about executions that the worker holds. Returns Kronos's reply about each."""
        self.cursor.execute(
            f"select execution_id::text, attempt, accepted, stop_requested from kronos.{call}",
            (self.worker_id, json.dumps(executions), *arguments),
        )
        return self.cursor.fetchall()

    def seconds_to_wakeup(self):
        """How long the worker may sleep after a claim has found nothing."""
        self.cursor.execute(
            "select extract(epoch from kronos.next_wakeup('{HTTP}', workspace => %s) - clock_timestamp())::float8",
            (self.settings.workspace,),
        )
        (seconds,) = self.cursor.fetchone()
        return LONGEST_SLEEP if seconds is None else min(max(seconds, SHORTEST_SLEEP), LONGEST_SLEEP)

    def wait(self, seconds, wakeup):
        """Sleeps until there is a notification, until `wakeup` is readable, or for some seconds."""
        # psycopg2 has already read the notifications that arrived during a call, so select() would not see them.
        if not self.connection.notifies:
            select.select([self.connection, wakeup], [], [], seconds)
        self.connection.poll()  # raises an error if the connection is closed
        self.connection.notifies.clear()


def connection_options():
    """The options of the connection string in DATABASE_URL."""
    try:
        return psycopg2.extensions.parse_dsn(os.environ.get("DATABASE_URL", ""))
    except psycopg2.Error:
        # The error would quote the string, and a password with a misplaced quote may be in any part of it.
        sys.exit("DATABASE_URL is not a valid connection string")


def describe_database_error(error):
    """The text of an error, without anything that the connection string contains."""
    if error.diag.message_primary is not None:
        return f"{error.pgcode}: {error.diag.message_primary}"
    text = str(error).strip() or type(error).__name__
    options = [(part, name) for name, value in connection_options().items() for part in value.split(",") if part]
    for part, name in sorted(options, key=lambda option: -len(option[0])):
        text = re.sub(rf"(?<!\w){re.escape(part)}(?!\w)", f"<{name}>", text)
    return text


class Worker:
    """The main thread: it claims, starts a thread for each attempt, extends leases, and reports."""

    def __init__(self, settings):
        self.settings = settings
        self.id = f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4()}"
        self.held = {}  # from the key to the Attempt
        self.ended = queue.SimpleQueue()  # from the threads: (attempt, outcome)
        self.stop_at = math.inf  # by time.monotonic(); when the worker must end
        # A byte in this socket ends the sleep of the main thread: a request has ended, or a signal has arrived.
        self.wakeup_receiver, self.wakeup_sender = socket.socketpair()
        self.wakeup_receiver.setblocking(False)
        self.wakeup_sender.setblocking(False)

    def stop_on_signal(self):
        """Makes SIGTERM and SIGINT end run() within the grace period."""

        def stop(*_):
            self.stop_at = min(self.stop_at, time.monotonic() + self.settings.grace)

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        signal.set_wakeup_fd(self.wakeup_sender.fileno(), warn_on_full_buffer=False)

    def is_stopping(self):
        """Whether the worker may claim no more."""
        return self.stop_at < math.inf

    def is_done(self):
        """Whether the worker may end: it was told to, and holds nothing or has no time left."""
        return self.is_stopping() and (not self.held or time.monotonic() >= self.stop_at)

    def run(self):
        """Runs until the worker is told to stop. If the connection breaks, reconnects after pauses that double each
        time. Requests continue meanwhile, and are reported if their leases have not expired by then."""
        pause = SHORTEST_PAUSE
        while not self.is_done():
            started = time.monotonic()
            try:
                with contextlib.closing(Database(self.settings, self.id)) as database:
                    self.serve(database)
            except psycopg2.Error as error:
                log(f"database: {describe_database_error(error)}")
                if time.monotonic() - started > LONGEST_PAUSE:
                    pause = SHORTEST_PAUSE
                self.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
        self.drop(self.held, "the worker stops")  # Other workers get what could not be released when the leases expire.

    def serve(self, database):
        """Runs on one connection until the worker may end, and then releases what it still holds."""
        heartbeat_at = 0  # at once, because the leases may be old
        while not self.is_done():
            self.report_outcomes(database)
            if time.monotonic() >= heartbeat_at:
                self.send_heartbeats(database)
                heartbeat_at = time.monotonic() + self.settings.lease / 3
            sleep = min(heartbeat_at, self.stop_at) - time.monotonic()
            if self.free_slots():
                self.claim(database)
            if self.free_slots():
                sleep = min(sleep, database.seconds_to_wakeup())
            if not self.is_done():
                database.wait(max(sleep, 0), self.wakeup_receiver)
                self.drain_wakeups()
        self.report_outcomes(database)
        for attempt in self.held.values():
            attempt.outcome = Outcome("release")
        self.report_outcomes(database)

    def free_slots(self):
        """How many executions the worker may claim."""
        if self.is_stopping():
            return 0
        return self.settings.concurrency - len(self.held)

    def claim(self, database):
        """Fills the free slots, and starts a thread for each attempt."""
        for attempt in database.claim(self.free_slots()):
            self.held[attempt.key] = attempt
            threading.Thread(target=self.run_attempt, args=(attempt,), daemon=True).start()

    def run_attempt(self, attempt):
        """Runs in a thread of its own."""
        try:
            outcome = deliver(attempt, self.settings.allow_host)
        except Exception as error:  # An attempt without an outcome would be held for ever.
            outcome = failed(f"the worker failed: {type(error).__name__}", retryable=True)
        self.ended.put((attempt, outcome))
        with contextlib.suppress(BlockingIOError):  # A full socket wakes the main thread up as well.
            self.wakeup_sender.send(b".")

    def report_outcomes(self, database):
        """Reports the attempts that have ended. If a report fails, the next connection sends it again."""
        self.collect_outcomes()
        for attempt in [attempt for attempt in self.held.values() if attempt.outcome]:
            attempt.cancellation.cancel()  # A released execution may start elsewhere at once.
            if not database.report(attempt):
                log(f"execution {attempt.execution_id}: attempt {attempt.number} had lost its lease when it was reported")
            del self.held[attempt.key]

    def collect_outcomes(self):
        """Takes the outcomes from the threads."""
        while not self.ended.empty():
            attempt, outcome = self.ended.get()
            attempt.outcome = attempt.outcome or outcome

    def send_heartbeats(self, database):
        """Extends all leases in one call. Ends the requests whose lease is lost or that should stop."""
        for attempt, accepted, stop_requested in list(database.heartbeat(list(self.held.values()))):
            if not accepted:
                self.drop([attempt.key], "its lease is lost")
            elif stop_requested:
                attempt.outcome = Outcome("release")
        self.report_outcomes(database)

    def drop(self, keys, reason):
        """Ends the requests of attempts, and reports nothing."""
        for key in list(keys):
            attempt = self.held.pop(key)
            attempt.cancellation.cancel()
            log(f"execution {attempt.execution_id}: attempt {attempt.number} was ended: {reason}")

    def sleep(self, seconds):
        """Sleeps without a connection. Drops the attempts whose lease expires: another worker may hold them then."""
        ends_at = time.monotonic() + seconds
        while not self.is_done() and time.monotonic() < ends_at:
            leases = [attempt.lease_ends for attempt in self.held.values()]
            sleep = min([ends_at, self.stop_at, *leases]) - time.monotonic()
            select.select([self.wakeup_receiver], [], [], max(sleep, 0))
            self.drain_wakeups()
            now = time.monotonic()
            self.drop([key for key, attempt in self.held.items() if attempt.lease_ends <= now], "its lease has expired")

    def drain_wakeups(self):
        """Empties the socket that has ended a sleep."""
        with contextlib.suppress(BlockingIOError):
            self.wakeup_receiver.recv(4096)


def log(text):
    """Prints a message for the operator."""
    print(text, file=sys.stderr, flush=True)


class BadSpec(Exception):
    """The spec of the endpoint describes no request. The text says why."""


class Refused(Exception):
    """The host has no public address, and is not allowed either."""


@dataclasses.dataclass
class Request:
    """An HTTP request that an endpoint's spec describes."""

    scheme: str
    host: str
    port: int
    target: str  # path and query
    method: str
    headers: dict


def deliver(attempt, allowed_hosts):
    """Sends the request of an attempt, and returns the outcome.

    No error contains the URL, a header's value or the response's body: more people may read errors than specs, which
    hold secrets, and a receiver may repeat what it was sent."""
    try:
        request = build_request(attempt)
    except BadSpec as problem:
        return failed(f"bad endpoint spec: {problem}", retryable=False)
    watchdog = threading.Timer(attempt.time_limit, attempt.cancellation.cancel)
    watchdog.daemon = True
    watchdog.start()
    try:
        outcome = read_response(*send(request, attempt, allowed_hosts))
    except Refused:
        return failed("the host has no public address, and --allow-host does not name it", retryable=False)
    except (OSError, http.client.HTTPException) as error:
        outcome = failed(f"no response: {describe_network_error(error)}", retryable=True)
    finally:
        watchdog.cancel()
    if attempt.cancellation.cancelled:  # A closed socket looks like the end of a response, or like any other failure.
        return failed("no response in time", retryable=True)
    return outcome


def describe_network_error(error):
    """The text of an error of a request. The texts of most exceptions quote the request, so they are not used."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate: {error.verify_message}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__


RESERVED_HEADERS = {"connection", "content-length", "host", "transfer-encoding"}
HEADER_NAME = METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")
HOST = re.compile(r"[0-9a-z._:-]+")


def build_request(attempt):
    """Builds the request that the spec describes."""
    spec = attempt.spec if isinstance(attempt.spec, dict) else {}
    method = "POST" if spec.get("method") is None else spec["method"]
    if not isinstance(method, str) or not METHOD.fullmatch(method):
        raise BadSpec("method is not valid in HTTP")
    headers = {
        "Content-Type": "application/json",
        **check_headers({} if spec.get("headers") is None else spec["headers"]),
        "Connection": "close",
        "Idempotency-Key": attempt.execution_id,
        "Kronos-Execution-Id": attempt.execution_id,
        "Kronos-Attempt": str(attempt.number),
    }
    return Request(*parse_url(spec.get("url")), method, headers)


def check_headers(headers):
    """Returns the headers of a spec, with names as in "Content-Type", so that none can be there twice. A spec may not
    frame the request, nor name another host than the one that is checked."""
    if not isinstance(headers, dict):
        raise BadSpec("headers must be an object")
    checked = {}
    for name, value in headers.items():
        if not HEADER_NAME.fullmatch(name):
            raise BadSpec("headers: a name is not valid in HTTP")
        if name.lower() in RESERVED_HEADERS:
            raise BadSpec(f"headers: {name} is set by the worker")
        if not isinstance(value, str) or not HEADER_VALUE.fullmatch(value):
            raise BadSpec(f"headers: the value of {name} is not valid in HTTP")
        checked[name.title()] = value
    return checked


def parse_url(url):
    """Returns the scheme, host, port and target of a URL."""
    if not isinstance(url, str):
        raise BadSpec("url is missing or is not a string")
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port
        host = (parts.hostname or "").encode("idna").decode()
    except ValueError:
        raise BadSpec("url: the host or the port is not valid") from None
    if parts.scheme not in ("http", "https"):
        raise BadSpec("url: the scheme must be http or https")
    if "@" in parts.netloc:
        raise BadSpec("url: use a header instead of a user and a password")
    if not HOST.fullmatch(host):
        raise BadSpec("url: the host is missing or not valid")
    if port is None:
        port = 443 if parts.scheme == "https" else 80
    target = urllib.parse.quote(parts.path or "/", safe="/%:@!$&'()*+,;=~")
    if parts.query:
        target += "?" + urllib.parse.quote(parts.query, safe="/%:@!$&'()*+,;=~?")
    return parts.scheme, host, port, target


class Connection(http.client.HTTPConnection):
    """A connection for one request to an address that was checked. Unlike urllib, http.client follows no redirects and
    uses no proxies: both would lead to addresses that were not checked."""

    def __init__(self, request, attempt, allowed_hosts):
        super().__init__(request.host, request.port)
        self.request_to_send = request
        self.cancellation = attempt.cancellation
        self.ends_at = time.monotonic() + attempt.time_limit
        self.allowed_hosts = allowed_hosts
        self.default_port = 443 if request.scheme == "https" else 80  # which the header Host leaves out

    def connect(self):
        """http.client calls this to open the socket."""
        request = self.request_to_send
        any_address = any(allowed.includes(request) for allowed in self.allowed_hosts)
        self.sock = connect_to_host(request.host, request.port, any_address, self.ends_at)
        self.cancellation.watch(self.sock)
        if request.scheme == "https":
            # The certificate must be that of the host in the URL, whatever address the host has.
            self.sock = TLS.wrap_socket(
                self.sock, server_hostname=request.host, do_handshake_on_connect=False
            )
            self.cancellation.watch(self.sock)
            self.sock.do_handshake()


def send(request, attempt, allowed_hosts):
    """Sends a request. Returns the status, the header Retry-After and the body, which may be cut off."""
    with contextlib.closing(Connection(request, attempt, allowed_hosts)) as connection:
        connection.request(request.method, request.target, attempt.body.encode(), request.headers)
        with connection.getresponse() as response:
            body = response.read(MAX_READ_BYTES)
            if len(body) < MAX_READ_BYTES and response.length:
                raise http.client.IncompleteRead(b"")
            return response.status, response.headers.get("Retry-After", ""), body


def read_response(status, retry_after, body):
    """Returns the outcome of a response."""
    if 200 <= status < 300:
        # The last character may be cut in two. PostgreSQL's JSON cannot hold U+0000.
        text = body[:MAX_BODY_BYTES].decode(errors="replace").replace("\0", "\ufffd")
        return Outcome("complete", {"output": {"status": status, "body": text}})
    retryable = status in (408, 425, 429) or status >= 500
    is_number = re.fullmatch("[0-9]{1,8}", retry_after)  # It may also be a date.
    return failed(f"HTTP status {status}", retryable, int(retry_after) if retryable and is_number else None)


# Whoever may write an endpoint chooses a URL, and must not reach through the worker what only the worker's machine and
# network can reach: local services, cloud metadata, internal hosts.
NOT_PUBLIC = [
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",  # this machine
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # between a provider and its customers (CGNAT)
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local, cloud metadata among them
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/3",  # multicast, reserved, broadcast
        "2001::/23",  # protocol assignments, Teredo among them
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: contains an IPv4 address
        "3fff::/20",  # documentation
    )
]
# All IPv6 addresses outside this network are special: loopback, link-local, unique-local, multicast, and those that
# contain an IPv4 address.
PUBLIC_IPV6 = ipaddress.ip_network("2000::/3")


def is_public(address):
    """Whether an address is one of the internet's."""
    address = ipaddress.ip_address(address)
    if address.version == 6 and address not in PUBLIC_IPV6:
        return False
    return not any(address in network for network in NOT_PUBLIC)


def connect_to_host(host, port, any_address, ends_at):
    """Returns a socket that is connected to an address of the host. It connects to the addresses that were checked, and
    does not resolve the name again: a second answer of the name server could be another one."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    permitted = [entry for entry in found if any_address or is_public(entry[4][0])]
    if not permitted:
        raise Refused
    for family, kind, protocol, _, address in permitted:
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(max(0.01, min(CONNECT_TIMEOUT, ends_at - time.monotonic())))
            sock.connect(address)
            sock.settimeout(None)  # From here on, the request's watchdog limits the time.
            return sock
        except OSError as error:
            sock.close()
            failure = error
    raise failure


@dataclasses.dataclass
class AllowedHost:
    """A host that requests may go to whatever its address is: a name or an address, with or without a port."""

    host: str
    port: int

    def includes(self, request):
        """Whether this is the host of a request."""
        return self.host == request.host and self.port in (None, request.port)


def allowed_host(text):
    """Parses the argument of --allow-host."""
    with contextlib.suppress(ValueError):
        return AllowedHost(str(ipaddress.IPv6Address(text)), None)
    parts = urllib.parse.urlsplit(f"//{text}")
    host = (parts.hostname or "").encode("idna").decode()
    if not HOST.fullmatch(host) or parts.netloc != text or "@" in text:
        raise ValueError
    return AllowedHost(host, parts.port)


def parse_arguments():
    """Reads the command line. The connection string is not there, since every user of the machine could read it."""
    parser = argparse.ArgumentParser(
        description="Delivers Kronos's executions of HTTP endpoints.",
        epilog="The environment says how to connect to the database: DATABASE_URL, or libpq's variables.",
    )
    add = parser.add_argument
    add("--workspace", required=True, help="the workspace to serve")
    add("--concurrency", type=int, default=10, help="how many executions run at once (default 10)")
    add("--lease", type=int, default=30, help="how many seconds a lease lasts without a heartbeat (default 30)")
    add("--grace", type=int, default=10, help="how many seconds requests may still take after SIGTERM (default 10)")
    add("--timeout", type=int, default=300, help="seconds for requests without an attempt_timeout (default 300)")
    add(
        "--allow-host",
        metavar="HOST",
        type=allowed_host,
        action="append",
        default=[],
        help='a host ("name", "address", or either with ":port") that may have an address that is not public;'
        " can be repeated",
    )
    settings, unknown = parser.parse_known_args()
    if unknown:
        parser.error("unknown arguments")  # It does not repeat them: they may be a connection string.
    return settings


def main():
    """Runs the worker until SIGTERM or SIGINT."""
    worker = Worker(parse_arguments())
    connection_options()  # ends the program if they are not valid
    worker.stop_on_signal()
    worker.run()


main()
