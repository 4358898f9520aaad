"""`deep-mlp play` without a browser: what is asked, what is answered, and who is let in."""

import json
import signal
import socket
import struct
import threading
import time
import urllib.error
import urllib.request
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from flows.play.maps import MAP_SIDE, PREVIEW_SIDE
from flows.play.question import MOST_CLASSES, OwnTable, asked
from flows.play.server import HEADERS, MOST_PAGES
from flows.play.training import Job
from mlp_core.engine.members import train_members
from mlp_core.errors import InputError
from mlp_core.report.plot_style import PALETTE
from mlp_core.statistics.intervals import median_interval

QUICK = {"points": 60, "epochs": 3, "seeds": 8, "batch_size": 32}
STATIC = Path(__file__).parents[2] / "flows/play/static"


@contextmanager
def page(server, **headers):
    """Connect as the page does."""
    address = f"ws://127.0.0.1:{server.port}/live"
    with connect(address, origin=headers.pop("origin", server.url), proxy=None, additional_headers=headers) as live:
        yield live


def ask(live, number=1, **values):
    live.send(json.dumps({"kind": "ask", "id": number, **values}))


def heard(live, is_last, seconds=60):
    """Return all messages up to the one that is the last."""
    messages, deadline = [], time.monotonic() + seconds
    while time.monotonic() < deadline:
        message = live.recv(timeout=seconds)
        messages.append(message if isinstance(message, bytes) else json.loads(message))
        if isinstance(messages[-1], dict) and is_last(messages[-1]):
            return messages
    raise TimeoutError


def complete(place="question"):
    return lambda message: message.get("complete") and message["place"] == place


def members_of(messages, place="question"):
    """Return the last accuracies heard of the members of a place."""
    of_all = [message["test"] for message in messages if isinstance(message, dict) and message.get("place") == place]
    return of_all[-1] if of_all else None


def losses_of(messages, place=0):
    """Return all loss curves accuracies of the members of a place, each `[members, epochs shown]`."""
    frames = [frame for frame in messages if isinstance(frame, bytes) and frame[4:8] == struct.pack("<i", 4 + place)]
    return [np.frombuffer(frame[16:], np.float32).reshape(struct.unpack("<2i", frame[8:16])) for frame in frames]


def maps_of(messages, place=0):
    """Return number, networks, side and epoch of each map told of a place."""
    frames = [frame for frame in messages if isinstance(frame, bytes) and frame[4:8] == struct.pack("<i", place)]
    heads = [struct.unpack("<5i", frame[:20]) for frame in frames]
    assert [len(frame) for frame in frames] == [20 + 2 * side**2 for _, _, _, side, _ in heads]
    return [(number, n, side, epoch) for number, _, n, side, epoch in heads]


def test_the_answer_is_of_the_flows_own_networks(playground):
    """Accuracies to the last digit shown, the median with its interval, losses of all, and a map."""
    asks = asked(QUICK)
    trained = train_members(asks.config, asks.data, range(8))
    expected = trained.test_accuracy.numpy()
    with page(playground) as live:
        ask(live, 7, question=QUICK)
        messages = heard(live, complete())
    (answer,) = (message for message in messages if isinstance(message, dict) and message["kind"] == "asked")
    assert (answer["sizes"], answer["parameters"], answer["id"]) == ([2, 6, 6, 6, 4], 130, 7)
    assert members_of(messages) == [round(float(accuracy), 6) for accuracy in expected]
    summary, interval = messages[-1]["summary"], median_interval(expected)
    assert (summary["n"], summary["diverged"]) == (8, 0)
    assert summary["median"] == pytest.approx(interval.estimate, abs=1e-6)
    assert summary["low"] == pytest.approx(interval.low, abs=1e-6)
    np.testing.assert_array_equal(losses_of(messages)[-1], trained.train_loss.numpy())
    assert maps_of(messages)[-1] == (7, 8, MAP_SIDE, 3)


def lengths_of(curves):
    """Return how many losses are told of the member with the fewest, for each message of curves."""
    return [int(np.isfinite(losses).sum(1).min()) for losses in curves]


