from hypothesis import given
from hypothesis import strategies as st

from penstock.generate.stop import StopText


@given(pieces=st.lists(st.text(alphabet="abE", max_size=4), max_size=12), stops=st.lists(st.text("abE", max_size=3)))
def test_the_answer_is_what_stands_before_the_first_stop(pieces: list[str], stops: list[str]) -> None:
    stop = StopText(stops)

    given_out = "".join([*(stop.feed(piece) for piece in pieces), stop.rest()])

    whole = "".join(pieces)
    assert whole.startswith(given_out)
    assert stop.met == any(text in whole for text in stops if text)
    assert not any(text in given_out for text in stops if text)
