# NeuronDB with what ingesting, serving and drawing take, on processors:
#
#   docker build --tag neurondb .
#   docker run --rm --volume neurondb:/data --publish 8001:8001 neurondb            # the site
#   docker run --rm --volume neurondb:/data neurondb demo                           # any command
#   docker run --rm --volume neurondb:/data --volume "$PWD:/work" neurondb ingest FILE.gguf --dataset texts.txt
#
# For a GPU, take torch's builds with CUDA and give the container the card:
#
#   docker build --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu128 --tag neurondb:cuda .
#   docker run --gpus all …
FROM python:3.12-slim-bookworm AS build
WORKDIR /source
COPY . .
RUN python -m pip wheel --no-deps --wheel-dir /wheels .

FROM python:3.12-slim-bookworm
LABEL org.opencontainers.image.title="NeuronDB" \
      org.opencontainers.image.description="A database of language-model neurons" \
      org.opencontainers.image.licenses="MIT"
# The kernels that read activations are compiled once, at first use.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
COPY constraints.txt /tmp/constraints.txt
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    wheel=$(echo /wheels/neurondb-*.whl) \
    && python -m pip install --no-cache-dir --extra-index-url "$TORCH_INDEX" \
        --constraint /tmp/constraints.txt "$wheel[ingest,site,frames,attributes,postgres]"
RUN useradd --create-home --uid 1000 neurondb \
    && mkdir /data /work \
    && chown neurondb:neurondb /data /work
USER neurondb
# Database, compiled kernels and what the hub sent stay in the volume.
ENV NEURONDB_URL=/data/neurondb.db \
    XDG_CACHE_HOME=/data/cache \
    HF_HOME=/data/cache/huggingface \
    PYTHONUNBUFFERED=1
VOLUME ["/data"]
WORKDIR /work
EXPOSE 8001
ENTRYPOINT ["neurondb"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8001"]
