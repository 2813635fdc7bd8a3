"""Every reference in the graph of one run: what is set to 0, what is on record, and CSF on its way to MEDI."""

import nibabel as nib
import numpy as np
import pytest

from qsmprep.bids.model import Echo, Run
from qsmprep.cli.main import parse
from qsmprep.qsm.dipole import forward_field
from qsmprep.space.priors import CSF, REGION, WHITE_MATTER, reference_priors
from qsmprep.workflows.participant import init_run_wf
from qsmprep.workflows.recon import init_recon_wf

SHAPE, TE, AFFINE = (36, 36, 32), (0.005, 0.010, 0.015), np.diag([2.0, 2.0, 2.0, 1.0])
VENTRICLE = (slice(15, 21), slice(8, 14), slice(13, 19))
NUCLEUS = (slice(21, 26), slice(20, 25), slice(14, 19))
WHITE = (slice(9, 15), slice(20, 28), slice(12, 20))
VALUES = {"csf": 0.02, "region": 0.12, "wm": -0.03}


def load(path):
    return np.asanyarray(nib.load(path).dataobj)


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    """Files that the echoes, the brain extraction and the registration would hand over; the run that they are of."""
    folder = tmp_path_factory.mktemp("head")
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    brain = x**2 + y**2 + z**2 < 0.8**2
    chi, rate, priors = np.zeros(SHAPE, np.float32), np.full(SHAPE, 20.0), np.zeros(SHAPE, np.int16)
    for name, place, label in (("csf", VENTRICLE, CSF), ("region", NUCLEUS, REGION), ("wm", WHITE, WHITE_MATTER)):
        chi[place], priors[place] = VALUES[name], label
    rate[VENTRICLE] = 2.0
    priors[15:17][priors[15:17] == 0] = CSF  # the prior is wider than the ventricle: R2* has to tell
    hertz = 42.577 * 3 * forward_field(chi, (2, 2, 2), (0, 0, 1)) + 20 * x - 10 * y
    times = np.array(TE)
    signal = brain[..., None] * np.exp((2j * np.pi * hertz - rate)[..., None] * times)
    rng = np.random.default_rng(0)
    signal = signal + 0.004 * (rng.standard_normal(signal.shape) + 1j * rng.standard_normal(signal.shape))
    volumes = {
        "magnitude": np.abs(signal), "phase": np.angle(signal), "reference": np.abs(signal[..., 0]),
        "quality": np.where(brain, 0.9, 0.05), "brain_mask": brain, "priors": priors,
    }  # fmt: skip
    files = {name: str(folder / f"{name}.nii") for name in volumes}
    for name, volume in volumes.items():
        nib.save(nib.Nifti1Image(volume.astype(np.float32), AFFINE), files[name])
    echoes = []
    for number, te in enumerate(TE, 1):
        paths = [folder / f"{part}{number}.nii" for part in ("mag", "phase")]
        for path, name in zip(paths, ("magnitude", "phase"), strict=True):
            nib.save(nib.Nifti1Image(volumes[name][..., number - 1].astype(np.float32), AFFINE), path)
        echoes.append(Echo(te=te, magnitude=paths[0], phase=paths[1], number=number))
    run = Run(
        entities={"subject": "01"}, suffix="MEGRE", echoes=tuple(echoes), b0=3.0, b0_source="test", nominal_field=3.0,
        shape=SHAPE, voxel_size=(2.0, 2.0, 2.0), b0_dir=(0.0, 0.0, 1.0), obliquity=0.0,
    )  # fmt: skip
    return files, run, chi, priors


@pytest.fixture
def reconstruct(head, tmp_path):
    """Run the reconstruction with some options; χ, its record, the mask of CSF and of χ."""
    files, run, *_ = head

    def make(*options, name="recon"):
        wf = init_recon_wf(run, parse(["/data", str(tmp_path / "out"), "participant", *options]), name)
        wf.base_dir = str(tmp_path)
        wf.config["execution"] = {"crashdump_dir": str(tmp_path)}
        for field, path in files.items():
            setattr(wf.inputs.inputnode, field, path)
        wf.inputs.inputnode.meta = {}
        done = {node.name: node for node in wf.run(plugin="Linear").nodes}
        reference = done["reference"].result.outputs
        csf = load(done["csf_mask"].result.outputs.mask) > 0 if "csf_mask" in done else None
        return load(reference.chi), reference.meta, csf, load(done["background"].result.outputs.mask) > 0

    return make


