"""Where Prefect touches the core: a task calls one core function, stores its result and passes on a reference."""

import os
import sys
from pathlib import Path

# Processes that this one starts find the project where it is, and not a tasks.py or flows.py on the user's PYTHONPATH
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
# Read by Prefect, torch and Python as they start; a value of the user's own stands.
for _name, _value in {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    # one transaction for many task states: with one each, SQLite is locked half of the time
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "500",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "deep_mlp",
    # what the core logs outside a flow, in a notebook, is no mistake
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    # nor what lies in the folder where the user stands, which Python would search first
    "PYTHONSAFEPATH": "1",
    # as many tasks as cores run side by side: a thread each
    "OMP_NUM_THREADS": "1",
}.items():
    os.environ.setdefault(_name, _value)
