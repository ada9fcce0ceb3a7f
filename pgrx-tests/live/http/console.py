"""Drives the console of examples/http-api in a headless Chromium.

Prints a line for each check that passed, and exits non-zero at the first that fails. Each argument can be an
environment variable instead. The tokens stand for roles with the capabilities admin and viewer in the workspace, and
the database connection for a role that may claim executions there. Debian's package `chromium` must be installed.
"""

import argparse
import json
import os
import re
import urllib.error
import urllib.parse
import urllib.request
import uuid

import psycopg2
from playwright.sync_api import expect, sync_playwright

HOSTILE_NAME = "<img src=x onerror=alert(1)>"
PHONE = {"width": 360, "height": 740}
# Longer than the page takes to refresh itself.
PATIENCE_MS = 20_000


class Api:
    """The API, called without the console."""

    def __init__(self, url, workspace, token):
        self.base = f"{url}/workspaces/{urllib.parse.quote(workspace, safe='')}"
        self.token = token

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.base + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read().decode()}") from None

    def create_endpoint(self, name, **settings):
        return self.call("POST", "/endpoints", {"name": name} | settings)["endpoint"]

    def create_job(self, name, endpoint, cron="0 3 1 1 *"):
        return self.call("POST", "/jobs", {"name": name, "endpoint": endpoint, "cron": cron})["job_id"]


def worker_type(run):
    return f"CONSOLE_{run}"


def claim_execution(cursor, run, execution_id):
    claim = "kronos.claim_executions('console-test', endpoint_types => array[%s], max => 100)"
    cursor.execute(f"select execution_id, attempt from {claim}", [worker_type(run)])
    return dict(cursor.fetchall())[execution_id]


def fail_execution(options, run, execution_id, error):
    """Claims the execution as a worker does, logs a line, and fails it."""
    with psycopg2.connect(options.database) as connection, connection.cursor() as cursor:
        cursor.execute("select set_config('kronos.workspace', %s, true)", [options.workspace])
        attempt = claim_execution(cursor, run, execution_id)
        report = [execution_id, attempt, "console-test"]
        cursor.execute("select kronos.log_execution(%s, %s, %s, 'connecting', level => 'WARNING')", report)
        cursor.execute("select kronos.fail_execution(%s, %s, %s, %s)", [*report, error])


class Console:
    """The page, with what a reader does on it."""

    def __init__(self, browser, url, scheme="light"):
        self.url = url
        self.context = browser.new_context(viewport=PHONE, color_scheme=scheme, reduced_motion="reduce")
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.troubles = []
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("console", self.note)
        self.page.on("dialog", lambda dialog: (self.troubles.append(f"alert: {dialog.message}"), dialog.dismiss()))

    def note(self, message):
        # Chromium logs each answer that is a refusal, which some checks provoke.
        if message.type in ("error", "warning") and not message.text.startswith("Failed to load resource"):
            self.troubles.append(message.text)

    def sign_in(self, token):
        self.page.get_by_label("Token").fill(token)
        self.page.get_by_role("button", name="Sign in").click()

    def open(self, *segments):
        address = "".join("/" + urllib.parse.quote(segment, safe="") for segment in segments)
        self.page.goto(f"{self.url}/#{address}")

    def press(self, name):
        self.page.locator("main").get_by_role("button", name=name, exact=True).click()

    def confirm(self, name):
        self.page.get_by_role("dialog").get_by_role("button", name=name, exact=True).click()

    def heading(self):
        return self.page.get_by_role("heading", level=1)

    def badge(self, text):
        return self.page.locator(".title .badge", has_text=text)

    def assert_no_trouble(self):
        assert not self.troubles, self.troubles


def passed(check):
    print(f"ok: {check}", flush=True)


