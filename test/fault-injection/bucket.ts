import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../../bench/programs.ts'

export type Bucket = Awaited<ReturnType<typeof startBucket>>

/** A bucket of S3 for gateways that share no folder, served by s3rver, which nobody maintains any more. */
export async function startBucket(folder: string) {
  const port = await freePort()
  const options = ['-d', folder, '-a', '127.0.0.1', '-p', String(port), '-s', '--no-vhost-buckets', '--configure-bucket', 'media']
  const server = spawn(process.execPath, ['node_modules/s3rver/bin/s3rver.js', ...options], { stdio: 'ignore' })
  const endpoint = `http://127.0.0.1:${port}`
  while (!(await fetch(endpoint).catch(() => undefined))) {
    if (server.exitCode !== null) throw new Error(`s3rver ended with ${server.exitCode}`)
    await sleep(50)
  }
  return {
    /** What a gateway needs to use it. */
    environment: {
      MEDIA_STORE: `s3://media/run?endpoint=${encodeURIComponent(endpoint)}&region=us-east-1`,
      AWS_ACCESS_KEY_ID: 'S3RVER',
      AWS_SECRET_ACCESS_KEY: 'S3RVER',
    },
    async close() {
      const exited = once(server, 'exit')
      if (server.exitCode === null && server.kill('SIGKILL')) await exited
    },
  }
}
