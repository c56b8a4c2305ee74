# The image every step of a pipeline runs in. Build: make image
FROM python:3.11-slim-bookworm AS build
WORKDIR /build
COPY requirements.lock .
RUN python -m venv /opt/graftwork \
 && /opt/graftwork/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY graftwork graftwork
COPY components components
COPY pipelines pipelines
RUN /opt/graftwork/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps . \
 && find /opt/graftwork -name __pycache__ -prune -exec rm -rf {} +

FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="graftwork" \
      org.opencontainers.image.description="Transfer learning from any saved Keras model, as Kubeflow pipelines" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/graftwork /opt/graftwork
RUN useradd --create-home --uid 1000 graftwork
USER 1000
WORKDIR /home/graftwork
ENV PATH=/opt/graftwork/bin:$PATH PYTHONUNBUFFERED=1 TF_CPP_MIN_LOG_LEVEL=2
CMD ["graftwork", "--help"]
