"""The whole tutorial as one run: spirals train while images are decoded, and few tasks wait for others."""

from flows.experiment import experiment_flow

tutorial = experiment_flow("tutorial")
