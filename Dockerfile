# The service's image: the web process, `flask process-orders`, migrations, and the one-shots of
# the stack. And, as the target `acme`, that of the client of ACME authorities. Each is built in two
# stages, so that no package cache is in what runs.
#
# docker-compose.yml says what they are built on, by digest where that is pinned; this is the same
# tag, for a plain `docker build`.
ARG PYTHON_IMAGE=python:3.13-slim-trixie

# checkov:skip=CKV_DOCKER_7:the argument names the version
FROM $PYTHON_IMAGE AS builder
RUN python -m venv --without-pip /venv
COPY requirements.txt /build/
RUN pip --python /venv install --no-cache-dir --disable-pip-version-check --require-hashes \
    -r /build/requirements.txt
COPY wsgi.py /app/
COPY service /app/service
COPY deploy/secrets deploy/image /app/deploy/
COPY deploy/host/order_service /app/order_service
# Compiled here, since the root file system is read-only later; readable whatever the checkout's
# umask was.
RUN python -m compileall -q /app && chmod -R u=rwX,go=rX /app

FROM $PYTHON_IMAGE AS acme-builder
RUN python -m venv --without-pip /venv
COPY requirements-acme.txt /build/
RUN pip --python /venv install --no-cache-dir --disable-pip-version-check --require-hashes \
    -r /build/requirements-acme.txt
COPY deploy/host/order_service /app/order_service
RUN python -m compileall -q /app && chmod -R u=rwX,go=rX /app

FROM $PYTHON_IMAGE AS base
# The stack's volumes take their owner from the folders that they cover.
RUN groupadd --gid 10001 orders \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent \
        --shell /usr/sbin/nologin orders \
    && install -d -o orders -g orders -m 755 /volumes/mysql /volumes/migrate /volumes/service \
        /volumes/monitoring /volumes/grafana /volumes/authority /volumes/certificates \
        /volumes/acme /volumes/challenges
WORKDIR /app
ENV PATH="/venv/bin:$PATH" \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

FROM base AS acme
COPY --from=acme-builder /venv /venv
COPY --from=acme-builder /app /app
USER 10001:10001
HEALTHCHECK NONE
CMD ["python", "-m", "order_service.certificates.acme"]

FROM base
COPY --from=builder /venv /venv
COPY --from=builder /app /app
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="order-service" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.version="$VERSION" \
    org.opencontainers.image.revision="$REVISION"
ENV RELEASE="$VERSION"
USER 10001:10001
EXPOSE 5000
HEALTHCHECK --interval=5s --timeout=4s --start-period=60s --retries=3 \
    CMD ["python", "-I", "deploy/check_readiness.py"]
CMD ["gunicorn", "--config", "service/server/gunicorn.conf.py", "--bind", "0.0.0.0:5000"]
