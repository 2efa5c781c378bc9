# The controller: `docker build --tag autoresearch-controller .`, and `docker run autoresearch-controller --version`.
# Layers stand in the order in which they change: system, libraries, our own wheel.
ARG BASE_IMAGE=python:3.11-slim

FROM ${BASE_IMAGE} AS wheel
WORKDIR /source
COPY requirements/dev.txt requirements/
# The build backend by its pinned hashes, like everything else.
RUN awk '/^[a-z]/ { keep = /^(hatchling|packaging|pathspec|pluggy|tomlkit|trove-classifiers)==/ } keep' requirements/dev.txt \
        > build.txt \
    && pip install --no-cache-dir --no-deps --require-hashes --requirement build.txt
COPY pyproject.toml README.md LICENSE program.md ./
COPY controller controller
COPY trainer-image trainer-image
RUN pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels .

FROM ${BASE_IMAGE}
# The lab is a git repository; `replay` applies patches.
RUN command -v git > /dev/null \
    || (apt-get update && apt-get install --yes --no-install-recommends git && rm -rf /var/lib/apt/lists/*)
COPY requirements/controller.txt /tmp/requirements.txt
RUN pip install --no-cache-dir --no-deps --only-binary :all: --require-hashes --requirement /tmp/requirements.txt
RUN groupadd --gid 65532 autoresearch \
    && useradd --uid 65532 --gid 65532 --no-create-home --home-dir /tmp autoresearch
COPY --from=wheel /wheels /tmp/wheels
RUN pip install --no-cache-dir --no-deps --no-index /tmp/wheels/*.whl && rm -rf /tmp/*
ENV HOME=/tmp PYTHONUNBUFFERED=1
USER 65532:65532
WORKDIR /var/lib/autoresearch
ENTRYPOINT ["autoresearch"]
CMD ["--version"]
