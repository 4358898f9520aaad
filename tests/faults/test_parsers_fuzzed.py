"""What reads bytes and texts from outside, fed with any: each answers or refuses in the one way that it says.

With hypothesis in every run of the tests, and guided by coverage with atheris where it is installed (`make fuzz`). What
either finds becomes an example below.
"""

import io
import json
import os
import socket
import sys
import tempfile
import threading
import zipfile
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from mlp_core.activations import canonical_activation
from mlp_core.addresses import image_path, is_web_address, shown_address
from mlp_core.artifacts.baseline import (
    BASELINE,
    RUNS,
    accept,
    changes_of,
    describe_baseline,
    keep_comparison,
    read_baseline,
    read_comparisons,
)
from mlp_core.artifacts.comparison import compare
from mlp_core.artifacts.results import read_results
from mlp_core.artifacts.storage import Provenance, write_table
from mlp_core.data.downloads import Limits, _retry_after_seconds, download
from mlp_core.data.images import decode_images, list_images
from mlp_core.data.preprocessing import LevelColumn, NumberColumn, Preprocessing
from mlp_core.data.settings import DataSource
from mlp_core.data.table_files import read_table_file
from mlp_core.data.tables import table_examples
from mlp_core.errors import InputError, ResourceError
from mlp_core.experiments.ablation.experiment import Ablation
from mlp_core.experiments.depth_sweep.experiment import DepthSweep
from mlp_core.experiments.gain_sweep.experiment import GainSweep
from mlp_core.experiments.generalization.experiment import Generalization
from mlp_core.experiments.images.experiment import Images
from mlp_core.experiments.sweep.experiment import Sweep
from mlp_core.settings import validated
from tasks.artifact_listing import stored_files, unneeded_files

QUICKLY = hypothesis_settings(
    derandomize=True, deadline=None, max_examples=50, database=None, suppress_health_check=[HealthCheck.too_slow]
)
SECONDS = 60


def answered(read, *arguments):
    """Return what a function gives, or the sentence with which it refuses."""
    try:
        return read(*arguments), ""
    except (InputError, ResourceError) as error:
        return None, str(error)


def read_activation(text):
    """An activation's name: its one spelling, which is its own, or ValueError."""
    with suppress(ValueError):
        name = canonical_activation(text)
        assert canonical_activation(name) == name


def read_setting(model, field, text):
    """A list or a range: a value, or one sentence."""
    settings, words = answered(validated, model, {field: text})
    if settings:
        assert len(getattr(settings, field)) <= 100_000
    else:
        assert words.startswith(field)
        assert words.isprintable()
        assert len(words) < 500


def read_image_source(text):
    """What `--images` names: let in, or one sentence, without what may be secret in it."""
    path, words = answered(image_path, text)
    if path and not path.is_dir():  # what folders this machine has, such as ~ and all below it, is no text's matter
        _, words = answered(list_images, path)
    assert words == "" or words.startswith("images must ")
    assert words.isprintable()
    if is_web_address(text):
        assert words == ""
        assert shown_address(text).isprintable()


def read_archive(content):
    """A zip: a table of whole images, or one sentence."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "photos.zip")
        path.write_bytes(content)
        table, words = answered(decode_images, path, 3)
        if table:
            assert table.column("pixels").type.byte_width == 3072
        else:
            assert words.startswith(("images must ", "skip_bad_images allows "))
            assert words.isprintable()
        assert os.listdir(folder) == ["photos.zip"]  # noqa: PTH208 - names alone


def read_own_table(content):
    """Somebody's table: examples, or one sentence; what was learned from it fits its rows."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "table")
        path.write_bytes(content)
        table, words = answered(read_table_file, path)
        examples = None
        if table:
            examples, words = answered(table_examples, table, DataSource(data="table", missing="mean"), 1)
        if examples:
            assert examples.data.train_inputs.isfinite().all()
            assert len(examples.preprocessing.inputs) == examples.data.test_inputs.shape[1]
        else:
            assert words.startswith(("data must ", "test_share must "))
            assert words.isprintable()
            assert len(words) < 2000


def read_new_rows(content):
    """New rows for kept networks: finite inputs for each, or one sentence."""
    columns = NumberColumn("size", 1.75, 0.25), LevelColumn("colour", ("blue", "red"))
    learned = Preprocessing(columns, "kind", ("a", "b"), "mean")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "rows")
        path.write_bytes(content)
        table, words = answered(read_table_file, path)
        inputs = None
        if table:
            inputs, words = answered(learned.apply, table)
        if inputs is not None:
            assert inputs.shape == (table.num_rows, 3)
            assert np.isfinite(inputs).all()
            assert all(sentence.isprintable() for sentence in learned.unseen(table))
        else:
            assert words.startswith("data must ")
            assert words.isprintable()
            assert len(words) < 2000


