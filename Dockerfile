# syntax=docker/dockerfile:1
#
# Two images from one file: `mooring`, which is all of it, and `web`, which faces the network and so has
# neither Git nor a cluster's client, no worker and no command line.
#
#   docker build --tag ghcr.io/mooring/mooring .
#   docker build --tag ghcr.io/mooring/mooring-web --target web .
#
# Python packages, helm, jsonnet and kustomize are held by hashes, Debian's packages by version: when Debian replaces
# one, the build says so here. To hold the base images by content too, give them by digest:
# --build-arg PYTHON=python@sha256:… --build-arg GO=golang@sha256:…
ARG PYTHON=python:3.11.14-slim-bookworm
ARG GO=golang:1.26.8-bookworm

FROM ${GO} AS tools
ENV GOTOOLCHAIN=local GOFLAGS="-mod=readonly -buildvcs=false"
WORKDIR /build
COPY devcluster/go/helm helm
RUN cd helm && go build -trimpath -o /out/helm \
    -ldflags "-s -w -X helm.sh/helm/v4/internal/version.version=v4.3.1" helm.sh/helm/v4/cmd/helm
COPY devcluster/go/kustomize kustomize
RUN cd kustomize && go build -trimpath -o /out/kustomize \
    -ldflags "-s -w -X sigs.k8s.io/kustomize/api/provenance.version=v5.8.1" sigs.k8s.io/kustomize/kustomize/v5
COPY devcluster/go/jsonnet jsonnet
RUN cd jsonnet && go build -trimpath -o /out/jsonnet -ldflags "-s -w" github.com/google/go-jsonnet/cmd/jsonnet

FROM ${PYTHON} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ONLY_BINARY=:all:
WORKDIR /build
RUN python -m venv --without-pip /opt/mooring

FROM build AS web-build
COPY requirements-web.lock ./
RUN pip --python /opt/mooring/bin/python install --require-hashes -r requirements-web.lock
COPY mooring /opt/mooring/app/mooring
COPY webhook /opt/mooring/app/webhook
RUN python -m compileall -q /opt/mooring/app

FROM build AS mooring-build
COPY requirements-mooring.lock ./
RUN pip --python /opt/mooring/bin/python install --require-hashes -r requirements-mooring.lock
COPY requirements-build.lock ./
RUN python -m venv --without-pip /tools && pip --python /tools/bin/python install --require-hashes -r requirements-build.lock
COPY pyproject.toml README.md LICENSE ./
COPY mooring mooring
COPY webhook webhook
COPY workers workers
COPY cli cli
COPY devcluster devcluster
RUN /tools/bin/python -m hatchling build --target wheel --directory /dist
RUN pip --python /opt/mooring/bin/python install --no-deps --no-index /dist/*.whl

FROM ${PYTHON} AS web
# -P for all: nothing is imported from where a process happens to stand. The root is read-only: no bytecode.
ENV PATH=/opt/mooring/bin:$PATH PYTHONPATH=/opt/mooring/app PYTHONSAFEPATH=1 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
COPY --from=web-build /opt/mooring /opt/mooring
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["python", "-m", "webhook"]
CMD ["--host", "0.0.0.0", "--port", "8080"]

FROM ${PYTHON} AS mooring
# ssh looks its user up by name, so there is one.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git=1:2.39.5-0+deb12u3 gpgv=2.2.40-1.1+deb12u2 openssh-client=1:9.2p1-2+deb12u10 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 65532 --user-group --no-create-home --home-dir /var/lib/mooring mooring \
    && install --directory --owner mooring --group mooring /var/lib/mooring
ENV PATH=/opt/mooring/bin:$PATH HOME=/var/lib/mooring MOORING_STATE_DIR=/var/lib/mooring PYTHONSAFEPATH=1 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
COPY --from=tools /out/helm /out/jsonnet /out/kustomize /usr/local/bin/
COPY --from=mooring-build /opt/mooring /opt/mooring
USER 65532:65532
ENTRYPOINT ["mooring"]
CMD ["--help"]