def test_members_are_seen_while_they_train(playground):
    """All of them together: their curves grow, their accuracies and their map change, and each epoch is told."""
    messages = []
    with page(playground) as live:
        ask(live, 1, question={**QUICK, "epochs": 5000, "points": 300, "width": 32})
        # no machine is so quick that it has trained them before, none so slow that it does not come so far
        while len(set(lengths_of(losses_of(messages)))) < 4 or len(set(maps_of(messages))) < 2:
            messages += heard(live, lambda message: message["kind"] == "progress")
    news = [message for message in messages if isinstance(message, dict) and message["kind"] == "progress"]
    epochs = [message["epoch"] for message in news]
    assert epochs == sorted(epochs)
    assert 0 < epochs[-1] < 5000
    some = news[-1]
    assert (some["complete"], some["summary"]["n"], some["summary"]["never_learned"]) == (False, 8, 0)
    assert None not in some["test"]
    curves = losses_of(messages)
    assert lengths_of(curves) == sorted(lengths_of(curves))
    for losses in curves:  # what was told once stays
        seen = np.isfinite(losses)
        np.testing.assert_array_equal(losses[seen], curves[-1][seen])
    assert {(n, side) for _, n, side, _ in maps_of(messages)} == {(8, PREVIEW_SIDE)}
    epochs = [epoch for _, _, _, epoch in maps_of(messages)]
    assert epochs == sorted(epochs)


def test_the_first_map_is_of_untrained_networks_and_the_last_of_all():
    """A page that is slow to hear may miss the first."""
    asks, maps = asked(QUICK), []
    job = Job(asks.config, asks.data, 8, 1.0, lambda: maps.append(job.mean_map()))
    job.start()
    job.wait()
    ends = [(decision_map.n, len(decision_map.classes), decision_map.epoch) for decision_map in (maps[0], maps[-1])]
    assert ends == [(8, PREVIEW_SIDE, 0), (8, MAP_SIDE, 3)]


def test_a_network_that_diverges_is_counted_at_once(playground):
    """With steps that are far too large; those that are lost have no dot, and all are told."""
    question = {**QUICK, "optimizer": "sgd", "learning_rate": 1e6, "activation": "relu", "epochs": 4}
    with page(playground) as live:
        ask(live, 1, question=question)
        messages = heard(live, complete())
    expected = train_members(asked(question).config, asked(question).data, range(8)).test_accuracy.numpy()
    assert messages[-1]["summary"]["diverged"] == np.isnan(expected).sum() > 0
    assert [accuracy is None for accuracy in members_of(messages)] == np.isnan(expected).tolist()


def test_a_pinned_question_is_compared_in_pairs(playground):
    """By the project's own rule, and each question is trained once."""
    with page(playground) as live:
        ask(live, 1, question=QUICK)
        first = members_of(heard(live, complete()))
        better = {**QUICK, "learning_rate": 0.05}
        ask(live, 2, question=better, pinned=QUICK)
        messages = heard(live, complete())
        (*_, verdict) = (message for message in messages if isinstance(message, dict) and message["kind"] == "compared")
        assert verdict["comparison"]["n"] == 8  # the pinned question's networks were known
        while not members_of(messages, "pinned"):
            messages += heard(live, complete("pinned"))
    assert members_of(messages, "pinned") == first
    second = members_of(messages)
    difference = np.median([second[index] - first[index] for index in range(8)])
    assert verdict["comparison"]["difference"] == pytest.approx(difference, abs=2e-6)
    assert verdict["sentence"].startswith("Learning rate 0.05 instead of 0.001")


def test_an_undecided_comparison_says_how_many_to_try(playground):
    """Four pairs decide nothing."""
    few = {**QUICK, "seeds": 4}
    with page(playground) as live:
        ask(live, 1, question={**few, "layers": 2}, pinned=few)
        messages = heard(
            live, lambda message: message["kind"] == "compared" and (message["comparison"] or {}).get("n") == 4
        )
    assert messages[-1]["sentence"] == "Hidden layers 2 instead of 3: undecided with 4 pairs of networks: try 8."


def test_one_network_is_shown_on_request(playground):
    """Its map has the probabilities of that network alone."""
    with page(playground) as live:
        ask(live, 3, question=QUICK)
        heard(live, complete())
        live.send(json.dumps({"kind": "member", "member": 5}))
        while True:
            frame = live.recv(timeout=30)
            if isinstance(frame, bytes) and struct.unpack("<5i", frame[:20]) == (3, 3, 5, MAP_SIDE, 3):
                break


def test_the_polynomial_stands_next_to_it(playground):
    """On the same points, of eight networks."""
    with page(playground) as live:
        ask(live, 1, question=QUICK, polynomial=3)
        messages = heard(live, complete("polynomial"))
    assert len(members_of(messages, "polynomial")) == 8
    assert maps_of(messages, place=2)[-1] == (1, 8, MAP_SIDE, 100)  # its own epochs


def test_a_bet_comes_before_the_training(playground):
    """With `wait` the points and the theory are told, and nothing is trained."""
    with page(playground) as live:
        ask(live, 1, question=QUICK, wait=True)
        (answer,) = heard(live, lambda message: message["kind"] == "asked")
        assert answer["theory"]["phase"] == "ordered"
        with pytest.raises(TimeoutError):
            live.recv(timeout=0.3)


