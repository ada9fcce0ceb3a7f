#!/usr/bin/python3
"""A worker of Kronos in one file: delivers a workspace's HTTP executions.   worker.py DSN WORKSPACE
The main thread alone talks to the database; each request is a thread that puts its outcome into a queue. If the database
goes away the program ends, and is to be started again: what it held is left to its lease."""
import datetime, json, os, queue, select, signal, socket, sys, threading, time, urllib.error, urllib.request, uuid
import psycopg2
DSN, WORKSPACE = sys.argv[1:]
SLOTS, LEASE = 10, int(os.environ.get("KRONOS_LEASE", 30))  # seconds
WORKER = f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4()}"
held, outcomes, stopping = set(), queue.Queue(), threading.Event()  # held: pairs of execution_id and attempt
woken, waker = socket.socketpair()  # ends the main thread's sleep: a request has ended, or a signal came
waker.setblocking(False)
# Following a redirect may turn a POST into a GET: it is an answer like others.
NoRedirects = type("NoRedirects", (urllib.request.HTTPRedirectHandler,), {"redirect_request": lambda *_: None})
def deliver(key, data, spec, left):
    """Runs one attempt; says which function reports it, and with what."""
    try:
        headers = {"Content-Type": "application/json", **spec.get("headers", {}), "Idempotency-Key": key[0],
                   "Kronos-Execution-Id": key[0], "Kronos-Attempt": str(key[1])}
        request = urllib.request.Request(spec["url"], data.encode(), headers, method=spec.get("method", "POST"))
        assert request.type in ("http", "https"), f"url: {request.type} is not http or https"
    except Exception as error:
        return "fail", {"error": f"bad endpoint spec: {error!r}", "retryable": False}
    try:  # the lease ends at the deadline as well: only what ends a little earlier can still be reported
        with urllib.request.build_opener(NoRedirects).open(request, timeout=left and max(0.01, left * 0.9, left - 1)) as answer:
            body = answer.read()[:4096].decode(errors="replace").replace("\0", "\ufffd")  # jsonb cannot hold U+0000
            return "complete", {"output": {"status": answer.status, "body": body}}
    except urllib.error.HTTPError as error:
        report = {"error": f"HTTP status {error.code}", "retryable": error.code in (408, 425, 429) or error.code >= 500}
        if report["retryable"] and (after := error.headers.get("Retry-After", "")).isdecimal() and len(after) < 9:
            report["retry_at"] = (datetime.datetime.now().astimezone() + datetime.timedelta(seconds=int(after))).isoformat()
        return "fail", report
    except Exception as error:
        return "fail", {"error": f"no answer: {error!r}", "retryable": True}

def run(key, *execution):
    outcomes.put((key, *deliver(key, *execution)))
    waker.send(b".")
def call(function, keys, *more, **what):
    """A heartbeat or report of many; one that comes too late is not accepted, and changes nothing."""
    rows = json.dumps([{"execution_id": key[0], "attempt": key[1], **what} for key in keys])
    cursor.execute(f"""select execution_id::text, attempt, accepted, stop_requested
                       from kronos.{function}_executions(%s, %s{', %s' * len(more)})""", (WORKER, rows, *more))
    return cursor.fetchall()

connection = psycopg2.connect(DSN)
connection.autocommit = True  # a claim commits at once
cursor, beat_at = connection.cursor(), 0
cursor.execute("listen kronos_executions")
signal.signal(signal.SIGTERM, lambda *_: stopping.set())
signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
while not stopping.is_set():
    while not outcomes.empty():
        key, function, what = outcomes.get()
        call(function, [key] if key in held else [], **what)
        held.discard(key)
    if time.monotonic() >= beat_at:
        for *key, accepted, stop_requested in call("heartbeat", held, f"{LEASE} seconds"):
            if not accepted or stop_requested:  # a thread cannot be ended from outside: its outcome is ignored
                held.remove(tuple(key))
                call("release", [key] if accepted else [])
        beat_at = time.monotonic() + LEASE / 3
    idle_for = beat_at - time.monotonic()
    if len(held) < SLOTS:
        cursor.execute("""select execution_id::text, attempt, input::text, endpoint_spec, extract(epoch from deadline_at - now())::float8
                          from kronos.claim_executions(%s, %s, %s, '{HTTP}', workspace => %s)""",
                       (WORKER, SLOTS - len(held), f"{LEASE} seconds", WORKSPACE))
        for *key, data, spec, left in cursor.fetchall():
            held.add(tuple(key))
            threading.Thread(target=run, args=(tuple(key), data, spec, left), daemon=True).start()
        cursor.execute("select extract(epoch from kronos.next_wakeup('{HTTP}', workspace => %s) - clock_timestamp())::float8", (WORKSPACE,))
        wakeup = cursor.fetchone()[0]
        idle_for = idle_for if wakeup is None or len(held) == SLOTS else min(idle_for, max(wakeup, 0.1))
    # What came while a statement ran is in the list already, and no longer in the socket.
    if not connection.notifies and woken in select.select([connection, woken], [], [], max(idle_for, 0))[0]:
        woken.recv(4096)
    connection.poll()
    connection.notifies.clear()
call("release", held)
