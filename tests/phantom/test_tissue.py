"""Values of tissues, and persons drawn from them."""

import numpy as np
import pytest

from qsmprep.phantom import tissue


def cohort(group, n, names=("SN", "putamen", "GPe", "GPi"), diseases=("CONTROL", "PD")):
    rng = np.random.default_rng(1)
    return [tissue.draw_person(group, rng, names=names, diseases=diseases, age=65) for _ in range(n)]


@pytest.mark.parametrize(("name", "chi"), [("GP", 135), ("putamen", 72), ("caudate", 42), ("red nucleus", 90)])
def test_values_at_65_are_those_of_the_literature(name, chi):
    assert tissue.normal_chi(name, 65) == pytest.approx(chi)


@pytest.mark.parametrize(("name", "at30", "at65"), [("GP", 123, 133), ("putamen", 50, 75), ("caudate", 29, 42)])
def test_iron_follows_hallgren_and_sourander(name, at30, at65):
    growth = tissue.normal_chi(name, 65) - tissue.normal_chi(name, 30)
    assert growth == pytest.approx(at65 - at30, abs=1.5)


def test_thalamus_rises_to_about_35_years_and_then_falls():
    ages = np.arange(10, 80, 5)
    chi = [tissue.normal_chi("thalamus", age) for age in ages]
    assert ages[int(np.argmax(chi))] == 35


def test_effect_of_parkinsons_disease_on_the_nigra_is_the_studies():
    values = {g: np.array([p.chi["SN", "L"] for p in cohort(g, 800)]) for g in ("control", "PD")}
    pooled = np.sqrt((values["control"].var() + values["PD"].var()) / 2)
    assert (values["PD"].mean() - values["control"].mean()) / pooled == pytest.approx(1.93, abs=0.2)
    putamen = [np.mean([p.chi["putamen", "L"] for p in cohort(g, 800)]) for g in ("control", "PD")]
    assert abs(putamen[1] - putamen[0]) < 2.5  # a control region


def test_both_sides_and_both_parts_of_the_pallidum_go_together_in_one_person():
    people = cohort("control", 300)
    table = np.array([[p.chi["GPe", "L"], p.chi["GPe", "R"], p.chi["GPi", "L"], p.chi["putamen", "L"]] for p in people])
    r = np.corrcoef(table.T)
    assert r[0, 1] > 0.9 and r[0, 2] > 0.75 and abs(r[0, 3]) < 0.2


def test_huntingtons_caudate_grows_by_its_rate_from_visit_to_visit():
    visits = [
        tissue.draw_person("HD", np.random.default_rng(3), names=["caudate"], diseases=["HD"], age=45, years=y)
        for y in (0.0, 1.0)
    ]
    assert visits[1].chi["caudate", "L"] / visits[0].chi["caudate", "L"] == pytest.approx(1.119, abs=0.02)
    assert visits[1].age == 46 and visits[1].sex == visits[0].sex


@pytest.mark.parametrize(
    ("group", "disease"), [("PD", "PD"), ("pd-td", "PDTD"), ("patient", "PATIENT"), ("x7", "CONTROL")]
)
def test_a_groups_name_is_its_disease(group, disease):
    assert tissue.disease_of(group) == disease


def test_r2star_grows_with_field_and_iron():
    assert tissue.r2star("grey", 3.0) == pytest.approx(15.2)
    assert tissue.iron_r2star(135, 3.0) == pytest.approx(38, abs=1)
    assert tissue.iron_r2star(135, 7.0) > 2 * tissue.iron_r2star(135, 3.0)
    assert tissue.iron_r2star(-20, 3.0) == tissue.iron_r2star(0, 3.0)
