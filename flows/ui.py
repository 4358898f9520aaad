"""`deep-mlp ui`: Prefect's pages with all runs of this user, as long as somebody looks on."""

from __future__ import annotations

import os
import time

import click

from flows.lost_runs import end_lost_runs, end_restored_runs
from flows.prefect_settings import read_prefect_settings
from flows.server import LOOPBACK, LocalServer, RunLost, reach_directly
from flows.stopping import ignore_signals, is_asked


def show_ui(host: str, port: int | None) -> None:
    """Serve Prefect's UI until Ctrl-C and print its address; if a foreign server is already up, only print that.

    Args:
        host: Address at which a new server listens.
        port: Its port; None for Prefect's usual one.

    Raises:
        InputError: If it cannot listen there.
        RunLost: If the server ends by itself.
    """
    reach_directly(host)
    settings = read_prefect_settings()
    server = LocalServer(settings, host, port or settings.port)
    address = server.url.removesuffix("/api")
    try:
        server.wait()
        os.environ["PREFECT_API_URL"] = server.url
        end_lost_runs(settings.home, "")
        already = "" if server.started else " is up already"
        click.echo(f"Prefect's UI{already}: {address}, with the runs of {settings.home}")
        if settings.api_url and settings.api_url.rstrip("/") != server.url:
            click.echo(f"PREFECT_API_URL is set: new runs go to {settings.api_url} and are shown there.")
        if server.started and host not in LOOPBACK:
            click.echo(f"Everyone who reaches {host} can read, change and start runs here: no password is asked for.")
        if not server.lives():  # one that this program did not start is for others to end
            return
        click.echo("Ctrl-C ends it.")
        if server.started:
            end_restored_runs(settings.home)
        while server.lives() and not is_asked():
            time.sleep(1)
        if is_asked():
            return
        message = f"the Prefect server at {server.url} has ended; see {server.log}, or run the same command again."
        raise RunLost(message)
    except KeyboardInterrupt:
        pass
    finally:
        ignore_signals()
        if server.release():
            click.echo("It goes on until those who use it, such as runs, have ended.")
