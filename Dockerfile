# Not built by us: no Docker was at hand. docs/install.md says how it is meant.
# torch's wheels for Linux bring CUDA, so the image runs with GPUs and without. For a smaller image without CUDA give the
# address of PyTorch's CPU wheels as build argument; pip reads it from the environment.
FROM python:3.11
ARG PIP_EXTRA_INDEX_URL
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY . /source
RUN pip install -c /source/constraints.txt "/source[serve]" && rm -rf /source
# Whoever runs it may have no home here.
ENV HOME=/tmp
WORKDIR /work
EXPOSE 8000
ENTRYPOINT ["sav"]
