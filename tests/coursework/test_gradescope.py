"""The file that Gradescope reads: its form, and that nothing for the instructor gets into it."""

import json

import jsonschema
import pytest

from assignments.gradescope import results, write

VISIBILITY = {"enum": ["hidden", "after_due_date", "after_published", "visible"]}
FORMAT = {"enum": ["text", "html", "simple_format", "md", "ansi"]}

#: Gradescope's description of results.json ("Autograder specifications", Output format), as a schema.
SCHEMA = {
    "type": "object",
    "anyOf": [{"required": ["score"]}, {"required": ["tests"]}],
    "additionalProperties": False,
    "properties": {
        "score": {"type": "number"},
        "execution_time": {"type": "number"},
        "output": {"type": "string"},
        "output_format": FORMAT,
        "test_output_format": FORMAT,
        "test_name_format": FORMAT,
        "visibility": VISIBILITY,
        "stdout_visibility": VISIBILITY,
        "extra_data": {"type": "object"},
        "leaderboard": {"type": "array"},
        "tests": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "score": {"type": "number"},
                    "max_score": {"type": "number"},
                    "status": {"enum": ["passed", "failed"]},
                    "name": {"type": "string"},
                    "name_format": FORMAT,
                    "number": {"type": "string"},
                    "output": {"type": "string"},
                    "output_format": FORMAT,
                    "tags": {"type": "array", "items": {"type": "string"}},
                    "visibility": VISIBILITY,
                    "extra_data": {"type": "object"},
                },
            },
        },
    },
}

RECORD = {
    "student": "s01",
    "assignment": "a1",
    "fingerprint": "abc",
    "submitted": "2026-03-01T12:00:00+00:00",
    "total": 3.5,
    "of": 5.0,
    "tasks": {
        "kl_normal": {"points": 2, "of": 2, "feedback": [["zero for equals", True], ["a <b> label", True]], "note": ""},
        "elbo": {"points": 1.5, "of": 3.0, "feedback": [["bound", False]], "note": "Your code raised ValueError."},
        "empty": {"points": 0.0, "of": 1.0, "feedback": [], "note": ""},
    },
    "notes": ["SECRET for the instructor"],
    "messages": ["There are 2 notebooks.", "Half of ½."],
    "history": [{"notes": ["SECRET too"]}],
}


def test_form():
    made = results(RECORD)
    jsonschema.validate(made, SCHEMA)
    assert made["score"] == 3.5 == sum(test["score"] for test in made["tests"])
    assert [(test["name"], test["score"], test["max_score"], test["status"]) for test in made["tests"]] == [
        ("kl_normal", 2.0, 2.0, "passed"),
        ("elbo", 1.5, 3.0, "failed"),
        ("empty", 0.0, 1.0, "failed"),
    ]
    assert made["tests"][0]["output"] == "ok: zero for equals\nok: a <b> label"
    assert made["tests"][1]["output"] == "not ok: bound\nYour code raised ValueError."
    assert {test["output_format"] for test in made["tests"]} == {"text"}, "labels are no HTML"
    assert {test["visibility"] for test in made["tests"]} == {"after_published"}
    assert (made["stdout_visibility"], made["extra_data"]) == ("hidden", {"fingerprint": "abc"})
    assert made["output"] == "There are 2 notebooks.\nHalf of ½."


def test_nothing_for_the_instructor_gets_in():
    assert "SECRET" not in json.dumps(results(RECORD))


def test_visible_at_once():
    made = results(RECORD, visibility="visible")
    jsonschema.validate(made, SCHEMA)
    assert {test["visibility"] for test in made["tests"]} == {"visible"}


@pytest.mark.parametrize(
    ("record", "more", "argument"),
    [(RECORD, {"visibility": "hidden"}, "visibility"), ({"tasks": 3}, {}, "record"), (None, {}, "record")],
)
def test_bad_input(record, more, argument):
    with pytest.raises(ValueError, match=f"^{argument}"):
        results(record, **more)


def test_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "results" / "results.json"
    assert write(RECORD, path) == path
    first = path.read_bytes()
    assert json.loads(first) == results(RECORD)
    bad = RECORD | {"total": float("nan")}
    with pytest.raises(ValueError, match="JSON"):
        write(bad, path)
    assert path.read_bytes() == first
    write(RECORD, path)
    assert path.read_bytes() == first
    assert [p.name for p in path.parent.iterdir()] == ["results.json"]


def test_the_schema_can_fail():
    made = results(RECORD)
    for bad in ({"score": "3"}, {"notes": []}, {"stdout_visibility": "nobody"}, {"tests": [{"status": "ok"}]}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(made | bad, SCHEMA)
