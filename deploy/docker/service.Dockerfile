# One Dockerfile, five images: --build-arg SERVICE=auth|photometry|astrometry|catalogs|gateway
# LOCK names another lock file for a service with an extra: catalogs-surveys.
# BASE_IMAGE holds Python 3.11 to 3.13. BUILD_IMAGE is the same with a C compiler; without one in it, Debian's is fetched.
ARG BASE_IMAGE=python:3.12-slim-bookworm
ARG BUILD_IMAGE=${BASE_IMAGE}

FROM ${BUILD_IMAGE} AS tools
RUN command -v gcc >/dev/null || (apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev)
COPY deploy/docker/locks/build.lock /locks/
RUN python3 -m venv /opt/build && /opt/build/bin/pip install --require-hashes -r /locks/build.lock

# the same for all services: built once
FROM tools AS library
COPY shared /src/shared
RUN /opt/build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation -w /wheels /src/shared

FROM tools AS build
ARG SERVICE
ARG LOCK=${SERVICE}
COPY deploy/docker/locks/${LOCK}.lock /locks/
RUN python3 -m venv --without-pip /opt/venv \
    && /opt/build/bin/pip --python /opt/venv/bin/python install --require-hashes -r /locks/${LOCK}.lock
COPY services/${SERVICE} /src/service
RUN /opt/build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation -w /wheels /src/service
COPY --from=library /wheels /wheels
RUN /opt/build/bin/pip --python /opt/venv/bin/python install --no-cache-dir --no-deps --no-index /wheels/*.whl \
    && find /opt/venv -depth -type d -name tests -not -path '*/astropy/tests' -exec rm -rf {} + \
    && rm -rf /opt/venv/lib/python3*/site-packages/astro_shared/testing
COPY LICENSE /opt/venv/LICENSE
# what the processes load must load
RUN cd / && /opt/venv/bin/python -c "import importlib as i; [i.import_module('${SERVICE}_service.' + m.name) \
    for m in __import__('pkgutil').iter_modules(i.import_module('${SERVICE}_service').__path__)]"

FROM ${BASE_IMAGE}
ARG SERVICE
ARG VERSION=0.1.0
ARG REVISION=unknown
# GPL-3.0 is the engine of astrometry.net, in the image of astrometry alone
ARG LICENSES=BSD-3-Clause
LABEL org.opencontainers.image.title="alidade-${SERVICE}" \
      org.opencontainers.image.description="The ${SERVICE} service of Alidade: api, worker and migrate" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="${LICENSES}"
# all that is written goes to /tmp: an emptyDir, or a tmpfs
ENV PATH=/opt/venv/bin:$PATH ALIDADE_SERVICE=${SERVICE} HOME=/tmp \
    MPLCONFIGDIR=/tmp/matplotlib MPLBACKEND=Agg OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 \
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
RUN groupadd -g 10001 alidade && useradd -u 10001 -g 10001 -M -d /tmp -s /usr/sbin/nologin alidade
COPY --from=build /opt/venv /opt/venv
WORKDIR /tmp
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s CMD ["python", "-m", "astro_shared.service_command", "health"]
ENTRYPOINT ["python", "-m", "astro_shared.service_command"]
CMD ["api"]
