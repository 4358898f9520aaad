"""A device that this machine does not have, played by its CPU: with memory of its own and, as Apple's, no float64."""

from contextlib import contextmanager
from threading import Thread
from unittest.mock import patch

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

DEVICE = "meta"
"""The name under which plans ask for it: one that torch knows on every machine."""


class _OnDevice(torch.Tensor):
    """A tensor in the device's memory; `inner` holds the numbers."""

    @staticmethod
    def __new__(cls, inner):
        layout = {"strides": inner.stride(), "storage_offset": inner.storage_offset()}
        return torch.Tensor._make_wrapper_subclass(cls, inner.size(), dtype=inner.dtype, device=DEVICE, **layout)

    def __init__(self, inner):
        self.inner = inner

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return _computed(function, args, kwargs or {})


def _computed(function, args, kwargs):
    leaves, shape = tree_flatten((args, kwargs))
    tensors = [tensor for tensor in leaves if isinstance(tensor, torch.Tensor)]
    on_device = [tensor for tensor in tensors if isinstance(tensor, _OnDevice)]
    moves = function in (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)
    if on_device and not moves:
        # a number may be anywhere, a tensor may not
        assert all(tensor.dim() == 0 for tensor in tensors if not isinstance(tensor, _OnDevice)), (
            f"{function} on two devices"
        )
    target = kwargs.get("device")
    there = bool(on_device) if target is None else torch.device(target).type == DEVICE
    if (there or on_device) and kwargs.get("dtype") == torch.float64:
        message = f"{function}: the device has no float64"
        raise TypeError(message)
    args, kwargs = tree_unflatten([leaf.inner if isinstance(leaf, _OnDevice) else leaf for leaf in leaves], shape)
    if target is not None:
        kwargs["device"] = torch.device("cpu")
    outer = {id(tensor.inner): tensor for tensor in on_device}  # what is written to comes back itself

    def wrapped(value):
        if not isinstance(value, torch.Tensor) or not there:
            return value
        if value.dtype in (torch.float64, torch.complex128):
            message = f"{function}: the device has no float64"
            raise TypeError(message)
        return outer.get(id(value)) if id(value) in outer else _OnDevice(value)

    return tree_map(wrapped, function(*args, **kwargs))


class _Device(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return _computed(function, args, kwargs or {})


class _Literals(TorchFunctionMode):
    """Moves there what `torch.tensor` makes of numbers, which no dispatch sees."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if function is not torch.tensor or "device" not in kwargs:
            return function(*args, **kwargs)
        device = kwargs.pop("device")
        return function(*args, **kwargs).to(device)


@contextmanager
def device_without_float64():
    """Let tensors be made on, moved to and computed by the device called `DEVICE`, in new threads too."""
    run = Thread.run

    def run_there(thread):
        with _Device(), _Literals():
            run(thread)

    with patch.object(Thread, "run", run_there), _Device(), _Literals():
        yield