def read_preprocessing(content):
    """What was learned of a table: as it was written, or ValueError."""
    with suppress(ValueError, RecursionError):
        learned = Preprocessing.from_json(json.loads(content))
        assert Preprocessing.from_json(learned.to_json()) == learned


def read_image(content):
    """An image: pixels, or one sentence."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in ("train/a/1.png", "train/b/1.png", "val/a/1.png", "val/b/1.png"):
            archive.writestr(name, content if name == "train/a/1.png" else GOOD_IMAGE)
    read_archive(buffer.getvalue())


def read_table(content):
    """A table of results: what the report is made from, or one sentence."""
    from mlp_core.experiments.sections import all_sections
    from mlp_core.report.page import read_report_content

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "results/polynomial.parquet")
        path.parent.mkdir()
        path.write_bytes(content)
        answered(read_report_content, Path(folder), all_sections())


def refused_by_name(path, words):
    """One sentence that begins with the file."""
    assert words.startswith(f"{path} must be a Parquet file as it was written, got ")
    assert words.isprintable()


def stored(folder, name, content):
    """Return the path of a file of these bytes in an artifact folder."""
    path = Path(folder, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def read_accepted(content):
    """The accepted results: what can be shown and compared, or one sentence."""
    with tempfile.TemporaryDirectory() as folder:
        path = stored(folder, BASELINE, content)
        baseline, words = answered(read_baseline, Path(folder))
        if baseline:
            assert describe_baseline(baseline)
            assert not compare(baseline, baseline).moved
        else:
            refused_by_name(path, words)


def read_members(content):
    """A table of results: members, none if it is of something else, or one sentence."""
    with tempfile.TemporaryDirectory() as folder:
        path = stored(folder, "results/depth_sweep.parquet", content)
        results, words = answered(read_results, Path(folder))
        if results:
            assert not compare(results, results).moved
        else:
            refused_by_name(path, words)


def read_run(content):
    """A comparison that was kept: its changes, or one sentence."""
    with tempfile.TemporaryDirectory() as folder:
        path = stored(folder, f"{RUNS}/2026-11-24T030000.000000Z.parquet", content)
        comparisons, words = answered(read_comparisons, Path(folder))
        if comparisons:
            assert changes_of(comparisons.to_pylist())
        else:
            refused_by_name(path, words)


def read_folder(content):
    """Any file of an artifact folder: it is listed, and no result is ever named as unneeded."""
    names = ["baseline/x.parquet", "members/x.parquet", "models/x.safetensors", ".records/x", ".records/y/0-0.json"]
    with tempfile.TemporaryDirectory() as folder:
        for name in ("results/x.parquet", *names):
            stored(folder, name, content)
        assert len(stored_files(Path(folder))) == 6
        unneeded, words = answered(unneeded_files, Path(folder))
        assert set(unneeded or ()) <= set(names[1:])
        assert unneeded is not None or words.startswith(
            "prune must read every result, got results/x.parquet, which is "
        )


def read_record(text):
    """A record of a result: as it was written, or ValueError."""
    from tasks.checksummed_json import loads

    with suppress(ValueError):
        loads(text)


def image(kind, size=(32, 32)):
    from PIL import Image

    turned, buffer = Image.Exif(), io.BytesIO()
    turned[0x0112] = 6  # by a quarter
    more = {} if size == (32, 32) else {"exif": turned}
    Image.linear_gradient("L").resize(size).convert("RGB").save(buffer, kind, **more)
    return buffer.getvalue()


GOOD_IMAGE = image("PNG")
IMAGES = [GOOD_IMAGE, *map(image, ("JPEG", "WEBP", "BMP", "TIFF", "GIF"))]
SCALED = [image(kind, (48, 40)) for kind in ("PNG", "JPEG", "WEBP", "TIFF")]


def good_archive(method):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name in ("train/a/1.png", "train/b/1.png", "val/a/1.png", "val/b/1.png"):
            archive.writestr(name, GOOD_IMAGE)
    return buffer.getvalue()


ARCHIVES = [good_archive(zipfile.ZIP_STORED), good_archive(zipfile.ZIP_DEFLATED)]


def good_table():
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    rows = {"degree": [5, 5], "features": [21, 21], "epochs": [9, 9], "status": ["ok", "ok"], "seed": [1, 2]}
    table = pa.table({**rows, "learned": [True, True], "train_accuracy": [0.5, 0.6], "test_accuracy": [0.5, 0.7]})
    pq.write_table(table.replace_schema_metadata({"settings": "{}", "inputs": "{}", "versions": "{}"}), buffer)
    return buffer.getvalue()


def good_files():
    """Return the bytes of a table of results, of the baseline that it becomes, and of a comparison with that."""
    import pyarrow as pa

    rows = {"depth": [1, 1, 2, 2], "member": [0, 1, 0, 1], "epochs": [9] * 4, "status": ["ok"] * 3 + ["diverged"]}
    accuracies = [0.5, 0.6, 0.7, None]
    table = pa.table({**rows, "train_accuracy": accuracies, "test_accuracy": accuracies})
    provenance = Provenance({"epochs": 9}, "code", {"data": "digest"}, dict.fromkeys(table.column_names, ""))
    now = datetime(2026, 11, 24, 3, tzinfo=UTC)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        artifacts = [write_table(folder, "results/depth_sweep.parquet", table, provenance), accept(folder, now)]
        artifacts.append(keep_comparison(folder, compare(read_baseline(folder), read_results(folder)), now))
        return [(folder / artifact.path).read_bytes() for artifact in artifacts]


RESULTS, ACCEPTED, COMPARED = good_files()


def good_tables():
    """Return the bytes of a table of 12 rows as CSV in three forms, as Parquet, and as Arrow of both kinds."""
    import gzip

    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.feather
    import pyarrow.parquet as pq

    columns = {"size": [1.5, None, 2.0] * 4, "colour": ["red", "blue", "é"] * 4, "kind": ["a", "b"] * 6}
    table, files = pa.table(columns), [io.BytesIO() for _ in range(4)]
    pyarrow.csv.write_csv(table, files[0])
    pq.write_table(table, files[1])
    pyarrow.feather.write_feather(table, files[2])
    with pa.ipc.new_stream(files[3], table.schema) as stream:
        stream.write_table(table)
    text = files[0].getvalue().decode()
    other = text.replace(",", ";").replace(".", ",").encode("utf-16")
    return [file.getvalue() for file in files] + [other, gzip.compress(text.encode(), mtime=0)]


TABLES = good_tables()
LEARNED = (
    b'{"columns": [{"kind": "numbers", "name": "size", "mean": 1.75, "scale": 0.25}, '
    b'{"kind": "levels", "name": "colour", "levels": ["red"]}], '
    b'"target": "kind", "classes": ["a", "b"], "missing": "mean"}'
)


def good_weights():
    import numpy as np
    from safetensors.numpy import save

    return save({"0.weight": np.zeros(2, np.float32)}, {"plan": '{"experiment": "depth_sweep"}'})


WEIGHTS = good_weights()


def with_metadata(**texts):
    """Return a table of results with other texts in its metadata."""
    import pyarrow.parquet as pq

    table, buffer = pq.read_table(io.BytesIO(RESULTS)), io.BytesIO()
    kept = {key.decode(): value for key, value in table.schema.metadata.items()}
    pq.write_table(table.replace_schema_metadata({**kept, **texts}), buffer)
    return buffer.getvalue()


@st.composite
def spoilt(draw, *good):
    """Draw good bytes with a few changed, cut out or put in."""
    content = bytearray(draw(st.sampled_from(good)))
    for _ in range(draw(st.integers(1, 4))):
        position = draw(st.integers(0, len(content)))
        length = draw(st.integers(0, 8)) if draw(st.booleans()) else 0
        content[position : position + length] = draw(st.binary(max_size=8))
    return bytes(content[: draw(st.integers(0, len(content)))] if draw(st.integers(0, 9)) == 0 else content)


NAMES = st.text("RreluLakySELUtanhgsigmoderf_() .-0123456789e", max_size=20) | st.text(max_size=20)
LISTS = st.text("0123456789.,:;-+eEnaif _", max_size=30) | st.text(max_size=30)
SOURCES = (
    st.text(max_size=60)
    | st.text("htps:/@?#[]%.\\~\0\n ab1", max_size=40)
    | st.builds("http{}://{}{}".format, st.sampled_from(["", "s"]), st.text(max_size=20), st.text(max_size=20))
)


@given(NAMES)
@example("leaky_relu(1e-400)")
@example("LeakyReLU()()")
@QUICKLY
def test_any_text_as_an_activation(text):
    """A name, or ValueError."""
    read_activation(text)


@pytest.mark.parametrize(
    ("model", "field"),
    [
        pytest.param(GainSweep, "gains", id="gains"),
        pytest.param(Sweep, "starts", id="starts"),
        pytest.param(Sweep, "weight_decays", id="weight decays"),
        pytest.param(DepthSweep, "depths", id="depths"),
        pytest.param(Images, "hidden_widths", id="widths"),
        pytest.param(Generalization, "degrees", id="degrees"),
        pytest.param(Ablation, "ablation_activations", id="activations"),
    ],
)
@given(text=LISTS | NAMES)
@example(text="1:1e308:9")
@example(text="-1e308:1e308:3")
@example(text="1:2:" + "9" * 5000)
@example(text="²:3:4")
@example(text="1:2:²")
@example(text="1,\x00")
@QUICKLY
def test_any_text_as_a_list(model, field, text):
    """Values, or one sentence."""
    read_setting(model, field, text)


@given(SOURCES)
@example("http://[::1")
@example("http://a:99999999/")
@example("http://\u2100.com/")
@example("https://a/\x1b[2J.zip")
@example("~\0")
@QUICKLY
def test_any_text_as_an_image_source(text):
    """Let in, or one sentence; nothing is opened on the web."""
    read_image_source(text)


LETTERS = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_characters="#"), min_size=4, max_size=20)


@given(LETTERS, LETTERS, LETTERS)
@QUICKLY
def test_any_secret_in_an_address(user, password, signature):
    """Whatever it is made of, it is not shown."""
    address = shown_address(f"https://{user}:{password}@host/faces.zip?key={signature}")
    assert address in {"https://...@host/faces.zip?...", "https://...?...", "https:..."}


@given(spoilt(*TABLES) | st.binary(max_size=200) | st.text(',;"\n\r\t|a1.-\ufeff\0', max_size=200).map(str.encode))
@example(TABLES[1].replace(b"\x15\x04\x15\x14\x15\x18L", b"\n$\x01\x15\x04\x15\x14L"))
@example(b"a,b\n1\r,2\n\xa2\n")
@example(b"\r\xe1J\ns")
@QUICKLY
def test_any_bytes_as_a_table(content):
    """Examples, or one sentence."""
    read_own_table(content)


@given(spoilt(*TABLES) | st.binary(max_size=200))
@QUICKLY
def test_any_bytes_as_new_rows(content):
    """Inputs for each row, or one sentence."""
    read_new_rows(content)


@given(spoilt(LEARNED) | st.binary(max_size=200))
@example(b'{"columns": [{"kind": "numbers", "name": "x", "mean": 1%s, "scale": 1}]}' % (b"0" * 400))
@example(b'{"columns": [{"kind": "numbers", "name": "x", "mean": 1e999, "scale": 0}]}')
@QUICKLY
def test_any_bytes_as_what_was_learned_of_a_table(content):
    """As it was written, or ValueError."""
    read_preprocessing(content)


# the name of a file, in the header next to it alone, is not the UTF-8 that it is said to be
OTHER_NAME = b"PK\3\4" + ARCHIVES[0][4:6] + b"\0\x08" + ARCHIVES[0][8:30] + b"tr\xd6in" + ARCHIVES[0][35:]


@given(spoilt(*ARCHIVES) | st.binary(max_size=200))
@example(OTHER_NAME)
@QUICKLY
def test_any_bytes_as_a_zip(content):
    """Images, or one sentence; no file next to it."""
    read_archive(content)


@given(spoilt(*IMAGES, *SCALED) | st.binary(max_size=200))
@QUICKLY
def test_any_bytes_as_an_image(content):
    """Left out, or whole."""
    read_image(content)


@given(spoilt(good_table()) | st.binary(max_size=200))
@example(good_table().replace(b"degree", b"degr\xdae"))
@QUICKLY
def test_any_bytes_as_a_table_of_results(content):
    """A report's content, or one sentence."""
    read_table(content)


