"""Tables as examples: roles of columns, the split, and what is learned from the training rows alone."""

import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
import torch
from sklearn import datasets as sklearn_datasets

from mlp_core.data.points import drawn_points
from mlp_core.data.preprocessing import Preprocessing
from mlp_core.data.settings import BUNDLED_TABLES, DataSource
from mlp_core.data.table_files import read_table_file
from mlp_core.data.tables import bundled_table, described, table_examples

ROWS = 60
NUMBERS = np.random.default_rng(0).normal(5, 3, ROWS)


def table(**columns):
    """Return a table of sixty rows that can be used, with some columns changed or added; None leaves one out."""
    usual = {
        "size": NUMBERS,
        "colour": ["red", "green", "blue"] * (ROWS // 3),
        "ripe": [True, False] * (ROWS // 2),
        "kind": ["apple"] * (ROWS // 2) + ["pear"] * (ROWS // 2),
    }
    return pa.table({name: values for name, values in (usual | columns).items() if values is not None})


def with_target_last(**columns):
    """Return the same with the target as its last column."""
    fruit = table(**columns)
    return fruit.select([name for name in fruit.column_names if name != "kind"] + ["kind"])


def examples(rows, seed=2021, **source):
    """Return a table's examples by settings of the data."""
    return table_examples(rows, DataSource(data="fruit.csv", **source), seed)


def test_numbers_are_standardised_by_the_training_rows_alone():
    """Their mean is 0 and their deviation 1; the test rows have the same shift and scale."""
    data = examples(table()).data
    train, test = data.train_inputs[:, 0].double(), data.test_inputs[:, 0].double()
    assert train.mean().abs() < 1e-6
    assert abs(train.std(correction=0) - 1) < 1e-6
    assert abs(test.mean()) > 1e-3
    both = torch.cat([train, test]).sort().values
    expected = np.sort(NUMBERS)
    slope = (expected[-1] - expected[0]) / float(both[-1] - both[0])
    np.testing.assert_allclose(expected - expected[0], slope * (both - both[0]).numpy(), atol=1e-5)


def test_levels_become_an_input_each():
    """In the alphabet's order, yes and no too; the names say which is which."""
    prepared = examples(table())
    assert prepared.preprocessing.inputs == (
        *("size", "colour=blue", "colour=green", "colour=red"),
        *("ripe=false", "ripe=true"),
    )
    assert set(prepared.data.train_inputs[:, 1:].flatten().tolist()) == {0.0, 1.0}
    assert (prepared.data.train_inputs[:, 1:4].sum(1) == 1).all()


def test_a_level_that_only_the_test_part_has_has_no_input_and_is_told():
    """What the training rows do not hold cannot be learned."""
    split = ["train"] * 25 + ["test"] * 5 + ["train"] * 25 + ["test"] * 5
    colours = ["red", "green"] * 30
    colours[-1] = "violet"
    prepared = examples(with_target_last(part=split, colour=colours), split_column="part")
    assert prepared.preprocessing.inputs[1:3] == ("colour=green", "colour=red")
    assert prepared.data.test_inputs[-1, 1:3].tolist() == [0.0, 0.0]
    assert "'colour' holds values that no training row has: 'violet'" in prepared.remarks


def test_a_split_column_decides_row_by_row():
    """In any case, with spaces, and validation is to test on."""
    split = [" Train", "train", "VALIDATION "] * 20
    prepared = examples(with_target_last(part=split), split_column="part")
    assert len(prepared.data.test_labels) == 20
    expected = torch.tensor([place % 3 == 2 for place in range(ROWS)])
    labels = torch.tensor([0] * 30 + [1] * 30)
    assert torch.equal(prepared.data.test_labels, labels[expected])


def test_rows_are_drawn_by_class():
    """The share holds in each class; the seed decides, and only the draw."""
    kinds = ["apple"] * 40 + ["pear"] * 20
    first = examples(table(kind=kinds), test_share=0.25)
    assert first.data.test_labels.bincount().tolist() == [10, 5]
    assert first.data.train_labels.bincount().tolist() == [30, 15]
    again = examples(table(kind=kinds), test_share=0.25)
    other = examples(table(kind=kinds), test_share=0.25, split_seed=7)
    same_seed = examples(table(kind=kinds), seed=7, test_share=0.25)
    assert torch.equal(first.data.train_inputs, again.data.train_inputs)
    assert not torch.equal(first.data.train_inputs, other.data.train_inputs)
    assert torch.equal(other.data.train_inputs, same_seed.data.train_inputs)


def test_constant_columns_are_left_out_and_told():
    """In the training rows: they say nothing there."""
    prepared = examples(with_target_last(sort=["old"] * ROWS, weight=[2.5] * ROWS))
    assert [column.name for column in prepared.columns if column.use == "constant"] == ["sort", "weight"]
    assert not {"sort=old", "weight"} & set(prepared.preprocessing.inputs)
    assert "left out as constant in the training rows: 'sort', 'weight'" in prepared.remarks


def test_ignored_columns_are_not_even_looked_at():
    """A column that would be refused may be left out."""
    prepared = examples(table(kind=None, name=[f"n{row}" for row in range(ROWS)], day=pa.array([0] * ROWS, pa.date32()),
                          taste=["a", "b"] * 30), ignore="name,day")  # fmt: skip
    assert [column.name for column in prepared.columns if column.use == "ignored"] == ["name", "day"]
    assert prepared.preprocessing.target == "taste"


def test_missing_values_become_the_training_mean_or_no_level():
    """Both are zeros for the network."""
    sizes, colours = NUMBERS.copy(), ["red", "green", "blue"] * 20
    sizes[3], colours[4] = np.nan, None
    prepared = examples(table(size=sizes, colour=colours), missing="mean")
    inputs = torch.cat([prepared.data.train_inputs, prepared.data.test_inputs])
    assert (inputs[:, 0] == 0).sum() == 1
    assert (inputs[:, 1:4].sum(1) == 0).sum() == 1
    assert [column.missing for column in prepared.columns] == [1, 1, 0, 0]


def test_rows_with_missing_values_are_dropped_and_counted():
    """Those of any column that is used."""
    sizes = NUMBERS.copy()
    sizes[[3, 40]] = np.nan
    prepared = examples(table(size=sizes), missing="drop")
    assert len(prepared.data.train_labels) + len(prepared.data.test_labels) == ROWS - 2
    assert prepared.remarks[0] == "2 of 60 rows left out, as they miss a value"


def test_numbers_may_be_classes():
    """In their order, whole ones without a point."""
    assert examples(table(kind=[10.0, 9.0, 2.0] * 20)).data.classes == ("2", "9", "10")
    assert examples(table(kind=[True, False] * 30)).data.classes == ("false", "true")


def test_what_was_learned_can_be_applied_again(tmp_path):
    """From its JSON, to rows in another order of columns and in another file format: the same inputs."""
    prepared = examples(table())
    learned = Preprocessing.from_json(json.loads(json.dumps(described(prepared)))["preprocessing"])
    assert learned == prepared.preprocessing
    pa.csv.write_csv(table().select(["ripe", "colour", "size"]), tmp_path / "new.csv")
    inputs = torch.from_numpy(learned.apply(read_table_file(tmp_path / "new.csv")))
    both = torch.cat([prepared.data.train_inputs, prepared.data.test_inputs])
    assert sorted(map(tuple, inputs.tolist())) == sorted(map(tuple, both.tolist()))


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        ({"kind": "numbers", "name": "x", "mean": float("inf"), "scale": 1.0}, "a finite mean and a deviation above 0"),
        ({"kind": "numbers", "name": "x", "mean": 0.0, "scale": 0.0}, "a finite mean and a deviation above 0"),
        ({"kind": "numbers", "name": "x", "mean": 10**400, "scale": 1.0}, "OverflowError"),
        ({"kind": "numbers", "name": "x"}, "KeyError"),
    ],
)
def test_what_was_learned_must_be_whole(column, reason):
    """No input is divided by nothing."""
    with pytest.raises(ValueError, match=reason):
        Preprocessing.from_json({"columns": [column], "target": "kind", "classes": ["a", "b"], "missing": "mean"})


@pytest.mark.parametrize("name", BUNDLED_TABLES)
def test_scikit_learns_tables_are_its_own(name):
    """Every row and class, its features apart from constant ones."""
    loaded = getattr(sklearn_datasets, f"load_{name}")()
    prepared = table_examples(bundled_table(name), DataSource(data=name), 2021)
    labels = torch.cat([prepared.data.train_labels, prepared.data.test_labels])
    constant = sum(column.use == "constant" for column in prepared.columns)
    counts = dict(zip(map(str, loaded.target_names), np.bincount(loaded.target).tolist(), strict=True))
    assert dict(zip(prepared.data.classes, labels.bincount().tolist(), strict=True)) == counts
    assert prepared.data.train_inputs.shape[1] == loaded.data.shape[1] - constant
    assert prepared.data.train_inputs.dtype == torch.float32


def test_one_table_in_every_form_is_one_table(tmp_path):
    """CSV with each separator, decimal commas, marks and encodings, packed or not; Parquet and both kinds of Arrow."""
    text = 'size;colour;kind\n1,5;"red;dark";é\n-2;green;"q ""u"""\n'
    comma = 'size,colour,kind\r\n1.5,"red;dark",é\r\n-2,green,"q ""u"""\r\n'
    files = {
        "semicolons.csv": text.encode(),
        "tabs.tsv": text.replace('"red;dark"', "red;dark").replace(";", "\t").replace("red\tdark", "red;dark").encode(),
        "commas.csv": comma.encode(),
        "mark.csv": comma.encode("utf-8-sig"),
        "utf16.csv": text.encode("utf-16"),
        "packed.csv.gz": gzip.compress(comma.encode()),
        "twice packed.gz": gzip.compress(comma[:20].encode()) + gzip.compress(comma[20:].encode()),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    whole = read_table_file(tmp_path / "commas.csv")
    pq.write_table(whole, tmp_path / "a.parquet")
    pyarrow.feather.write_feather(whole, tmp_path / "a.feather")
    with pa.OSFile(str(tmp_path / "a.arrow"), "wb") as file, pa.ipc.new_stream(file, whole.schema) as stream:
        stream.write_table(whole)
    expected = {"size": [1.5, -2.0], "colour": ["red;dark", "green"], "kind": ["é", 'q "u"']}
    assert {path.name: read_table_file(path).to_pydict() for path in Path(tmp_path).iterdir()} == dict.fromkeys(
        [*files, "a.parquet", "a.feather", "a.arrow"], expected
    )


@pytest.mark.parametrize("kind", ["moons", "circles", "gauss", "xor"])
def test_points_without_noise_lie_on_their_shape(kind):
    """Each class where it belongs, a fifth of all to test on, and the root seed decides."""
    data = drawn_points(kind, 1, classes=3 if kind == "gauss" else 2, points=50, noise=0.0)
    inputs, labels = torch.cat([data.train_inputs, data.test_inputs]), torch.cat([data.train_labels, data.test_labels])
    assert len(data.test_labels) * 5 == len(labels) == (150 if kind == "gauss" else 100)
    if kind == "circles":
        torch.testing.assert_close(inputs.norm(dim=1), torch.where(labels == 0, 1.0, 0.5))
    elif kind == "gauss":
        assert len({tuple(point) for point in inputs.tolist()}) == 3
        torch.testing.assert_close(inputs.norm(dim=1), torch.ones(150))
    elif kind == "xor":
        assert torch.equal((inputs.prod(1) < 0).long(), labels)
    else:
        upper = inputs[labels == 0] + torch.tensor([0.5, 0.25])
        torch.testing.assert_close(upper.norm(dim=1), torch.ones(50))
    noisy = [drawn_points(kind, seed, classes=2, points=50, noise=0.4).train_inputs for seed in (1, 1, 2)]
    assert torch.equal(noisy[0], noisy[1])
    assert not torch.equal(noisy[0], noisy[2])


def test_the_noise_is_sigma_squared():
    """As that of the spirals is."""
    data = drawn_points("circles", 1, classes=2, points=20_000, noise=0.4)
    radii = data.train_inputs.norm(dim=1) - torch.where(data.train_labels == 0, 1.0, 0.5)
    assert radii[data.train_labels == 0].std().item() == pytest.approx(0.16, rel=0.03)


def test_a_preprocessing_is_refused_that_no_training_wrote():
    """What JSON says may be anything."""
    for value in ({}, {"columns": [{}], "classes": [], "target": "", "missing": ""}, {"columns": 3}):
        with pytest.raises(ValueError, match="must be what a training kept"):
            Preprocessing.from_json(value)
