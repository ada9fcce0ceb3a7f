#!/usr/bin/python3
"""A worker for Kronos in one file. It delivers the HTTP executions of one workspace.

Usage: worker.py DSN WORKSPACE

Only the main thread uses the database. Each request runs in a thread of its own, which puts the outcome into a queue.
If the connection to the database breaks, the program ends and has to be started again. Other workers then get the
executions that it held, once their leases have expired.
"""

import datetime
import json
import os
import queue
import select
import signal
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid

import psycopg2

SLOTS = 10  # how many executions run at once
LEASE = int(os.environ.get("KRONOS_LEASE", 30))  # in seconds
WORKER_ID = f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4()}"
MAX_BODY = 4096  # how many bytes of a response's body are kept


class Worker:
    def __init__(self, dsn, workspace):
        self.workspace = workspace
        self.held = set()  # the (execution_id, attempt) that this worker holds
        self.outcomes = queue.Queue()  # from the threads: ((execution_id, attempt), function, fields)
        self.stopping = threading.Event()
        # A byte in this socket ends the sleep of the main thread: a request has ended, or a signal has arrived.
        self.wakeup_receiver, self.wakeup_sender = socket.socketpair()
        self.wakeup_sender.setblocking(False)
        self.connection = psycopg2.connect(dsn)
        self.connection.autocommit = True  # A claim must commit before its executions run.
        self.cursor = self.connection.cursor()
        self.cursor.execute("listen kronos_executions")

    def stop_on_sigterm(self):
        signal.signal(signal.SIGTERM, lambda *_: self.stopping.set())
        signal.set_wakeup_fd(self.wakeup_sender.fileno(), warn_on_full_buffer=False)

    def run(self):
        heartbeat_at = 0
        while not self.stopping.is_set():
            self.report_outcomes()
            if time.monotonic() >= heartbeat_at:
                self.send_heartbeats()
                heartbeat_at = time.monotonic() + LEASE / 3
            sleep = heartbeat_at - time.monotonic()
            if len(self.held) < SLOTS:
                self.claim()
            if len(self.held) < SLOTS:
                wakeup = self.seconds_to_wakeup()
                if wakeup is not None:
                    sleep = min(sleep, max(wakeup, 0.1))
            self.wait(max(sleep, 0))
        self.report("release", self.held)

    def report_outcomes(self):
        while not self.outcomes.empty():
            key, function, fields = self.outcomes.get()
            if key in self.held:
                self.report(function, [key], **fields)
                self.held.remove(key)

    def send_heartbeats(self):
        for execution_id, attempt, accepted, stop_requested in self.report("heartbeat", self.held, f"{LEASE} seconds"):
            if not accepted or stop_requested:
                # Python cannot end a thread. The request continues, and its outcome is ignored.
                key = (execution_id, attempt)
                self.held.remove(key)
                if accepted:
                    self.report("release", [key])

    def claim(self):
        """Claims as many executions as there are free slots, and starts a thread for each."""
        self.cursor.execute(
            """select execution_id::text, attempt, input::text, endpoint_spec,
                      extract(epoch from deadline_at - now())::float8
               from kronos.claim_executions(%s, %s, %s, '{HTTP}', workspace => %s)""",
            (WORKER_ID, SLOTS - len(self.held), f"{LEASE} seconds", self.workspace),
        )
        for execution_id, attempt, body, spec, time_left in self.cursor.fetchall():
            key = (execution_id, attempt)
            self.held.add(key)
            threading.Thread(target=self.run_attempt, args=(key, body, spec, time_left), daemon=True).start()

    def run_attempt(self, key, body, spec, time_left):
        self.outcomes.put((key, *deliver(key, body, spec, time_left)))
        self.wakeup_sender.send(b".")

    def report(self, function, keys, *arguments, **fields):
        """Calls heartbeat_executions, complete_executions, fail_executions or release_executions, and returns a row for
        each execution. A report that comes too late is not accepted, and changes nothing."""
        executions = json.dumps([{"execution_id": key[0], "attempt": key[1], **fields} for key in keys])
        placeholders = ", ".join(["%s"] * (2 + len(arguments)))
        self.cursor.execute(
            f"""select execution_id::text, attempt, accepted, stop_requested
                from kronos.{function}_executions({placeholders})""",
            (WORKER_ID, executions, *arguments),
        )
        return self.cursor.fetchall()

    def seconds_to_wakeup(self):
        self.cursor.execute(
            """select extract(epoch from kronos.next_wakeup('{HTTP}', workspace => %s) - clock_timestamp())::float8""",
            (self.workspace,),
        )
        return self.cursor.fetchone()[0]

    def wait(self, seconds):
        """Sleeps until a notification, the end of a request, or a signal."""
        # psycopg2 has already read the notifications that arrived during a statement, so select() would not see them.
        if not self.connection.notifies:
            readable, _, _ = select.select([self.connection, self.wakeup_receiver], [], [], seconds)
            if self.wakeup_receiver in readable:
                self.wakeup_receiver.recv(4096)
        self.connection.poll()
        self.connection.notifies.clear()


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """Treats a redirect as a response like any other. Following it may turn a POST into a GET."""

    def redirect_request(self, *_):
        return None


def deliver(key, body, spec, time_left):
    """Runs one attempt. Returns the function that reports it ("complete" or "fail") and the fields of the report."""
    try:
        request = build_request(key, body, spec)
    except Exception as error:
        return "fail", {"error": f"bad endpoint spec: {error!r}", "retryable": False}
    try:
        opener = urllib.request.build_opener(NoRedirects)
        with opener.open(request, timeout=request_timeout(time_left)) as response:
            # jsonb cannot hold U+0000.
            text = response.read()[:MAX_BODY].decode(errors="replace").replace("\0", "\ufffd")
            return "complete", {"output": {"status": response.status, "body": text}}
    except urllib.error.HTTPError as error:
        return "fail", describe_failure(error)
    except Exception as error:
        return "fail", {"error": f"no response: {error!r}", "retryable": True}


def build_request(key, body, spec):
    execution_id, attempt = key
    headers = {
        "Content-Type": "application/json",
        **spec.get("headers", {}),
        "Idempotency-Key": execution_id,
        "Kronos-Execution-Id": execution_id,
        "Kronos-Attempt": str(attempt),
    }
    request = urllib.request.Request(spec["url"], body.encode(), headers, method=spec.get("method", "POST"))
    if request.type not in ("http", "https"):
        raise ValueError(f"url: {request.type} is not http or https")
    return request


def request_timeout(time_left):
    """The lease ends at the deadline, so the request must end a little earlier to be reported."""
    return None if time_left is None else max(0.01, time_left * 0.9, time_left - 1)


def describe_failure(error):
    """Returns the fields of the report for a response whose status is not 2xx."""
    retryable = error.code in (408, 425, 429) or error.code >= 500
    fields = {"error": f"HTTP status {error.code}", "retryable": retryable}
    retry_after = error.headers.get("Retry-After", "")
    if retryable and retry_after.isdecimal() and len(retry_after) < 9:
        retry_at = datetime.datetime.now().astimezone() + datetime.timedelta(seconds=int(retry_after))
        fields["retry_at"] = retry_at.isoformat()
    return fields


def main():
    dsn, workspace = sys.argv[1:]
    worker = Worker(dsn, workspace)
    worker.stop_on_sigterm()
    worker.run()


main()
