"""HSNet's kernels side by side, by the command line."""


def test_the_kernels_are_compared_with_the_numbers_of_the_paper(likewise):
    code, out, err = likewise("bench", "kernels", "--backbone", "lite0", "--size", "32", "--repeats", "1")
    assert (code, err) == (0, "")
    rows = [line for line in out.splitlines() if " ms " in line]
    assert [row.split()[0] for row in rows[::2]] == ["full", "separable", "center-pivot"]
    for row, flops in zip(rows[1::2], ("702.35 G", "28.40 G", "20.56 G"), strict=True):
        assert row.split()[0] == "paper"
        assert flops in row
    differences = [float(line.split()[-1]) for line in out.splitlines() if "largest relative difference" in line]
    assert len(differences) == 2
    assert 0 < max(differences) < 1e-5


def test_an_unknown_backbone_is_refused(likewise):
    code, _, err = likewise("bench", "kernels", "--backbone", "lite9")
    assert code == 2
    assert "'lite9'" in err