@given(spoilt(ACCEPTED) | st.binary(max_size=200))
@example(RESULTS)
@example(COMPARED)
@example(ACCEPTED.replace(b"accepted", b"acc\xdapted"))
@QUICKLY
def test_any_bytes_as_a_baseline(content):
    """Accepted results, or one sentence that names the file."""
    read_accepted(content)


@given(spoilt(RESULTS) | st.binary(max_size=200))
@example(RESULTS.replace(b"depth", b"d\xdapth"))
@example(with_metadata(settings="[" * 100_000))
@example(with_metadata(settings='["epochs"]'))
@QUICKLY
def test_any_bytes_as_results_to_compare(content):
    """Members, or one sentence that names the file."""
    read_members(content)


@given(spoilt(COMPARED) | st.binary(max_size=200))
@example(ACCEPTED)
@QUICKLY
def test_any_bytes_as_a_comparison(content):
    """What was found, or one sentence that names the file."""
    read_run(content)


@given(spoilt(RESULTS, WEIGHTS) | st.binary(max_size=200))
@example(with_metadata(settings="[" * 100_000))
@example(with_metadata(inputs='["digest"]'))
@example(with_metadata(inputs='{"data": ["digest"]}'))
@QUICKLY
def test_any_bytes_as_files_of_a_folder(content):
    """Listed; results and baseline are never pruned."""
    read_folder(content)


