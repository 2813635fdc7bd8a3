"""Design matrices: what is used, what is left out, what is collinear."""

import numpy as np
import pandas as pd
import pytest

from qsmprep.stats.design import design_matrix


@pytest.fixture
def people():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "group": pd.Categorical(np.repeat(["HC", "MCI", "AD"], 10), ["HC", "MCI", "AD", "FTD"]),
            "sex": np.tile(["F", "M"], 15),
            "age": rng.normal(70, 6, 30),
            "site code": np.tile([1, 2, 3], 10),
        },
        index=[f"sub-{i:02d}" for i in range(30)],
    )


def test_terms_factors_and_numbers(people):
    design = design_matrix("chi ~ group * sex + age + C(`site code`)", people)
    assert design.factors == {"group": ("HC", "MCI", "AD"), "sex": ("F", "M"), "site code": ("1", "2", "3")}
    assert list(design.terms) == ["group", "sex", "age", "site code", "group:sex"]
    assert [len(c) for c in design.terms.values()] == [2, 1, 1, 2, 2]
    assert design.numbers == ("age",) and design.excluded.to_dict() == {} and not design.collinear
    assert np.linalg.matrix_rank(design.matrix) == design.matrix.shape[1] == 9
    grid = design.grid()
    assert len(grid) == 18 and np.allclose(grid.age, people.age.mean())
    assert np.allclose(design.rows(design.people), design.matrix)


def test_the_space_of_the_columns_is_that_of_treatment_coding(people):
    ours = design_matrix("group * age + sex", people).matrix.to_numpy()
    from formulaic import model_matrix

    theirs = np.asarray(model_matrix("group * age + sex", people.assign(group=people.group.astype(str))))
    assert np.linalg.matrix_rank(np.hstack([ours, theirs])) == ours.shape[1] == theirs.shape[1]


def test_transformed_numbers_are_not_centred(people):
    design = design_matrix("np.log(age) + group", people)
    assert np.allclose(design.matrix["np.log(age)"], np.log(people.age))
    assert np.isclose(design_matrix("age + group", people).matrix["age"].mean(), 0)


def test_rows_without_a_value_are_named(people):
    people.loc["sub-03", "age"] = np.nan
    people.loc["sub-04", ["age", "sex"]] = np.nan
    design = design_matrix("group + age + sex", people)
    assert design.excluded.to_dict() == {"sub-03": "age missing", "sub-04": "sex, age missing"}
    assert len(design.matrix) == 28 and "sub-03" not in design.matrix.index


def test_collinear_columns_name_what_they_repeat(people):
    people["months"] = 12 * people.age
    people["scanner"] = np.where(people.group == "AD", "B", "A")
    assert design_matrix("age + sex + months", people).collinear == {"months": ("age",)}
    (column,) = design_matrix("group + scanner", people).collinear.items()
    assert column[0].startswith("scanner") and any(name.startswith("group") for name in column[1])


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("group + aeg", "'aeg'.*there are: group, sex, age"),
        ("group +", "cannot be read"),
        ("group + (age", "cannot be read"),
    ],
)
def test_faults_are_told_plainly(people, formula, message):
    with pytest.raises(ValueError, match=message):
        design_matrix(formula, people)


def test_no_rows_left_is_told(people):
    with pytest.raises(ValueError, match="no row"):
        design_matrix("group + age", people.assign(age=np.nan))
