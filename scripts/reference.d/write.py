"""Prints docs/reference.md.   write.py DSN EXAMPLES"""
import re, sys
import psycopg2, psycopg2.extensions as pg

HEAD = """# Reference

Every function of schema `kronos` with an example and its output, the views and types, the errors, the settings. Written
by `scripts/reference` from the comments in the database (`\\df+ kronos.*` in psql shows them too) and a run of the examples,
in this order, on one server. Ids and times that differ from run to run are replaced by fixed ones.

A few [conventions](guide.md#the-model) hold for all functions: `workspace` left out is setting `kronos.workspace`, and
`job_name` can stand in for `job_id`.

"""
# The arguments of a function as they are declared, without the casts of defaults.
ARGUMENTS = """
regexp_replace(replace(pg_get_function_arguments(p.oid), 'timestamp with time zone', 'timestamptz'), '::[a-z]+(\\[\\])?', '', 'g')"""
RESULT = "replace(pg_get_function_result(p.oid), 'timestamp with time zone', 'timestamptz')"
FUNCTIONS = f"""
select p.proname, {ARGUMENTS}, {RESULT}, p.prokind, coalesce(p.proargnames[1:p.pronargs], '{{}}'), obj_description(p.oid, 'pg_proc')
from pg_proc p where pronamespace = 'kronos'::regnamespace"""
RELATIONS = """
select c.oid, relname, relkind, coalesce(obj_description(c.oid, 'pg_class'), obj_description(c.reltype, 'pg_type'))
from pg_class c where relnamespace = 'kronos'::regnamespace and relkind in ('v', 'c') order by relkind desc, relname"""
COLUMNS = """
select attname, replace(replace(format_type(atttypid, atttypmod), 'timestamp with time zone', 'timestamptz'),
                        'kronos_internal.duration', 'interval'),
       coalesce(col_description(attrelid, attnum), '')
from pg_attribute where attrelid = %s and attnum > 0 order by attnum"""
SETTINGS = "select name, boot_val, context, short_desc || ' ' || coalesce(extra_desc, '') from pg_settings where name like 'kronos.%' order by 1"
CONTEXTS = {"sighup": "`postgresql.conf`, reload", "user": "session, role, database or `postgresql.conf`"}

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-(?!7000-8000-0{12})7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
CLOCK = re.compile(r"\d{4}-\d\d-\d\d([ T])\d\d:\d\d:\d\d\.\d+(\+00(?::00)?)")
NUMBERS = (20, 21, 23, 700, 701, 1700)  # oids
ids = {}  # of this run, to those of the page

def stable(text):
    text = UUID.sub(lambda found: ids.setdefault(found[0], f"018f0000-0000-7000-8000-{len(ids) + 1:012}"), text)
    return CLOCK.sub(r"2026-01-31\g<1>09:00:00\g<2>", text)

def code(text):
    return re.sub(r"(?<![\w\".`])(?!pg_cron)[A-Za-z]+(?:_[A-Za-z0-9]+)+\b", r"`\g<0>`", text)

