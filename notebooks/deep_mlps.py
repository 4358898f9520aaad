# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Deep MLPs, with error bars
#
# This notebook follows Neuromatch Academy's tutorial [Deep
# MLPs](https://deeplearning.neuromatch.io/tutorials/W1D3_MultiLayerPerceptrons/student/W1D3_Tutorial2.html), in
# its order. The tutorial trains one network for each question. Here every question is asked of many networks
# that differ in their random seed, so each answer comes with its uncertainty. It needs no network and no
# Prefect, and takes less than a minute on two cores.
#
# The tutorial's material: [slides](https://osf.io/ed65b), [video 1: Deep
# Expressivity](https://www.youtube.com/watch?v=g8JuGrNk9ag).

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import display

import deep_mlp as dm
from mlp_core.data.polynomial_features import monomials, standardizer
from mlp_core.engine.architecture import hidden_width
from mlp_core.experiments.images.figures import first_layer_figure
from mlp_core.report.decision_map import DecisionMap
from mlp_core.report.decision_maps import decision_maps_figure

# %% [markdown]
# ## Section 1: Wider or deeper?
#
# Four spiral arms, each a class. A network sees the two coordinates of a point and says which arm it lies on.

# %%
data = dm.spirals(seed=2021)
plt.figure(figsize=(4, 4))
plt.scatter(*data.train_inputs.T, c=data.train_labels, s=4, cmap="viridis")
plt.axis("equal")
plt.show()
# %% [markdown]
# About 100 parameters are given. One hidden layer may then have 14 units, five layers only 4 each. The budget
# is not kept exactly: the true number of parameters stands next to each result.

# %%
sweep = {}
for depth in range(1, 6):
    width = hidden_width(depth, n_inputs=2, n_outputs=4, min_parameters=100)
    sweep[depth] = dm.train(data, hidden=(width,) * depth, seeds=64, epochs=100)
    print(f"depth {depth}: {sweep[depth].summary()}")

# %%
spread = np.random.default_rng(0).uniform(-0.15, 0.15, 64)
for depth, runs in sweep.items():
    plt.plot(depth + spread, 100 * runs.test_accuracy, ".", color="C0", alpha=0.4)
    plt.plot([depth - 0.25, depth + 0.25], [100 * np.median(runs.test_accuracy)] * 2, color="black")
plt.plot(range(1, 6), [81.5, 85.9, 89.9, 86.6, 86.3], "o--", color="C1", label="the tutorial's one seed")
plt.xlabel("hidden layers"), plt.ylabel("test accuracy (%)"), plt.xticks(range(1, 6)), plt.legend()
plt.show()
# %% [markdown]
# ### Think! Why is there a best depth?
#
# The tutorial says: beyond it learning itself fails. The dots show how: most networks with five layers of four
# units reach less than those with three layers of six, and some never leave chance (25 %). Networks are
# compared in pairs of equal seeds.

# %%
print("depth 3 against 1:", dm.compare(sweep[3], sweep[1]))
print("depth 5 against 3:", dm.compare(sweep[5], sweep[3]))
better_start = dm.train(data, hidden=(4,) * 5, seeds=64, start="xavier_normal", gain=dm.theory("relu").forward_gain())
print("depth 5, start that theory asks for, against PyTorch's:", dm.compare(better_start, sweep[5]))

# %% [markdown]
# At a fixed budget depth and width change together, so "too deep" is also "too narrow": in a layer of four ReLU
# units all four may be dead. `deep-mlp depth-sweep --ablation` takes the two apart.
#
# ## Section 1.1: Where wide fails
#
# All products of powers of the two coordinates up to degree 50 are 1325 features. One linear layer on them is a
# wide network without depth.

# %%
wide_data = dm.Split.from_parts(
    monomials(data.train_inputs, 50), data.train_labels, monomials(data.test_inputs, 50), data.test_labels
)
wide = dm.train(wide_data, hidden=(), seeds=8, epochs=100)
wide

# %% [markdown]
# The same layer with standardised features and a larger learning rate: how much of what it lacks is the
# optimizer's?

# %%
standardize = standardizer(wide_data.train_inputs)
fair_data = dm.Split.from_parts(
    standardize(wide_data.train_inputs), data.train_labels, standardize(wide_data.test_inputs), data.test_labels
)
fair = dm.train(fair_data, hidden=(), seeds=8, epochs=100, learning_rate=1e-2)
print(dm.compare(fair, wide))

# %%
axis = torch.linspace(-2, 2, 200)
grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).view(-1, 2)
radius = float(data.train_inputs.norm(dim=1).max())
points = (2.0, data.test_inputs.numpy(), data.test_labels.numpy(), radius)
with torch.no_grad():
    deep_map = sweep[3].module(seed=0)(grid).argmax(1).view(200, 200).numpy()
    wide_map = wide.module(seed=0)(monomials(grid, 50)).argmax(1).view(200, 200).numpy()
