"""Wide against deep outside the training region: where the tutorial's section 1.1 only looks at a map."""

from flows.experiment import experiment_flow

generalization = experiment_flow("generalization")