def center(text, width):
    return (" " * ((width - len(text)) // 2) + text).ljust(width)

def table(rows, columns):
    """Rows as psql aligns them."""
    names = [column.name for column in columns]
    adjusts = [str.rjust if column.type_code in NUMBERS else str.ljust for column in columns]
    cells = [[stable(cell or "") for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(names, *cells)]
    line = lambda row, adjusts: " " + " | ".join(adjust(cell, width) for cell, width, adjust in zip(row, widths, adjusts))
    rule = "+".join("-" * (width + 2) for width in widths)
    lines = [line(names, [center] * len(names)), rule, *(line(row, adjusts) for row in cells)]
    return "\n".join(text.rstrip() for text in lines)

def output(cursor, statement):
    for of_run, of_page in ids.items():
        statement = statement.replace(of_page, of_run)
    try:
        cursor.execute(statement)
    except psycopg2.Error as error:
        parts = [("ERROR", error.diag.message_primary), ("DETAIL", error.diag.message_detail), ("HINT", error.diag.message_hint)]
        return "\n".join(f"{part}:  {stable(text)}" for part, text in parts if text)
    return table(cursor.fetchall(), cursor.description) if cursor.description else None

def comment(text, arguments):
    """The comment of a function: its first line, a list of its arguments, and its errors."""
    first, *lines = text.split("\n")
    names = "|".join(arguments) or "-"
    head = rf"(?:{names})(?:, (?:or )?(?:{names}))*"
    paragraphs, items = [code(first)], []
    for line in lines:
        if line.startswith("Errors:"):
            continue
        for piece in re.split(rf"(?<=[.;]) (?={head}:)", line):
            named = re.match(rf"({head})(:.*)", piece)
            items.append("- " + (re.sub(names, r"`\g<0>`", named[1]) + code(named[2]) if named else code(piece)))
    errors = [code(line).replace("Errors:", "**Errors:**") for line in lines if line.startswith("Errors:")]
    return "\n\n".join(paragraphs + ["\n".join(items)] * bool(items) + errors)

def main(dsn, examples):
    connection = psycopg2.connect(dsn)
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("create extension kronos cascade; set timezone = 'UTC'")
    # pg_cron cannot log in, so that nothing happens between the examples.
    cursor.execute("alter role postgres nologin")
    cursor.execute(FUNCTIONS)
    functions = {name: rest for name, *rest in cursor.fetchall()}
    # From here on every value is its text.
    pg.register_type(pg.new_type(tuple(pg.string_types), "TEXT", lambda value, _: value))
    sections = re.split(r"^-- # (.*)\n", open(examples).read(), flags=re.M)[1:]
    print(HEAD + "\n".join(f"- [{title}](#{title.lower().replace(' ', '-')})" for title in
                           [*sections[::2], "Views", "Types", "Errors", "Settings"]))
    for title, section in zip(sections[::2], sections[1::2]):
        print(f"\n## {title}")
        blocks = re.split(r"^-- ## (.*)\n", section, flags=re.M)[1:]
        for name, example in zip(blocks[::2], blocks[1::2]):
            arguments, result, kind, names, text = functions.pop(name)
            signature = "(" + (arguments and "\n    " + arguments.replace(", ", ",\n    ") + "\n") + ")"
            signature = f"CALL kronos.{name}{signature}" if kind == "p" else f"kronos.{name}{signature} RETURNS {result}"
            outputs = [output(cursor, statement) for statement in re.split(r"(?<=;)\n", example.strip())]
            shown = "\n\n".join(text for text in outputs if text is not None)
            print(f"\n### {name}\n\n```text\n{signature}\n```\n\n{comment(text, names)}\n\n```sql\n{example.strip()}\n```")
            print(f"\n```text\n{shown}\n```" * bool(shown), end="\n" * bool(shown))
    assert not functions, f"without an example: {', '.join(functions)}"
    cursor.execute(RELATIONS)
    kind = None
    for oid, name, relkind, text in cursor.fetchall():
        if relkind != kind:
            kind = relkind
            print({"v": "\n## Views", "c": "\n## Types\n\nRows that functions return."}[kind])
        print(f"\n### kronos.{name}\n\n{text}\n\n| column | type | |\n| --- | --- | --- |")
        cursor.execute(COLUMNS, (int(oid),))
        for row in cursor.fetchall():
            print("| `{}` | {} | {} |".format(*row))
    print("\n## Errors\n\nDETAIL of every error is a JSON object with one of these codes: `kronos.error_codes()`.\n")
    print("| code | SQLSTATE | HTTP | meaning |\n| --- | --- | --- | --- |")
    cursor.execute("select * from kronos.error_codes()")
    for row in cursor.fetchall():
        print("| `{}` | {} | {} | {} |".format(*row))
    print("\n## Settings\n\n| setting | default | set in | |\n| --- | --- | --- | --- |")
    cursor.execute(SETTINGS)
    for name, default, context, text in cursor.fetchall():
        print(f"| `{name}` | `{default}` | {CONTEXTS[context]} | {text} |")

main(*sys.argv[1:])
