import numpy as np

from qsmprep.qsm.inversion.ilsqr import _flat_laplacian, _streaks, ilsqr

B0 = (0.0, 0.3, 0.95)


def gradient(volume, axis, size):
    return (np.roll(volume, -1, axis) - volume) / size


def test_operator_of_the_streaks_is_that_of_the_gradients_where_they_should_vanish():
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(6, 5, 7)).astype(np.float32) for _ in range(2))
    flat = rng.integers(0, 8, a.shape).astype(np.uint8)
    sizes = (0.8, 1.0, 2.0)
    out = np.empty_like(a)
    _flat_laplacian(a, flat, out, sizes)
    expected = sum(
        ((flat >> axis & 1) * gradient(a, axis, size) * gradient(b, axis, size)).sum()
        for axis, size in enumerate(sizes)
    )
    assert np.isclose((out * b).sum(), expected, rtol=1e-4)


def test_streaks_are_found_and_anatomy_is_not(sphere):
    """χ of a ball plus a wave on the cone: the wave is the streak."""
    shape = (32, 32, 32)
    ball = sphere.ball(shape, (1, 1, 1), 6)
    k = np.fft.fftfreq(32), np.fft.fftfreq(32), np.fft.rfftfreq(32)
    k2 = k[0][:, None, None] ** 2 + k[1][:, None] ** 2 + k[2] ** 2
    cone = np.abs(1 / 3 - k[2] ** 2 / np.maximum(k2, 1e-9)) < 0.1
    spectrum = np.fft.rfftn(np.random.default_rng(0).normal(size=shape)) * cone * (k2 < 0.06)
    wave = np.fft.irfftn(spectrum, shape, axes=(0, 1, 2))
    wave = (0.1 * wave / wave.std()).astype(np.float32)
    flat = np.zeros(shape, np.uint8)
    for axis in range(3):
        flat |= ((gradient(ball, axis, 1) == 0).astype(np.uint8)) << axis
    found = _streaks(ball + wave, cone, flat, (1.0, 1.0, 1.0), 60)
    wave -= wave.mean()
    assert np.linalg.norm(found - found.mean() - wave) < 0.1 * np.linalg.norm(wave)


def test_removal_of_streaks_lowers_the_error(head):
    h = head((56, 56, 48), b0_dir=B0)
    field = (h.local + np.random.default_rng(0).normal(0, 0.002, h.local.shape) * h.mask).astype(np.float32)

    def error(**parameters):
        chi = ilsqr(field, h.mask, (1, 1, 1), B0, **parameters)
        a, b = chi[h.mask] - chi[h.mask].mean(), h.chi[h.mask] - h.chi[h.mask].mean()
        return np.linalg.norm(a - b) / np.linalg.norm(b)

    assert error(weight=2e-5) < 0.9 * error(weight=2e-5, streak_iterations=0)
    assert error() < error(streak_iterations=0)  # smoothness leaves fewer of them
