"""What a wheel holds, and that it runs without the repository."""

import shutil
import subprocess
import sys
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("deep_mlp", "flows", "mlp_core", "tasks")


def tracked_files(*folders):
    """Names of the files that git knows, as they are now."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *folders]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\n")[:-1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel of a source tree without git, as an archive of a release is."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in tracked_files(*PACKAGES, "deep_mlp_program.py", "pyproject.toml", "README.md", "LICENSE"):
        (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / "source" / name)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--wheel-dir", folder, folder / "source"], check=True)
    (path,) = folder.glob("*.whl")
    return path


@pytest.mark.thorough  # a second to make one
def test_a_wheel_holds_every_file_of_the_packages(wheel):
    files = {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert files == {*tracked_files(*PACKAGES), "deep_mlp_program.py"}


@pytest.mark.slow
def test_a_wheel_runs_in_an_empty_environment(wheel, tmp_path, monkeypatch):
    venv.create(tmp_path / "env", symlinks=True, with_pip=False)
    python = tmp_path / "env/bin/python"
    (packages,) = (tmp_path / "env/lib").glob("python*/site-packages")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run(pip, check=True)
    (packages / "dependencies.pth").write_text(str(Path(pytest.__file__).parents[1]))  # not 6 GB of PyTorch once more
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    program = [tmp_path / "env/bin/deep-mlp", "depth-sweep", "--depths", "1", "--seeds", "2", "--epochs", "2"]
    subprocess.run(program, cwd=tmp_path, check=True)
    assert (tmp_path / "artifacts/report.html").stat().st_size > 10_000
    where = subprocess.run(
        [python, "-c", "import flows; print(flows.__file__)"], cwd=tmp_path, capture_output=True, text=True
    )
    assert where.stdout.startswith(str(packages))
