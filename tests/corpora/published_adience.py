"""The published counts of Adience's fold files, and fold files that have exactly these counts.

What is not published is how the labels outside the eight groups, and faces without a gender, are spread over the folds:
they are dealt out in order.
"""

from agegender.corpora import adience
from agegender.labels import ADIENCE_8

ROWS = (4496, 3745, 3953, 3459, 3834)
FACES = (480, 430, 411, 422, 541)
USERS = (34, 34, 34, 33, 33)
WITH_GROUP = (4316, 3101, 3339, 2975, 3693)
WITH_GENDER = (4007, 3624, 3191, 3318, 3463)
WITH_BOTH = (3879, 3005, 3121, 2866, 3387)
FACES_WITH_BOTH = (3868, 2996, 3068, 2854, 3370)
"""Without the lines that repeat an earlier one: 102 of the 117 in the release have an age group and a gender."""
LISTS_OF_LMTCNN = ((11136, 1242), (11905, 1348), (11814, 1323), (12056, 1335), (11593, 1277))
"""Lines of the published joint lists for training and for validation, by the fold that is tested."""
GROUPS_OF_BOTH = (
    (528, 494, 213, 155, 1578, 555, 219, 137),
    (2, 483, 595, 525, 635, 469, 141, 155),
    (624, 373, 474, 274, 777, 277, 120, 202),
    (73, 238, 499, 473, 867, 494, 104, 118),
    (200, 574, 344, 226, 1040, 505, 241, 257),
)
MALES_OF_BOTH = (2008, 1443, 1394, 1301, 1578)
GROUPS = (2519, 2163, 2132, 1655, 4950, 2300, 830, 875)
GENDERS = {"f": 9411, "m": 8192, "u": 1100, "": 784}
OTHERS = {
    "None": 753, "35": 294, "13": 169, "22": 149, "34": 105, "23": 96, "45": 88, "55": 77, "(27, 32)": 77,
    "(25, 23)": 72, "36": 57, "(38, 42)": 50, "57": 24, "3": 18, "29": 12, "(38, 48)": 6, "58": 5, "2": 3, "32": 3,
    "56": 2, "(8, 23)": 1, "42": 1, "46": 1,
}  # fmt: skip


def fold_line(user="10@N00", image="a_o.jpg", face_id="1", age="(25, 32)", gender="f"):
    return "\t".join([user, image, face_id, age, gender, "1", "2", "3", "4", "0", "0", "90"])


def write_published_folds(root, repeats_lines=False):
    """Write the five fold files; with ``repeats_lines`` as many labelled lines repeat one as in the release."""
    labels = ADIENCE_8.labels
    group_rest = [
        label
        for group, label in enumerate(labels)
        for _ in range(GROUPS[group] - sum(fold[group] for fold in GROUPS_OF_BOTH))
    ]
    other_rest = [label for label, count in OTHERS.items() for _ in range(count)]
    males = GENDERS["m"] - sum(MALES_OF_BOTH)
    gender_rest = ["m"] * males + ["f"] * (sum(WITH_GENDER) - sum(WITH_BOTH) - males)
    unknown_rest = ["u"] * GENDERS["u"] + [""] * GENDERS[""]
    for fold in range(5):
        both = [label for group, label in enumerate(labels) for _ in range(GROUPS_OF_BOTH[fold][group])]
        genders = ["m"] * MALES_OF_BOTH[fold] + ["f"] * (WITH_BOTH[fold] - MALES_OF_BOTH[fold])
        pairs = list(zip(both, genders, strict=True))
        pairs += [(group_rest.pop(), unknown_rest.pop()) for _ in range(WITH_GROUP[fold] - WITH_BOTH[fold])]
        pairs += [(other_rest.pop(), gender_rest.pop()) for _ in range(WITH_GENDER[fold] - WITH_BOTH[fold])]
        pairs += [(other_rest.pop(), unknown_rest.pop()) for _ in range(ROWS[fold] - len(pairs))]
        lines, num_left = ["\t".join(adience.COLUMNS)], repeats_lines * (WITH_BOTH[fold] - FACES_WITH_BOTH[fold])
        for row, (age, gender) in enumerate(pairs):
            is_copy = num_left > 0 and row % 3 > 0 and pairs[row - 1] == (age, gender)  # up to three lines of a face
            number = number if is_copy else row  # noqa: F821 - the first line is no copy
            num_left -= is_copy
            face = number % FACES[fold]
            user, face_id = f"{1000 * fold + face % USERS[fold]}@N00", str(sum(FACES[:fold]) + face)
            lines.append(fold_line(user, f"{number}.jpg", face_id, age, gender))
        (root / f"fold_{fold}_data.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert not group_rest + other_rest + gender_rest + unknown_rest
    return root
