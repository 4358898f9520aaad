"""Print, as SQL, what the installed Prefect makes of a new database: `make flows/prefect_tables.sql`."""

import asyncio
import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory


def main() -> None:
    """Run all of Prefect's migrations on a database of its own."""
    with TemporaryDirectory() as home:
        database = Path(home) / "prefect.db"
        os.environ["PREFECT_HOME"] = home
        os.environ["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = f"sqlite+aiosqlite:///{database}"
        from prefect import __version__
        from prefect.server.database import provide_database_interface

        asyncio.run(provide_database_interface().create_db())
        lines = [f"-- Prefect {__version__}"]
        lines.append("-- What its migrations make of an empty database, under Prefect's licence: Apache 2.0.")
        with closing(sqlite3.connect(database)) as connection:
            for statement in connection.iterdump():
                lines += (line.rstrip() for line in statement.splitlines())
    sys.stdout.write("\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
