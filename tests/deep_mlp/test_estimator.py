"""The classifier is what scikit-learn asks of one."""

import warnings

import numpy as np
from sklearn.datasets import make_moons
from sklearn.exceptions import SkipTestWarning
from sklearn.model_selection import cross_val_score
from sklearn.utils.estimator_checks import check_estimator

from deep_mlp import EnsembleMLPClassifier

NEEDS_A_SWITCH = {"check_array_api_input"}
"""Checks that scikit-learn itself leaves out unless an environment variable is set."""


def test_every_check_of_scikit_learn_passes():
    """All that `check_estimator` asks of a classifier; nothing is left out that can be run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkipTestWarning)
        checks = check_estimator(EnsembleMLPClassifier(n_members=2), on_fail=None)
    assert len(checks) > 50
    assert {check["check_name"] for check in checks if check["status"] != "passed"} <= NEEDS_A_SWITCH


def test_it_learns_and_can_be_repeated():
    """Cross-validation reaches what the moons allow; the same random state gives the same answers."""
    inputs, labels = make_moons(200, noise=0.1, random_state=0)
    classifier = EnsembleMLPClassifier(hidden=(16,), n_members=3, random_state=1)
    assert cross_val_score(classifier, inputs, labels, cv=3).mean() > 0.95
    first, again = (classifier.fit(inputs, labels).predict_proba(inputs) for _ in range(2))
    assert np.array_equal(first, again)
    assert len(classifier.ensemble_) == 3
