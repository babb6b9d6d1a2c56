# The mining and training image: no ROS distribution; `dexhot mine --executor ray` on as many of these as there are machines.
#   docker build -f docker/training.Dockerfile -t dexhot-train .
FROM python:3.12-slim-bookworm

WORKDIR /dexhot
COPY . .
RUN docker/install-with-wheels /opt/dexhot train \
    && rm -rf /var/lib/apt/lists/* /root/.cache
ENTRYPOINT ["/opt/dexhot/bin/dexhot"]
CMD ["doctor"]
