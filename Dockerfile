# Three images from one file, each without what it never loads:
#
#   docker build --target api    -t tunesmith-api .      REST API, without PyTorch
#   docker build --target ui     -t tunesmith-ui .       web page
#   docker build --target worker -t tunesmith-worker .   trains, on the CPU
#   docker build --target worker -t tunesmith-worker:cuda --build-arg TORCH_BUILD= \
#     --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu130 .    …, on GPUs
#
# STARTER=no leaves the starter's base models and data out of the worker: a smaller image, sooner
# built. Dependencies come before the source, so that a change of code installs nothing anew.
# Nothing is written but /var/lib/tunesmith, /var/cache/tunesmith and /tmp: the root file system may
# be read-only. Any user may run them who is in group 0, as OpenShift has it too.

# @sha256:… as scripts/image_digests.py finds it: an image that nobody can put another one in place of.
ARG PYTHON_DIGEST=""
FROM docker.io/library/python:3.11.13-slim-bookworm${PYTHON_DIGEST} AS base
ENV PATH=/opt/tunesmith/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /build

# -- what each image installs, and the environments with it ---------------------------------------

FROM base AS requirements
COPY constraints.txt ./
COPY scripts/pins.py scripts/
RUN for group in build api ui worker torch; do \
      python3 scripts/pins.py "$group" >"$group.txt" || exit 1; \
    done

FROM base AS source
COPY --from=requirements /build/build.txt ./
RUN python3 -m venv /tmp/build \
 && /tmp/build/bin/pip install --no-cache-dir --no-deps --only-binary :all: --require-hashes \
    --requirement build.txt
COPY pyproject.toml README.md LICENSE ./
COPY config config
COPY src src
RUN /tmp/build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheel .

FROM base AS api-packages
RUN python3 -m venv /opt/tunesmith
COPY --from=requirements /build/api.txt ./
RUN pip install --no-cache-dir --no-deps --only-binary :all: --require-hashes --requirement api.txt
COPY --from=source /wheel /wheel
RUN pip install --no-cache-dir --no-deps /wheel/*.whl

FROM base AS ui-packages
RUN python3 -m venv /opt/tunesmith
COPY --from=requirements /build/ui.txt ./
RUN pip install --no-cache-dir --no-deps --only-binary :all: --require-hashes --requirement ui.txt
COPY --from=source /wheel /wheel
RUN pip install --no-cache-dir --no-deps /wheel/*.whl

FROM base AS worker-packages
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG TORCH_BUILD=+cpu
ARG STARTER=yes
RUN python3 -m venv /opt/tunesmith
COPY --from=requirements /build/worker.txt ./
RUN pip install --no-cache-dir --no-deps --only-binary :all: --require-hashes \
    --requirement worker.txt
# By version only: the file depends on the build. Of what PyTorch needs, all but NVIDIA's libraries
# is there.
COPY --from=requirements /build/torch.txt ./
RUN sed -i "s/\$/$TORCH_BUILD/" torch.txt \
 && pip install --no-cache-dir --extra-index-url "$TORCH_INDEX" --requirement torch.txt
COPY requirements-starter.txt ./
RUN if [ "$STARTER" = yes ]; then \
      pip install --no-cache-dir --no-deps --require-hashes --requirement requirements-starter.txt; \
    fi
COPY --from=source /wheel /wheel
RUN pip install --no-cache-dir --no-deps /wheel/*.whl

# -- the images -----------------------------------------------------------------------------------

FROM base AS runtime
RUN useradd --uid 10001 --gid 0 --home-dir /var/lib/tunesmith --no-create-home tunesmith \
 && install --directory --owner 10001 --group 0 --mode 2770 \
    /var/lib/tunesmith /var/cache/tunesmith
COPY docker/answers.py /opt/
ENV HF_HOME=/var/cache/tunesmith/huggingface \
    HOME=/tmp \
    TUNESMITH_CACHE_DIR=/var/cache/tunesmith \
    TUNESMITH_DATA_DIR=/var/lib/tunesmith/data \
    TUNESMITH_FILE_ACCESS=group \
    TUNESMITH_LOG_FORMAT=json \
    TUNESMITH_RESULTS_DIR=/var/lib/tunesmith/results
WORKDIR /var/lib/tunesmith
VOLUME ["/var/lib/tunesmith", "/var/cache/tunesmith"]
ENTRYPOINT ["tunesmith"]

FROM runtime AS api
COPY --from=api-packages /opt/tunesmith /opt/tunesmith
ENV TUNESMITH_API_HOST=0.0.0.0
USER 10001:0
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s \
  CMD ["python3", "/opt/answers.py", "API_PORT", "8000", "/health/ready"]
CMD ["api"]

FROM runtime AS ui
COPY --from=ui-packages /opt/tunesmith /opt/tunesmith
ENV TUNESMITH_UI_HOST=0.0.0.0
USER 10001:0
EXPOSE 8501
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s \
  CMD ["python3", "/opt/answers.py", "UI_PORT", "8501", "/alive"]
CMD ["ui"]

# Its own sign in the store. It stops within TUNESMITH_CANCEL_GRACE_SECONDS and 15 seconds, so give
# it 90 (docker stop -t 90).
FROM runtime AS worker
COPY --from=worker-packages /opt/tunesmith /opt/tunesmith
USER 10001:0
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=25s --start-period=120s \
  CMD ["tunesmith", "worker", "--check"]
CMD ["worker"]
