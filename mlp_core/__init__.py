"""Multilayer perceptrons by the ensemble: data, features, networks, training, figures and report, free of Prefect."""
