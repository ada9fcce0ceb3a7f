"""Runs SQL, files of SQL, and programs with a time limit against the private server."""

import os
import subprocess
from pathlib import Path

import psycopg

HERE = Path(__file__).parent
CACHE = Path(os.environ["KRONOS_BENCH_CACHE"])
HOST = os.environ["KRONOS_BENCH_SERVER"]
BIN = Path(os.environ["KRONOS_BENCH_BIN"])

# libpq, pg and asyncpg connect with these variables.
ENVIRONMENT = os.environ | {"PGHOST": HOST, "PGUSER": "postgres", "PGDATABASE": "postgres"}


class Failed(Exception):
    """A measurement failed. The run continues without it."""


class TimedOut(Failed):
    """A program was stopped at its time limit."""


def connect(**options):
    return psycopg.connect(host=HOST, user="postgres", dbname="postgres", autocommit=True, **options)


def rows(statement, *parameters):
    with connect() as connection:
        cursor = connection.execute(statement, parameters or None)
        return cursor.fetchall() if cursor.description else []


def value(statement, *parameters):
    return rows(statement, *parameters)[0][0]


def sql_file(name, **variables):
    """Returns the text of a file below sql/. Variables replace `:name` as literals: a generic plan does not know the
    value of a LIMIT that is a parameter, and would make the references slower than they are."""
    text = (HERE / "sql" / f"{name}.sql").read_text()
    for variable, literal in variables.items():
        text = text.replace(f":{variable}", str(literal))
    return text


def run_file(name, **variables):
    # Without parameters, psycopg sends all statements of the file at once.
    with connect() as connection:
        connection.execute(sql_file(name, **variables))


def settle():
    """Prepares a measurement: does now what autovacuum and the checkpointer might otherwise do during it."""
    with connect() as connection:
        connection.execute("vacuum (analyze)")
        connection.execute("checkpoint")


def run(command, limit, text=""):
    """Runs a program and returns its output. After `limit` seconds it kills the program and all its children."""
    with subprocess.Popen(
        [str(part) for part in command],
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            output, errors = process.communicate(text, timeout=limit)
        except subprocess.TimeoutExpired:
            raise TimedOut(f"{Path(command[0]).name} did not finish within {limit} s") from None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, 9)
    if process.returncode != 0:
        raise Failed(f"{Path(command[0]).name}: {errors.strip()[-400:]}")
    return output
