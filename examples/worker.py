#!/usr/bin/python3
"""A worker of Kronos in one file: delivers a workspace's HTTP executions.   worker.py DSN WORKSPACE

The main thread alone talks to the database; each request is a thread that puts its outcome into a queue. Where the
database goes away the program ends, and is to be started again: what it held is left to its lease.
"""
import datetime, json, os, queue, select, signal, socket, sys, threading, time, urllib.error, urllib.request, uuid
import psycopg2, psycopg2.extras

DSN, WORKSPACE = sys.argv[1:]
SLOTS, LEASE, GRACE = (int(os.environ.get("KRONOS_" + name, value)) for name, value in
                       (("CONCURRENCY", "10"), ("LEASE", "30"), ("GRACE", "10")))  # the last two in seconds
WORKER = f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4()}"
held, outcomes, stopping = {}, queue.Queue(), threading.Event()  # held: (execution_id, attempt) -> execution
woken, waker = socket.socketpair()  # ends the main thread's sleep: a request has ended, or a signal came
woken.setblocking(False), waker.setblocking(False)

class NoRedirects(urllib.request.HTTPRedirectHandler):
    redirect_request = lambda *_: None  # a redirect is an answer like others: following one turns a POST into a GET

def deliver(key, execution):
    """Runs one attempt; puts the function that reports it, and what it says."""
    def text(body):  # PostgreSQL's JSON cannot hold U+0000
        return body[:4096].decode("utf-8", "replace").replace("\0", "\ufffd")
    try:
        spec = execution["endpoint_spec"]
        own = {"Idempotency-Key": key[0], "Kronos-Execution-Id": key[0], "Kronos-Attempt": str(key[1])}
        headers = {"Content-Type": "application/json", **spec.get("headers", {}), **own}
        request = urllib.request.Request(spec["url"], execution["input"].encode(), headers, method=spec.get("method", "POST"))
        if request.type not in ("http", "https"):
            raise ValueError(f"url: {request.type} is not http or https")
    except Exception as error:
        return put("fail", key, error=f"bad endpoint spec: {error!r}", retryable=False)
    try:  # the lease ends at the deadline as well: only what ends a little earlier can still be reported
        left = execution["time_left"] and max(execution["time_left"] - min(1, execution["time_left"] / 10), 0.01)
        with urllib.request.build_opener(NoRedirects).open(request, timeout=left) as answer:
            put("complete", key, output={"status": answer.status, "body": text(answer.read())})
    except urllib.error.HTTPError as error:
        retryable, after = error.code in (408, 425, 429) or error.code >= 500, error.headers.get("Retry-After", "")
        at = retryable and after.isdigit() and datetime.datetime.now().astimezone() + datetime.timedelta(seconds=int(after[:8]))
        put("fail", key, error=f"HTTP status {error.code}", retryable=retryable, retry_at=at.isoformat() if at else None)
    except Exception as error:
        put("fail", key, error=f"no answer: {error!r}", retryable=True)

def put(function, key, **report):
    outcomes.put((function, key, report))
    waker.send(b".")

def call(function, key_reports):
    """Heartbeats or reports of many in one call; a report that comes too late is not accepted, and changes nothing."""
    rows = [{"execution_id": key[0], "attempt": key[1], **report} for key, report in key_reports]
    cursor.execute(f"select * from kronos.{function}_executions(%s, %s{', %s' if function == 'heartbeat' else ''})",
                   [WORKER, json.dumps(rows)] + [f"{LEASE} seconds"] * (function == "heartbeat"))
    return cursor.fetchall()

connection = psycopg2.connect(DSN, cursor_factory=psycopg2.extras.RealDictCursor)
connection.autocommit = True  # a claim commits at once
cursor = connection.cursor()
cursor.execute("listen kronos_executions")
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda *_: stopping.set())
signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
beat_at, end_at = time.monotonic() + LEASE / 3, None
while not (end_at and (not held or time.monotonic() >= end_at)):
    while not outcomes.empty():
        function, key, report = outcomes.get()
        if held.pop(key, None):
            call(function, [(key, report)])
    if held and time.monotonic() >= beat_at:
        for row in call("heartbeat", [(key, {}) for key in held]):
            # A thread cannot be ended from outside: its request goes on, and its outcome is of no interest any more.
            if not row["accepted"] or row["stop_requested"]:
                key = str(row["execution_id"]), row["attempt"]
                held.pop(key)
                if row["accepted"]:
                    call("release", [(key, {})])
    beat_at = time.monotonic() + LEASE / 3 if not held or time.monotonic() >= beat_at else beat_at
    sleep, claimed = 60, True
    while not stopping.is_set() and len(held) < SLOTS and claimed:
        cursor.execute("""select execution_id::text, attempt, input::text, endpoint_spec,
                                 extract(epoch from deadline_at - clock_timestamp())::float8 as time_left
                          from kronos.claim_executions(%s, %s, %s, %s, '{HTTP}')""",
                       (WORKSPACE, WORKER, SLOTS - len(held), f"{LEASE} seconds"))
        claimed = cursor.fetchall()
        for execution in claimed:
            key = execution["execution_id"], execution["attempt"]
            held[key] = execution
            threading.Thread(target=deliver, args=(key, execution), daemon=True).start()
    if not claimed:
        cursor.execute("""select extract(epoch from kronos.next_wakeup(%s, '{HTTP}') - clock_timestamp())::float8 as sleep""",
                       (WORKSPACE,))
        sleep = min(60, max(0.1, cursor.fetchone()["sleep"] or 60))
    if stopping.is_set():
        end_at = end_at or time.monotonic() + GRACE
        sleep = max(0, end_at - time.monotonic())
    # What came while a statement ran is in the list already, and no longer in the socket.
    if not connection.notifies and outcomes.empty() and not (end_at and not held):
        ready, _, _ = select.select([connection, woken], [], [], min(sleep, max(0, beat_at - time.monotonic())))
        if woken in ready:
            woken.recv(4096)
        connection.poll()
    connection.notifies.clear()
call("release", [(key, {}) for key in held])