@given(st.text())
@QUICKLY
def test_any_text_as_a_record(text):
    """ValueError, which Prefect takes for a result that has to be made again."""
    read_record(text)


@given(st.text() | st.text("0123456789- :GMTaMonJn,+"))
@example("Mon, 01 Jan 99999 00:00:00 GMT")
@example("0 Jan 0 0:0:0 +99999999999")
@example("9" * 5000)
@QUICKLY
def test_any_text_as_a_time_to_come_again(text):
    """Seconds, or nothing."""
    seconds = _retry_after_seconds(text)
    assert seconds is None or seconds >= 0


def test_any_bytes_as_a_servers_answer(tmp_path, monkeypatch):
    """A file that is a zip, or one sentence."""
    monkeypatch.setenv("NO_PROXY", "*")
    listener = socket.create_server(("127.0.0.1", 0))
    answers = [b""]

    def serve():
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with suppress(OSError), connection:
                    connection.recv(1 << 16)
                    connection.sendall(answers[0])
                    connection.shutdown(socket.SHUT_WR)
                    connection.recv(1)

    thread = threading.Thread(target=serve)
    thread.start()
    head = b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\nETag: "a"\r\nConnection: close\r\n\r\n' % len(ARCHIVES[0])
    moved = b"HTTP/1.1 302 Found\r\nLocation: ftp://127.0.0.1/\r\nContent-Length: 0\r\n\r\n"
    limits = Limits(attempts=1, connect_seconds=30, silence_seconds=30, total_seconds=60, longest_wait_seconds=0)

    @given(spoilt(head + ARCHIVES[0], head, moved) | st.binary(max_size=100))
    @hypothesis_settings(QUICKLY, max_examples=25)
    def fetch(content):
        answers[0] = content
        url, file = f"http://127.0.0.1:{listener.getsockname()[1]}/x.zip", tmp_path / "x.zip"
        n_requests, words = answered(download, url, file, limits)
        assert (n_requests == 1 and zipfile.is_zipfile(file)) or words.startswith(
            f"images could not be downloaded from {url}: "
        )
        assert words.isprintable()

    try:
        fetch()
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


