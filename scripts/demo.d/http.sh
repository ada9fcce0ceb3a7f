# The HTTP part of the demo, which scripts/demo --http sources: a job is created with curl, pg_cron fires, a worker
# delivers, and the console shows it.

start_receiver
step "The service logs in as a role without rights; its token stands for role app" <<'SQL'
CREATE EXTENSION kronos CASCADE;
SELECT kronos.start();
CREATE ROLE api LOGIN NOINHERIT;
CREATE ROLE app LOGIN;
GRANT app TO api;
GRANT USAGE ON SCHEMA kronos TO app;
SELECT kronos.grant_workspace('app', 'admin', workspace => 'default');
SQL
token=$(head -c 32 /dev/urandom | base64 | tr -d '+/=')
"$API" hash-token app <<<"$token" >"$SERVER/tokens"
DATABASE_URL="host=$SERVER user=api dbname=postgres" "$API" --listen 127.0.0.1:0 --tokens-file "$SERVER/tokens" \
    --monitor-role app --log-format text 2>"$SERVER/api.log" &
children="$children $!"
address=
until [ -n "$address" ]; do
    sleep 0.1
    address=$(sed -n 's/.*listening address=\([0-9.:]*\).*/\1/p' "$SERVER/api.log")
done

# request METHOD PATH [BODY [HEADER]]: shows a request and its answer. Leaves the answer's body in $answer.
request() {
    local command=(curl -sS -X "$1" "http://$address$2") status
    [ -z "${3:-}" ] || command+=(-H 'Content-Type: application/json' -d "$3")
    [ -z "${4:-}" ] || command+=(-H "$4")
    local word
    for word in "${command[@]}"; do
        case $word in
            *[!A-Za-z0-9_/:.-]*) printf "'%s' " "$word" ;;
            *) printf '%s ' "$word" ;;
        esac
    done
    echo '-H "Authorization: Bearer $token"'
    status=$("${command[@]}" -H "Authorization: Bearer $token" -o "$SERVER/answer" -w '%{http_code}')
    answer=$(cat "$SERVER/answer")
    printf '%s %s\n' "$status" "$(python3 -c '
import json, sys
print(json.dumps(json.loads(sys.argv[1]), indent=2))' "$answer")"
}

# field NAME: a field of $answer.
field() { python3 -c 'import json, sys; print(json.loads(sys.argv[1])[sys.argv[2]])' "$answer" "$1"; }

say "An endpoint, and a job that runs every minute"
request POST /workspaces/default/endpoints "{\"name\": \"billing\", \"endpoint_type\": \"HTTP\",
    \"spec\": {\"url\": \"$(cat "$SERVER/url")\"}, \"retry_policy\": {\"initial_delay_ms\": 500}}"
job='{"name": "invoice 1", "endpoint": "billing", "cron": "* * * * *", "input": {"invoice": 1}}'
request POST /workspaces/default/jobs "$job" 'Idempotency-Key: invoice-1'
job_id=$(field job_id)
expect "the job has its pg_cron entry" "* * * * *" "select schedule from cron.job where jobname like 'kronos schedule %'"

say "The same request again creates nothing"
request POST /workspaces/default/jobs "$job" 'Idempotency-Key: invoice-1'
expect "there is one job" 1 "select count(*) from kronos.jobs"

say "pg_cron fails: the answer says so, and nothing persists"
value "create function refuse() returns trigger language plpgsql as
    \$\$ begin raise exception 'pg_cron says no' using errcode = '53400'; end \$\$;
    create trigger refuse before insert on cron.job for each row execute function refuse()"
request POST /workspaces/default/jobs '{"name": "invoice 2", "endpoint": "billing", "cron": "0 9 * * *"}'
value "drop trigger refuse on cron.job"
expect "there is still one job" 1 "select count(*) from kronos.jobs"

say "Waiting for pg_cron's next tick (a minute at most), and for the worker"
DATABASE_URL="host=$SERVER user=postgres dbname=postgres" "$WORKER" --workspace default --allow-host 127.0.0.1 &
children="$children $!"
for _ in $(seq 400); do
    [ "$(value "select count(*) from kronos.executions where status = 'SUCCEEDED'")" = 0 ] || break
    sleep 0.25
done
echo "Requests that the receiver got:"
cat "$SERVER/requests"
request GET "/workspaces/default/jobs/$job_id/executions?max=1"
expect "the first execution was delivered by its second attempt" 2 \
    "select attempt from kronos.executions where status = 'SUCCEEDED' order by execution_id limit 1"

say "What the console at http://$address/ shows of the job"
"$HTTP_TOOLS/bin/python" - "http://$address/#/w/default/jobs/$job_id" "$token" <<'PY'
import sys
from playwright.sync_api import expect, sync_playwright

with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
    page = browser.new_page()
    page.goto(sys.argv[1])
    page.get_by_label("Token").fill(sys.argv[2])
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("invoice 1")
    expect(page.locator("main")).to_contain_text("SUCCEEDED")
    print(page.locator("main").inner_text())
    browser.close()
PY

say "Cancelled: the pg_cron entry goes with the job"
request DELETE "/workspaces/default/jobs/$job_id"
expect "only upkeep's entry is left" "kronos upkeep" "select string_agg(jobname, ', ') from cron.job"
expect "check() finds nothing" 0 "select count(*) from kronos.check()"

if [ -n "$keep" ]; then
    trap - EXIT
    say "The service keeps running"
    echo "The console: http://$address/"
    echo "Its token:   $token"
    echo "Stop:        kill $children; $([ "$(id -u)" != 0 ] || echo 'sudo -u postgres ')$BIN/pg_ctl -D $SERVER/data -m immediate stop && rm -rf $SERVER"
fi
