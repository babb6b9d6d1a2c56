# The mining and training image: no ROS; `dexhot mine --executor ray` on as many of these as there are machines.
#   docker build -f docker/training.Dockerfile -t dexhot-train .
FROM python:3.12-slim-bookworm

WORKDIR /dexhot
COPY . .
RUN apt-get update \
    && xargs -a docker/system-packages.txt apt-get install -y --no-install-recommends \
    && rm -rf /var/lib/apt/lists/*
RUN pip install --no-cache-dir -c config/constraints.txt '.[train,video]'
ENTRYPOINT ["dexhot"]
CMD ["doctor"]