def main():
    options = read_options()
    api = Api(options.url, options.workspace, options.token)
    run = uuid.uuid4().hex[:8]
    # No other worker claims executions of this type.
    endpoint = api.create_endpoint(f"console {run}", endpoint_type=worker_type(run), retry_policy={"max_attempts": 1})
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=options.chromium, args=["--no-sandbox"])
        check_headers(options)
        check_signing_in(browser, options)
        console = Console(browser, options.url)
        console.open("w", options.workspace)
        console.sign_in(options.token)
        check_jobs(console, api, options, run, endpoint)
        execution_id = check_executions(console, api, options, run, endpoint)
        check_endpoints(console, api, options, endpoint)
        check_hostile_names(console, api, options, run, endpoint)
        check_unreachable_service(console, options)
        console.assert_no_trouble()
        passed("the console logged no error, and its Content-Security-Policy stopped nothing")
        check_viewer(browser, api, options, run, endpoint)
        check_phone(browser, options, api, run, endpoint, execution_id)
        browser.close()


def check_headers(options):
    for path in ("/", "/console.js", "/console.css"):
        with urllib.request.urlopen(options.url + path, timeout=30) as answer:
            policy = answer.headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'none'") and "unsafe" not in policy, policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Cache-Control"] == "no-store"
    passed("the files have a strict Content-Security-Policy, and are not cached")


def check_signing_in(browser, options):
    console = Console(browser, options.url)
    console.open()
    expect(console.page.get_by_label("Token")).to_be_focused()
    console.sign_in("no such token")
    expect(console.page.get_by_role("alert")).to_contain_text("UNAUTHORIZED")
    assert console.page.evaluate("sessionStorage.length") == 0
    expect(console.page.get_by_label("Token")).to_be_visible()
    passed("a wrong token is refused with a message, and is not kept")

    console.sign_in(options.token)
    expect(console.page.get_by_role("button", name="Sign out")).to_be_visible()
    expect(console.page.get_by_role("alert")).to_be_empty()
    console.open()
    expect(console.page.get_by_role("link", name=options.workspace).first).to_be_visible()
    assert console.page.evaluate("localStorage.length") == 0
    passed("a token signs in and shows the workspaces")

    console.page.get_by_role("button", name="Sign out").click()
    expect(console.page.get_by_label("Token")).to_be_visible()
    assert console.page.evaluate("sessionStorage.length") == 0
    passed("signing out forgets the token")
    console.assert_no_trouble()
    console.context.close()


