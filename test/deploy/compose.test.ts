import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import { parseEnv } from 'node:util'
import { describe, expect, onTestFinished, test } from 'vitest'
import { parse } from 'yaml'
import bundle from '../../rolldown.config.ts'
import { Variables } from '../../src/config/variables.ts'
import { documentsIn, find, isVariable, packageVersion, publicPaths, read } from './files.ts'

type Service = {
  profiles?: string[]
  image: string
  user?: string
  environment?: Record<string, unknown>
  ports?: string[]
  volumes?: string[]
  tmpfs?: string[]
  secrets?: string[]
  depends_on?: string[] | object
  networks: string[] | Record<string, { ipv4_address?: string } | null>
  command?: string[]
  stop_grace_period?: string
  logging?: object
}

const [file] = documentsIn('docker-compose.yml')
const services = file.services as Record<string, Service>
const service = (name: string) => services[name] as Service // a missing one fails the test that asks
const gateways = ['gateway', 'gateway-1', 'gateway-2'].map(service)
const networksOf = ({ networks }: Service) => (Array.isArray(networks) ? networks : Object.keys(networks))
const portsOf = ({ ports = [] }: Service) => ports
/** The lines of an example in the comment at the top. */
const commented = (lines: RegExp) =>
  new RegExp(`^# {3}${lines.source}`, 'm').exec(read('docker-compose.yml'))?.[0].replaceAll(/^# {3}/gm, '') ?? ''
const addressIn = (network: string, { networks }: Service) => (Array.isArray(networks) ? undefined : networks[network]?.ipv4_address)

describe('docker-compose.yml', () => {
  test('has every service in a profile, so that each profile starts what it needs and nothing else', () => {
    const profiles = Object.entries(services).map(([name, { profiles }]) => [name, profiles?.join() ?? ''])

    expect(Object.fromEntries(profiles)).toEqual({
      gateway: 'single,demo',
      sandbox: 'demo',
      'gateway-1': 'scale',
      'gateway-2': 'scale',
      balancer: 'scale',
      valkey: 'scale',
      prometheus: 'monitoring',
      grafana: 'monitoring',
    })
  })

  test.for(Object.entries(services))('gives %s no right that it does not need', ([, one]) => {
    expect(one).toMatchObject({ read_only: true, cap_drop: ['ALL'], security_opt: ['no-new-privileges:true'], ulimits: { core: 0 } })
    if (one.image !== `afilnet-gateway:${packageVersion}`) {
      expect(one.image).toMatch(/:v?\d+\.\d+\.\d+(-[a-z]+)?$/)
      expect(one.user).toMatch(/^[1-9]\d*:\d+$/)
    }
  })

  test.for(Object.entries(services))('bounds the log of %s', ([, { logging }]) => {
    expect(logging).toEqual({ driver: 'local', options: { 'max-size': '20m', 'max-file': '25' } })
  })

  test('lets the gateways write temporary files, within bounds', () => {
    for (const { tmpfs = [] } of gateways) {
      const [, mebibytes] = /^\/tmp:size=(\d+)m$/.exec(tmpfs.join()) ?? []

      expect(Number(mebibytes) * 2 ** 20).toBeGreaterThan(8 * Variables.properties.MEDIA_MAX_BYTES.default)
    }
  })

  test('publishes on loopback only, and the admin port nowhere', () => {
    const published = Object.values(services).flatMap(portsOf)

    expect(published).toEqual(['127.0.0.1:3000:3000', '127.0.0.1:3000:8080', '127.0.0.1:9090:9090', '127.0.0.1:3030:3000'])
  })

  test.for(['single', 'demo', 'scale'])('publishes each port once in the profile %s, with all that its services depend on', profile => {
    const started = Object.entries(services).filter(([, { profiles }]) => profiles?.includes(profile))
    const ports = started.flatMap(([, one]) => portsOf(one))
    const needed = started.flatMap(([, { depends_on = [] }]) => (Array.isArray(depends_on) ? depends_on : Object.keys(depends_on)))

    expect(ports).toEqual([expect.stringContaining('127.0.0.1:3000:')])
    expect(needed.filter(name => !started.some(([one]) => one === name))).toEqual([])
  })

  test('sets only what the gateway and the sandbox read', () => {
    const names = [...gateways, service('sandbox')].flatMap(({ environment = {} }) => Object.keys(environment))

    expect(names.length).toBeGreaterThan(6)
    expect(names.filter(name => !isVariable(name))).toEqual([])
  })

  test('reads each secret from a file that git ignores and the file tells how to make', () => {
    const text = read('docker-compose.yml')
    for (const one of gateways) {
      for (const [name, path] of Object.entries(one.environment ?? {}).filter(([name]) => name.endsWith('_FILE'))) {
        expect(
          one.secrets?.map(secret => `/run/secrets/${secret}`),
          name,
        ).toContain(String(path).replace(`\${${name}-`, '').replace('}', '')) // a file, unless .env says otherwise
      }
    }
    for (const [name, { file: path }] of Object.entries<{ file: string }>(file.secrets)) {
      expect(path).toBe(`./secrets/${name}`)
      expect(text).toContain(`> secrets/${name}`)
    }
    expect(read('.gitignore')).toMatch(/^secrets\/$/m)
  })

  test('leaves every setting to .env, but for those that its networks need', () => {
    const fixed = gateways.map(({ environment = {} }) =>
      Object.keys(environment).filter(name => !String(environment[name]).startsWith('${')),
    )

    expect(fixed[0]).toEqual(['ADMIN_HOST', 'ADMIN_PORT'])
    for (const names of fixed.slice(1)) expect(names).toEqual(['ADMIN_HOST', 'ADMIN_PORT', 'STORE_URL', 'TRUST_PROXY'])
  })

  test('tells how to replace the three secrets of one account, whose files Docker would miss', () => {
    const settings = parseEnv(commented(/GATEWAY_CONFIG=.*\n(# {3}.*\n)+/))
    const override = parse(commented(/services:\n(# {3}.*\n)+/).replace('!override', ''))
    const { environment = {}, secrets: replaced = [] } = service('gateway')
    const { secrets } = override.services.gateway

    for (const name of replaced) expect(secrets).not.toContain(name)
    expect(secrets).toContain(settings.GATEWAY_CONFIG?.replace('/run/secrets/', ''))
    expect(Object.keys(override.secrets)).toEqual(secrets)
    for (const name of Object.keys(environment).filter(name => name.endsWith('_FILE'))) expect(settings[name], name).toBe('')
  })

  test('waits longer than a drain takes', () => {
    for (const { stop_grace_period } of gateways) expect(Number.parseInt(stop_grace_period ?? '', 10)).toBeGreaterThan(15)
  })

  test('puts two gateways on one ledger that is on the disk before it is acknowledged', () => {
    const flags = service('valkey').command?.join(' ')

    expect(flags).toContain('--appendonly yes --appendfsync always')
    expect(flags).toContain('--maxmemory-policy noeviction')
    expect(1_024 * Number(/--maxmemory (\d+)gb/.exec(flags ?? '')?.[1])).toBeGreaterThan(1.5 * Variables.properties.STORE_MAX_MB.default)
    expect(file.networks.store).toEqual({ internal: true })
    expect(networksOf(service('valkey'))).toEqual(['store'])
    for (const replica of [service('gateway-1'), service('gateway-2')]) {
      expect(replica.environment?.STORE_URL).toBe('redis://valkey:6379/0')
      expect(networksOf(replica)).toContain('store')
    }
  })

  test('has the gateways trust only the balancer for the address of a request', () => {
    const [replica, other] = [service('gateway-1'), service('gateway-2')]
    const balancer = addressIn('front', service('balancer'))

    expect(balancer).toBeDefined()
    expect([replica, other].map(({ environment }) => environment?.TRUST_PROXY)).toEqual([balancer, balancer])
    expect(new Set([balancer, addressIn('front', replica), addressIn('front', other)]).size).toBe(3)
    expect(
      read('deploy/nginx/nginx.conf')
        .match(/^ +server [\d.]+:\d+/gm)
        ?.map(line => line.trim()),
    ).toEqual([replica, other].map(one => `server ${addressIn('front', one)}:3000`))
  })

  test('lets Prometheus reach each gateway by the name it asks for', () => {
    const [{ scrape_configs }] = documentsIn('deploy/prometheus/prometheus.yml')
    const { targets } = scrape_configs[0].static_configs[0]

    expect(targets).toEqual(['gateway:3001', 'gateway-1:3001', 'gateway-2:3001'])
    for (const one of [...gateways, service('prometheus'), service('grafana')]) expect(networksOf(one)).toContain('monitoring')
    for (const { environment } of gateways) expect(environment).toMatchObject({ ADMIN_HOST: '0.0.0.0', ADMIN_PORT: 3001 })
    expect(documentsIn('deploy/grafana/provisioning/datasources/prometheus.yml')[0].datasources[0].url).toBe('http://prometheus:9090')
  })

  test('declares every network, volume and secret that it uses', () => {
    const all = Object.values(services)
    const volumes = all
      .flatMap(({ volumes = [] }) => volumes.map(volume => volume.split(':')[0] ?? ''))
      .filter(name => !name.startsWith('.'))

    expect(new Set(all.flatMap(networksOf))).toEqual(new Set(['default', ...Object.keys(file.networks)]))
    expect(new Set(volumes)).toEqual(new Set(Object.keys(file.volumes)))
    expect(new Set(all.flatMap(({ secrets = [] }) => secrets))).toEqual(new Set(Object.keys(file.secrets)))
  })
})

describe('Dockerfile', () => {
  const text = read('Dockerfile')
  const last = text.slice(text.lastIndexOf('\nFROM '))

  test('runs as a user that is known by number, with node itself as the process, without core dumps', () => {
    const command: string[] = JSON.parse(/^CMD (.*)$/m.exec(last)?.[1] ?? '[]')

    expect(last.match(/^USER .*/gm)).toEqual(['USER 1000:1000'])
    expect(command.slice(0, 3)).toEqual(['prlimit', '--core=0', 'node']) // prlimit becomes the program that it starts
    expect(command).toContain('--disable-sigusr1')
    expect(command).toContain('--enable-source-maps')
    expect(command.at(-1)).toBe('dist/main.js')
    expect(last).not.toMatch(/^(ENTRYPOINT|SHELL)/m)
  })

  describe('asks for its health', () => {
    const [program = '', ...args]: string[] = JSON.parse(/^HEALTHCHECK .*CMD (.*)$/m.exec(last)?.[1] ?? '[]')
    const check = async (env: Record<string, string>) => {
      const child = spawn(program === 'node' ? process.execPath : program, args, { env, stdio: 'inherit' })
      return (await once(child, 'exit'))[0]
    }

    test.for([
      ['127.0.0.1', '127.0.0.1'],
      ['0.0.0.0', '0.0.0.0'],
      ['::1', '::1'],
      ['::', '::'],
      ['127.0.0.2', '127.0.0.2'],
      [undefined, '127.0.0.1'],
    ] as const)('where it listens: HOST=%s', async ([HOST, address]) => {
      const paths: (string | undefined)[] = []
      const server = createServer((request, response) => {
        paths.push(request.url)
        response.statusCode = paths.length === 1 ? 200 : 503
        response.end()
      }).listen(0, address)
      onTestFinished(() => void server.close())
      await once(server, 'listening')
      const { port } = server.address() as AddressInfo // a TCP listener has one
      const env = { PORT: String(port), ...(HOST && { HOST }) }

      expect([await check(env), await check(env)]).toEqual([0, 1])
      for (const path of paths) expect(publicPaths).toContain(path)
    })
  })

  test('lets its user read every file, whatever the umask of the clone, and change none', () => {
    const copies = [...last.matchAll(/^COPY (.*)$/gm)].map(([, copy = '']) => /^--from=build --chown=0:0 \/app\/(\S+) /.exec(copy)?.[1])
    const [, readable = ''] = /^RUN .* chmod -R a\+rX (.*)$/m.exec(text) ?? []

    // What the build itself makes, it makes with a umask of its own.
    expect(copies).toEqual(['node_modules', 'dist', ...readable.split(' ')])
  })

  test('bundles every file that is started by its path', () => {
    const started = find('src/**/*.ts').flatMap(path =>
      [...read(path).matchAll(/new URL\('(.+\.ts)', import\.meta\.url\)/g)].map(([, name = '']) => join(dirname(path), name)),
    )

    expect(started.length).toBeGreaterThan(0)
    expect(bundle).toMatchObject({ input: ['src/main.ts', ...started] })
  })

  test('carries the license of the package', () => {
    expect(last).toContain(`org.opencontainers.image.licenses="${JSON.parse(read('package.json')).license}"`)
  })
})
