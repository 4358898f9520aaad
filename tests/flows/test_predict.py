"""`deep-mlp predict`: kept networks on new rows, and what unfit rows and names get."""

import io
import json
from functools import partial
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from serving import served
from torch import nn

from flows.command_line import program
from mlp_core.artifacts.storage import Artifact, Provenance, write_table
from mlp_core.data.preprocessing import NumberColumn, Preprocessing
from mlp_core.errors import InputError, ResourceError
from mlp_core.experiments.prediction import kept_model, predictions, share_right


@pytest.fixture
def points(tmp_path):
    frame = pd.DataFrame({"x1": [0.1, -0.4, 0.9], "note": ["a", "b", "c"], "x2": [0.3, 0.2, -0.5]})
    frame.to_csv(tmp_path / "points.csv", index=False)
    return tmp_path / "points.csv"


@pytest.fixture
def predict(capsys, finished):
    """Give a function that predicts with what the smallest sweep left, and returns what it printed."""

    def predict(*arguments):
        folder = finished("sweep")
        program.main(["predict", "--artifacts", str(folder), *map(str, arguments)], standalone_mode=False)
        return capsys.readouterr()

    return predict


def test_the_chosen_networks_answer(predict, points, finished):
    """Mean probabilities and disagreement are those of the plain PyTorch networks that the documents show."""
    printed = predict("--data", points)
    frame = pd.read_csv(io.StringIO(printed.out))
    settings = json.loads(pq.read_metadata(finished("sweep") / "results/sweep_classes.parquet").metadata[b"settings"])
    name = settings["configuration"].replace(" ", "-").replace(":", "-")
    (path,) = (finished("sweep") / "models").glob(f"sweep-{name}-*.safetensors")
    state = load_file(path)
    depth = settings["configuration"].split()[0]
    widths = [2, 4, 4] if depth == "depth=1" else [2, 4, 4, 4]
    assert depth in ("depth=1", "depth=2")
    inputs, answers = torch.tensor([[0.1, 0.3], [-0.4, 0.2], [0.9, -0.5]]), []
    for member in range(2):
        layers = []
        for number, width in enumerate(widths[1:], 1):
            layers += [nn.Linear(widths[number - 1], width), nn.ReLU()]
        network = nn.Sequential(*layers[:-1])
        network.load_state_dict({key: stacked[member] for key, stacked in state.items()})
        answers.append(torch.softmax(network(inputs), 1).detach().numpy())
    mean = np.mean(answers, 0)
    np.testing.assert_allclose(frame[[f"probability of {number}" for number in range(4)]], mean, rtol=1e-5)
    assert frame["prediction"].tolist() == mean.argmax(1).tolist()
    expected = np.mean([answer.argmax(1) != mean.argmax(1) for answer in answers], 0)
    assert frame["disagreement"].tolist() == expected.tolist()
    assert "3 rows by 2 networks of sweep-depth=" in printed.err


def test_one_network_never_disagrees_with_itself(predict, points, tmp_path):
    """And a file takes what the terminal would."""
    printed = predict("--data", points, "--member", "1", "--out", tmp_path / "answers.csv")
    assert printed.out == ""
    assert pd.read_csv(tmp_path / "answers.csv")["disagreement"].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--member", "2"], r"^member must be from 0 to 1, got 2; leave --member out for all\.$"),
        (["--member", "-1"], r"^member must be a whole number from 0, got '-1'"),
        (["--model", "no-such"], r"^model must name one trained configuration of .*, got 'no-such', which fits none; "),
        (["--model", "depth="], r"^model must name one trained configuration of .*, which fits sweep-.*\.\.\.; "),
        (["--out", "/no/such/folder/a.csv"], r"^out must be a file that can be written, got '/no/such"),
    ],
)
def test_what_does_not_fit_is_refused(predict, points, arguments, sentence):
    """In one sentence."""
    with pytest.raises(InputError, match=sentence):
        predict("--data", points, *arguments)


