"""The private server: SQL, files of SQL, and programs that run against it within a time limit."""

import os
import subprocess
from pathlib import Path

import psycopg

HERE = Path(__file__).parent
CACHE = Path(os.environ["KRONOS_BENCH_CACHE"])
HOST = os.environ["KRONOS_BENCH_SERVER"]
BIN = Path(os.environ["KRONOS_BENCH_BIN"])

# What libpq, pg and asyncpg connect by.
ENVIRONMENT = os.environ | {"PGHOST": HOST, "PGUSER": "postgres", "PGDATABASE": "postgres"}


class Failed(Exception):
    """A measurement that could not be taken; the run goes on without it."""


class TimedOut(Failed):
    """A program that was ended at its time limit."""


def connect(**options):
    return psycopg.connect(host=HOST, user="postgres", dbname="postgres", autocommit=True, **options)


def rows(statement, *parameters):
    with connect() as connection:
        cursor = connection.execute(statement, parameters or None)
        return cursor.fetchall() if cursor.description else []


def value(statement, *parameters):
    return rows(statement, *parameters)[0][0]


def sql_file(name, **variables):
    """The text of a file below sql/. Variables replace `:name` as literals: a kept generic plan knows nothing of a
    LIMIT that is a parameter, and would be no fair reference."""
    text = (HERE / "sql" / f"{name}.sql").read_text()
    for variable, literal in variables.items():
        text = text.replace(f":{variable}", str(literal))
    return text


def run_file(name, **variables):
    # Without parameters psycopg sends the file as it is: all its statements at once.
    with connect() as connection:
        connection.execute(sql_file(name, **variables))


def settle():
    """Before a measurement: statistics and visibility as autovacuum would leave them, and no checkpoint ahead."""
    with connect() as connection:
        connection.execute("vacuum (analyze)")
        connection.execute("checkpoint")


def run(command, limit, text=""):
    """Runs a program to its end, or kills it and all of its children after `limit` seconds; returns its output."""
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
            raise TimedOut(f"{Path(command[0]).name} was not done after {limit} s") from None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, 9)
    if process.returncode != 0:
        raise Failed(f"{Path(command[0]).name}: {errors.strip()[-400:]}")
    return output
