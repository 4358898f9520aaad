"""`--image-size` and `--grey` in runs of all experiments on images, and `predict` on new images."""

import io
import json
import shutil
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from serving import served
from torch import nn

from flows.command_line import program
from mlp_core.data.images import read_images
from mlp_core.errors import InputError
from mlp_core.experiments.first_layer.experiment import FirstLayer
from mlp_core.experiments.prediction import kept_model, predictions
from mlp_core.settings import validated
from tasks.resources import check_memory
from tasks.run_settings import ImageRunSettings
from tasks.stages import flow_parameters, stages_of

NAMES = ("cat", "dog", "wild")


def encoded(colour, size, kind="PNG"):
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def afhq_zip(tmp_path_factory):
    """Give a zip as AFHQ's second version is laid out: train/ and test/, and images of 64 x 64 or a little more."""
    path = tmp_path_factory.mktemp("afhq") / "afhq_v2.zip"
    random = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as archive:
        for split, count in (("train", 14), ("test", 6)):
            for place, name in enumerate(NAMES):
                for number in range(count):
                    colour = tuple(int(random.integers(0, 60)) + 150 * (channel == place) for channel in range(3))
                    size = (64, 64) if number else (96, 64)
                    kind = ("PNG", "JPEG")[number % 2]
                    archive.writestr(f"{split}/{name}/{name}_{number}.{kind.lower()}", encoded(colour, size, kind))
    return path


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture(scope="module")
def zip_address(afhq_zip):
    """Give the address of the zip at a web server on this machine."""
    with served(ThreadingHTTPServer(("127.0.0.1", 0), partial(_Silent, directory=afhq_zip.parent))) as address:
        yield f"{address}/afhq_v2.zip"


@pytest.fixture(scope="module")
def trained(run, zip_address, tmp_path_factory):
    """Give the artifact folder of `images` on the served zip, at 16 x 16 pixels."""
    folder = tmp_path_factory.mktemp("trained") / "artifacts"
    assert run("images", folder, images=zip_address, image_size=16).state.is_completed()
    return folder


@pytest.mark.thorough
def test_images_from_the_web_at_another_size(trained):
    """The networks have the size's inputs, the tables its name, and the report what became of the images."""
    (weights,) = (trained / "models").glob("images-*.safetensors")
    assert load_file(weights)["0.weight"].shape == (2, 8, 768)
    settings = json.loads(pq.read_schema(trained / "results/images.parquet").metadata[b"settings"])
    assert settings["image_size"] == 16
    assert "grey" not in settings
    remark = "60 images of 16 x 16 pixels, in colour: 60 made smaller, 6 cut to the middle of their longer side"
    assert settings["images_remarks"] == remark
    page = (trained / "report.html").read_text()
    assert "Classifying images (here: images of 16 x 16 pixels)" in page
    assert f"About the images: {remark}." in page
    (table,) = (trained / "tables").glob("images-*.parquet")
    assert pq.read_schema(table).field("pixels").type.byte_width == 768


@pytest.mark.thorough
def test_two_sizes_stand_next_to_each_other(run, zip_address, trained, tmp_path):
    """Another size is another table and another training; back again nothing is trained."""
    folder = shutil.copytree(trained, tmp_path / "artifacts", copy_function=shutil.copy2)
    assert "train hidden=8" in run("images", folder, images=zip_address, image_size=8, grey=True).tasks["Completed"]
    again = run("images", folder, images=zip_address, image_size=16)
    assert "train hidden=8" in again.tasks["Cached"]
    assert len(list((folder / "tables").glob("images-*.parquet"))) == 2


@pytest.mark.parametrize(
    ("experiment", "own_figures"),
    [
        ("first_layer", False),
        pytest.param("first_layer", True, marks=pytest.mark.thorough),
        *(
            pytest.param(name, True, marks=pytest.mark.slow)
            for name in ("gain_sweep", "signal_propagation", "phase_diagram")
        ),
    ],
)
def test_every_experiment_on_images_takes_small_grey_ones(run, afhq_zip, tmp_path, experiment, own_figures):
    """8 x 8 pixels in one channel are 64 inputs: figures, measures, tables and report follow."""
    folder = tmp_path / "artifacts"
    how = {"images": afhq_zip, "image_size": 8, "grey": True, "own_figures": own_figures}
    assert run(experiment, folder, **how).state.is_completed()
    table = pq.read_table(folder / f"results/{experiment}.parquet")
    settings = json.loads(table.schema.metadata[b"settings"])
    assert (settings["image_size"], settings["grey"]) == (8, True)
    assert "here: images of 8 x 8 pixels, grey" in (folder / "report.html").read_text()
    for weights in (folder / "models").glob("*.safetensors"):
        assert load_file(weights)["0.weight"].shape[2] == 64
    if experiment == "first_layer":
        assert table["extent"].null_count == 0


