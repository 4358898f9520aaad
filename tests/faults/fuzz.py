"""Fuzz one parser, guided by the coverage of our code and of what it stands on: `python fuzz.py TARGET SECONDS`.

What makes it fail is written to the current folder. The targets are those of `test_parsers_fuzzed.py`.
"""

import sys
import tempfile
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

_INSTRUMENTED = ["mlp_core", "tasks.checksummed_json", "zipfile", "PIL", "json", "urllib.parse"]


def main(target: str, seconds: int) -> None:
    """Fuzz a target for some seconds."""
    import atheris

    with atheris.instrument_imports(include=_INSTRUMENTED, enable_loader_override=False):
        specification = spec_from_file_location("targets", Path(__file__).with_name("test_parsers_fuzzed.py"))
        targets = module_from_spec(specification)
        specification.loader.exec_module(targets)
    read, good = targets.TARGETS[target]
    with tempfile.TemporaryDirectory() as corpus:
        for number, content in enumerate(good):
            Path(corpus, str(number)).write_bytes(content)
        longest = max(4096, 2 * max(map(len, good)))  # what is longer is cut, tables at their footer
        limits = [f"-max_total_time={seconds}", f"-max_len={longest}", "-rss_limit_mb=4096"]
        atheris.Setup([sys.argv[0], *limits, corpus], read)
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
