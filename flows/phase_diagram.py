"""Which networks can be trained, over gain and depth: the tutorial's bonus as a map."""

from flows.experiment import experiment_flow

phase_diagram = experiment_flow("phase_diagram")
