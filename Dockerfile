# The image every step of a pipeline runs in. Build: make image, or make image VARIANT=gpu

FROM python:3.11-slim-bookworm AS build
ARG VARIANT=cpu
COPY requirements.lock requirements-gpu.lock /locks/
RUN case "$VARIANT" in \
      cpu) lock=requirements.lock ;; \
      gpu) lock=requirements-gpu.lock ;; \
      *) echo "there is no VARIANT=$VARIANT; expected: cpu or gpu" >&2; exit 2 ;; \
    esac \
 && python -m venv --without-pip /opt/graftwork \
 && pip --python /opt/graftwork/bin/python --no-cache-dir --disable-pip-version-check \
      install --require-hashes -r "/locks/$lock"
WORKDIR /build
COPY pyproject.toml README.md LICENSE ./
COPY graftwork graftwork
COPY components components
COPY pipelines pipelines
# By the locked setuptools, and into a place of its own: the last stage's layer with all the dependencies stays as it
# is when only our code changes, and nodes need not fetch it again.
RUN pip --python /opt/graftwork/bin/python --no-cache-dir --disable-pip-version-check \
      wheel --no-build-isolation --no-deps --wheel-dir /wheel . \
 && pip --python /opt/graftwork/bin/python --no-cache-dir --disable-pip-version-check \
      install --no-index --no-deps --root /package /wheel/*.whl

FROM python:3.11-slim-bookworm
COPY --from=build /opt/graftwork /opt/graftwork
COPY --from=build /package/opt/graftwork /opt/graftwork
# Any user may run it, on a root file system that is read-only: only /tmp and the places of the artifacts are written.
USER 1000:0
WORKDIR /tmp
ENV PATH=/opt/graftwork/bin:$PATH HOME=/tmp USER=graftwork \
    PYTHONUNBUFFERED=1 PYTHONSAFEPATH=1 PYTHONDONTWRITEBYTECODE=1
# What follows the image's name is graftwork's to read, except for the programs with which KFP starts a step.
ENTRYPOINT ["/bin/sh", "-c", \
    "case \"$1\" in sh|bash|python*|graftwork|/*) exec \"$@\" ;; *) exec graftwork \"$@\" ;; esac", "graftwork"]
CMD ["--help"]
ARG VARIANT=cpu
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="graftwork" \
      org.opencontainers.image.description="Transfer learning from any saved Keras model, as Kubeflow pipelines" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.base.name="docker.io/library/python:3.11-slim-bookworm" \
      graftwork.variant="$VARIANT"
