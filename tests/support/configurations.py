"""Configurations as the experiments make them, with training settings as keywords."""

from mlp_core.engine.configs import Training
from mlp_core.experiments.interface import Data
from tasks.resources import estimate_memory
from tasks.stages import flow_names, flow_parameters, stages_of, with_data


def configs_of(trials, *arguments, **training):
    """Return the configurations of the trials that a function returns."""
    return [trial.config for trial in trials(*arguments, Training(**training))]


def config_of(trial, *arguments, **training):
    """Return the configuration of the trial that a function returns."""
    return trial(*arguments, Training(**training)).config


def stages_with(flow, *models, n_classes=3):
    """Return the stages of a flow with some settings, all others as they are by default, and its run."""
    parameters = flow_parameters(flow)
    for name, default in parameters.items():
        for model in models:
            if type(model) is type(default) or isinstance(default, type(model)):
                parameters[name] = model
    stages = stages_of(flow, parameters)
    data = Data(3072, tuple(map(str, range(n_classes))), 5400, 1500, kind="images")
    return with_data(stages, data), parameters["run"]


def memory_of(flow, *models, n_classes=3):
    """Return what a flow with some settings needs."""
    return estimate_memory(*stages_with(flow, *models, n_classes=n_classes))


def settings_models():
    """Return every settings model of a flow with the flow that has it first."""
    models = {}
    for flow in flow_names():
        for group in flow_parameters(flow).values():
            models.setdefault(type(group), flow)
    return models
