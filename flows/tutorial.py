"""The whole tutorial as one run, so that the workers are never idle while an experiment waits for another."""

from __future__ import annotations

from prefect import flow, tags

from flows.depth_sweep import check_depth_sweep, publish_depth_sweep, train_depth_sweep
from flows.gain_sweep import publish_gain_sweep, train_gain_sweep
from flows.images import publish_images, train_images
from flows.orchestration import Outcome, photographs
from flows.polynomial import publish_polynomial, train_polynomial
from mlp_core.settings import DepthSweep, GainSweep, Images, Polynomial, Run, Spirals
from tasks.analysis import map_decisions, plot_decision_maps
from tasks.data import generate_spirals
from tasks.laboratory import laboratory


@flow(name="tutorial")
def tutorial(
    run: Run = Run(),
    spirals: Spirals = Spirals(),
    depth_sweep: DepthSweep = DepthSweep(),
    polynomial: Polynomial = Polynomial(),
    images: Images = Images(),
    gain_sweep: GainSweep = GainSweep(),
) -> str:
    """Run every experiment of the tutorial; return the report's path."""
    outcome = Outcome()
    with laboratory(run):
        check_depth_sweep(spirals, depth_sweep)
        with tags("images"):
            pictures = photographs(run)
        with tags("depth_sweep"):
            points = generate_spirals.submit(spirals, run.seed).result()
        # The longest first: it keeps one worker busy while the other does the rest
        with tags("images"):
            image_trainings = train_images(run, images, pictures)
        with tags("polynomial"):
            polynomial_trainings = train_polynomial(run, spirals, polynomial, points)
        with tags("depth_sweep"):
            depth_trainings = train_depth_sweep(run, spirals, depth_sweep, points)
        with tags("gain_sweep"):
            gain_trainings = train_gain_sweep(run, gain_sweep, pictures)

        results = []
        with tags("polynomial"):
            wide = outcome.trainings(polynomial_trainings)
            results += publish_polynomial(run, spirals, polynomial, wide)
        with tags("depth_sweep"):
            deep = outcome.trainings(depth_trainings)
            results += publish_depth_sweep(run, spirals, depth_sweep, deep)
            maps = [map_decisions.submit(trained, points) for trained in (wide, deep) if trained]
            results.append(plot_decision_maps.submit(maps, points))
        with tags("gain_sweep"):
            gains = outcome.trainings(gain_trainings)
            results += publish_gain_sweep(run, gain_sweep, pictures, gains)
        with tags("images"):
            trained = outcome.trainings(image_trainings)
            results += publish_images(run, images, pictures, trained)
        return outcome.publish(results)