def check_jobs(console, api, options, run, endpoint):
    page = console.page
    console.open("w", options.workspace, "jobs")
    expect(console.heading()).to_have_text("Jobs")
    name = f"nightly mail {run}"
    job_id = api.create_job(name, endpoint)
    row = page.get_by_role("link", name=name)
    expect(row).to_be_visible()
    expect(row.get_by_text("IDLE")).to_be_visible()
    expect(row.locator("time")).to_have_attribute("datetime", re.compile("01-01T03:00:00"))
    passed("a job created a second before appears by itself, with its next tick and health")

    row.focus()
    other = f"newer {run}"
    api.create_job(other, endpoint)
    expect(page.get_by_role("link", name=other)).to_be_visible()
    expect(row).to_be_focused()
    passed("a refresh that adds a row keeps the focus")

    row.click()
    expect(console.heading()).to_have_text(name)
    expect(console.heading()).to_be_focused()
    expect(page).to_have_url(re.compile(job_id))
    page.reload()
    expect(console.badge("ACTIVE")).to_be_visible()
    passed("a job has an address, which a reload shows again")

    console.press("Pause")
    console.confirm("Back")
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert api.call("GET", f"/jobs/{job_id}")["status"] == "ACTIVE"
    console.press("Pause")
    page.get_by_label("Reason").fill("the mail server is down")
    console.confirm("Pause")
    expect(page.locator("#result")).to_contain_text("PAUSED")
    expect(console.badge("PAUSED")).to_be_visible()
    expect(page.locator("main")).to_contain_text("the mail server is down")
    job = api.call("GET", f"/jobs/{job_id}")
    assert (job["status"], job["paused_reason"]) == ("PAUSED", "the mail server is down"), job
    passed("the button pauses the job with a reason, after a confirmation")

    console.press("Resume")
    expect(console.badge("ACTIVE")).to_be_visible()
    assert api.call("GET", f"/jobs/{job_id}")["status"] == "ACTIVE"
    passed("the button resumes the job")

    console.press("Trigger")
    console.confirm("Run now")
    expect(page.locator("#result")).to_contain_text("QUEUED")
    executions = api.call("GET", f"/jobs/{job_id}/executions")["items"]
    assert [execution["origin"] for execution in executions] == ["TRIGGER"], executions
    expect(page.locator(f'li[data-key="{executions[0]["execution_id"]}"]')).to_be_visible()
    passed("the button runs the job once, and the execution appears")

    # The service does it, but its answer is lost.
    page.route("**/trigger", lambda route: (route.fetch(), route.abort()))
    console.press("Trigger")
    console.confirm("Run now")
    expect(page.get_by_role("alert")).to_contain_text("may have happened or not")
    expect(page.locator("#result")).to_be_empty()
    page.unroute("**/trigger")
    console.press("Trigger")
    console.confirm("Run now")
    expect(page.locator("#result")).to_contain_text("QUEUED")
    assert len(api.call("GET", f"/jobs/{job_id}/executions")["items"]) == 2
    passed("a lost answer is no success, and pressing the button again does not run the job twice")

    # A second tab cancels the job while this one still shows it as active.
    page.route("**/workspaces/**", lambda route: route.continue_() if route.request.method != "GET" else route.abort())
    api.call("DELETE", f"/jobs/{job_id}")
    console.press("Pause")
    console.confirm("Pause")
    refusal = page.get_by_role("alert")
    expect(refusal).to_contain_text("JOB_RETIRED")
    expect(refusal).to_contain_text("request ")
    expect(page.locator("#result")).to_be_empty()
    page.unroute("**/workspaces/**")
    expect(console.badge("RETIRED")).to_be_visible()
    expect(page.get_by_role("button", name="Trigger")).to_have_count(0)
    passed("a refused call shows the detail, the code and the request id, and the page then shows the state")


