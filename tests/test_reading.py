"""What a chapter may ask of its reader, and its numbers: each check on a notebook that passes, and on broken ones."""

import pytest
import reading
import said
from nbformat import v4

SETUP = """from pathlib import Path
if "google.colab" in sys.modules and not Path("../vae_utils").exists():
    %cd -q vae-notebooks/notebooks
sys.path.insert(0, str(Path.cwd().parent))"""
FRONT = """# 2. The middle

Reading takes about 0 minutes, running about two minutes on two cores. Short path: sections 2.1 and 2.3."""
SUMMARY = """## Summary

- seen

Go on with [the last](03_last.ipynb).

## Further reading"""


def bounds(source="assert kl < 3", **metadata):
    folded = {"tags": ["nbval-ignore-output", "bounds"], "jupyter": {"source_hidden": True}, "cellView": "form"}
    return v4.new_code_cell(f"{reading.TITLE}\n{source}", metadata=folded | metadata)


def notebook(*cells):
    made = [v4.new_markdown_cell(cell) if isinstance(cell, str) else cell for cell in cells]
    return v4.new_notebook(cells=made)


def printed(source, text):
    return v4.new_code_cell(source, outputs=[v4.new_output("stream", text=text)])


# ---- lengths


def test_words_and_lines_are_those_of_the_main_path():
    folded = "<details><summary>Aside</summary>\n\nmany more words\n\n</details>"
    nb = notebook("one two $x$\n\n```python\nthree = 3\n```", folded, v4.new_code_cell("a = 1\n\nb = 2"), bounds())
    assert (reading.words(nb), reading.code_lines(nb)) == (3, 2)


@pytest.mark.parametrize("words", [0, 4000, 4001])
@pytest.mark.parametrize("lines", [0, 400, 401])
def test_what_is_too_long_is_named(words, lines):
    nb = notebook("word " * words, v4.new_code_cell("x = 1\n" * lines))
    assert reading.check_walk(nb) == (words > 4000) * ["4,001 words, above 4,000"] + (lines > 400) * [
        "401 lines of code, above 400"
    ]


def test_the_minutes_are_those_of_words_and_code():
    assert reading.minutes(notebook("word " * 3900, v4.new_code_cell("x = 1\n" * 375))) == 45
    assert reading.check_minutes(notebook(FRONT)) == []
    assert reading.check_minutes(notebook(FRONT.replace("0 m", "25 m"))) == ["it takes 0 minutes to read, and not 25"]
    for old, new in {" Short path: sections 2.1 and 2.3.": "", "running about two minutes": "running"}.items():
        assert "no line `Reading" in reading.check_minutes(notebook(FRONT.replace(old, new)))[0]


# ---- what is folded


def test_bounds_in_a_folded_cell_are_fine():
    source = "low = kl.min()\nassert low > 0\nif mnist.is_full:\n    assert low > 1\nfor x in kl:\n    assert x < 3"
    assert reading.check_bounds(notebook("## 2.1 A", bounds(source), "## 2.2 B", bounds())) == []


BROKEN = {
    "does not begin with its title": v4.new_code_cell("assert x", metadata=bounds().metadata),
    "is not folded in JupyterLab": bounds(jupyter={}),
    "is not folded in Colab": bounds(cellView="both"),
    "has output to compare": bounds(tags=["bounds"]),
    "holds more than assertions": bounds("print(x)\nassert x"),
    "asserts nothing": bounds("x = 1"),
}


@pytest.mark.parametrize("complaint", BROKEN)
def test_a_broken_cell_of_bounds_has_the_complaint(complaint):
    assert reading.check_bounds(notebook("## 2.1 A", BROKEN[complaint])) == [f"the bounds of 2.1 A: it {complaint}"]


def test_a_section_has_one_cell_of_bounds():
    assert reading.check_bounds(notebook("## 2.1 A", bounds(), bounds())) == ["2.1 A has 2 cells of bounds"]


# ---- ends and asides


def test_the_summary_says_where_to_go_next():
    assert reading.check_end(notebook(SUMMARY), "03_last") == []
    assert reading.check_end(notebook(SUMMARY), None) == []
    assert "link to 04_other" in reading.check_end(notebook(SUMMARY), "04_other")[0]
    for broken in ("## Further reading", SUMMARY.replace("[the last](03_last.ipynb)", "the last")):
        assert "does not end with a paragraph" in reading.check_end(notebook(broken), "03_last")[0]


