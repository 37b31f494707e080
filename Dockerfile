# `likewise serve` in a container: the masks of one concept over HTTP. docs/serve.md says how to build and run it.
FROM python:3.13-slim AS install
COPY pyproject.toml constraints.txt README.md LICENSE /source/
COPY src /source/src
# byte code is made in memory at the start; on disk it would take 60 MB
RUN python -m venv /likewise \
  && /likewise/bin/pip install --no-cache-dir --no-compile --constraint /source/constraints.txt "/source[serve]" \
  && /likewise/bin/pip uninstall --yes pip

FROM python:3.13-slim
COPY --from=install /likewise /likewise
ENV PATH=/likewise/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
EXPOSE 8790
HEALTHCHECK --start-period=30s --interval=30s --timeout=5s \
  CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://localhost:8790/health', timeout=4)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["likewise", "serve"]
CMD ["--like", "/concept/job.concept", "--host", "0.0.0.0"]
