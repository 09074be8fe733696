"""The published counts of CelebA's lists, and lists that have exactly these counts.

How the attributes and the people are spread over the images is not kept: they are dealt out in order.
"""

from agegender.corpora import celeba

IMAGES, PEOPLE, PARTS = 202_599, 10_177, (162_770, 19_867, 19_962)
MALE, YOUNG = 84_434, 156_734


def write_published_lists(root):
    files = [f"{number:06d}.jpg" for number in range(1, IMAGES + 1)]
    labels = [f"{1 if number < MALE else -1:2d} {1 if number < YOUNG else -1:2d}" for number in range(IMAGES)]
    people = [1 + number * PEOPLE // IMAGES for number in range(IMAGES)]
    parts = [part for part, size in enumerate(PARTS) for _ in range(size)]
    header = {celeba.ATTRIBUTES: f"{IMAGES}\nMale Young\n", celeba.IDENTITIES: "", celeba.PARTS: ""}
    for (name, text), values in zip(header.items(), (labels, people, parts), strict=True):
        rows = [f"{file} {value}\n" for file, value in zip(files, values, strict=True)]
        (root / name).write_text(text + "".join(rows), encoding="utf-8")
    return root
