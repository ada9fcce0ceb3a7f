"""Prints docs/reference.md: the comments in a server's catalog, and the examples with their output on that server.

Usage: reference.py DSN EXAMPLES"""
import re, sys
import psycopg2, psycopg2.extensions

HEAD = """# Reference

Every function of the schema `kronos` with an example and its output, and all views, types, errors and settings.
`scripts/generate` generates this page. The descriptions are the comments in the database, which `\\df+ kronos.*` shows
in psql. The examples run in this order on one server; ids and times that differ from run to run are replaced by fixed
ones.

A few [conventions](guide.md#the-model) hold for all functions: a call without `workspace` uses the setting
`kronos.workspace`, and `job_name` can be given instead of `job_id`.
"""
# pgrx-tests/in_server/documentation.rs compares the page with the result of the same expression.
ARGUMENTS = r"""regexp_replace(replace(pg_get_function_arguments(oid), 'timestamp with time zone', 'timestamptz'),
                               '::[a-z]+(\[\])?', '', 'g')"""
FUNCTIONS = f"""
select proname, {ARGUMENTS}, replace(pg_get_function_result(oid), 'timestamp with time zone', 'timestamptz'), prokind,
       coalesce(proargnames[1:pronargs], '{{}}'), obj_description(oid, 'pg_proc')
from pg_proc where pronamespace = 'kronos'::regnamespace"""
RELATIONS = """
select c.oid, relname, coalesce(obj_description(c.oid, 'pg_class'), obj_description(c.reltype, 'pg_type'))
from pg_class c where relnamespace = 'kronos'::regnamespace and relkind = %s order by relname"""
COLUMNS = """
select attname, replace(replace(format_type(atttypid, atttypmod), 'timestamp with time zone', 'timestamptz'),
                        'kronos_internal.duration', 'interval'),
       col_description(attrelid, attnum)
from pg_attribute where attrelid = %s and attnum > 0 order by attnum"""
ERRORS = "select code, sqlstate, http_status, meaning from kronos.error_codes()"
SETTINGS = """
select name, boot_val, context, concat_ws(' ', short_desc, extra_desc)
from pg_settings where name like 'kronos.%' order by name"""
CONTEXTS = {"sighup": "`postgresql.conf`", "superuser": "role, database or `postgresql.conf`, by a superuser", "user": "session, role, database or `postgresql.conf`"}

NUMBERS = (20, 21, 23, 700, 701, 1700)  # the oids of the numeric types
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-(?!7000-8000-0{12})7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
CLOCK = re.compile(r"\d{4}-\d\d-\d\d([ T])\d\d:\d\d:\d\d\.\d+(\+00(?::00)?)")
ids = {}  # id in this run -> id on the page


def normalize(text):
    """Replaces the ids of this run with numbered ones, and clock readings with a fixed time. Ticks stay: unlike clock
    readings, they have no fraction of a second."""
    text = UUID.sub(lambda found: ids.setdefault(found[0], f"018f0000-0000-7000-8000-{len(ids) + 1:012}"), text)
    return CLOCK.sub(r"2026-01-31\g<1>09:00:00\g<2>", text)


def mark_code(text):
    """Marks names that contain an underscore as code."""
    return re.sub(r"(?<![\w\".`])(?!pg_cron)[A-Za-z]+(?:_[A-Za-z0-9]+)+\b(?:\(\))?", r"`\g<0>`", text)


