"""Where images are found, and what of a folder makes a run decode or train again."""

from tasks.data import locate_images


def test_a_file_beside_images_changes_what_is_said_and_not_the_data(tmp_path):
    """So that nothing is trained again for a note, and none is passed over because an earlier run saw fewer files."""
    for name in ("train/cat/1.png", "train/dog/1.png", "val/cat/1.png", "val/dog/1.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    before = locate_images.fn(str(tmp_path))
    (tmp_path / "train/cat/2.heic").touch()
    after = locate_images.fn(str(tmp_path))
    assert before.remarks == ()
    assert after.remarks == ("files not used: 1 with the ending .heic (train/cat/2.heic)",)
    assert (after.location, after.sha256) == (before.location, before.sha256)
    assert after != before
