"""Prefect's server down, lost, back, locked, somebody else's; a deployment whose code is gone."""

import json
import subprocess

import pytest


@pytest.mark.slow
def test_a_record_of_a_dead_server_harms_nobody(program, servers, tmp_path):
    """After a crash of the machine a number may be another program's: that one is neither used nor stopped."""
    home = tmp_path / "home"
    environment = servers.new_home(home)
    with subprocess.Popen(["sleep", "300"]) as innocent:
        record = {"pid": innocent.pid, "url": "http://127.0.0.1:9/api"}
        (home / "deep-mlp-server.json").write_text(json.dumps(record))
        process = program.start(program.depth_sweep, environment)
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert innocent.poll() is None
        innocent.kill()
