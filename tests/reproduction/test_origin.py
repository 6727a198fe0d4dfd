"""The origin of a result: parts of runs, and notes on several commits, versions or devices."""

from dataclasses import replace

import pytest
from made_results import PROTOCOL, result, seed_result

from gan_research.reproduction.origin import comparison_notes, origin_notes, training_parts
from gan_research.reproduction.result import Part, Result
from gan_research.reproduction.table import results_table, rows
from gan_research.reproduction.verdict import verdicts


def start(round=None, device="a CPU", commit="a" * 40, torch="2.9"):
    """A segment of run.json; without a round, of an older version."""
    segment = {"device": device, "commit": commit, "torch": torch, "host": "h"}
    return segment if round is None else segment | {"round": round}


def part(rounds, device="a CPU", commit="a" * 40, torch="2.9"):
    return Part(device, commit, torch, rounds)


@pytest.mark.parametrize(
    ("segments", "parts"),
    [
        ([start(0)], [part([0, 100])]),
        ([start()], [part([0, 100])]),  # of an older version, and never resumed
        ([start(0), start(40), start(70)], [part([0, 100])]),  # by one origin
        ([start(0), start(40, "B")], [part([0, 40]), part([40, 100], "B")]),
        ([start(0), start(40, commit=None)], [part([0, 40]), part([40, 100], commit=None)]),
        ([start(0), start(40, "B"), start(60, "B", torch="2.10")],
         [part([0, 40]), part([40, 60], "B"), part([60, 100], "B", torch="2.10")]),
        ([start(0, "B"), start(0)], [part([0, 100])]),  # killed before its first checkpoint
        ([start(0), start(60, "B"), start(40, "C")], [part([0, 40]), part([40, 100], "C")]),  # it went back
        ([start(0), start(60, "B"), start(60, "C")], [part([0, 60]), part([60, 100], "C")]),
        ([start(), start(device="B")], [part(None), part(None, "B")]),  # the round of the resume is unknown
        ([start(), start()], [part(None)]),
        ([start(0), start(40), start(40, "B"), start(40)], [part([0, 100])]),
    ],
)  # fmt: skip
def test_parts_of_a_run(segments, parts):
    assert training_parts(segments, 100) == parts


def test_one_origin_needs_no_note():
    one = result(7.0, 7.1, 6.9)
    assert origin_notes(one) == []
    assert {verdict.notes for verdict in verdicts(one, {})} == {()}
    assert "notes" not in results_table(rows([one]))


def test_a_seed_trained_in_parts_is_in_the_record_and_in_the_notes(tmp_path):
    parts = [part([0, 4000]), part([4000, 9000], "B", "b" * 40, "2.10")]
    seed = replace(seed_result(1, 7.0, device="B", commit="b" * 40, torch="2.10"), parts=parts)
    found = result(seeds=[seed_result(0, 7.0, device="B", commit="b" * 40, torch="2.10"), seed])
    found.write(tmp_path / "a.json")
    assert Result.read(tmp_path / "a.json").seeds[1].parts == parts
    notes = [
        "ring, seed 1: trained in parts: rounds 0 to 4,000 on a CPU (commit aaaaaaaaaaaa, torch 2.9); "
        "rounds 4,000 to 9,000 on B (commit bbbbbbbbbbbb, torch 2.10)",
        "ring: its seeds have different commits: bbbbbbbbbbbb (seed 0); aaaaaaaaaaaa and bbbbbbbbbbbb (seed 1)",
        "ring: its seeds have different versions of torch: 2.10 (seed 0); 2.9 and 2.10 (seed 1)",
        "ring: its seeds have different devices: B (seed 0); a CPU and B (seed 1)",
    ]
    assert origin_notes(found) == notes
    (verdict,) = verdicts(found, {})
    assert (verdict.word, list(verdict.notes)) == ("reproduced", notes)
    table = results_table(rows([found]))
    assert table.splitlines()[0].endswith("| device | notes |")
    assert "| 1, 2, 3, 4 |" in table
    assert table.splitlines()[-4:] == [f"{number}. {line}" for number, line in enumerate(notes, 1)]


def test_seeds_of_several_commits():
    seeds = [seed_result(0, 7.0), seed_result(1, 7.0, commit=None), seed_result(2, 7.0), seed_result(3, state="open")]
    assert origin_notes(result(seeds=seeds)) == [
        "ring: its seeds have different commits: 0123456789ab (seeds 0, 2); no known commit (seed 1)"
    ]


ORDER = {"numbers": {}, "better_than": {"modes": ["plain"]}}


def test_an_order_of_results_from_different_devices_has_a_note():
    ours = result(8.0, 8.1, 8.0, published=ORDER)
    other = result(recipe="plain", seeds=[seed_result(i, 6.0, device="B") for i in range(3)])
    (verdict,) = verdicts(ours, {"plain": other})
    assert verdict.word == "reproduced"
    assert verdict.notes == ("ring and plain have different devices: a CPU, B",)
    assert comparison_notes(ours, result(6.0, recipe="plain")) == []


def test_seeds_measured_by_different_protocols_have_no_mean():
    seeds = [seed_result(0, 7.0), seed_result(1, 7.0, protocol=PROTOCOL | {"extractor": "another"})]
    reason = "seeds of ring are measured by different protocols: of seed 1, extractor is another, not modes"
    assert [v.text for v in verdicts(result(seeds=seeds), {})] == [f"not comparable: {reason}"]
    plain = result(6.0, 6.0, recipe="plain")
    assert [v.text for v in verdicts(result(seeds=seeds, published=ORDER), {"plain": plain})] == [
        f"not comparable: {reason}"
    ]
