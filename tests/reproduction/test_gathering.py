"""The result of a seed, read from its run."""

import json

from made import PROTOCOL, make_run

from gan_research.reproduction.gathering import seed_result
from gan_research.sweeps.trials import Trial

OTHER = PROTOCOL | {"extractor": "values"}


def test_each_column_of_several_evaluations_has_its_protocol_and_curve(tmp_path):
    run = make_run(tmp_path / "000" / "0" / "run", fid=(80.0, 10.0, 5.0), every=100)
    with (run / "history.jsonl").open("a") as file:
        for round, value in ((0, -3.0), (50, -2.0), (200, -1.0)):
            how = {"protocol": OTHER, "better": {"parzen": "max"}}
            file.write(json.dumps({"round": round, "kimg": 0.0, "metrics/parzen": value, **how}) + "\n")
    trial = Trial.create(tmp_path / "000", number=0, values={}, runs=[[]], metric=None, note={})
    seed = seed_result(trial, 0, tracked=("fid", "parzen"))
    assert (seed.state, seed.values["fid"], seed.values["parzen"]) == ("finished", 5.0, -1.0)
    assert seed.protocol_of("fid") == seed.protocol == PROTOCOL
    assert seed.protocol_of("parzen") == OTHER
    assert seed.curves["fid"] == [[0.0, 80.0], [100.0, 10.0], [200.0, 5.0]]
    assert seed.curves["parzen"] == [[0.0, -3.0], [50.0, -2.0], [200.0, -1.0]]
    assert (seed.better["fid"], seed.better["parzen"]) == ("min", "max")
