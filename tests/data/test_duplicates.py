import numpy as np
from PIL import Image

from agegender.data.duplicates import difference_hash, near_duplicate_groups


def random_image(seed, size=64):
    noise = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((size, size), Image.Resampling.BICUBIC)


def distance(one, other):
    return int(np.bitwise_count(one ^ other).sum())


def flipped(hashed, bits):
    as_bits = np.unpackbits(hashed.view(np.uint8))
    as_bits[:bits] ^= 1
    return np.packbits(as_bits).view(np.uint64)


def test_each_bit_says_whether_a_pixel_is_brighter_than_its_left_neighbour():
    ramp = Image.fromarray(np.tile(np.arange(17, dtype=np.uint8) * 10, (16, 1)))
    assert distance(difference_hash(ramp), np.zeros(4, np.uint64)) == 256
    assert distance(difference_hash(ramp.transpose(Image.Transpose.FLIP_LEFT_RIGHT)), np.zeros(4, np.uint64)) == 0


def test_a_copy_of_another_size_and_brightness_is_near_and_another_picture_is_far():
    image = random_image(0)
    copy = image.resize((50, 50)).point(lambda value: value * 0.8)
    assert distance(difference_hash(image), difference_hash(copy)) < 20
    assert distance(difference_hash(image), difference_hash(random_image(1))) > 60


def test_the_largest_allowed_distance_still_counts_and_one_bit_more_does_not():
    base = difference_hash(random_image(0))
    hashes = np.stack([base, flipped(base, 10)])
    assert near_duplicate_groups(hashes, 10).tolist() == [0, 0]
    assert near_duplicate_groups(hashes, 9).tolist() == [0, 1]


def test_chains_of_near_duplicates_are_one_group_named_by_its_first_also_across_blocks():
    base = difference_hash(random_image(0))
    others = [difference_hash(random_image(seed)) for seed in range(1, 300)]
    hashes = np.stack([flipped(base, 16), *others, flipped(base, 8), base])
    groups = near_duplicate_groups(hashes, 8)
    assert groups.tolist() == [*range(300), 0, 0]


def test_a_group_that_is_joined_late_is_still_named_by_its_first():
    base = difference_hash(random_image(0))
    assert near_duplicate_groups(np.stack([flipped(base, 16), base, flipped(base, 8)]), 8).tolist() == [0, 0, 0]


def test_groups_agree_with_comparing_every_pair():
    rng = np.random.default_rng(0)
    base = rng.integers(0, 2**63, (30, 4), dtype=np.uint64)
    hashes = np.concatenate([base, np.stack([flipped(one, 5) for one in base[::3]])])
    groups = near_duplicate_groups(hashes, 5)
    for i in range(len(hashes)):
        for j in range(len(hashes)):
            assert (groups[i] == groups[j]) == (distance(hashes[i], hashes[j]) <= 5)
