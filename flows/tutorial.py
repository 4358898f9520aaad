"""The whole tutorial as one run: spirals train while photographs are decoded, and few tasks wait for others."""

from __future__ import annotations

from prefect import tags

from flows.depth_sweep import (
    explained_plans,
    publish_depth_sweep,
    publish_explanation,
    train_depth_sweep,
)
from flows.experiment import experiment
from flows.features import measured_plans, publish_features
from flows.gain_sweep import publish_gain_sweep, train_gain_sweep
from flows.generalization import (
    compared_plans,
    publish_generalization,
    train_generalization,
    train_tuned,
    tune_generalization,
)
from flows.images import publish_images, train_images
from flows.orchestration import Outcome, submit_photographs, submit_trainings
from flows.phase import publish_phase, train_phase
from flows.polynomial import publish_polynomial, train_polynomial
from flows.signals import measure_networks, publish_signals
from mlp_core.settings import (
    DepthSweep,
    Explanation,
    Features,
    GainSweep,
    Generalization,
    Images,
    Phase,
    Polynomial,
    RunOnPhotographs,
    Signals,
    Spirals,
)
from tasks.analysis import map_decisions, plot_decision_maps, plot_samples
from tasks.data import check_batch_size, generate_spirals
from tasks.laboratory import laboratory
from tasks.limits import ask_for_limits, check_tag_limits


@experiment("tutorial")
def tutorial(
    depth_sweep: DepthSweep = DepthSweep(),
    polynomial: Polynomial = Polynomial(),
    images: Images = Images(),
    gain_sweep: GainSweep = GainSweep(),
    explanation: Explanation = Explanation(explain=True, explain_activations=("relu", "tanh"), explain_epochs=100),
    generalization: Generalization = Generalization(degrees=(1, 10, 50), depths=(1, 3)),
    features: Features = Features(depths=(3,)),
    signals: Signals = Signals(width=300),
    phase: Phase = Phase(depths=(2, 4, 8, 16, 32), gains=(0.5, 0.7, 0.9, 1.1, 1.3, 1.6, 2.0, 3.0)),
    spirals: Spirals = Spirals(),
    run: RunOnPhotographs = RunOnPhotographs(),
) -> str:
    """Run every experiment of the tutorial; return the report's path.

    With one seed that is all: the tutorial's own protocol. With more, claims can be looked into, and the experiments
    that do so follow, smaller than by their own commands: explanation, generalization, features, signals and the phase
    diagram, which has one member in a cell here.
    """
    for trained_on_points in (depth_sweep, generalization):
        check_batch_size(trained_on_points.batch_size, spirals)
    outcome = Outcome(run)
    one_seed = run.model_copy(update={"seeds": 1})
    beyond = run.seeds > 1
    with laboratory(run):
        check_tag_limits("images", "polynomial", "depth_sweep", "gain_sweep")
        if beyond:
            check_tag_limits("generalization", "features", "phase", "signals")
        ask_for_limits("images", "polynomial", "depth_sweep")
        with tags("depth_sweep"):
            points = generate_spirals(spirals, run.seed)
        with tags("images"):  # first: while one worker waits for the helper, the other trains with a core to itself
            decoded = submit_photographs(run)
        with tags("polynomial"):
            polynomial_trainings = train_polynomial(run, spirals, polynomial, points)
        with tags("depth_sweep"):
            depth_trainings = train_depth_sweep(run, spirals, depth_sweep, points)
        with tags("images"):
            pictures = decoded()
            ask_for_limits("images", "gain_sweep")
            # The longest first: it keeps one worker busy while the other does the rest
            image_trainings = train_images(run, images, pictures)
        with tags("gain_sweep"):
            gain_trainings = train_gain_sweep(run, gain_sweep, pictures)
        submitted = image_trainings | polynomial_trainings | depth_trainings
        with tags("depth_sweep"):
            explained = explained_plans(run, spirals, depth_sweep, explanation) if beyond else {}
            interventions = submit_trainings(explained, points, run.seeds, submitted)
        with tags("generalization"):
            compared = compared_plans(run, spirals, generalization) if beyond else {}
            tunings = tune_generalization(compared, points)
            comparisons = train_generalization(run, compared, points, submitted)
        with tags("features"):
            measured = measured_plans(run, features, pictures) if beyond else {}
            feature_trainings = submit_trainings(measured, pictures, run.seeds, submitted)
        with tags("phase"):
            phase_data = pictures if phase.data == "images" else points
            phase_trainings = train_phase(one_seed, spirals, phase, phase_data) if beyond else {}
        with tags("signals"):
            measurements = measure_networks(run, signals, pictures) if beyond else []

        with tags("generalization"):
            tuned, shown = train_tuned(run, outcome, tunings, compared)
            comparisons, compared = comparisons | tuned, compared | shown

        submitted |= gain_trainings | interventions | comparisons | feature_trainings | phase_trainings
        outcome.progress.expect(training.future for training in submitted.values())

        with tags("images"):
            results = [plot_samples.submit(pictures, run.seed)]
        with tags("polynomial"):
            wide = outcome.trainings(polynomial_trainings)
            results += publish_polynomial(run, spirals, polynomial, wide)
        with tags("depth_sweep"):
            deep = outcome.trainings(depth_trainings)
            results += publish_depth_sweep(run, spirals, depth_sweep, deep)
            maps = [map_decisions.submit(trained, points) for trained in (wide, deep) if trained]
            if maps:
                results.append(plot_decision_maps.submit(maps, points))
        with tags("gain_sweep"):
            gains = outcome.trainings(gain_trainings)
            results += publish_gain_sweep(run, gain_sweep, pictures, gains)
        with tags("images"):
            trained = outcome.trainings(image_trainings)
            results += publish_images(run, images, pictures, trained)
        with tags("depth_sweep"):
            trained = outcome.trainings(interventions, explained)
            results += publish_explanation(run, spirals, depth_sweep, explanation, points, trained, explained)
        with tags("generalization"):
            trained = outcome.trainings(comparisons, compared)
            results += publish_generalization(run, spirals, generalization, points, trained, compared)
        with tags("features"):
            trained = outcome.trainings(feature_trainings, measured)
            results += publish_features(run, features, pictures, trained)
        with tags("phase"):
            trained = outcome.trainings(phase_trainings)
            results += publish_phase(one_seed, spirals, phase, phase_data, trained)
        with tags("signals"):
            results += publish_signals(run, signals, pictures, outcome.gather(measurements, "signals"))
        return outcome.publish(results)
