"""What may never happen, whoever wrote the input: see docs/security.md."""

import ast
import io
import os
import re
import socket
import sqlite3
import stat
import struct
import sys
import threading
import zipfile
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from mlp_core.experiments.sections import all_sections
from mlp_core.report.page import read_report_content, render_report
from tasks.caching import decode
from tasks.run_record import command_of
from tasks.run_settings import ImageRunSettings

ROOT = Path(__file__).parents[1]
SOURCES = ["deep_mlp_program.py"] + [
    path.relative_to(ROOT).as_posix()
    for folder in ("flows", "tasks", "mlp_core", "benchmarks", "tests")
    for path in sorted((ROOT / folder).rglob("*.py"))
]
FORBIDDEN_MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "telnetlib", "xmlrpc"}
FORBIDDEN_CALLS = {
    *("eval", "exec", "compile", "__import__", "os.system", "os.popen", "subprocess.getoutput"),
    *("yaml.load", "yaml.unsafe_load", "yaml.full_load", "tempfile.mktemp", "pandas.read_pickle", "pd.read_pickle"),
    *("np.load", "numpy.load", "jinja2.Template", "Markup", "markupsafe.Markup", "torch.hub.load"),
}


def dotted_name(node):
    """Return what is called as it is written, or its end alone where that is no plain name: `ast.unparse` is slow."""
    if isinstance(node, ast.Attribute):
        return f"{dotted_name(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def dangers(text):
    """Yield what a source does that could turn foreign bytes into code."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in FORBIDDEN_MODULES)
        elif isinstance(node, ast.ImportFrom):
            if (node.module or "").split(".")[0] in FORBIDDEN_MODULES:
                yield node.module
            yield from (
                name for name in (f"{node.module}.{alias.name}" for alias in node.names) if name in FORBIDDEN_CALLS
            )
        elif isinstance(node, ast.Call):
            name = dotted_name(node.func)
            options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if name in FORBIDDEN_CALLS or name.removeprefix("builtins.") in {"eval", "exec"}:
                yield name
            if options.get("shell", "False") != "False" or options.get("verify") == "False":
                yield f"{name} with shell or without verification"
            if name.endswith("torch.load") and options.get("weights_only") != "True":
                yield f"{name} without weights_only"
            if name.endswith("Environment") and "loader" in options and options.get("autoescape") != "True":
                yield f"{name} without autoescape"


def test_no_foreign_bytes_become_code():
    """No pickle, no evaluation, no shell, no loader that runs what it loads, no request without verification."""
    dangers_in = {source: list(dangers((ROOT / source).read_text(encoding="utf-8"))) for source in SOURCES}
    assert {source: names for source, names in dangers_in.items() if names} == {}
    assert len(SOURCES) > 300


def test_the_search_finds_what_it_is_for():
    """Each danger, written down."""
    for text in (
        "import pickle",
        "from marshal import loads",
        "eval(text)",
        "import os\nos.system('ls')",
        "subprocess.run(command, shell=True)",
        "from yaml import load",
        "yaml.load(text)",
        "torch.load(path)",
        "tempfile.mktemp()",
        "requests.get(url, verify=False)",
        "jinja2.Environment(loader=loader)",
    ):
        assert len(list(dangers(text))) == 1, text


def test_templates_switch_no_escaping_off():
    """Nothing in the report's template is called safe."""
    templates = list(ROOT.glob("mlp_core/report/templates/*"))
    assert templates
    for template in templates:
        assert not re.search(r"\|\s*safe|autoescape|markup", template.read_text(), re.IGNORECASE)


CLASSES = ("<script>alert(1)<", "$x_{^$", "a&b\"'>", "=1+2\x1b[31m")


def hostile_images(path):
    """Write images whose folders are called what would do harm if it were not escaped."""
    with zipfile.ZipFile(path, "w") as archive:
        for split, count in (("train", 9), ("val", 2)):
            for place, name in enumerate(CLASSES):
                for number in range(count):
                    buffer = io.BytesIO()
                    Image.new("RGB", (32, 32), (60 * place, 20 * number, 99)).save(buffer, "PNG")
                    archive.writestr(f"{split}/{name}/<img src=x onerror=alert(2)>{number}.png", buffer.getvalue())
                archive.writestr(f"{split}/{name}/<b>bad.png", b"no image")
    return path


