"""The history: lines that are cut off, and lines that a resume takes back."""

from slrprune.train.rundir.history import History, read_history


def test_a_last_line_that_was_cut_off_is_dropped(tmp_path):
    history = History(tmp_path / "history.jsonl")
    history.begin()
    history.add("start", 0, 0.0, accuracy=float("nan"))
    history.add("epoch", 5, 1.5)
    with history.path.open("a") as file:
        file.write('{"kind": "epo')
    assert read_history(history.path) == [
        {"kind": "start", "step": 0, "time": 0.0, "accuracy": None},
        {"kind": "epoch", "step": 5, "time": 1.5},
    ]


def test_a_resume_takes_back_what_came_after_its_checkpoint(tmp_path):
    history = History(tmp_path / "history.jsonl")
    history.begin()
    history.add("epoch", 5, 1.0)
    lines = history.lines
    history.add("event", 5, 1.0, event="checkpoint", text="")
    history.add("event", 5, 1.0, event="cut", text="")
    history.add("update", 6, 1.1)
    history.add("event", 7, 1.2, event="interrupted", text="")
    history.go_on(5, lines)
    assert [(entry["kind"], entry.get("event")) for entry in read_history(history.path)] == [
        ("epoch", None),
        ("event", "checkpoint"),
    ]
    history.add("event", 5, 1.0, event="resumed", text="")
    assert history.lines == 3


def test_a_process_that_is_not_the_main_one_writes_nothing(tmp_path):
    history = History(tmp_path / "history.jsonl", is_main=False)
    history.begin()
    history.add("epoch", 5, 1.0)
    history.sync()
    assert not history.path.exists()
