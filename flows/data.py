"""What there is to train on, and an image of it: a table looked at before anything is trained."""

from flows.experiment import experiment_flow

data = experiment_flow("data")
