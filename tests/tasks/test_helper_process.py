"""The helper process: what it works out, and what becomes of the work when it is stopped or killed."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, wait
from multiprocessing import get_context
from pathlib import Path

import pytest

from mlp_core.data.image_files import BadImageError
from mlp_core.data.images import decode_images
from mlp_core.errors import Stopped
from tasks.helper_process import map_in_helpers, preload_in_helper, run_in_helper, stop_helpers


@pytest.fixture(autouse=True)
def _no_helper_left():
    yield
    stop_helpers()


def alive(process_id):
    """Return whether a process, or a thread of it, runs; one that has ended and was not waited for yet does not."""
    process = Path(f"/proc/{process_id}")
    try:
        ended = (process / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
        return not ended or len(list((process / "task").iterdir())) > 1  # it cannot be waited for before they end
    except FileNotFoundError:
        return False


def wait_for_the_end_of(process_id):
    deadline = time.monotonic() + 60
    while alive(process_id) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(process_id)


@pytest.fixture
def pipes(tmp_path):
    """Give two named pipes: a helper that reads one is at work until the test has written to it."""
    paths = tmp_path / "first", tmp_path / "second"
    for path in paths:
        os.mkfifo(path)
    return paths


def test_one_process_works_for_all():
    first = run_in_helper(os.getpid)
    assert first != os.getpid()
    preload_in_helper("json")
    assert run_in_helper(os.getpid) == first


def test_two_processes_work_at_the_same_time(pipes):
    first = run_in_helper(os.getpid)
    with ThreadPoolExecutor(2) as pool:
        reading = [pool.submit(run_in_helper, Path.read_text, pipes[0])]
        with pipes[0].open("w") as to_one:  # waits until it is read from
            second = run_in_helper(os.getpid)
            assert second not in (first, os.getpid())
            preload_in_helper("json")
            reading.append(pool.submit(run_in_helper, Path.read_text, pipes[1]))
            with pipes[1].open("w") as to_other:
                to_other.write("the second's")
            to_one.write("the first's")
        assert [job.result() for job in reading] == ["the first's", "the second's"]
    assert run_in_helper(os.getpid) in (first, second)


def test_two_arguments_are_worked_on_at_the_same_time(pipes):
    """By two helpers, and in the order given; in a worker process one after the other."""
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(map_in_helpers, Path.read_text, pipes, checkpoint=lambda: None)
        with pipes[1].open("w") as second, pipes[0].open("w") as first:
            second.write("the second's")
            first.write("the first's")
        assert reading.result() == ["the first's", "the second's"]
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        assert pool.submit(map_in_helpers, abs, [-2, 3], checkpoint=bool).result() == [2, 3]


def test_ctrl_c_waits_for_no_job(pipes):
    """The program is asked to end, and the jobs may take minutes; they are not done in this process either."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    ended, waited = threading.Event(), []

    def interrupt():
        with pipes[0].open("w"), pipes[1].open("w"):  # both are read from
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            waited.append(not ended.wait(20))

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            map_in_helpers(Path.read_text, pipes, checkpoint=lambda: None)
    finally:
        ended.set()
        thread.join()
        signal.signal(signal.SIGINT, handler)
    assert waited == [False]


def test_a_third_job_waits_for_one_of_two_processes(pipes):
    with ThreadPoolExecutor(3) as pool:
        for path in pipes:
            pool.submit(run_in_helper, Path.read_text, path)
        with pipes[0].open("w"), pipes[1].open("w"):
            third = pool.submit(run_in_helper, os.getpid)
            assert wait([third], timeout=0.3).not_done
        assert alive(third.result())


def test_work_that_waits_when_the_run_is_stopped_is_not_begun(pipes):
    stopped = threading.Event()

    def checkpoint():
        if stopped.is_set():
            raise Stopped

    with ThreadPoolExecutor(3) as pool:
        at_work = [pool.submit(run_in_helper, Path.read_text, path, checkpoint=checkpoint) for path in pipes]
        with pipes[0].open("w"), pipes[1].open("w"):
            waiting = pool.submit(run_in_helper, os.mkdir, pipes[0].with_name("made"), checkpoint=checkpoint)
            stopped.set()
            stop_helpers()
            for job in (*at_work, waiting):
                with pytest.raises(Stopped):
                    job.result()
    assert not pipes[0].with_name("made").exists()


def test_ctrl_c_is_for_the_program():
    helper = run_in_helper(os.getpid)
    os.kill(helper, signal.SIGINT)
    assert run_in_helper(os.getpid) == helper


