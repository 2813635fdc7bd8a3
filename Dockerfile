# docker build --build-arg VERSION=0.1.0 -t qsmprep .
FROM python:3.11-slim

ARG VERSION=0.1.0.dev0
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 NO_ET=1

WORKDIR /src
COPY requirements.lock pyproject.toml README.md LICENSE ./
COPY qsmprep qsmprep
COPY workflows workflows
# .git is not in the image, so the version is given from outside
# as an environment variable the constraints hold for the build, too
RUN SETUPTOOLS_SCM_PRETEND_VERSION_FOR_QSMPREP="${VERSION}" PIP_CONSTRAINT=requirements.lock pip install . \
    && rm -rf /src/*

# Compiled kernels: warmed here, writable for any user id. Where the image is read-only (Apptainer), qsmprep copies them
# to the working directory.
ENV XDG_CACHE_HOME=/opt/cache
RUN useradd --create-home --uid 1000 qsmprep \
    && mkdir -p "$XDG_CACHE_HOME" && chown qsmprep "$XDG_CACHE_HOME"
USER qsmprep
WORKDIR /tmp
RUN python -m qsmprep.warm \
    && qsmprep-phantom /tmp/warm/bids --voxel-size 4 --echoes 3 \
    && qsmprep /tmp/warm/bids /tmp/warm/out participant --no-normalization --skip-bids-validation -w /tmp/warm/work \
    && rm -rf /tmp/warm && chmod -R a+rwX "$XDG_CACHE_HOME"

ENTRYPOINT ["qsmprep"]
CMD ["--help"]
