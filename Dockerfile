# Bundle and production dependencies, in a stage of their own so that npm, its cache and the bundler stay out of the image.
FROM node:24-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY rolldown.config.ts ./
COPY src ./src
# COPY keeps the modes of the files, and a clone made with a strict umask lets no other user read them.
RUN npm run -s bundle && npm prune --omit=dev --ignore-scripts --no-audit --no-fund && chmod -R a+rX package.json src
# Fills the compile cache as the user that reads it: the missing configuration is refused once everything is loaded. Node lets no other
# user read it, and the files beneath it belong to root.
RUN mkdir node_modules/.cache && chown 1000 node_modules/.cache
USER 1000:1000
RUN node --enable-source-maps dist/main.js --check 2>/dev/null || [ $? -eq 78 ] && chmod -R a+rX node_modules/.cache

FROM node:24-slim
LABEL org.opencontainers.image.title="afilnet-gateway" \
  org.opencontainers.image.description="REST and OpenAPI in front of the Afilnet chat API" \
  org.opencontainers.image.licenses="MIT"
ENV NODE_ENV=production HOST=0.0.0.0 PORT=3000
WORKDIR /app
# Root's, the compile cache too: the gateway runs code from there and must not be able to change it.
COPY --from=build --chown=0:0 /app/node_modules ./node_modules
COPY --from=build --chown=0:0 /app/dist ./dist
COPY --from=build --chown=0:0 /app/package.json ./
# For the commands: node src/cli/doctor.ts, node src/cli/store.ts.
COPY --from=build --chown=0:0 /app/src ./src
# The ledger and, if MEDIA_STORE is a folder, uploads. Only uploads on their way to S3 are written elsewhere, to /tmp.
RUN mkdir data && chown 1000:1000 data
VOLUME /app/data
# By number, since Kubernetes cannot tell from a name that it is not root.
USER 1000:1000
EXPOSE 3000
# Asks the address that the gateway listens on, or loopback where that is any address.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["node", "-e", "const { HOST = '127.0.0.1', PORT = 3000 } = process.env; const any = { '0.0.0.0': '127.0.0.1', '::': '::1', '[::]': '::1' }; const host = (any[HOST] ?? HOST).replace(/^([^[].*:.*)$/, '[$1]'); fetch(`http://${host}:${PORT}/health/live`).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
# prlimit turns core dumps off, which would hold passwords, and becomes node: no shell and no npm between node and its signals.
CMD ["prlimit", "--core=0", "node", "--disable-sigusr1", "--enable-source-maps", "--max-semi-space-size=16", "dist/main.js"]
