"""The claim on features, on tables whose truth is known."""

import numpy as np
import pytest
from claim_tables import BOTH, DOWN, FILTERS, TEMPLATES, UP, units

from mlp_core.data.faces import write_faces
from mlp_core.data.images import decode_images
from mlp_core.engine.tables import split_of
from mlp_core.experiments.first_layer.claims import first_layer_is_not_local
from mlp_core.experiments.first_layer.unit_measures import extent, gabor_filters, participation_ratio, whole_images


@pytest.mark.parametrize(("trained", "verdict", "estimate"), [(0.33, UP, 1.1), (0.1, DOWN, 0.06), (0.1975, BOTH, 0.5)])
def test_units_that_are_not_local(trained, verdict, estimate):
    """Units as wide as whole faces are not local, units near edge filters are, and half-way is open."""
    claim = first_layer_is_not_local(units(trained), units(0.4, seed=1), FILTERS, TEMPLATES)
    assert (claim.verdict, claim.n) == (verdict, 10)
    assert claim.estimate == pytest.approx(estimate, abs=0.04)
    assert claim.effect_size > 0
    assert claim.measure.endswith("before training 1.43")


def test_whole_faces_themselves_are_not_local_and_edge_filters_are(tmp_path):
    """The scale's own ends get the verdicts that they must get; a share of pixels called whole templates local."""
    write_faces(tmp_path / "faces.zip", seed=0, n_train_per_class=60, n_val_per_class=1)
    data = split_of(decode_images(tmp_path / "faces.zip", 0).to_batches())
    templates, single = whole_images(data.train_inputs, data.train_labels)
    filters = gabor_filters(3, 32, 32)
    ends = extent(filters).numpy(), extent(templates).numpy()

    def verdict(images):
        reach = extent(images).numpy()
        columns = {"unit": np.repeat(np.arange(len(reach)), 8), "seed": np.tile(np.arange(8), len(reach))}
        columns["extent"] = np.repeat(reach, 8)
        return first_layer_is_not_local(columns, columns, *ends).verdict

    assert (verdict(templates), verdict(single), verdict(filters)) == (UP, UP, DOWN)
    local_on_the_old_scale = (
        participation_ratio(templates).numpy() < (0.79 + participation_ratio(filters).mean().item()) / 2
    )
    assert local_on_the_old_scale.any()
