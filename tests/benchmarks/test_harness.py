import pytest

from benchmarks import harness


@pytest.fixture
def clock(monkeypatch):
    """A clock that moves only when an arm says so."""
    now = [0.0]
    monkeypatch.setattr(harness.time, "perf_counter", lambda: now[0])
    return now


def arm(clock, seconds):
    """An arm whose calls take the given seconds, one after the other."""
    durations = iter(seconds)

    def run():
        clock[0] += next(durations)

    return run


def test_the_ratio_is_that_of_the_medians_without_the_warm_up(clock):
    ours, plain = arm(clock, [100, 1, 9, 2]), arm(clock, [0, 5, 6, 70])
    result = harness.compare("step", ours, plain, at_least=2.9, rounds=3)
    assert (result.ours_s, result.plain_s, result.ratio) == (2, 6, 3)
    assert result.holds


def test_arms_take_turns():
    order = []
    harness.compare("step", lambda: order.append("ours"), lambda: order.append("plain"), 1, rounds=2, warm_up=1)
    assert order == ["ours", "plain"] * 3


@pytest.mark.parametrize(("plain_s", "holds"), [(2.0, True), (1.99, False)])
def test_a_ratio_exactly_as_large_as_asked_holds(clock, plain_s, holds, capsys):
    result = harness.compare("step", arm(clock, [1]), arm(clock, [plain_s]), at_least=2, rounds=1, warm_up=0)
    assert result.holds is holds
    assert result.as_dict()["holds"] is holds
    assert ("MISSED" in capsys.readouterr().out) is not holds