def center(text, width):
    return (" " * ((width - len(text)) // 2) + text).ljust(width)


def table(rows, columns):
    """Formats rows as psql does."""
    names = [column.name for column in columns]
    cells = [[normalize(cell or "") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(names, *cells)]
    adjusts = [str.rjust if column.type_code in NUMBERS else str.ljust for column in columns]

    def line(row, adjusts):
        return " " + " | ".join(adjust(cell, width) for cell, width, adjust in zip(row, widths, adjusts))

    rule = "+".join("-" * (width + 2) for width in widths)
    lines = [line(names, [center] * len(names)), rule, *(line(row, adjusts) for row in cells)]
    return "\n".join(text.rstrip() for text in lines)


def output(cursor, statement):
    """Runs a statement, which may contain ids of the page, and returns what psql would print."""
    for run_id, page_id in ids.items():
        statement = statement.replace(page_id, run_id)
    try:
        cursor.execute(statement)
    except psycopg2.Error as error:
        diag = error.diag
        parts = {"ERROR": diag.message_primary, "DETAIL": diag.message_detail, "HINT": diag.message_hint}
        return "\n".join(f"{part}:  {normalize(text)}" for part, text in parts.items() if text)
    return table(cursor.fetchall(), cursor.description) if cursor.description else None


def comment(text, arguments):
    """Formats the comment of a function: its first line, a list of its arguments, and its errors."""
    first, *lines = text.split("\n")
    name = "(?:" + "|".join(arguments or "-") + ")"
    head = rf"{name}(?:, (?:or )?{name})*"
    items, errors = [], []
    for line in lines:
        if line.startswith("Errors:"):
            errors.append(mark_code(line).replace("Errors:", "**Errors:**"))
            continue
        for item in re.split(rf"(?<=\.) (?={head}:)", line):
            named = re.match(rf"({head})(:.*)", item)
            items.append(re.sub(name, r"`\g<0>`", named[1]) + mark_code(named[2]) if named else mark_code(item))
    listed = ["\n".join(f"- {item}" for item in items)] if items else []
    return "\n\n".join([mark_code(first), *listed, *errors])


def function(cursor, name, example, arguments, result, kind, argument_names, text):
    arguments = "\n    " + arguments.replace(", ", ",\n    ") + "\n" if arguments else ""
    signature = f"CALL kronos.{name}({arguments})" if kind == "p" else f"kronos.{name}({arguments}) RETURNS {result}"
    outputs = [output(cursor, statement) for statement in re.split(r"(?<=;)\n", example)]
    printed = "\n\n".join(text for text in outputs if text is not None)
    print(f"\n### {name}\n\n```text\n{signature}\n```\n\n{comment(text, argument_names)}\n\n```sql\n{example}\n```")
    if printed:
        print(f"\n```text\n{printed}\n```")


def relations(cursor, kind):
    cursor.execute(RELATIONS, (kind,))
    for oid, name, text in cursor.fetchall():
        cursor.execute(COLUMNS, (int(oid),))
        columns = cursor.fetchall()
        listed = ", ".join(f"`{column}` {type_name}" for column, type_name, _ in columns)
        print(f"\n### kronos.{name}\n\n{mark_code(text)}\n\nColumns: {listed}.")
        comments = [f"- `{column}`: {mark_code(comment)}" for column, _, comment in columns if comment]
        if comments:
            print("\n" + "\n".join(comments))


def main(dsn, examples):
    sections = re.split(r"^-- # (.*)\n", open(examples).read(), flags=re.M)[1:]
    sections = [(title, re.findall(r"^-- ## (.*)\n((?:(?!-- ##? ).*\n)*)", section, re.M))
                for title, section in zip(sections[::2], sections[1::2])]
    print(HEAD)
    for title, blocks in sections + [(title, []) for title in ("Views", "Types", "Errors", "Settings")]:
        links = ", ".join(f"[{name}](#{name})" for name, _ in blocks)
        print(f"- [{title}](#{title.lower().replace(' ', '-')})" + (links and f": {links}"))

    connection = psycopg2.connect(dsn)
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("create extension kronos cascade; set timezone = 'UTC'")
    # Keeps pg_cron from logging in, so that nothing changes between the examples.
    cursor.execute("alter role postgres nologin")
    # A role must be able to log in to write a statement. The server runs none: its processes connect with these settings.
    cursor.execute("alter database postgres set kronos.enabled = off")
    cursor.execute("create role admin superuser login; set session authorization admin")
    cursor.execute(FUNCTIONS)
    functions = {name: facts for name, *facts in cursor.fetchall()}
    # From here on, psycopg2 returns every value as text.
    every_type = tuple(psycopg2.extensions.string_types)
    psycopg2.extensions.register_type(psycopg2.extensions.new_type(every_type, "TEXT", lambda value, _: value))
    for title, blocks in sections:
        print(f"\n## {title}")
        for name, example in blocks:
            function(cursor, name, example.strip(), *functions.pop(name))
    if functions:
        sys.exit(f"scripts/generate.d/examples.sql has no example of {', '.join(functions)}")

    print("\n## Views")
    relations(cursor, "v")
    print("\n## Types\n\nThe rows that functions return.")
    relations(cursor, "c")
    print("\n## Errors\n\nThe DETAIL of every error is a JSON object with one of these codes. `kronos.error_codes()` returns the same table.\n")
    print("| code | SQLSTATE | HTTP | meaning |\n| --- | --- | --- | --- |")
    cursor.execute(ERRORS)
    for row in cursor.fetchall():
        print("| `{}` | {} | {} | {} |".format(*row))
    print("\n## Settings\n\n| setting | default | set in | meaning |\n| --- | --- | --- | --- |")
    cursor.execute(SETTINGS)
    for name, default, context, text in cursor.fetchall():
        print(f"| `{name}` | `{default}` | {CONTEXTS[context]} | {text} |")


main(*sys.argv[1:])
