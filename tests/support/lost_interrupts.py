"""A library that does not pass a Ctrl-C on: pydantic, for one, loses some of those that come as it builds a schema."""

_LIBRARY = """
import os, signal, sys

class Library:
    def find_spec(self, name, path=None, target=None):
        asked = getattr(signal.getsignal(signal.SIGINT), "__module__", None) == "flows.stopping"
        if asked and name == {module!r}:
            try:
                os.kill(os.getpid(), signal.SIGINT)
                signal.sigpending()  # a step at which Python hears of it, if it is not blocked
            except KeyboardInterrupt:
                {then}

sys.meta_path.insert(0, Library())
"""


def losing_interrupt(folder, module, then="pass"):
    """Return variables of a program that gets SIGINT as it imports a module, and whose libraries then do as told."""
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(_LIBRARY.format(module=module, then=then))
    return {"PYTHONPATH": str(folder)}
