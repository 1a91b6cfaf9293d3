"""Progress of a part of the work, as that of the whole."""

from pyhybrid.progress import _Bar, part_of, tell


def test_a_part_moves_within_its_bounds():
    shares = []
    report = part_of(shares.append, 0.25, 0.75)
    for share in (0.0, 0.5, 1.0):
        report(share)
    assert shares == [0.25, 0.5, 0.75]
    assert part_of(None, 0.0, 0.5) is None


def test_a_part_of_a_bar_still_takes_words():
    shares, words = [], []
    report = part_of(part_of(_Bar(shares.append, words.append), 0.5, 1.0), 0.0, 0.5)
    report(1.0)
    tell(report, "epoch 1")
    assert shares == [0.75]
    assert words == ["epoch 1"]


def test_words_to_a_plain_callable_are_dropped():
    shares = []
    tell(shares.append, "epoch 1")
    assert shares == []