def test_rows_without_a_column_are_refused(predict, tmp_path):
    """By its name."""
    (tmp_path / "one.csv").write_text("x1,y\n1,2\n3,4\n")
    with pytest.raises(InputError, match=r"^data must have the columns x1 and x2 of points, got x1, y; add them\.$"):
        predict("--data", tmp_path / "one.csv")


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("left", "data must have numbers in the column x1, got a string"),
        ("", "a finite number in each row of the column x1"),
    ],
)
def test_a_coordinate_that_is_no_number_is_refused(predict, tmp_path, value, sentence):
    """One sentence, not a class that a network makes of nothing."""
    (tmp_path / "one.csv").write_text(f"x1,x2\n{value},2\n{value or 3},4\n")
    with pytest.raises(InputError, match=sentence):
        predict("--data", tmp_path / "one.csv")


@pytest.fixture
def web(tmp_path, monkeypatch):
    """Serve the test's folder on loopback, past any proxy, and give its address."""
    monkeypatch.setenv("NO_PROXY", "*")
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with served(ThreadingHTTPServer(("127.0.0.1", 0), handler)) as address:
        yield address


def test_rows_come_from_the_web(predict, points, web):
    """The same answers as from the file, with its digest or without."""
    digest = sha256(points.read_bytes()).hexdigest()
    expected = predict("--data", points).out
    assert predict("--data", f"{web}/points.csv").out == expected
    assert predict("--data", f"{web}/points.csv#sha256={digest}").out == expected


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("none.csv?key=word", r"from http://127.0.0.1:\d+/none.csv\?\.\.\.: the server answered 404 Not Found; "),
        ("page.html", "the server sent an HTML page, not a table"),
        (f"points.csv#sha256={64 * '0'}", f"its SHA-256 must be {64 * '0'}, got "),
    ],
)
def test_what_the_web_sends_instead_is_said(predict, points, web, name, sentence):
    """With the rules of the other downloads: one sentence, without what may be secret in an address."""
    (points.parent / "page.html").write_text("<html>no table</html>")
    with pytest.raises(ResourceError, match=sentence):
        predict("--data", f"{web}/{name}")


def test_points_that_a_run_draws_are_no_rows(predict):
    """The sentence does not offer them."""
    with pytest.raises(InputError, match=r"^data must be digits, wine, .*, got 'moons'\.$"):
        predict("--data", "moons")


def test_without_a_sweep_a_model_must_be_named(finished):
    """The sentence says how to make one."""
    with pytest.raises(InputError, match="model must be given where no sweep has chosen one"):
        kept_model(finished("depth_sweep"))


def test_what_was_learned_of_a_table_is_applied_again(copied):
    """Columns in another order, names of classes, and how often the rows' own class was met."""
    folder = copied("sweep")
    learned = Preprocessing(
        (NumberColumn("x1", 1.0, 2.0), NumberColumn("x2", 0.0, 1.0)), "kind", ("a", "b", "c", "d"), "refuse"
    )
    (rows,) = (folder / "tables").glob("spirals-*.parquet")
    columns = pq.read_table(rows)
    features = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(2 * len(columns), np.float32)), 2)
    table = pa.table({"features": features, "label": columns["label"], "split": columns["split"]})
    units = {"features": "1", "label": "class index", "split": "train|test"}
    artifact = write_table(
        folder, "tables/rows-0.parquet", table, Provenance({"preprocessing": learned.to_json()}, "", {}, units)
    )
    (held_out,) = (folder / "tables").glob("held_out-*.parquet")
    whole = pq.read_table(held_out)
    described = dict(whole.schema.metadata) | {b"inputs": json.dumps({"examples": artifact.sha256}).encode()}
    pq.write_table(whole.replace_schema_metadata(described), held_out)
    digest = Artifact.of(folder, held_out).sha256
    for members in (folder / "members").glob("*.parquet"):
        member_rows = pq.read_table(members)
        pq.write_table(
            member_rows.replace_schema_metadata(
                dict(member_rows.schema.metadata) | {b"inputs": json.dumps({"data": digest}).encode()}
            ),
            members,
        )
    model = kept_model(folder)
    assert model.classes == ("a", "b", "c", "d")
    new = pa.table({"x2": [0.5, 0.1], "kind": ["a", "b"], "x1": [3.0, 1.0]})
    assert model.inputs(new).tolist() == [[1.0, 0.5], [0.0, pytest.approx(0.1)]]
    predicted = predictions(model, new)
    right = [label == wanted for label, wanted in zip(predicted["prediction"].to_pylist(), ["a", "b"], strict=True)]
    assert share_right(model, new, predicted) == np.mean(right)