class Tags(HTMLParser):
    """Collects the names of tags, and of attributes that run something."""

    def __init__(self, page):
        super().__init__()
        self.names, self.handlers = set(), []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.names.add(tag)
        self.handlers += [name for name, value in attrs if name.startswith("on") or "javascript:" in (value or "")]


@pytest.mark.thorough
def test_names_from_data_stay_text(run, tmp_path, caplog):
    """Class folders and files called like HTML, formulas and terminal commands: in report, figures, log and tables."""
    zipped = hostile_images(tmp_path / "<i>photos.zip")
    caplog.set_level("INFO", "deep_mlp")
    folder = tmp_path / "<u>artifacts"
    assert run("images", folder, images=zipped, skip_bad_images=8, own_figures=True).state.is_completed()
    page = (folder / "report.html").read_text()
    tags = Tags(page)
    assert tags.names.isdisjoint({"script", "b", "i", "u", "iframe", "object"})
    assert tags.handlers == []
    assert page.count("<img") == page.count("<figure") + page.count('class="thumbnail"')
    assert "&lt;b&gt;bad.png" in page
    assert (folder / "figures/samples.png").stat().st_size > 10_000
    assert sorted(pq.read_table(next(folder.glob("tables/images-*")))["class"].unique().to_pylist()) == sorted(CLASSES)
    assert [message for message in caplog.messages if not message.isprintable()] == []


def test_a_table_from_elsewhere_stays_text(tmp_path):
    """Results and settings that someone else wrote, with HTML in every text."""
    import pyarrow as pa

    evil = "<script>alert(1)</script>"
    texts = {"activation": [evil, evil], "hidden_widths": [evil, evil], "status": ["ok", evil]}
    rows = {
        "parameters": [9, 9],
        "epochs": [2, 2],
        "learned": [True, True],
        "train_accuracy": [0.5, 0.6],
        "test_accuracy": [0.5, 0.6],
    }
    table = pa.table({**texts, **rows, "seed": [1, 2]}).replace_schema_metadata(
        {"settings": f'{{"{evil}": "{evil}"}}', "machine": evil, "code": evil, "inputs": f'{{"{evil}": "{evil}"}}'}
    )
    (tmp_path / "results").mkdir()
    pq.write_table(table, tmp_path / "results/images.parquet")
    page = render_report(read_report_content(tmp_path, all_sections()), all_sections(), usual_seeds=8)
    assert "script" not in Tags(page).names
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 5


@pytest.fixture
def download_site(image_zip, monkeypatch):
    """Give the port of a server that sends images for the right signature, and 403 for another."""
    monkeypatch.setenv("NO_PROXY", "*")
    content = image_zip.read_bytes()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                head = connection.recv(1 << 16).decode()
                good = "sig=s3cr3t-signature" in head and "Authorization: Basic " in head
                status, body = ("200 OK", content) if good else ("403 Forbidden", b"")
                connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

    thread = threading.Thread(target=serve)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(10)