@pytest.mark.parametrize(
    ("option", "name", "place"),
    [("wm", "wm", WHITE), ("region:deepgrey.thalamus", "region", NUCLEUS), ("csf", "csf", VENTRICLE)],
)
def test_the_reference_that_is_asked_for_becomes_0_and_the_others_are_on_record(reconstruct, head, option, name, place):
    _, _, truth, _ = head
    plain, without, *_ = reconstruct("--reference", "none", name="plain")
    chi, meta, *_ = reconstruct("--reference", option)
    assert chi[place].mean() == pytest.approx(0, abs=0.004)
    assert meta["ReferenceRegion"] == option and without["ReferenceOffset"] == 0
    assert meta["ReferenceOffset"] == pytest.approx(meta["References"][name]["Offset"])
    assert meta["ReferenceOffset"] == pytest.approx(plain[place].mean(), abs=0.004)
    inside = plain != 0
    assert np.allclose((plain - chi)[inside], meta["ReferenceOffset"], atol=1e-6)
    # whatever is 0, regions differ as they do in truth
    for other, where in (("csf", VENTRICLE), ("region", NUCLEUS), ("wm", WHITE)):
        assert set(meta["References"][other]) == {"Offset", "StandardDeviation", "Voxels"}
        assert chi[where].mean() == pytest.approx(truth[where].mean() - truth[place].mean(), abs=0.02)


def test_ventricular_csf_reaches_medi_and_becomes_uniform(reconstruct):
    free, *_, mask = reconstruct("--inversion", "medi", "--reference", "brain", name="free")
    chi, meta, csf, _ = reconstruct("--inversion", "medi", "--reference", "csf")
    ventricle = np.zeros(SHAPE, bool)
    ventricle[VENTRICLE] = True
    assert csf[ventricle].mean() > 0.95 and csf[~ventricle].sum() < 0.1 * ventricle.sum(), "R2* has a say"
    assert (csf & mask).sum() > 150
    assert chi[csf & mask].std() < 0.5 * free[csf & mask].std(), "MEDI+0 was told of the CSF"
    assert meta["ReferenceOffset"] == pytest.approx(0, abs=1e-3), "which MEDI+0 refers to already"
    assert meta["References"]["csf"]["StandardDeviation"] == pytest.approx(chi[csf & mask].std(), rel=0.2)


def test_a_reference_that_cannot_be_found_is_told_in_plain_words(reconstruct, head):
    from qsmprep.errors import InputError
    from qsmprep.interfaces.recon import ReferenceChi

    files, *_ = head
    node = ReferenceChi(chi=files["reference"], mask=files["brain_mask"], method="region:deepgrey.thalamus")
    with pytest.raises(InputError, match=r"--reference region:deepgrey.thalamus.*Choose --reference brain"):
        node.run()


def test_the_region_of_the_option_is_what_the_graph_looks_up_in_the_template(head):
    run = head[1]
    settings = parse(["/data", "/out", "participant", "--reference", "region:deepgrey.thalamus"])
    wf = init_run_wf(run, settings)
    assert wf.get_node("reference_priors").inputs.region == ["deepgrey", "thalamus"]
    links = {(a.name, b.name, link) for a, b, data in wf._graph.edges(data=True) for link in data["connect"]}
    assert ("reference_priors", "carry_priors", ("priors", "in_file")) in links
    assert ("carry_priors", "recon", ("out_file", "inputnode.priors")) in links


def test_the_thalamus_of_the_priors_lies_where_it_does_in_the_template():
    priors, like = reference_priors(("deepgrey", "thalamus"))
    points = nib.affines.apply_affine(nib.load(like).affine, np.argwhere(priors == REGION))
    for side in (-1, 1):
        x, y, z = points[np.sign(points[:, 0]) == side].mean(axis=0)
        assert 8 < side * x < 15 and -24 < y < -14 and 2 < z < 12, "MNI: about ±11, -18, 8 mm"
    with pytest.raises(ValueError, match="no region 'thalmus'"):
        reference_priors(("deepgrey", "thalmus"))


def test_noise_that_is_infinite_throughout_is_told_in_plain_words(head, tmp_path):
    """As a stage raises it and as the run's summary repeats it."""
    from qsmprep.interfaces.recon import InvertDipole
    from qsmprep.workflows.run import _explain

    files, run, *_ = head
    noise = tmp_path / "noise.nii"
    nib.save(nib.Nifti1Image(np.full(SHAPE, np.inf, np.float32), AFFINE), noise)
    node = InvertDipole(
        field=files["reference"], noise=str(noise), mask=files["brain_mask"], magnitude=files["magnitude"],
        method="tkd", te=list(TE), b0=run.b0, b0_dir=run.b0_dir,
    )  # fmt: skip
    with pytest.raises(ValueError, match="can be trusted") as caught:
        node.run(cwd=str(tmp_path))
    cause, fix = _explain(f"Traceback ...\nValueError: {caught.value}\n")
    assert cause == "no voxel of the mask has a field that can be trusted: its noise is infinite throughout"
    assert "Correct the input" in fix
