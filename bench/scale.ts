import { writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { request } from 'undici'
import { type CaseName, cases } from './cases.ts'
import { load } from './load.ts'
import { cores, freePort, has, leaveOnSignals, pinned, start } from './programs.ts'
import { newFolder, type RunningTarget, startStub, startTarget, untilAnswered } from './setup.ts'
import { targets } from './targets.ts'

// How throughput grows: one gateway on a core of its own behind nginx, then two gateways on two cores behind the same nginx.

const { values } = parseArgs({ options: { seconds: { type: 'string', default: '6' }, rounds: { type: 'string', default: '3' } } })
const measured = ['get-unchanged', 'get-different', 'post-ledger'] as const satisfies CaseName[]
const others = availableParallelism() - 2

leaveOnSignals()
process.exitCode = await main()

async function main() {
  if (!has('wrk') || !has('nginx') || !pinned) {
    process.stderr.write('It needs wrk, nginx, taskset and at least two cores\n')
    return 1
  }
  cores.loader = others > 0 ? `2-${others + 1}` : '0-1' // of nginx, the stub and wrk
  const stub = await startStub()
  const gateways = [await startTarget(targets.gateway, stub.url), await startTarget(targets.gateway, stub.url, [], 'second')]
  const balancers = [await startNginx(gateways.slice(0, 1)), await startNginx(gateways)]

  process.stdout.write('| case | one gateway | two gateways | growth |\n| --- | --- | --- | --- |\n')
  for (const name of measured) {
    const best = [0, 0]
    for (let round = 0; round < Number(values.rounds); round++) {
      for (const [i, { endpoint, folder }] of balancers.entries()) {
        const run = { asks: cases[name].asks, connections: 64, seconds: Number(values.seconds), folder }
        const { requests, seconds, failed, broken } = await load(endpoint, run)
        if (failed + broken > 0) process.stderr.write(`${name}: ${failed} answers were no success, ${broken} connections broke\n`)
        best[i] = Math.max(best[i] ?? 0, requests / seconds)
      }
    }
    const [one = 0, two = 0] = best
    process.stdout.write(`| ${cases[name].title} | ${one.toFixed(0)}/s | ${two.toFixed(0)}/s | ${(two / one).toFixed(2)} × |\n`)
  }
  const shared = others > 0 ? `${others} more for nginx, wrk and the stub` : 'which nginx, wrk and the stub share with the gateways'
  process.stdout.write(`\nThe best of ${values.rounds} rounds of ${values.seconds} s. ${others + 2} cores: two for gateways, ${shared}.\n`)
  for (const { program } of [...balancers, ...gateways, stub]) await program.stop()
  return 0
}

/** nginx with kept connections on both sides, in front of gateways. */
async function startNginx(gateways: readonly RunningTarget[]) {
  const [port, folder] = [await freePort(), newFolder()]
  const servers = gateways.map(({ endpoint }) => `server ${endpoint.url.host};`).join(' ')
  writeFileSync(
    join(folder, 'nginx.conf'),
    `worker_processes auto; daemon off; pid ${folder}/pid; error_log /dev/stderr crit; events { worker_connections 1024; }
http {
  access_log off; client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi; uwsgi_temp_path ${folder}/uwsgi; scgi_temp_path ${folder}/scgi;
  upstream gateways { ${servers} keepalive 64; }
  server {
    listen 127.0.0.1:${port};
    keepalive_requests 1000000000;
    location / { proxy_pass http://gateways; proxy_http_version 1.1; proxy_set_header Connection ""; }
  }
}
`,
  )
  const endpoint = { url: new URL(`http://127.0.0.1:${port}/`), direct: false }
  const program = start('loader', ['nginx', '-p', folder, '-c', join(folder, 'nginx.conf')])
  await untilAnswered(program, async () => {
    const { statusCode, body } = await request(new URL('/health/live', endpoint.url))
    await body.dump()
    if (statusCode !== 200) throw new Error(`nginx answered ${statusCode}`)
  })
  return { endpoint, folder, program }
}
