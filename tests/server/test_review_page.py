"""The review page in a real browser: decided by keys alone, in two tabs, with a kill in between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from earmark.data.corrections import read_corrections, standing
from earmark.server.review_server import ReviewServer

SOURCE = Path(__file__).parents[2] / "src"
# A server of its own process, which can be killed: the questions of the test's folder on a port of their own.
PROGRAM = """
import sys
from pathlib import Path
from earmark.report.review_page import question_sound, review_page
from earmark.review.session import Question, Session
from earmark.server.review_server import ReviewApp, ReviewServer
from earmark.tagger import Clip

folder, labels = Path(sys.argv[1]), ("dog", "cat", "rain", "bell", "car")
questions = [
    Question(Clip(folder / f"{n}.wav", clip_id=f"{n}.wav"), f"{n}.wav", "given", labels[n % 5], (labels[n % 5],),
             (labels[(n + 1) % 5],), ((labels[(n + 1) % 5], 0.9), (labels[n % 5], 0.05)))
    for n in range(40)
]
session = Session(questions, labels, folder / "corrections.csv", "ann", False)
app = ReviewApp(session, lambda nonce: review_page(session, title="t", command="c", nonce=nonce),
                lambda number: question_sound(questions[number]), "secret")
server = ReviewServer(app)
print(server.url, flush=True)
server.serve_forever()
"""
AT_REST = "typeof state === 'object' && !busy"  # loaded, and nothing is on its way


@pytest.fixture
def serve(make_app):
    """`serve(session)`: the address of a server in a thread of this process."""
    servers = []

    def start(session) -> str:
        server = ReviewServer(make_app(session))
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server.url

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def start_process(folder: Path) -> tuple[subprocess.Popen, str]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
    )
    return process, process.stdout.readline().strip()


def decide(tab, key: str) -> None:
    """Press a key that decides, and wait until the server has answered and the page shows it."""
    before = tab.wait(f"{AT_REST} && state.revision + 1") - 1
    tab.press(key)
    tab.wait(f"!busy && state.revision > {before}")


def test_thirty_decisions_by_keys_in_two_tabs_with_a_kill_in_between_are_all_there(browser, make_session, tmp_path):
    make_session(40)  # the sounds
    process, url = start_process(tmp_path)
    try:
        first = browser.tab(url)
        for number in range(12):
            decide(first, "kausd"[number % 5])
        second = browser.tab(url)
        for number in range(6):
            decide(second, "ka"[number % 2])
        first.wait(AT_REST)
        stale = first.run("state.revision")
        first.press("k")  # which this tab has not seen to be decided by the other
        first.wait("!busy && document.querySelector('#said').textContent.includes('meanwhile')")
        assert stale < first.run("state.revision") == 18 == len(read_corrections(tmp_path / "corrections.csv"))
        decide(first, "z")  # takes the other tab's last one back
        process.send_signal(signal.SIGKILL)
        process.wait()
        first.press("k")
        first.wait("document.querySelector('#said').textContent.includes('has ended')")
    finally:
        process.kill()
        process.wait()
    with open(tmp_path / "corrections.csv", "ab") as file:
        file.write(b"2026-01-01,ann,7.w")  # as a power cut leaves it
    process, url = start_process(tmp_path)
    try:
        third = browser.tab(url)
        for number in range(13):
            decide(third, "kaudk"[number % 5])
    finally:
        process.kill()
        process.wait()
    rows = read_corrections(tmp_path / "corrections.csv")
    stands = standing(rows)
    assert len(rows) == 12 + 6 + 1 + 13
    assert len(stands) == 30
    assert all(row.when and row.who == "ann" and row.given for row in rows)
    assert len({row.clip_id for row in stands if row.decision != "skip"}) == len(
        [row for row in stands if row.decision != "skip"]
    )
    relabelled = [row for row in stands if row.decision == "relabel"]
    assert relabelled
    assert all(row.new_labels and row.new_labels != row.given for row in relabelled)


def test_another_label_is_found_by_typing_and_a_reason_goes_with_it(browser, serve, make_session, tmp_path):
    tab = browser.tab(serve(make_session()))
    tab.wait(AT_REST)
    tab.press("w")
    tab.press(*"two dogs", "Enter")
    tab.press("r")
    tab.wait("document.querySelector('#chooser').open")
    tab.press(*"be", "Enter")
    tab.wait("!busy && state.revision === 1")
    (row,) = read_corrections(tmp_path / "corrections.csv")
    assert (row.decision, row.new_labels, row.why) == ("relabel", ("bell",), "two dogs")


def test_several_labels_are_ticked_and_saved(browser, serve, make_session, tmp_path):
    tab = browser.tab(serve(make_session(several=True)))
    tab.wait(AT_REST)
    tab.press("r")
    tab.wait("document.querySelector('#chooser').open")
    tab.press(*"rain", "Enter", *"car", "Enter", "Enter")
    tab.wait("!busy && state.revision === 1")
    assert set(read_corrections(tmp_path / "corrections.csv")[0].new_labels) == {"dog", "rain", "car"}


def test_a_clip_of_no_data_set_is_labelled_by_one_digit_or_by_a_new_name(browser, serve, make_session, tmp_path):
    tab = browser.tab(serve(make_session(kind="label", grows=True)))
    tab.wait(AT_REST)
    decide(tab, "2")
    tab.press("r")
    tab.wait("document.querySelector('#chooser').open")
    tab.press(*"owl", "Enter")
    tab.wait("!busy && state.revision === 2")
    labels = [row.new_labels for row in read_corrections(tmp_path / "corrections.csv")]
    assert labels == [("cat",), ("owl",)]
    assert "owl" in tab.run("[...document.querySelectorAll('#choices span')].map((each) => each.textContent)")


def test_digits_tick_several_labels_and_a_new_name_joins_them(browser, serve, make_session, tmp_path):
    tab = browser.tab(serve(make_session(kind="label", several=True, grows=True)))
    tab.wait(AT_REST)
    tab.press("2", "3", "2", "r")
    tab.wait("document.querySelector('#chooser').open")
    tab.press(*"owl", "Enter", "Enter")
    tab.wait("!busy && state.revision === 1")
    tab.press("1", "Enter")
    tab.wait("!busy && state.revision === 2")
    labels = [set(row.new_labels) for row in read_corrections(tmp_path / "corrections.csv")]
    assert labels == [{"rain", "owl"}, {"dog"}]


def test_filters_show_what_is_asked_for(browser, serve, make_session):
    tab = browser.tab(serve(make_session(10)))
    tab.wait(AT_REST)
    decide(tab, "k")
    shown = "document.querySelector('#position').textContent"
    assert " of 9 shown" in tab.run(shown)
    for choice, n in (("shown", 10), ("label", 2)):
        value = "''" if choice == "shown" else "'rain'"
        tab.run(f"$('{choice}').value = {value}; $('{choice}').dispatchEvent(new Event('change'))")
        assert f" of {n} shown" in tab.run(shown)


def test_nothing_is_asked_of_any_other_machine_and_every_control_has_a_name(browser, serve, make_session):
    url = serve(make_session())
    tab = browser.tab(url)
    tab.wait(f"{AT_REST} && !!document.querySelector('#sounds audio')")
    decide(tab, "k")
    asked = browser.requests(tab)
    assert len(asked) > 3
    assert [each for each in asked if not each.startswith((url, "data:"))] == []
    browser.ask("Accessibility.enable", tab.session)
    nodes = browser.ask("Accessibility.getFullAXTree", tab.session)["nodes"]
    controls = [
        node
        for node in nodes
        if node.get("role", {}).get("value") in ("button", "combobox", "textbox", "checkbox", "image", "progressbar")
        and not node["ignored"]
    ]
    assert len(controls) > 10
    assert [node for node in controls if not node.get("name", {}).get("value")] == []


@pytest.mark.parametrize("width", [320, 390, 1000])
def test_the_page_is_no_wider_than_the_screen(browser, serve, make_session, tmp_path, width):
    tab = browser.tab(serve(make_session()))
    tab.wait(f"{AT_REST} && !!document.querySelector('#sounds audio')")
    tab.picture(tmp_path / "page.png", width=width)
    assert tab.run("document.documentElement.scrollWidth <= innerWidth")
