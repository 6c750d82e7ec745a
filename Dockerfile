# Production dependencies, in a stage of their own so that npm and its cache stay out of the image.
FROM node:24-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund
# Fills the compile cache, as the user that will look for it: the missing configuration is refused once everything is loaded. Node lets
# nobody else read it, and below it is root's.
COPY src ./src
RUN mkdir node_modules/.cache && chown 1000 node_modules/.cache
USER 1000:1000
RUN node src/main.ts --check 2>/dev/null || [ $? -eq 78 ] && chmod -R a+rX node_modules/.cache

FROM node:24-slim
LABEL org.opencontainers.image.title="afilnet-gateway" \
  org.opencontainers.image.description="REST and OpenAPI in front of the Afilnet chat API" \
  org.opencontainers.image.licenses="MIT"
ENV NODE_ENV=production HOST=0.0.0.0 PORT=3000
WORKDIR /app
# Root's, the compile cache too: the gateway runs code from there and must not be able to change it.
COPY --from=dependencies --chown=0:0 /app/node_modules ./node_modules
COPY package.json ./
COPY src ./src
# The ledger; the only place that is written to.
RUN mkdir data && chown 1000:1000 data
VOLUME /app/data
# By number, since Kubernetes cannot tell from a name that it is not root.
USER 1000:1000
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/health/live`).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
# Node itself is the process that gets the signals: no shell and no npm in between.
CMD ["node", "--max-semi-space-size=8", "src/main.ts"]
