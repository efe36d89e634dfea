# The course in a container, with nginx, HAProxy and Chromium:
#   docker build -t stream-lab . && docker run --rm -p 127.0.0.1:8888:8888 stream-lab
# It prints an address with a token; open that one.
FROM python:3.13-slim AS parts
# The versions are Debian's: a pinned one is gone from its mirrors within weeks.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends chromium git haproxy make nginx-light \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 learner

FROM parts
WORKDIR /home/learner/course
COPY --chown=learner . .
RUN chown learner .
USER 10001
RUN make setup PARTS=no \
    && .venv/bin/python tools/learn.py --no-lab \
    && rm -rf /home/learner/.cache
EXPOSE 8888
WORKDIR /home/learner/course/learn
# Inside a container, a server that only listens on the loopback address cannot be reached.
ENTRYPOINT ["../.venv/bin/jupyter", "lab", "--ip=0.0.0.0", "--port=8888", "--no-browser"]