def check_executions(console, api, options, run, endpoint):
    page = console.page
    name = f"failing {run}"
    job_id = api.create_job(name, endpoint)
    execution_id = api.call("POST", f"/jobs/{job_id}/trigger")["execution_id"]
    fail_execution(options, run, execution_id, "HTTP status 503")
    console.open("w", options.workspace)
    failing = page.locator(f'li[data-key="{job_id}"]')
    expect(failing).to_contain_text("1 failure")
    expect(failing).to_contain_text("HTTP status 503")
    passed("the overview lists the failing job with its error")

    failing.get_by_role("link", name="Open the execution").click()
    expect(page).to_have_url(re.compile(execution_id))
    expect(console.badge("FAILED")).to_be_visible()
    expect(page.locator("pre.error")).to_have_text("HTTP status 503")
    expect(page.locator("section", has_text="Attempts").get_by_text("console-test")).to_be_visible()
    expect(page.locator("section", has_text="Log").get_by_text("connecting")).to_be_visible()
    passed("the remedy leads to the failed execution, with its error, attempts and log")

    console.press("Retry")
    expect(page.locator("#result")).to_contain_text("QUEUED")
    expect(console.badge("QUEUED")).to_be_visible()
    execution = api.call("GET", f"/executions/{execution_id}")
    assert (execution["status"], execution["failed_attempts"]) == ("QUEUED", 0), execution
    passed("the button retries the execution, which waits again")

    console.press("Cancel execution")
    console.confirm("Cancel execution")
    expect(console.badge("CANCELLED")).to_be_visible()
    assert api.call("GET", f"/executions/{execution_id}")["status"] == "CANCELLED"
    passed("the button cancels the execution, after a confirmation")

    digits = "12345678901234567890"
    one_shot = {"endpoint": endpoint, "run_at": "2100-01-01T00:00:00Z", "input": {"id": int(digits)}}
    one_shot_id = api.call("POST", "/executions", one_shot)["execution_id"]
    console.open("w", options.workspace, "executions", one_shot_id)
    expect(page.get_by_label("Input")).to_contain_text(digits)
    console.press("Run now")
    expect(console.badge("QUEUED")).to_be_visible()
    passed("the button runs a waiting execution now, and its input keeps every digit")

    with psycopg2.connect(options.database) as connection, connection.cursor() as cursor:
        cursor.execute("select set_config('kronos.workspace', %s, true)", [options.workspace])
        claim_execution(cursor, run, one_shot_id)
    console.press("Ask to stop")
    console.confirm("Ask to stop")
    expect(page.locator("#result")).to_contain_text("The execution is RUNNING")
    expect(console.badge("STOP REQUESTED")).to_be_visible()
    assert api.call("GET", f"/executions/{one_shot_id}")["stop_requested_at"]
    passed("the button asks a worker to stop, and does not claim that it has")

    for _ in range(20):
        api.call("POST", "/executions", {"endpoint": endpoint, "run_at": "2100-01-01T00:00:00Z"})
    console.open("w", options.workspace, "executions")
    page.get_by_label("Status").select_option("PENDING")
    expect(page).to_have_url(re.compile("status=PENDING"))
    rows = page.locator(".rows > li")
    expect(rows).to_have_count(20)
    api.call("POST", "/executions", {"endpoint": endpoint, "run_at": "2100-01-01T00:00:00Z"})
    console.press("More")
    expect(rows.nth(20)).to_be_visible()
    passed("a list can be filtered, and has more rows behind a button")

    time = rows.first.locator("time")
    expect(time).to_have_text(re.compile("^in "))
    expect(time).to_have_attribute("title", re.compile("2100"))
    page.get_by_role("button", name="Exact times").click()
    expect(time).to_have_text(re.compile("2100"))
    page.get_by_role("button", name="Exact times").click()
    passed("times are relative, and exact on request")
    return execution_id


def check_endpoints(console, api, options, endpoint):
    console.open("w", options.workspace, "endpoints")
    item = console.page.locator("li", has_text=endpoint)
    badge = item.get_by_text("PAUSED", exact=True)
    item.get_by_role("button", name="Pause").click()
    console.confirm("Pause")
    expect(badge).to_be_visible()
    assert endpoint in paused_endpoints(api)
    item.get_by_role("button", name="Resume").click()
    expect(badge).to_have_count(0)
    assert endpoint not in paused_endpoints(api)
    passed("the buttons pause and resume an endpoint")


def paused_endpoints(api):
    return [endpoint["endpoint"] for endpoint in api.call("GET", "/endpoints")["items"] if endpoint["paused_at"]]


def check_hostile_names(console, api, options, run, endpoint):
    name = f"{HOSTILE_NAME} {run}"
    job_id = api.create_job(name, endpoint)
    execution_id = api.call("POST", f"/jobs/{job_id}/trigger")["execution_id"]
    fail_execution(options, run, execution_id, f"{HOSTILE_NAME}</pre>")
    for address in [(), ("jobs",), ("jobs", job_id), ("executions",), ("executions", execution_id)]:
        console.open("w", options.workspace, *address)
        expect(console.page.locator("main").get_by_text(HOSTILE_NAME).first).to_be_visible()
        assert console.page.locator("img").count() == 0
    console.open("w", options.workspace, "jobs", job_id)
    console.press("Cancel job")
    expect(console.page.get_by_role("dialog")).to_contain_text(name)
    console.confirm("Cancel job")
    expect(console.badge("RETIRED")).to_be_visible()
    console.assert_no_trouble()
    passed("a job whose name is HTML is text everywhere, and the button cancels it")