def test_a_killed_helper_is_replaced():
    killed = run_in_helper(os.getpid)
    os.kill(killed, signal.SIGKILL)
    wait_for_the_end_of(killed)
    assert run_in_helper(pow, 2, 10) == 1024
    assert run_in_helper(os.getpid) not in (killed, os.getpid())


def opened_for_a_reader(pipe):
    """Return the end of a named pipe to write to, as soon as somebody reads from it."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return os.fdopen(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK), "wb")
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_work_whose_helper_was_killed_is_done_in_place(tmp_path):
    """It was at work: it read from a pipe, into which somebody writes only when it is read from again."""
    helper, pipe = run_in_helper(os.getpid), tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(run_in_helper, Path.read_bytes, pipe)
        with opened_for_a_reader(pipe):
            os.kill(helper, signal.SIGKILL)
            wait_for_the_end_of(helper)
            with opened_for_a_reader(pipe) as to_this_process:
                to_this_process.write(b"done")
        assert waiting.result() == b"done"
    assert run_in_helper(os.getpid) != helper


def test_work_of_a_stopped_run_is_not_done():
    helper, began = run_in_helper(os.getpid), time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        stopped = threading.Event()

        def checkpoint():
            if stopped.is_set():
                raise Stopped

        waiting = pool.submit(run_in_helper, time.sleep, 30, checkpoint=checkpoint)
        time.sleep(0.2)
        stopped.set()
        stop_helpers()
        with pytest.raises(Stopped):
            waiting.result()
    assert time.monotonic() - began < 10
    wait_for_the_end_of(helper)
    assert run_in_helper(os.getpid) != helper


def test_it_ends_with_a_killed_program():
    program = "import os, time\nfrom tasks.helper_process import run_in_helper\nif __name__ == '__main__':\n"
    program += "    print(run_in_helper(os.getpid), flush=True)\n    time.sleep(60)\n"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        helper = int(process.stdout.readline())
        assert alive(helper)
        process.kill()
    wait_for_the_end_of(helper)


def test_a_script_without_a_guard_is_executed_once(tmp_path):
    """A script that ends with a call, with no `if __name__ == "__main__":` around it, as a first one does."""
    script = tmp_path / "script.py"
    script.write_text(
        "import os\nfrom tasks.helper_process import run_in_helper\nprint(os.getpid(), run_in_helper(os.getpid))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=180, check=True)
    (line,) = done.stdout.splitlines()
    assert len(set(line.split())) == 2
    assert done.stderr == ""


def test_the_helper_finds_its_modules_wherever_the_program_was_started(tmp_path):
    """Neither a `tasks.py` on PYTHONPATH gets in between nor a `random.py` in the folder where the user stands."""
    for name in ("path/tasks.py", "path/mlp_core.py", "standing/random.py", "standing/tasks.py"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("raise SystemExit('a file of the user')")
    # as an installed program is started: PYTHONPATH comes before the project
    program = f"import sys\nsys.path.insert(0, {str(tmp_path / 'path')!r})\nimport deep_mlp_program, os\n"
    program += "from tasks.helper_process import run_in_helper\nprint(run_in_helper(os.getpid) != os.getpid())"
    command = [sys.executable, "-P", "-c", program]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    done = subprocess.run(
        command, cwd=tmp_path / "standing", env=environment, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_no_semaphore_is_needed():
    """Containers do not always let one write to /dev/shm, where they are; here there is no way to make one."""
    program = "import sys\nsys.modules['multiprocessing.synchronize'] = None\n"
    program += "from tasks.helper_process import run_in_helper\nprint(run_in_helper(pow, 2, 10))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("1024\n", "")


def test_errors_come_back_whole(tmp_path):
    """Among them the file that is to blame, for those that may be left out, and where in the helper it was."""
    for name in ("train/cat/0.png", "train/dog/1.png", "val/cat/2.png", "val/dog/3.png"):
        path = tmp_path / "faces" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(b"no image")
    with pytest.raises(BadImageError, match="which is no such image") as raised:
        run_in_helper(decode_images, tmp_path / "faces", 0)
    assert (raised.value.name, raised.value.reason) == ("train/cat/0.png", "is no such image")
    assert "in decode_images\n" in raised.value.__notes__[0]


def test_a_worker_process_does_it_in_place():
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        assert pool.submit(run_in_helper, os.getpid).result() == pool.submit(os.getpid).result()
