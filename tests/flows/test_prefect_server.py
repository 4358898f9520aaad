"""What the program's own Prefect server begins with: a new database has all tables at once."""

import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from http import HTTPStatus
from pathlib import Path

import pytest
import requests
from prefect import __version__
from prefect.settings import PREFECT_HOME, PREFECT_SERVER_DATABASE_CONNECTION_URL, temporary_settings

from flows import prefect_server
from flows.prefect_server import TABLES, begin_with_tables
from flows.prefect_settings import PrefectSettings
from flows.server import LocalServer

PROJECT = Path(__file__).parents[2]


def schema(database):
    """Return each table and index of a database as SQL, and each row; a table's columns and conditions in any order.

    Migrations write conditions in the order of a set, and spaces and quotes as SQLite's version likes.
    """
    with closing(sqlite3.connect(database)) as connection:
        return sorted(sorted(re.sub(r'[\s"();]', "", statement).split(",")) for statement in connection.iterdump())


@pytest.fixture
def home(tmp_path):
    """Let Prefect's home be a new folder in this process, with the database that it has by itself."""
    url = f"sqlite+aiosqlite:///{tmp_path}/prefect.db"
    with temporary_settings({PREFECT_HOME: tmp_path, PREFECT_SERVER_DATABASE_CONNECTION_URL: url}):
        yield tmp_path


@pytest.mark.thorough  # Prefect's migrations take six seconds
def test_the_tables_are_what_prefect_s_migrations_make(tmp_path):
    """Of the installed Prefect; otherwise `make flows/prefect_tables.sql`."""
    program = [sys.executable, PROJECT / "requirements" / "prefect_tables.py"]
    migrated = subprocess.run(program, check=True, capture_output=True, text=True, cwd=tmp_path).stdout
    for name, text in (("kept.db", TABLES.read_text(encoding="utf-8")), ("migrated.db", migrated)):
        with closing(sqlite3.connect(tmp_path / name)) as connection:
            connection.executescript(text)
    assert schema(tmp_path / "kept.db") == schema(tmp_path / "migrated.db")


def test_the_tables_are_of_the_installed_prefect():
    assert TABLES.read_text(encoding="utf-8").startswith(f"-- Prefect {__version__}\n")


@pytest.mark.thorough  # a server's start
def test_a_server_has_the_tables_without_a_migration(tmp_path, monkeypatch):
    """The one that a run starts for itself, in a home that is new."""
    monkeypatch.setenv("PREFECT_SERVER_DATABASE_MIGRATE_ON_START", "false")
    server = LocalServer(PrefectSettings(tmp_path / "home", None, 4200))
    try:
        server.wait()
        answer = requests.post(f"{server.url}/flow_runs/filter", json={}, timeout=60)
        assert (answer.status_code, answer.json()) == (HTTPStatus.OK, [])
    finally:
        server.release()


@pytest.mark.parametrize("before", [None, b""], ids=["new", "empty"])
def test_a_new_database_gets_all_tables(home, before):
    """Also an empty file, which a server leaves that was killed before it made the tables."""
    database = home / "prefect.db"
    if before is not None:
        database.write_bytes(before)
    begin_with_tables()
    tables = schema(database)
    parts = {part for statement in tables for part in statement}
    assert any(part.startswith("CREATETABLEflow_runid") for part in parts)
    assert any(part.startswith("INSERTINTOalembic_version") for part in parts)


def test_a_database_in_use_is_left_alone(home):
    begin_with_tables()
    database = home / "prefect.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("INSERT INTO flow (id, name) VALUES ('1', 'theirs')")
        connection.commit()
    before = database.read_bytes()
    begin_with_tables()
    assert database.read_bytes() == before


def test_another_database_of_the_user_s_is_left_to_prefect(home, tmp_path):
    url = f"sqlite+aiosqlite:///{tmp_path}/other.db"
    with temporary_settings({PREFECT_SERVER_DATABASE_CONNECTION_URL: url}):
        begin_with_tables()
    assert not list(home.iterdir())


def test_another_prefect_s_tables_are_left_to_its_migrations(home, monkeypatch, tmp_path_factory):
    tables = tmp_path_factory.mktemp("tables") / "tables.sql"
    tables.write_text(TABLES.read_text(encoding="utf-8").replace(__version__, "3.0.0", 1), encoding="utf-8")
    monkeypatch.setattr(prefect_server, "TABLES", tables)
    begin_with_tables()
    assert not list(home.iterdir())


def test_tables_that_cannot_be_made_are_not_half_made(home, monkeypatch, tmp_path_factory):
    """All or nothing: Prefect's migrations then begin at their beginning."""
    tables = tmp_path_factory.mktemp("tables") / "tables.sql"
    text = TABLES.read_text(encoding="utf-8")
    tables.write_text(text[: text.rindex("COMMIT")] + "CREATE TABLE flow (id);\nCOMMIT;\n", encoding="utf-8")
    monkeypatch.setattr(prefect_server, "TABLES", tables)
    begin_with_tables()
    assert not (home / "prefect.db").stat().st_size
