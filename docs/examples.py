"""An extension of griffe, which reads the docstrings: our heading `Example:` is what it calls `Examples:`."""

import re
from typing import Any

from griffe import Extension, Module, Object


class Examples(Extension):
    """Let a doctest under `Example:` be shown as code."""

    def on_package(self, *, pkg: Module, **_: Any) -> None:
        """Do the same for a package, which is no object to griffe."""
        self.on_object(obj=pkg)

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Rename the heading in one docstring."""
        if obj.docstring:
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.M)