@pytest.mark.thorough
@pytest.mark.parametrize("good", [True, False], ids=["good", "refused"])
def test_secrets_of_an_address_are_kept_nowhere(program, servers, download_site, tmp_path, good):
    """User, password and signature of a URL: not in what is said, nor in any file, nor in Prefect's database."""
    secrets = ["us3r-name", "p4ssw0rd", "s3cr3t-signature" if good else "wr0ng-signature"]
    url = f"http://{secrets[0]}:{secrets[1]}@127.0.0.1:{download_site}/faces.zip?sig={secrets[2]}"
    home = tmp_path / "home"
    process = program.start(f"{program.images} --images {url}", servers.new_home(home))
    out, err = process.communicate(timeout=180)
    assert process.returncode == (0 if good else 1), err
    assert f"downloading http://...@127.0.0.1:{download_site}/faces.zip?..." in err
    with closing(sqlite3.connect(home / "prefect.db")) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert database.execute("SELECT count(*) FROM flow_run").fetchone() == (1,)
        assert database.execute("SELECT count(*) FROM log").fetchone()[0] > 0
    places = {"out": out.encode(), "err": err.encode()}
    places |= {str(path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for path in tmp_path.rglob("*.parquet"):  # whose columns are compressed
        places[f"{path} unpacked"] = repr((pq.read_table(path).to_pydict(), pq.read_schema(path).metadata)).encode()
    leaks = [(place, secret) for place, content in places.items() for secret in secrets if secret.encode() in content]
    assert leaks == []
    if good:
        metadata = pq.read_schema(tmp_path / "artifacts/results/images.parquet").metadata
        assert f"http://...@127.0.0.1:{download_site}/faces.zip?...".encode() in metadata[b"settings"]


def test_settings_that_prefect_keeps_are_without_secrets():
    """As Python has them they are whole; as JSON, in Prefect's database and on its page, they are not."""
    run = ImageRunSettings(images="https://me:word@host/faces.zip?signature=1")
    assert run.images == "https://me:word@host/faces.zip?signature=1"
    assert run.model_dump(mode="json")["images"] == "https://...@host/faces.zip?..."
    assert command_of("images", {"run": run}) == "deep-mlp images --images 'https://...@host/faces.zip?...'"


@pytest.mark.parametrize("name", ["pathlib.Path", "antigravity.fly", "subprocess.Popen"])
def test_a_record_builds_no_class_but_ours(name):
    """Prefect takes the error for a result that has to be made again; the module named is not even imported."""
    with pytest.raises(ValueError, match=f"foreign class {name}"):
        decode({"__class__": name, "data": "x"})
    assert "antigravity" not in sys.modules


def listening(pid):
    """Return the addresses at which a process and its children listen, as in /proc/net/tcp and tcp6."""
    pids = {str(pid)}
    for _ in range(5):
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = path.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[1] in pids:
                pids.add(path.parent.name)
    inodes = set()
    for process_id in pids:
        for link in Path("/proc", process_id, "fd").glob("*"):
            try:
                inodes |= set(re.findall(r"socket:\[(\d+)\]", str(link.readlink())))
            except OSError:
                continue
    addresses = set()
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            _, local, _, state, *rest = line.split()
            if state == "0A" and rest[5] in inodes:
                address = local.partition(":")[0]
                addresses.add(socket.inet_ntoa(struct.pack("<I", int(address, 16))) if table == "tcp" else address)
    return addresses


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs Linux")
@pytest.mark.slow
@pytest.mark.parametrize("command", ["a run", "a run on dask", "ui"])
def test_servers_of_ours_listen_on_loopback_alone(program, servers, tmp_path, new_port, command):
    """Even if the environment asks for another host."""
    from flows.server import healthy

    port = new_port()
    environment = servers.new_home(tmp_path / "home") | {
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_API_HOST": "0.0.0.0",
    }
    sweep = "depth-sweep --epochs 100000 --seeds 2"
    words = {"a run": sweep, "a run on dask": f"{sweep} --runner dask", "ui": "ui"}[command]
    process = program.start(words, environment)
    try:
        wait_until(lambda: healthy(f"http://127.0.0.1:{port}/api"), process)
        if "dask" in words:  # its workers draw the points
            wait_until(lambda: list(tmp_path.glob("artifacts/tables/spirals-*")), process)
        assert listening(process.pid) == {"127.0.0.1"}
    finally:
        process.terminate()
        process.communicate(timeout=60)


def wait_until(condition, process, seconds=120):
    import time

    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("umask", "others"),
    [
        pytest.param(0o022, stat.S_IRGRP | stat.S_IROTH, id="022", marks=pytest.mark.thorough),
        pytest.param(0o077, 0, id="077"),
    ],
)
def test_what_others_may_do_is_up_to_the_umask(run, tmp_path, umask, others):
    """They may read results with the usual one and nothing with a strict one, and never write."""
    before = os.umask(umask)
    try:
        assert run("polynomial", tmp_path / "artifacts").state.is_completed()
    finally:
        os.umask(before)
    modes = {path: path.stat().st_mode for path in (tmp_path / "artifacts").rglob("*")}
    assert {path.name: mode & 0o066 for path, mode in modes.items() if mode & 0o066 != others} == {}
