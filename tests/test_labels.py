import math

import pytest

from agegender.labels import (
    ADIENCE_8,
    COMMON_VOICE_6,
    FAIRFACE_9,
    GENDERS,
    SCHEMES,
    SPEECHOCEAN_6,
    AgeScheme,
    check_age,
    parse_gender,
    scheme_named,
)


def test_the_adience_groups_stand_in_the_published_order():
    groups = "(0, 2) (4, 6) (8, 12) (15, 20) (25, 32) (38, 43) (48, 53) (60, 100)"
    assert " ".join(ADIENCE_8.labels) == groups
    for group, label in enumerate(ADIENCE_8.labels):
        first, last = (int(years) for years in label.strip("()").split(", "))
        assert ADIENCE_8.index(label) == group
        assert ADIENCE_8.group_of(first) == ADIENCE_8.group_of(last) == group


def test_every_whole_age_falls_into_the_fairface_group_whose_name_holds_it():
    for age in range(101):
        label = FAIRFACE_9.labels[FAIRFACE_9.group_of(age)]
        first, last = (70, 100) if label == "70+" else map(int, label.split("-"))
        assert first <= age <= last


def test_common_voice_groups_are_its_decades_in_its_own_spelling():
    assert [COMMON_VOICE_6.group_of(age) for age in (10, 19, 29, 35, 40, 59, 69)] == [0, 0, 1, 2, 3, 4, 5]
    assert COMMON_VOICE_6.index("fourties") == 3


def test_the_groups_of_speechocean_leave_no_gap_and_begin_where_their_names_say():
    assert [SPEECHOCEAN_6.group_of(age) for age in (6, 7.9, 8, 10, 11, 14, 15, 20, 21, 22, 23, 43)] == [
        *(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5)
    ]
    assert [int(label.rstrip("+").split("-")[0]) for label in SPEECHOCEAN_6.labels] == list(SPEECHOCEAN_6.lower)
    assert SPEECHOCEAN_6.lower[1:] == SPEECHOCEAN_6.upper[:-1]
    assert SPEECHOCEAN_6.group_of(44) is None


def test_male_is_0_and_female_is_1_as_in_the_published_lists():
    assert GENDERS.index("male") == 0
    assert GENDERS.index("female") == 1


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_groups_are_in_order_and_do_not_overlap(scheme):
    edges = [edge for pair in zip(scheme.lower, scheme.upper, strict=True) for edge in pair]
    assert edges == sorted(edges)
    assert all(low < high for low, high in zip(scheme.lower, scheme.upper, strict=True))


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_the_midpoint_of_a_group_lies_halfway_and_in_the_group(scheme):
    assert [scheme.group_of(middle) for middle in scheme.midpoints] == list(range(len(scheme)))
    for middle, low, high in zip(scheme.midpoints, scheme.lower, scheme.upper, strict=True):
        assert middle - low == high - middle


@pytest.mark.parametrize("spelling", ["f", "F", " female ", "Female", "female_feminine"])
def test_spellings_of_female(spelling):
    assert parse_gender(spelling) == "female"


@pytest.mark.parametrize("spelling", ["m", "M", "male\n", "MALE", "male_masculine"])
def test_spellings_of_male(spelling):
    assert parse_gender(spelling) == "male"


@pytest.mark.parametrize(
    ("age", "group"),
    [(0, 0), (2, 0), (2.99, 0), (3, None), (3.99, None), (4, 1), (13.5, None), (59.99, None), (60, 7), (100, 7)],
)
def test_an_age_on_the_edge_of_an_adience_group(age, group):
    assert ADIENCE_8.group_of(age) == group


@pytest.mark.parametrize(("age", "group"), [(2.99, 0), (3.0, 1), (9.99, 1), (10.0, 2), (69.99, 7), (70.0, 8)])
def test_an_age_on_the_edge_of_a_fairface_group(age, group):
    assert FAIRFACE_9.group_of(age) == group


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_an_unknown_age_has_no_group(scheme):
    assert scheme.group_of(math.nan) is None


@pytest.mark.parametrize("years", [0, 120, 34.5])
def test_an_age_of_0_to_120_years_is_possible(years):
    assert check_age(years) == years


@pytest.mark.parametrize("years", [-0.001, 120.001, math.nan, math.inf, -math.inf])
def test_an_impossible_age_is_refused_with_its_value(years):
    with pytest.raises(ValueError, match=rf"impossible age {years}: expected 0 to 120 years"):
        check_age(years)


@pytest.mark.parametrize("years", [-1, 121])
def test_an_impossible_age_has_no_group_but_an_error(years):
    with pytest.raises(ValueError, match=f"impossible age {years}"):
        FAIRFACE_9.group_of(years)


@pytest.mark.parametrize("text", ["", "u", "woman", "0", "fm"])
def test_an_unknown_gender_is_refused_with_its_spelling(text):
    with pytest.raises(ValueError, match=f"unknown gender '{text}': expected one of"):
        parse_gender(text)


def test_the_published_slip_8_13_is_not_taken_for_8_12():
    with pytest.raises(ValueError, match=r"unknown age group '\(8, 13\)': adience-8 has \(0, 2\), \(4, 6\)"):
        ADIENCE_8.index("(8, 13)")


def test_a_scheme_is_found_by_its_name_only():
    assert scheme_named("adience-8") is ADIENCE_8
    with pytest.raises(ValueError, match=r"unknown age-group scheme 'adience': expected one of \['adience-8'"):
        scheme_named("adience")


def test_a_scheme_with_a_missing_edge_is_refused():
    with pytest.raises(ValueError, match="short: labels, lower and upper must have one entry for each group"):
        AgeScheme("short", ("a", "b"), (0, 1), (1,))