@pytest.mark.thorough
def test_drawn_faces_follow_the_size(run, tmp_path, monkeypatch):
    """They are drawn at it, so that nothing is scaled and the report says so."""
    from mlp_core.data import faces

    few = partial(faces.write_faces, n_train_per_class=20, n_val_per_class=8)
    monkeypatch.setattr(faces, "write_faces", few)
    folder = tmp_path / "artifacts"
    assert run("images", folder, images="synthetic", image_size=20).state.is_completed()
    settings = json.loads(pq.read_schema(folder / "results/images.parquet").metadata[b"settings"])
    assert settings["images_remarks"] == "84 images of 20 x 20 pixels, in colour: all had this size"
    (table,), (_,) = folder.glob("tables/images-*.parquet"), folder.glob("images/faces-*.zip")
    images = pq.read_table(table, columns=["class", "split"]).to_pandas()
    assert sorted(set(images["class"])) == ["cat", "dog", "wild"]
    assert images["split"].value_counts().to_dict() == {"train": 60, "test": 24}
    assert pq.read_table(folder / "results/images.parquet")["status"].to_pylist() == ["ok", "ok"]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"image_size": 0}, r"image_size must be greater than or equal to 8, got 0"),
        ({"image_size": 7}, r"image_size must be greater than or equal to 8, got 7"),
        ({"image_size": 10_000}, r"image_size must be less than or equal to 128, got 10000"),
        ({"image_size": "32x32"}, r"image_size must be .*got '32x32'"),
        ({"image_size": 64.5}, r"image_size must be .*got 64\.5"),
        ({"grey": "light"}, r"grey must be .*got 'light'"),
    ],
)
def test_what_is_no_size_is_refused(values, sentence):
    """With the rule and the value."""
    with pytest.raises(InputError, match=sentence):
        validated(ImageRunSettings, values)


def test_images_that_cannot_fit_into_memory_are_refused_by_their_size():
    """By the setting that decides it, once the size is not the tutorial's."""
    run = ImageRunSettings(image_size=128, seeds=1)
    parameters = flow_parameters("first_layer") | {"run": run, "model": FirstLayer(width=2)}
    stages = stages_of("first_layer", parameters)
    check_memory(stages, run, available=8 * 10**9)
    with pytest.raises(
        InputError, match=r"image_size must leave what fits into memory, got 128: .* a smaller --image-size"
    ):
        check_memory(stages, run, available=10**9)


@pytest.fixture
def predict(capsys, trained):
    """Give a function that predicts with what was trained, and returns what it printed."""

    def predict(*arguments):
        program.main(["predict", "--artifacts", str(trained), *map(str, arguments)], standalone_mode=False)
        return capsys.readouterr()

    return predict


