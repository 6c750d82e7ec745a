import { defineConfig } from 'rolldown'

const workerPath = /new URL\('\.\/([\w-]+)\.ts', import\.meta\.url\)/

/** @fastify/swagger needs it for documents in YAML. Only Swagger UI makes one, and that is not in the bundle. */
const unused = 'yaml'

/**
 * The gateway as a few files of JavaScript, for the image, which start in half the time of the sources.
 *
 * Every file that Node starts by its path is an entry: the gateway and its worker thread. Packages that read files of their own
 * stay packages, and so do those that only some transports load.
 */
export default defineConfig({
  input: ['src/main.ts', 'src/store/sqlite/worker.ts'],
  platform: 'node',
  onLog(level, log, handle) {
    if (log.code === 'UNRESOLVED_IMPORT') throw new Error(log.message) // rolldown would leave it to the first start
    handle(level, log)
  },
  external: [/^@fastify\/(swagger-ui|otel)/, /^@opentelemetry\/(?!api$)/, /^(oauth4webapi|sax|soap)$/],
  output: {
    dir: 'dist',
    sourcemap: true,
    entryFileNames: '[name].js',
    chunkFileNames: '[name].js',
    codeSplitting: {
      groups: [
        // What is loaded on demand, each on its own; a package that several need would otherwise go into the first of them.
        { name: 'packages-shared', test: /node_modules\/(debug|ms|supports-color|has-flag)\//, priority: 1 },
        { name: 'packages-valkey', test: /node_modules\/(@ioredis|ioredis|redis-)/ },
        { name: 'packages-s3', test: /node_modules\/(@aws|@smithy|bowser|fast-xml-|strnum)/ },
        {
          name: 'packages-files',
          test: /node_modules\/(file-type|strtok3|token-types|@tokenizer|@borewit|uint8array-extras|@fastify\/busboy)/,
        },
        { name: 'packages-webhooks', test: /node_modules\/(standardwebhooks|@stablelib|fast-sha256)/ },
        { name: 'packages-temporal', test: /node_modules\/temporal-/ }, // worker threads need no other
        { name: 'packages-tokens', test: /node_modules\/jose/ },
        { name: 'packages-mcp', test: /node_modules\/(@modelcontextprotocol|zod)/ },
        { name: 'packages', test: /node_modules/ },
      ],
    },
  },
  plugins: [
    {
      name: 'unused-package',
      resolveId: id => (id === unused ? `\0${id}` : null),
      load: id => (id === `\0${unused}` ? 'export {}' : null),
    },
    {
      name: 'worker-paths', // all files are in one folder there
      transform(code) {
        if (!workerPath.test(code)) return null
        return { code: code.replace(workerPath, "new URL('./$1.js', import.meta.url)"), map: null }
      },
    },
    {
      name: 'maps-of-our-code-only', // Node reads each map at the start, and those of packages are nine tenths of all
      generateBundle(_, bundle) {
        for (const [name, file] of Object.entries(bundle)) {
          if (/^packages.*\.map$/.test(name)) delete bundle[name]
          else if (file.type === 'chunk' && name.startsWith('packages'))
            file.code = file.code.replace(/\n\/\/# sourceMappingURL=.*\s*$/, '\n')
        }
      },
    },
  ],
})
