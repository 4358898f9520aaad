"""Which matrix products PyTorch makes."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class MatrixProducts(TorchDispatchMode):
    """Collects the name of each matrix product and the shapes of its operands."""

    def __init__(self):
        super().__init__()
        self.collected = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function.overloadpacket._qualified_op_name.removeprefix("aten::") in ("mm", "bmm", "addmm_", "baddbmm_"):
            shapes = tuple(tuple(part.shape) for part in args if isinstance(part, torch.Tensor))
            self.collected.append((str(function), shapes))
        return function(*args, **(kwargs or {}))
