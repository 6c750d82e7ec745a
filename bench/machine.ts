import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cpus, release, totalmem } from 'node:os'
import { join } from 'node:path'
import { outFolder } from './setup.ts'

const root = join(import.meta.dirname, '..')

/** The first thing that a program says, or nothing. */
function said(program: string, ...args: string[]) {
  const { stdout, stderr } = spawnSync(program, args, { cwd: root, encoding: 'utf8' })
  return `${stdout ?? ''}${stderr ?? ''}`.trim().split('\n')[0] ?? ''
}

/** What of the gateway was measured. */
function commit() {
  const name = said('git', 'rev-parse', '--short', 'HEAD')
  if (!/^[0-9a-f]+$/.test(name)) return 'of no commit'
  return `at commit ${name}${said('git', 'status', '--porcelain', '--', 'src') && ' with changes'}`
}

const packageVersion = (name: string): string => JSON.parse(readFileSync(join(root, 'node_modules', name, 'package.json'), 'utf8')).version

const packages = ['fastify', 'undici', 'pino', 'express', 'axios', '@fastify/reply-from']

/** What was measured, and on what. */
export function machine(): string[] {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg's own format
  const luaModule = said('dpkg-query', '-W', '-f', '${Version}', 'libnginx-mod-http-lua')
  const versions = [
    `Node ${process.versions.node}`,
    ...packages.map(name => `${name} ${packageVersion(name)}`),
    said('nginx', '-v').replace('nginx version: nginx/', 'nginx '),
    /^\d/.test(luaModule) ? `its Lua module ${luaModule}` : '',
    /^wrk \S+/.exec(said('wrk', '-v'))?.[0] ?? '',
  ]
  return [
    `Machine: ${cpus()[0]?.model.trim()}, ${cpus().length} cores, ${Math.round(totalmem() / 1024 ** 3)} GB, Linux ${release()}; the ledger on ${said('findmnt', '-n', '-o', 'FSTYPE', '-T', outFolder) || 'an unknown file system'}.`,
    `Versions: ${versions.filter(Boolean).join(', ')}; the gateway ${commit()}.`,
  ]
}
