# Functions that the other scripts share: progress messages, installing missing packages, and private servers.
# The scripts expect Debian 12 with Rust (rustup). Installing packages needs root or sudo.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
unset RUST_BACKTRACE # With it, pgrx adds backtraces to the DETAIL of errors.

PGRX_VERSION=$(sed -n 's/^pgrx = "=\(.*\)"$/\1/p' Cargo.toml)

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }

die() { printf 'error: %s\n' "$*" >&2; exit 1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# need_packages PACKAGE...: installs the Debian packages that are missing.
need_packages() {
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    if [ ${#missing[@]} -gt 0 ]; then
        say "Installing Debian packages: ${missing[*]}"
        as_root apt-get update -q
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
    fi
}

# need_cargo_pgrx: installs the version of cargo-pgrx that Cargo.toml names, unless it is installed.
need_cargo_pgrx() {
    command -v cargo >/dev/null || die "Rust is missing: install it with rustup"
    if [ "$(cargo pgrx --version 2>/dev/null)" != "cargo-pgrx $PGRX_VERSION" ]; then
        say "Installing cargo-pgrx $PGRX_VERSION (once; takes some minutes)"
        cargo install cargo-pgrx --version "=$PGRX_VERSION" --locked
    fi
}

# need_postgres MAJOR: installs everything needed to run PostgreSQL MAJOR and to build for it; sets PG_CONFIG.
need_postgres() {
    local major=$1
    need_packages "postgresql-$major" "postgresql-server-dev-$major" "postgresql-$major-cron" \
        clang libclang-dev pkg-config gcc libc6-dev make sudo python3 python3-psycopg2 faketime
    need_cargo_pgrx
    PG_CONFIG=/usr/lib/postgresql/$major/bin/pg_config
    if ! cargo pgrx info pg-config "pg$major" >/dev/null 2>&1; then
        say "Registering PostgreSQL $major with cargo-pgrx"
        cargo pgrx init "--pg$major" "$PG_CONFIG"
    fi
}

# install_extension MAJOR [OPTION...]: builds the extension and installs it into the PostgreSQL of PG_CONFIG.
install_extension() {
    local major=$1
    shift
    say "Building and installing the extension for PostgreSQL $major"
    local sudo=()
    [ "$(id -u)" = 0 ] || sudo=(--sudo)
    cargo pgrx install "${sudo[@]}" --pg-config "$PG_CONFIG" --no-default-features --features "pg$major" "$@"
}

# need_http_tools: installs a browser, and the Python packages that test the HTTP service; sets HTTP_TOOLS to their virtual
# environment.
need_http_tools() {
    need_packages chromium python3-venv python3-psycopg2
    HTTP_TOOLS=${XDG_CACHE_HOME:-$HOME/.cache}/kronos-http-tools
    local requirements=examples/http-api/tests/requirements.txt
    if ! cmp -s "$requirements" "$HTTP_TOOLS/requirements.txt"; then
        say "Installing the tools that test the HTTP service into $HTTP_TOOLS"
        /usr/bin/python3 -m venv --clear --system-site-packages "$HTTP_TOOLS"
        "$HTTP_TOOLS/bin/pip" install --quiet --disable-pip-version-check -r "$requirements"
        cp "$requirements" "$HTTP_TOOLS/"
    fi
}

# start_server: starts a private PostgreSQL of PG_CONFIG with pg_cron, listening only on a socket in its own directory.
# Sets SERVER to that directory and PSQL to a psql command line. Unless KEEP is set, the server and its files are removed
# when the script ends.
start_server() {
    BIN=$($PG_CONFIG --bindir)
    SERVER=$(mktemp -d /tmp/kronos-server.XXXXXX)
    PSQL=("$BIN/psql" -X -h "$SERVER" -U postgres -d postgres)
    [ "$(id -u)" != 0 ] || chown postgres "$SERVER"
    trap stop_server EXIT
    cd "$SERVER"
    as_server_owner "$BIN/initdb" -D "$SERVER/data" -U postgres -A trust --no-sync >/dev/null
    as_server_owner tee -a "$SERVER/data/postgresql.conf" >/dev/null <<CONF
shared_preload_libraries = 'pg_cron'
cron.database_name = 'postgres'
cron.host = '$SERVER'
unix_socket_directories = '$SERVER'
listen_addresses = ''
CONF
    as_server_owner "$BIN/pg_ctl" -D "$SERVER/data" -s -l "$SERVER/log" -w start
}

# PostgreSQL refuses to run as root.
as_server_owner() {
    if [ "$(id -u)" = 0 ]; then sudo -u postgres "$@"; else "$@"; fi
}

stop_server() {
    [ -z "${KEEP:-}" ] || return 0
    as_server_owner "$BIN/pg_ctl" -D "$SERVER/data" -s -m immediate stop || true
    rm -rf "$SERVER"
}

# value SQL: prints the result of a query.
value() { "${PSQL[@]}" -Atqc "$1"; }
