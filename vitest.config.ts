import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    maxWorkers: 2,
    testTimeout: 20_000, // a busy machine is no failure; what is slow is for the benchmark to say
    hookTimeout: 20_000,
    expect: { poll: { timeout: 15_000 } },
  },
})