decision_maps_figure([DecisionMap("3 hidden layers", deep_map, *points), DecisionMap("degree 50", wide_map, *points)])

# %% [markdown]
# ### Think! Does it generalise outside the training region?
#
# Inside the circle both follow the arms. Outside, where neither has seen a point, the polynomial breaks into
# islands and the network continues in straight wedges. Neither is right there: `deep-mlp generalization`
# continues the arms and measures it.
#
# ## Section 2: A data set of images
#
# [Video 2: Case study](https://www.youtube.com/watch?v=3g_OJ6dYE8E). The tutorial classifies images of
# animal faces. Without a network, this notebook takes drawn faces; `dm.images("faces.zip")` takes the
# tutorial's own file.

# %%
faces = dm.images(seed=2021)
figure, axes = plt.subplots(1, 8, figsize=(10, 1.6))
step = len(faces.train_labels) // 8
for axis, index in zip(axes, range(0, 8 * step, step), strict=True):
    axis.imshow((faces.train_inputs[index].view(3, 32, 32).permute(1, 2, 0) + 1) / 2)
    axis.set_title(faces.classes[faces.train_labels[index]]), axis.axis("off")

# %%
classifier = dm.train(faces, hidden=(64, 64, 64), seeds=4, epochs=15, learning_rate=3e-4, batch_size=64)
classifier

# %%
first_layer_figure(classifier.module(seed=0)[0].weight.detach().view(64, 3, 32, 32).numpy())

# %% [markdown]
# ### Think! Are the features of the first layer high-level?
#
# The tutorial sees whole faces in the first layer: each unit looks at the whole image, none is a small edge
# filter. So the network is not hierarchical as a convolutional one is. `deep-mlp first-layer` measures the
# extent of each unit.
#
# ## Section 3: Hype in AI
#
# [Video 3: Ethics](https://www.youtube.com/watch?v=ou35QzsKsdc). Our answer is in how we report: how many
# networks, an interval, failures counted, and "undecided" where the networks do not settle it. What would one
# seed have told you?

# %%
difference = sweep[4].test_accuracy - sweep[3].test_accuracy
print(f"Depth 4 beats depth 3 in {np.mean(difference > 0):.0%} of 64 seeds; by one seed you may say either.")
print(dm.compare(sweep[4], sweep[3]))

# %% [markdown]
# ## Bonus: the need for a good start
#
# [Video 5](https://www.youtube.com/watch?v=W0V2kwHSuUI). Weights too small, and signals fade from layer to
# layer; too large, and they become chaotic. Mean-field theory says where the edge lies.

# %%
for activation in ("relu", "leaky_relu(0.1)", "tanh", "erf"):
    theory = dm.theory(activation)
    print(f"{activation}: critical at sigma_w² = {theory.critical_point(sigma_b=0.0).sigma_w ** 2:.3f}")

# %%
gains = np.linspace(0.1, 3.0, 10)
settings = {"hidden": (128, 64, 32), "activation": "leaky_relu(0.1)", "start": "xavier_normal"}
training = {"optimizer": "sgd", "learning_rate": 1e-2, "batch_size": 64, "epochs": 1}
reached = [dm.train(faces, gain=gain, seeds=8, **settings, **training).test_accuracy for gain in gains]
plt.plot(gains, 100 * np.array(reached), ".", color="C0", alpha=0.5)
plt.plot(gains, 100 * np.median(reached, axis=1), color="black")
plt.axvline(np.sqrt(2 / 1.01), linestyle="--", color="C1", label="theory: 1.407")
plt.xlabel("Xavier gain"), plt.ylabel("test accuracy after one epoch (%)"), plt.legend()
plt.show()
# %% [markdown]
# Too small a gain fails in every network. Around the theoretical gain the curve is flat: eight networks do not
# single out one best gain.
#
# [Video 4: Outro](https://www.youtube.com/watch?v=2sEPw4sSfSw).
#
# ## What if?
#
# Change a setting; 16 networks train at once.

# %%
from ipywidgets import FloatLogSlider, IntSlider, interact


def what_if(depth, width, activation, learning_rate):
    display(dm.train(data, hidden=(width,) * depth, activation=activation, learning_rate=learning_rate, seeds=16))


_ = interact(
    what_if,
    depth=IntSlider(3, 1, 6, continuous_update=False),
    width=IntSlider(6, 1, 32, continuous_update=False),
    activation=["relu", "tanh", "gelu", "sigmoid"],
    learning_rate=FloatLogSlider(1e-3, min=-4, max=-1, continuous_update=False),
)
