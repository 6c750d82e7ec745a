import { join } from 'node:path'
import { defineConfig } from 'vitest/config'

// For the programs and threads that tests start: reading the sources is most of their start.
process.env.NODE_COMPILE_CACHE ??= join(import.meta.dirname, 'node_modules/.cache/compile')

const full = 'test/**/*.full.test.ts'
const packages = '**/node_modules/**'

export default defineConfig({
  test: {
    maxWorkers: 5, // on two cores: a test waits for sockets, programs and deadlines for about half of its time
    isolate: false, // a worker keeps its modules: loading them for each file took a fifth of the whole run
    testTimeout: 60_000, // a busy machine is no failure; what is slow is for the benchmark to say
    hookTimeout: 60_000,
    globalSetup: 'test/temporary-files.ts',
    expect: { poll: { timeout: 40_000 } },
    projects: [
      { extends: true, test: { name: 'fast', include: ['test/**/*.test.ts'], exclude: [full, packages] } },
      {
        extends: true,
        test: {
          name: 'full',
          include: [full],
          exclude: [packages],
          testTimeout: 300_000, // it starts and kills programs, which takes minutes on a busy machine
          hookTimeout: 300_000,
          expect: { poll: { timeout: 120_000 } },
        },
      },
    ],
  },
})