def check_unreachable_service(console, options):
    page = console.page
    console.open("w", options.workspace, "jobs")
    expect(console.heading()).to_have_text("Jobs")
    page.route("**/workspaces/**", lambda route: route.abort())
    expect(page.locator("#stale")).to_contain_text("NO_ANSWER")
    page.unroute("**/workspaces/**")
    expect(page.locator("#stale")).to_be_hidden()
    passed("a page that is not up to date says so, until it is again")

    console.open("w", f"no {options.workspace}")
    for _ in range(2):
        page.wait_for_event("response", lambda response: response.status == 404)
        expect(page.locator("main")).to_contain_text("WORKSPACE_NOT_FOUND")
    passed("an address without a view says why, and tries again")


def check_viewer(browser, api, options, run, endpoint):
    job_id = api.create_job(f"not yours {run}", endpoint)
    console = Console(browser, options.url)
    console.open("w", options.workspace, "jobs", job_id)
    console.sign_in(options.viewer_token)
    console.press("Pause")
    console.confirm("Pause")
    refusal = console.page.get_by_role("alert")
    expect(refusal).to_contain_text("PERMISSION_DENIED")
    expect(refusal).to_contain_text("HTTP 403")
    expect(console.page.locator("#result")).to_be_empty()
    expect(console.badge("ACTIVE")).to_be_visible()
    assert api.call("GET", f"/jobs/{job_id}")["status"] == "ACTIVE"
    console.assert_no_trouble()
    console.context.close()
    passed("a viewer's call is refused, the page says so, and nothing changes")


def check_phone(browser, options, api, run, endpoint, execution_id):
    long_name = f"{run} " + "x" * 150
    job_id = api.create_job(long_name, endpoint)
    addresses = {"workspaces": [], "overview": ["w", options.workspace]}
    for tab in ("jobs", "executions", "endpoints"):
        addresses[tab] = ["w", options.workspace, tab]
    addresses["job"] = ["w", options.workspace, "jobs", job_id]
    addresses["execution"] = ["w", options.workspace, "executions", execution_id]
    for scheme in ("light", "dark"):
        console = Console(browser, options.url, scheme)
        console.open()
        assert_fits(console, options, f"sign-in-{scheme}")
        console.sign_in(options.token)
        for name, address in addresses.items():
            console.open(*address)
            expect(console.page.locator("#view h1")).to_be_visible()
            expect(console.page.locator("main")).to_have_attribute("aria-busy", "false")
            for summary in console.page.locator("summary").all():
                summary.click()
            assert_fits(console, options, f"{name}-{scheme}")
        console.assert_no_trouble()
        console.context.close()
    passed("360 pixels are enough for every view, in light and dark, and every control is 44 pixels high")


def assert_fits(console, options, name):
    page = console.page
    if options.screenshots:
        page.screenshot(path=f"{options.screenshots}/{name}.png", full_page=True)
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= PHONE["width"], f"{name} is {width} pixels wide"
    low = page.locator("button:visible, select:visible, input:visible, summary:visible, nav a:visible").evaluate_all(
        "all => all.filter(e => e.getBoundingClientRect().height < 44).map(e => e.outerHTML)"
    )
    assert not low, f"{name}: {low}"


def read_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default, help in [
        ("url", None, "where the service listens, such as http://127.0.0.1:8080"),
        ("token", None, "the token of an admin"),
        ("viewer-token", None, "the token of a viewer"),
        ("database", None, "a libpq connection string"),
        ("workspace", "default", "the workspace to use"),
        ("chromium", "/usr/bin/chromium", "the browser"),
        ("screenshots", "", "a directory for screenshots; none are taken if it is empty"),
    ]:
        variable = "KRONOS_CONSOLE_" + name.upper().replace("-", "_")
        default = os.environ.get(variable, default)
        parser.add_argument(f"--{name}", default=default, required=default is None, help=f"{help} ({variable})")
    options = parser.parse_args()
    options.url = options.url.rstrip("/")
    return options


if __name__ == "__main__":
    expect.set_options(timeout=PATIENCE_MS)
    main()
