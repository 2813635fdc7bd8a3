"""PASS, CHECK or FAIL, each with its reasons in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_ORDER = ("PASS", "CHECK", "FAIL")


@dataclass(frozen=True)
class Rule:
    """Bounds of one metric: outside `check` it wants a look, outside `fail` the run should not be used."""

    metric: str
    text: str
    check: tuple[float, float]
    fail: tuple[float, float]
    advice: str


@dataclass(frozen=True)
class Verdict:
    """The verdict and why."""

    verdict: str
    reasons: tuple[str, ...]


_LEAK = "the mask may reach into bone or air: look at it, or try another --skull-strip"

# The bounds are wide: they are to catch a broken run, not to sort patients.
RULES = (
    Rule("brain_volume_ml", "brain mask volume [mL]", (900, 2200), (500, 2700), "look at the mask on the magnitude"),
    Rule("qsm_mask_fraction", "part of the brain with a usable phase", (0.8, 1), (0.5, 1), "look at phase and mask"),
    Rule("mask_fallback", "brain mask given up (1) for one from signal and phase quality", (0, 0), (0, 1),
         "look at the mask, or try another --skull-strip"),
    Rule("mask_holes_fraction", "holes in the brain mask, as a part of it", (0, 0.01), (0, 0.1), "look at the mask"),
    Rule("mask_parts_fraction", "part of the brain mask apart from the rest", (0, 0.01), (0, 0.1), "look at the mask"),
    Rule("mask_low_signal_fraction", "part of the brain mask without signal", (0, 0.05), (0, 0.2), _LEAK),
    Rule("mask_rim_noise", "part of the brain mask's rim whose phase is noise", (0, 0.3), (0, 0.7), _LEAK),
    Rule("mask_beyond_template_fraction", "part of the brain mask beyond the template's brain", (0, 0.03), (0, 0.15),
         _LEAK),
    Rule("mask_agreement_dice", "agreement (Dice) with a rough brain mask of the gradient echo", (0.87, 1), (0.6, 1),
         "look at the mask and at the registration to the T1w"),
    Rule("phase_quality_median", "median phase quality", (0.5, 1), (0.3, 1), "look for motion or a wrong scaling"),
    Rule("chi_sd_ppb", "SD of χ [ppb]", (5, 120), (1, 400), "look at the χ map for streaks"),
    Rule("chi_extreme_fraction", "part of the voxels with |χ| > 0.5 ppm", (0, 0.02), (0, 0.1), "look at the χ map"),
    Rule("deep_grey_contrast_ppb", "χ of iron-rich nuclei against the brain [ppb]", (15, 400), (-15, 1000),
         "look at the χ map and at the regions"),
    Rule("r2star_contrast_ppb", "χ where R2* is highest against the brain [ppb]", (10, 1000), (-15, 2000),
         "look at the χ map and at R2*"),
    Rule("chi_skewness", "skewness of χ inside the brain", (0.3, 50), (-0.8, 100),
         "iron and veins should be brighter than the brain: look at the χ map"),
    Rule("deep_grey_coverage_min", "least coverage of an iron-rich nucleus", (0.8, 1), (0.2, 1), "look at the mask"),
    Rule("coregistration_nmi", "mutual information of gradient echo and T1w", (1.03, 2), (1.005, 2),
         "look at the registration"),
    # on digital heads at least 0.87 when 2 mm or 2 degrees off, 0.60 to 0.75 when 4 mm or 5 degrees off, and below
    # 0.4 when 8 mm off
    Rule("coregistration_edge_agreement", "agreement of the edges of gradient echo and T1w", (0.8, 1), (0.4, 1),
         "look at the registration of the gradient echo to the T1w"),
    Rule("nuclei_shift_mm", "shift of the deep nuclei by their second registration [mm]", (0, 3), (0, 8),
         "look at the labels on χ"),
    Rule("template_dice", "overlap of the brain with the template's", (0.9, 1), (0.75, 1), "look at the registration"),
)  # fmt: skip

# Iron and venous blood are paramagnetic in everybody. Where there is an atlas, its nuclei decide alone; elsewhere the
# other two decide together, and one fails a run only if the other does not contradict it: a large calcification decays
# fast or bends the histogram, too.
_NUCLEI = "deep_grey_contrast_ppb"
_WITHOUT_ATLAS = ("r2star_contrast_ppb", "chi_skewness")
_SIGN = (_NUCLEI, *_WITHOUT_ATLAS)
# where χ is out of all proportion the reconstruction broke down, and its histogram tells nothing of the sign
_SOUND = "chi_sd_ppb"

# a partial brain has not the volume of a brain, and its mask is mostly rim
_WHOLE_BRAIN_ONLY = {"brain_volume_ml", "qsm_mask_fraction", "mask_rim_noise"}


def judge(metrics: Mapping[str, float], *, whole_brain: bool = True, phase_sign: int = 1) -> Verdict:
    """The verdict on a run from its quality numbers.

    Parameters
    ----------
    metrics : as returned by `run_metrics`; rules whose metric is absent are not applied
    whole_brain : False for a partial field of view, which is not judged by its volume
    phase_sign : the sign that was used, 1 or -1; where iron looks diamagnetic the other one is named, never taken
    """
    rules = {rule.metric: rule for rule in RULES}
    grades = {
        name: _grade(metrics[name], rule)
        for name, rule in rules.items()
        if name in metrics
        and (whole_brain or name not in _WHOLE_BRAIN_ONLY)
        and not (name in _WITHOUT_ATLAS and _NUCLEI in metrics)
    }
    for name in _WITHOUT_ATLAS:
        doubtful = "PASS" in [grades.get(other) for other in _WITHOUT_ATLAS] or grades.get(_SOUND) == "FAIL"
        if grades.get(name) == "FAIL" and metrics[name] < 0 and doubtful:
            grades[name] = "CHECK"
    reasons = tuple(
        f"{grade}: {rules[name].text} is {metrics[name]:.3g}, expected {rules[name].check[0]:g} to "
        f"{rules[name].check[1]:g}; {_advice(rules[name], grade, metrics[name], phase_sign)}."
        for name, grade in grades.items()
        if grade != "PASS"
    )
    return Verdict(max(["PASS", *grades.values()], key=_ORDER.index), reasons)


def _grade(value: float, rule: Rule) -> str:
    return "FAIL" if not _within(value, rule.fail) else "CHECK" if not _within(value, rule.check) else "PASS"


def _advice(rule: Rule, grade: str, value: float, phase_sign: int) -> str:
    """What to do; where iron looks diamagnetic, the sign of the phase that was not used."""
    sign = "-" if phase_sign > 0 else "+"
    if rule.metric not in _SIGN or not value < 0:
        return rule.advice
    if grade == "FAIL":
        return f"iron is paramagnetic, so the sign of the phase is inverted: set --phase-sign {sign}"
    # a single number that leans the wrong way is no proof, but worth a look with the sign in mind
    return rule.advice if rule.metric == _NUCLEI else f"{rule.advice}, and if veins are dark set --phase-sign {sign}"


def _within(value: float, bounds: tuple[float, float]) -> bool:
    # a NaN is never within bounds
    return bounds[0] <= value <= bounds[1]