@pytest.fixture
def new_images(tmp_path):
    """Give a folder of new images of several sizes, two that cannot be read, and a text."""
    folder = tmp_path / "new"
    files = {
        "a.png": encoded("red", (16, 16)),
        "cat/b.jpg": encoded("green", (300, 200), "JPEG"),
        "x/dog/c.png": encoded("blue", (5, 9)),
        "broken.jpg": b"no image",
        "cat/cut.png": encoded("red", (64, 64))[:60],
        "notes.txt": b"",
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_new_images_are_classified(predict, new_images, trained):
    """As plain PyTorch networks classify what the same rule makes of them; what cannot be read is named and counted."""
    printed = predict("--images", new_images)
    frame = pd.read_csv(io.StringIO(printed.out))
    assert frame["image"].tolist() == ["a.png", "cat/b.jpg", "x/dog/c.png"]
    pixels = read_images(new_images, (3, 16, 16)).table["pixels"].to_pylist()
    inputs = torch.tensor([list(image) for image in pixels]) / 127.5 - 1
    (path,) = (trained / "models").glob("images-*.safetensors")
    answers = []
    for member in range(2):
        network = nn.Sequential(nn.Linear(768, 8), nn.ReLU(), nn.Linear(8, 3))
        network.load_state_dict({key: stacked[member] for key, stacked in load_file(path).items()})
        answers.append(torch.softmax(network(inputs), 1).detach().numpy())
    mean = np.mean(answers, 0)
    np.testing.assert_allclose(frame[[f"probability of {name}" for name in NAMES]], mean, rtol=1e-4)
    assert frame["prediction"].tolist() == [NAMES[answer] for answer in mean.argmax(1)]
    lines = printed.err.splitlines()
    assert lines[0] == "deep-mlp: files not used: 1 with the ending .txt (notes.txt)."
    assert lines[1] == (
        "deep-mlp: 3 images of 16 x 16 pixels, in colour: 1 made smaller, 1 enlarged, "
        "2 cut to the middle of their longer side."
    )
    assert lines[2] == "deep-mlp: broken.jpg is no such image and is left out."
    assert lines[3].startswith("deep-mlp: cat/cut.png is damaged (")
    assert lines[4] == "deep-mlp: 2 of 5 images could not be read."
    share = 50 * sum(frame["prediction"][1:] == ["cat", "dog"])
    assert lines[5].startswith("deep-mlp: 3 images by 2 networks of images-hidden=8-")
    assert lines[5].endswith(f", 2 of them in a folder named like a class, which {share:.1f} % got.")


@pytest.mark.thorough
def test_a_network_of_the_phase_diagram_classifies_images(finished, new_images):
    """One at a time: together they would mix gains that learn with gains that cannot."""
    root = finished("phase_diagram")
    (path,) = (root / "models").glob("phase-depth=1-*.safetensors")
    model = kept_model(root, path.stem, of_images=True)
    table = read_images(new_images, model.image_shape).table
    predicted = predictions(model, table, 4)
    network = nn.Sequential(nn.Linear(3072, 8), nn.Tanh(), nn.Linear(8, 3))
    network.load_state_dict({key: stacked[4] for key, stacked in load_file(path).items()})
    inputs = torch.tensor([list(image) for image in table["pixels"].to_pylist()]) / 127.5 - 1
    answers = torch.softmax(network(inputs), 1).detach().numpy()
    columns = [predicted[f"probability of {name}"].to_numpy() for name in model.classes]
    np.testing.assert_allclose(np.stack(columns, 1), answers, rtol=1e-4)
    with pytest.raises(
        InputError, match=r"^member must be a number with phase-.* gains 0\.5, 1, 3 in turn, got none; "
    ):
        predictions(model, table)


HOSTILE = {"cat": "=cmd|calc", "dog": "@SUM(A1)", "wild": "-1"}


@pytest.mark.thorough
def test_names_in_the_answers_are_no_formulas(run, tmp_path, afhq_zip, capsys):
    """Of files and classes: an apostrophe in front; a number stays, and what a terminal obeys is quoted."""
    folder, new = tmp_path / "artifacts", tmp_path / "new"
    with zipfile.ZipFile(afhq_zip) as old, zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        for name in old.namelist():
            part, kind, file = name.split("/")
            archive.writestr(f"{part}/{HOSTILE[kind]}/{file}", old.read(name))
    assert run("images", folder, images=str(tmp_path / "images.zip"), image_size=8).state.is_completed()
    new.mkdir()
    for name in ("=1+1.png", "+1.png", "-1.png", "@1.png", "\x1b[2J.png", "plain.png"):
        (new / name).write_bytes(encoded("red", (8, 8)))
    arguments = ["predict", "--artifacts", str(folder), "--images", str(new)]
    program.main(arguments, standalone_mode=False)
    frame = pd.read_csv(io.StringIO(capsys.readouterr().out), dtype={"prediction": str})
    names = {"'=1+1.png", "'+1.png", "'-1.png", "'@1.png", "'\\x1b[2J.png'", "plain.png"}
    assert set(frame["image"]) == names
    assert set(frame["prediction"]) <= {"'=cmd|calc", "'@SUM(A1)", "-1"}
    assert [*frame.columns[-3:]] == ["probability of -1", "probability of =cmd|calc", "probability of @SUM(A1)"]


def test_a_zip_from_the_web_is_classified(predict, zip_address, tmp_path):
    """With one network; every image of every folder, and nothing is left on the disk but the answers."""
    printed = predict("--images", zip_address, "--member", 1, "--out", tmp_path / "answers.csv")
    frame = pd.read_csv(tmp_path / "answers.csv")
    assert (len(frame), set(frame["disagreement"])) == (60, {0})
    assert "60 of them in a folder named like a class" in printed.err
    assert [path.name for path in tmp_path.iterdir()] == ["answers.csv"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], r"^data must be given, or images instead, got neither; use --data FILE for rows, --images SOURCE for im"),
        (["--data", "a.csv", "--images", "b"], r"^data must be given, or images instead, got both; "),
        (
            ["--data", "iris", "--model", "hidden=8"],
            r"^data must be left out with images-.*, which takes images; use --im",
        ),
        (
            ["--images", "synthetic"],
            r"^images must be a folder, a zip or an http\(s\) URL of one in predict, got 'synth",
        ),
        (["--images", "/no/such"], r"^images must be synthetic, animal-faces, an http\(s\) URL of a zip"),
        (
            ["--images", "EMPTY"],
            r"^images must be JPEG, .* files, got none that can be read in .*; name another source\.$",
        ),
    ],
)
def test_what_does_not_fit_is_refused(predict, tmp_path, arguments, sentence):
    """In one sentence."""
    with pytest.raises(InputError, match=sentence):
        predict(*(tmp_path if argument == "EMPTY" else argument for argument in arguments))


def test_a_table_s_network_takes_no_images(finished, capsys, new_images):
    """It says what it takes."""
    arguments = [
        "predict",
        "--artifacts",
        str(finished("depth_sweep")),
        "--images",
        str(new_images),
        "--model",
        "depth=1",
    ]
    with pytest.raises(
        InputError, match=r"^images must be left out with depth_sweep-.*, which takes data; use --data\.$"
    ):
        program.main(arguments, standalone_mode=False)