def text_of(data):
    return data.decode("utf-8", "surrogateescape")


TARGETS = {
    "activations": (lambda data: read_activation(text_of(data)), [b"LeakyReLU(0.1)", b"relu"]),
    "gains": (lambda data: read_setting(GainSweep, "gains", text_of(data)), [b"0.1:3.0:10", b"0.5,1,2"]),
    "depths": (lambda data: read_setting(DepthSweep, "depths", text_of(data)), [b"1:5", b"1,2,5"]),
    "image sources": (lambda data: read_image_source(text_of(data)), [b"https://a:b@host:80/x.zip?y#z"]),
    "archives": (read_archive, ARCHIVES),
    "images": (read_image, IMAGES + SCALED),
    "tables": (read_table, [good_table()]),
    "own tables": (read_own_table, TABLES),
    "new rows": (read_new_rows, TABLES),
    "preprocessing": (read_preprocessing, [LEARNED]),
    "starts": (lambda data: read_setting(Sweep, "starts", text_of(data)), [b"pytorch,theory,xavier:1.5e-3"]),
    "baselines": (read_accepted, [ACCEPTED]),
    "results": (read_members, [RESULTS]),
    "comparisons": (read_run, [COMPARED]),
    "folders": (read_folder, [RESULTS, WEIGHTS]),
    "records": (
        lambda data: read_record(text_of(data)),
        [b"74234e98afe7498fb5daf1f36ac2d78acc339464f950703b8c019892f982b90b null"],
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_a_fuzzer_guided_by_coverage_finds_nothing(target, tmp_path):
    """A minute for each parser."""
    import subprocess

    pytest.importorskip("atheris", reason="make fuzz installs it")
    program = [sys.executable, str(Path(__file__).with_name("fuzz.py")), target, str(SECONDS)]
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, timeout=10 * SECONDS)
    assert done.returncode == 0, done.stderr[-5000:]