ASIDE = "# Aside to 2: More\n\nBack to [2](../02_middle.ipynb). It needs nothing.\n\n## Setup"
END = "## What to take away\n\nMuch."


def aside(text=ASIDE, end=END, setup=None):
    return notebook(text, v4.new_code_cell(setup or reading.aside_setup(SETUP)), end)


def test_an_aside_has_its_form():
    def complaints(nb):
        return " ".join(reading.check_aside(nb, "02_more", "02_middle", SETUP))

    assert complaints(aside()) == ""
    assert "# Aside to 2: Title" in complaints(aside(ASIDE.replace("Aside to 2", "Aside to 3")))
    assert "no link back to 02_middle" in complaints(aside(ASIDE.replace("../02", "02")))
    assert "what it needs" in complaints(aside(ASIDE.replace("needs", "wants")))
    assert "no Setup" in complaints(aside(ASIDE.replace("## Setup", "")))
    assert "does not end with" in complaints(aside(end="## Summary"))
    assert "setup cell" in complaints(aside(setup=SETUP))


def test_the_setup_cell_of_an_aside_finds_the_package_one_folder_up():
    made = reading.aside_setup(SETUP)
    assert '"../../vae_utils"' in made and "%cd -q vae-notebooks/notebooks/asides\n" in made
    assert "str(Path.cwd().parents[1])" in made


# ---- numbers

SHOWN = "kl 22.93 nats, accepted 74.0%, 16 of 20, rate 0.0412, many 4,000,000"


@pytest.mark.parametrize(
    "text",
    [
        "The KL is 22.9 nats.",
        "It is 23 nats, and $22.93$ exactly.",
        "Three of four pass: 74%.",
        "As a share, 0.74 pass, and the rate is 4.1%.",
        "There are 28 x 28 pixels, 1,000 steps and three seeds.",
        "Section 2.7 and sections 2.8, 2.9 say more; see [notebook 3, section 3.4](03.ipynb).",
        "The paper has 3.33% (Kingma et al. 2014).",
        "The threshold is 0.3 in the code.",
        "Formulas such as $\\frac{1}{2} x^{0.77}$ and\n\n$$ y = 0.123 $$\n\nare not looked at, nor `x = 0.55`.",
        "A [link](https://example.org/1.99) and ![a picture](../images/v1.98.png).",
    ],
)
def test_a_number_that_is_shown_is_fine(text):
    assert said.check_numbers(notebook(f"## 2.1 A\n\n{text}", printed("threshold = 0.3", SHOWN))) == []


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("The KL is 22.8 nats.", "22.8"),
        ("The KL is 22.94 nats.", "22.94"),
        ("It is $22.8$ nats.", "22.8"),
        ("Of all, 75% pass.", "75%"),
        ("It costs 24 nats.", "24"),
        ("**12.5** are bold.", "12.5"),
        ("The rate is 0.05.", "0.05"),
        ("| a | 0.99 |", "0.99"),
    ],
)
def test_a_number_that_is_not_shown_is_named(text, number):
    (complaint,) = said.check_numbers(notebook(f"## 2.1 A\n\n{text}", printed("threshold = 0.3", SHOWN)))
    assert complaint.startswith(f"2.1 A: {number} in: ")


def test_a_number_of_another_section_needs_a_word_of_it():
    cells = ["## 2.1 A", printed("", "loss 98.65"), "## 2.2 B"]
    assert said.check_numbers(notebook(*cells, "It was 98.65.")) != []
    assert said.check_numbers(notebook(*cells, "It was 98.65 in section 2.1.")) == []
    assert said.check_numbers(notebook(*cells, "## Summary\n\nIt was 98.65.")) == []


def test_tables_count_as_shown():
    table = v4.new_output("execute_result", data={"text/plain": "recon 75.72"}, execution_count=1)
    nb = notebook("## 2.1 A\n\nIt is 75.7.", v4.new_code_cell("table", outputs=[table]))
    assert said.check_numbers(nb) == []
