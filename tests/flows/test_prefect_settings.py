"""Prefect's settings as Prefect itself decides them: environment, files of the current folder, profile."""

import os

import pytest

from flows.prefect_settings import PrefectSettings, read_prefect_settings
from mlp_core.errors import InputError


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Stand in an empty folder, with Prefect's own home in it and nothing set."""
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_without_files_the_environment_says_it_all(here, monkeypatch, tmp_path):
    """And no process is started to ask Prefect."""
    monkeypatch.setattr("flows.prefect_settings.subprocess", None)
    (here / "pyproject.toml").write_text("[project]\nname = 'prefect'\n[tool.ruff]\n")
    home = tmp_path / "home/.prefect"
    assert read_prefect_settings() == PrefectSettings(home, None, 4200)
    monkeypatch.setenv("PREFECT_HOME", "mine")
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.setenv("PREFECT_SERVER_API_PORT", "4321")
    assert read_prefect_settings() == PrefectSettings(here / "mine", "http://127.0.0.1:9/api", 4321)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param(
            ".env",
            "PREFECT_API_URL=http://127.0.0.1:9/api\nPREFECT_HOME=./kept\nPREFECT_SERVER_API_PORT=4321",
            marks=pytest.mark.slow,
        ),
        ("prefect.toml", 'home = "./kept"\n[api]\nurl = "http://127.0.0.1:9/api"\n[server.api]\nport = 4321'),
        pytest.param(
            "pyproject.toml",
            '[tool.prefect]\nhome = "./kept"\napi.url = "http://127.0.0.1:9/api"\nserver.api.port = 4321',
            marks=pytest.mark.slow,
        ),
    ],
    ids=[".env", "prefect.toml", "pyproject.toml"],
)
def test_files_of_the_folder_count(here, name, text):
    """A relative home is one of this folder, wherever the server runs."""
    (here / name).write_text(text)
    assert read_prefect_settings() == PrefectSettings(here / "kept", "http://127.0.0.1:9/api", 4321)


@pytest.mark.slow
def test_the_active_profile_counts_after_the_environment(here, tmp_path, monkeypatch):
    """As with Prefect's own programs."""
    home = tmp_path / "home/.prefect"
    home.mkdir(parents=True)
    (home / "profiles.toml").write_text(
        'active = "far"\n[profiles.far]\nPREFECT_API_URL = "http://far/api"\nPREFECT_SERVER_API_PORT = "4321"\n'
    )
    monkeypatch.setenv("PREFECT_SERVER_API_PORT", "4322")
    assert read_prefect_settings() == PrefectSettings(home, "http://far/api", 4322)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        pytest.param(
            *(".env", "PREFECT_SERVER_API_PORT=abc", "got port 'abc': Input should be a valid integer"),
            marks=pytest.mark.thorough,
        ),
        pytest.param("prefect.toml", "[api", "invalid TOML", marks=pytest.mark.slow),
    ],
    ids=[".env", "prefect.toml"],
)
def test_a_file_that_says_nonsense_is_one_sentence(here, name, text, reason):
    """It names the files, and what is wrong."""
    (here / name).write_text(text)
    with pytest.raises(InputError, match=r"^Prefect's settings must be valid in this folder's \.env, ") as refused:
        read_prefect_settings()
    assert reason in str(refused.value)
    assert "\n" not in str(refused.value)