@pytest.mark.parametrize(
    ("values", "setting", "sentence"),
    [
        ({"seeds": "300"}, "seeds", "seeds must be less than or equal to 256, got '300'; the default is 64."),
        ({"layers": "two"}, "layers", "layers must be a whole number, got 'two'; the default is 3."),
        ({"noise": "nan"}, "noise", "noise must be a finite number, got 'nan'; the default is 0.4."),
        ({"activation": "swish"}, "activation", "activation must be one of relu"),
        ({"gain": "2"}, "gain", "gain must be 1 with PyTorch's start"),
        ({"points": "10"}, "batch_size", "batch_size must be at most the 32 training points, got 128"),
        ({"data": "table"}, "data", "data must be drawn points as long as there is no table"),
        ({"data": "moons", "arms": "3"}, "arms", "arms must be left out with --data moons, got 3"),
        ({"width": "256", "layers": "8", "epochs": "9999"}, "epochs", "epochs must be at most "),
        (
            {"width": "256", "layers": "8", "points": "5000", "epochs": "9999", "seeds": "1"},
            "epochs",
            "epochs must be at most 270 for one network of this size, got 9999, or",
        ),
        ({"width": "256", "layers": "64"}, "layers", "layers must lead to at most 1,000,000 parameters, got 64"),
        ({"parameter_budget": "100000", "layers": "1"}, "parameter_budget", "parameter_budget must lead to a width"),
        (
            {"width": "256", "layers": "8", "epochs": "1", "seeds": "99"},
            "seeds",
            "seeds must be at most 69 for networks of 462,",
        ),
        ({"colour": "red"}, "", "colour is no setting of Question"),
    ],
)
def test_bad_settings_get_one_sentence(playground, values, setting, sentence):
    """With the setting that it is about, and nothing is dropped."""
    with page(playground) as live:
        ask(live, 4, question=values)
        (answer,) = heard(live, lambda message: True)
    assert (answer["kind"], answer["id"], answer["setting"]) == ("refused", 4, setting)
    assert answer["sentence"].startswith(sentence)


@pytest.mark.parametrize(
    "message",
    [
        *("", "[]", "{", '{"kind": "eval"}', '{"kind": "ask"}', '{"kind": "ask", "id": {}}'),
        *('{"kind": "ask", "id": 4294967296, "question": {}}', '{"kind": "member", "member": Infinity}'),
        '{"kind": "ask", "id": 1, "question": {}, "polynomial": 1e400}',
    ],
)
def test_what_is_no_message_is_refused(playground, message):
    """And the page is heard as before."""
    with page(playground) as live:
        live.send(message)
        (answer,) = heard(live, lambda message: True)
        assert answer["sentence"].startswith("a message must be ask, member, table or flow")
        ask(live, 2, question=QUICK)
        heard(live, complete())


def test_a_table_of_ones_own_is_trained_on(playground):
    """Two columns of numbers, the classes last; another one is refused in a sentence."""
    stream = np.random.default_rng(1)
    rows = [f"{x:.3f};{y:.3f};{'up' if y > 0 else 'down'}" for x, y in stream.normal(size=(80, 2))]
    with page(playground) as live:
        live.send(json.dumps({"kind": "table", "name": "<b>mine</b>.csv", "text": "\n".join(["a;b;kind", *rows])}))
        ask(live, 1, question={"data": "table", "epochs": 3, "seeds": 4, "batch_size": 16})
        messages = heard(live, complete())
        assert messages[0] == {"kind": "table", "name": "<b>mine</b>.csv"}
        assert messages[1]["sizes"] == [2, 6, 6, 6, 2]
        assert messages[1]["command"].startswith("deep-mlp depth-sweep --depths 3 --parameter-budget 116 ")
        live.send(json.dumps({"kind": "flow"}))
        sentence = heard(live, lambda message: message["kind"] == "refused")[-1]["sentence"]
        assert sentence.startswith("a table of this page cannot be run as a flow; run: deep-mlp depth-sweep")
    rows = [f"{row / 7:.2f},{row % 2}" for row in range(40)]
    own = OwnTable.read("one.csv", "\n".join(["a,kind", *rows]))
    with pytest.raises(InputError, match=f"two columns of numbers and up to {MOST_CLASSES} classes in the last, got 1"):
        asked({"data": "table"}, own)


