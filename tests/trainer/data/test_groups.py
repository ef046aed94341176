"""Patients who share cells are one group, through any chain, named by its parts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trainer.data.groups import merge_groups


def test_a_chain_of_shared_cells_makes_one_group() -> None:
    merged = merge_groups(["9", "11", "20", "H2"], [("11", "9"), ("20", "11")])
    assert merged == {"9": "9+11+20", "11": "9+11+20", "20": "9+11+20", "H2": "H2"}


def test_groups_that_were_joined_before_keep_their_parts() -> None:
    merged = merge_groups(["16", "20+21"], [("20+21", "16")])
    assert set(merged.values()) == {"16+20+21"}


def test_names_that_differ_in_capitals_are_one_patient() -> None:
    assert set(merge_groups(["h3", "H3", "H10"], []).values()) == {"H3+h3", "H10"}


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=20))
def test_two_are_together_exactly_when_cells_connect_them(pairs: list[tuple[int, int]]) -> None:
    shared = [(str(a), str(b)) for a, b in pairs]
    merged = merge_groups([str(number) for number in range(13)], shared)
    reach = {name: {name} for name in merged}
    for _ in merged:
        for a, b in shared:
            reach[a] = reach[b] = reach[a] | reach[b]
            for one in reach[a]:
                reach[one] = reach[a]
    assert all((merged[a] == merged[b]) == (b in reach[a]) for a in merged for b in merged)
