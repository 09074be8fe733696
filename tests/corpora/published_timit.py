"""The published counts of TIMIT, and a ``SPKRINFO.TXT`` that has exactly these counts."""

SUBJECTS = {("TRN", "M"): 326, ("TRN", "F"): 136, ("TST", "M"): 112, ("TST", "F"): 56}


def write_published_table(root):
    people = [(use, sex) for (use, sex), number in SUBJECTS.items() for _ in range(number)]
    rows = [
        f"P{number:03d}  {sex}  {1 + number % 8}  {use}  03/03/87  06/17/{20 + number % 45}  5'11\"  ???  BS"
        for number, (use, sex) in enumerate(people)
    ]
    (root / "SPKRINFO.TXT").write_text("; ID  Sex DR Use\n" + "\n".join(rows) + "\n")
    return root