def test_a_question_that_is_no_longer_asked_is_dropped():
    """Though it would have taken minutes, its threads end, and no member of it is finished."""
    asks = asked({"epochs": 10_000, "seeds": 16, "width": 32})
    job = Job(asks.config, asks.data, 16, 1.0, lambda: None)
    job.start()
    time.sleep(0.2)
    job.stop()
    job.wait()
    assert not job.progress.is_finished.any()
    assert not any(thread.is_alive() for thread in job._threads)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example:{port}", "[::1"])
def test_another_host_is_refused(playground, host):
    """A name of somebody else's that leads to this machine: the page and the WebSocket."""
    request = urllib.request.Request(playground.url, headers={"Host": host.format(port=playground.port)})
    with pytest.raises(urllib.error.HTTPError, match="403") as refused:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20)
    assert refused.value.read() == b"deep-mlp play answers its own page on this machine alone.\n"
    refused.value.close()


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:1", "null", None])
def test_a_page_from_elsewhere_is_refused(playground, origin):
    """Its WebSocket never opens."""
    with pytest.raises(InvalidStatus, match="403"), page(playground, origin=origin):
        pass


def _opened(opener, url):
    try:
        return opener.open(url, timeout=20)
    except urllib.error.HTTPError as error:
        return error


@pytest.mark.parametrize("path", ["", "play.js", "form", "nothing"])
def test_every_answer_has_the_policy(playground, path):
    """Nothing is loaded from elsewhere; nobody frames it."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with closing(_opened(opener, f"{playground.url}/{path}")) as answer:
        assert answer.status == (404 if path == "nothing" else 200)
        headers = answer.headers
    assert {name: headers[name] for name in HEADERS} == HEADERS
    assert "default-src 'none'" in headers["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["../pyproject.toml", "%2e%2e/server.py", "static/play.js", "//etc/passwd"])
def test_no_path_reaches_the_disk(playground, path):
    """What is not one of the page's few files is not there."""
    with socket.create_connection(("127.0.0.1", playground.port)) as connection:
        connection.sendall(f"GET /{path} HTTP/1.1\r\nHost: 127.0.0.1:{playground.port}\r\n\r\n".encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 404")


def test_pages_beyond_the_limit_are_told(playground):
    """And those that are open go on."""
    pages = [
        connect(f"ws://127.0.0.1:{playground.port}/live", origin=playground.url, proxy=None) for _ in range(MOST_PAGES)
    ]
    try:
        with page(playground) as live, pytest.raises(ConnectionClosed, match=f"{MOST_PAGES} pages are open"):
            live.recv(timeout=20)
        ask(pages[0], question=QUICK)
        heard(pages[0], complete())
    finally:
        for connection in pages:
            connection.close()


def test_ten_pages_at_once_get_the_same_answers(playground):
    """They take turns; no answer is another's."""
    answers = [None] * 10

    def look(number):
        with page(playground) as live:
            ask(live, 1, question={**QUICK, "seed": number % 2})
            answers[number] = members_of(heard(live, complete()))

    threads = [threading.Thread(target=look, args=[number]) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert all(answer == answers[number % 2] for number, answer in enumerate(answers))
    assert answers[0] != answers[1]


def test_the_colours_are_the_figures_own():
    """The palette that readers of any colour vision can tell apart."""
    assert json.dumps(list(PALETTE)) in (STATIC / "drawing.js").read_text()


def test_nothing_of_the_page_is_from_elsewhere():
    """No address but the namespace of SVG, and nothing inline, which the policy would not run."""
    for file in STATIC.iterdir():
        text = file.read_text().replace("http://www.w3.org/2000/svg", "").replace("/^https?:\\/\\//", "")
        assert "http://" not in text
        assert "https://" not in text
        assert "style=" not in text
        assert "innerHTML" not in text
        assert len(text.splitlines()) <= 400


def test_a_port_that_is_taken_is_one_sentence(program_here):
    """Without one the page finds a free port by itself."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ended = program_here(f"play --port {port} --no-browser")
    assert ended.status == 2
    assert ended.err == (
        f"deep-mlp: port must be one that this page can listen at, got {port}: another program does; "
        "leave --port out.\n"
    )


@pytest.mark.slow
def test_the_command_serves_until_it_is_stopped(program, new_port):
    """It says where, and ends by Ctrl-C with status 0."""
    port = new_port()
    process = program.start(f"play --port {port} --no-browser")
    assert [process.stdout.readline() for _ in range(2)] == [
        f"deep-mlp play: http://127.0.0.1:{port}\n",
        "Ctrl-C ends it.\n",
    ]
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
        f"http://127.0.0.1:{port}", timeout=60
    ) as it:
        assert b"Deep MLPs, with error bars" in it.read()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "", "")
