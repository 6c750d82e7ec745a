import { defineConfig } from 'vitest/config'

const full = 'test/**/*.full.test.ts'

export default defineConfig({
  test: {
    maxWorkers: 2,
    isolate: false, // a worker keeps its modules: loading them for each file took a fifth of the whole run
    testTimeout: 20_000, // a busy machine is no failure; what is slow is for the benchmark to say
    hookTimeout: 20_000,
    expect: { poll: { timeout: 15_000 } },
    projects: [
      { extends: true, test: { name: 'fast', include: ['test/**/*.test.ts'], exclude: [full] } },
      { extends: true, test: { name: 'full', include: [full] } },
    ],
  },
})
