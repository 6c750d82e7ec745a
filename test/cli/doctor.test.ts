import { spawn } from 'node:child_process'
import { hash } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer as createHttps } from 'node:https'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { text } from 'node:stream/consumers'
import { describe, expect, onTestFinished } from 'vitest'
import type { Check, Report } from '../../src/cli/doctor/report.ts'
import type { Environment } from '../../src/config/variables.ts'
import type { Sandbox } from '../../src/sandbox/app.ts'
import type { Shape } from '../../src/sandbox/response-format.ts'
import type { Fault } from '../../src/sandbox/scripted-responses.ts'
import { selfSigned } from '../afilnet/certificate.ts'
import { fullBacklog, listen } from '../afilnet/listeners.ts'
import { test as base, canaries, environment } from '../gateway.ts'
import { installed } from '../store/stores.ts'
import { noServer, startServer } from '../store/valkey/server.ts'

/** What the sandbox's people have said, whom they wrote to, and who we are: none of it is for a ticket. */
const private_ = [
  ...Object.values(canaries).flatMap(canary => [canary, encodeURIComponent(canary), Buffer.from(canary).toString('base64')]),
  hash('sha256', canaries.key),
  'demo@sandbox',
  ...['34600000000', '34600000001', '700100200', 'visitor-7f3a', '"ana"', 'WhatsApp support', 'Telegram bot'],
  ...['parcel', 'Great', 'anybody there', 'Canary Islands', 'order 1043', 'abren', 'come at seven', '/start', 'afternoon'],
  ...['cn1', '34699999999', '98761234'],
]

type Options = { env?: Environment; args?: string[]; under?: string[] }
type Ran = { code: number | null; out: string; err: string }
type Examined = Report & {
  code: number | null
  /** The checks of that name; there is one to an account, or to a call. */
  named(check: string): Check[]
  /** Everything found wrong, by the name of its check. */
  wrong: string[]
}

const test = base.extend<{
  dir: string
  doctor: (options?: Options) => Promise<Ran>
  examine: (options?: Options) => Promise<Examined>
}>({
  // biome-ignore lint/correctness/noEmptyPattern: how Vitest says "needs no other fixture"
  dir: async ({}, use) => {
    const dir = mkdtempSync(join(tmpdir(), 'doctor-'))
    await use(dir)
    rmSync(dir, { recursive: true })
  },
  /** The real program in a process of its own; what it says is searched for what is private. */
  doctor: async ({ sandbox, dir }, use) => {
    await use(async ({ env = {}, args = [], under = [] } = {}) => {
      const given = { ...environment(sandbox), STORE_URL: `sqlite:${join(dir, 'ledger.sqlite')}`, PATH: process.env.PATH, ...env }
      const [program = '', ...before] = [...under, process.execPath]
      const child = spawn(program, [...before, 'src/cli/doctor.ts', ...args], { env: given, stdio: ['ignore', 'pipe', 'pipe'] })
      const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')])
      for (const word of private_) expect((out + err).includes(word), `${word} came out`).toBe(false)
      return { code, out, err }
    })
  },
  examine: async ({ doctor }, use) => {
    await use(async ({ args = [], ...options } = {}) => {
      const { code, out, err } = await doctor({ ...options, args: ['--json', ...args] })
      expect(err).toBe('')
      const report: Report = JSON.parse(out)
      expect({ ok: 0, warning: 1, broken: 2 }[report.verdict]).toBe(code)
      return {
        ...report,
        code,
        named: check => report.checks.filter(one => one.check === check),
        wrong: report.checks.filter(({ verdict }) => verdict === 'warning' || verdict === 'broken').map(({ check }) => check),
      }
    })
  },
})

const methodsOf = (sandbox: Sandbox) => sandbox.calls.map(({ params }) => Object.fromEntries(params).method)
const listed = (...rows: unknown[]) => ({ body: JSON.stringify({ status: 'SUCCESS', result: { list: rows } }) })
const everyRead = ['getchatchannels', 'getchats', 'getchats', 'getchats', 'getchats', 'getmessages']

describe('npm run doctor', () => {
  test('finds a gateway in front of the sandbox well, and only reads', async ({ doctor, sandbox }) => {
    const { code, out, err } = await doctor()

    expect({ code, err }).toEqual({ code: 0, err: '' })
    expect(methodsOf(sandbox)).toEqual(everyRead)
    expect(sandbox.sent).toEqual([])
    for (const line of [
      /^configuration\n {2}ok +values +complete and valid/,
      /^ {2}ok +DNS +127\.0\.0\.1/m,
      /^ {2}ok +TLS +127\.0\.0\.1:\d+: not used/m,
      /^clock\n {2}ok +difference/m,
      /^afilnet, account default\n {2}ok +getchatchannels +answered after \d+ ms; rows read: 4$/m,
      /^ {2}ok +getchats whatsapp +.*rows read: 2$/m,
      /^ {2}note +sandbox/m,
      /^ {2}note +Content-Type +text\/html; charset=utf-8 ×6$/m,
      /^ {2}ok +sent +sent "0" ×5, sent "1" ×3$/m,
      /^ {2}ok +datetime +yyyy-mm-dd hh:mm:ss ×8; no AFILNET_TIMEZONE/m,
      /^ {2}note +getchats rows +1, 2, 1, 1; datetime, messageid: descending ×1$/m,
      /^ {2}ok +not placed/m,
      /^ {2}skipped +not examined +.*getunreadmessages.*send.*limits.*SOAP/m,
      /\nVerdict: ok \(\d+ ok, \d+ note, 0 warning, 0 broken, 1 skipped\)\n$/,
    ])
      expect(out).toMatch(line)
  })

  test('says the same in JSON', async ({ examine }) => {
    const { checks, ...report } = await examine()

    expect(report).toMatchObject({ verdict: 'ok', node: process.version, version: '0.1.0', at: expect.stringMatching(/^\d{4}-.*Z$/) })
    for (const check of checks) {
      expect(Object.keys(check)).toEqual(expect.arrayContaining(['section', 'check', 'verdict', 'detail']))
      expect(check.detail).not.toBe('')
    }
    expect(checks.filter(({ account }) => account === 'default').length).toBeGreaterThan(15)
  })

  test.for(['post', 'basic', 'get'])('goes the way of the account: %s', async (transport, { examine, sandbox }) => {
    const AFILNET_URL = `${sandbox.url}/api/${transport === 'basic' ? 'basic' : 'http'}/`

    const { wrong } = await examine({ env: { AFILNET_TRANSPORT: transport, AFILNET_URL } })

    expect(wrong).toEqual(transport === 'get' ? ['transport'] : [])
    expect(sandbox.calls.map(call => call.transport)).toEqual(everyRead.map(() => (transport === 'post' ? 'form' : transport)))
  })

  test.for([['--jsn'], ['--json', 'x']])('takes no other argument: %j', async (args, { doctor, sandbox }) => {
    const { code, out, err } = await doctor({ args })

    expect({ code, out }).toEqual({ code: 2, out: '' })
    expect(err).toContain('--json')
    expect(sandbox.calls).toEqual([])
  })
})

describe('the shape of the answers', () => {
  const extra = { colour: 'cn1', 34699999999: 'cn1', nested: { cn1: 'cn1' } }
  const shapes: [Partial<Shape>, string, Check['verdict'], Record<string, unknown>][] = [
    [{ list: 'array' }, 'result.list', 'ok', { array: 6 }],
    [{ list: 'object' }, 'result.list', 'note', { 'object keyed by index': 6 }],
    [{ status: 'lower' }, 'status', 'ok', { 'lower case': 6 }],
    [{ sent: 'number' }, 'sent', 'ok', { 'sent 0': 5, 'sent 1': 3 }],
    [{ sent: 'boolean' }, 'sent', 'ok', { 'sent false': 5, 'sent true': 3 }],
    [{ sent: 'word' }, 'sent', 'note', { 'sent "false"': 5, 'sent "true"': 3 }],
    [{ sentName: 'issent' }, 'sent', 'note', { 'issent "0"': 5, 'issent "1"': 3 }],
    [{ omit: ['sent'] }, 'sent', 'note', { missing: 8 }],
    [{ nulls: ['sent'] }, 'sent', 'note', { null: 8 }],
    [{ omit: ['datetime'] }, 'datetime', 'note', { missing: 8 }],
  ]

  test.for(shapes)('%j is told in a line, to people and machines', async ([shape, check, verdict, seen], { doctor, examine, sandbox }) => {
    sandbox.shape(shape)
    const { named, wrong } = await examine()
    const { code, out } = await doctor()

    expect(named(check)).toMatchObject([{ verdict, facts: { seen } }])
    expect(wrong).toEqual([])
    expect(code).toBe(0)
    expect(out).toContain(` ${named(check)[0]?.detail}\n`)
  })

  test('has the type of each field in it', async ({ examine, sandbox }) => {
    sandbox.shape({ ids: 'number', nulls: ['message'], omit: ['status'] })
    const { named } = await examine()

    expect(named('getchatchannels fields')).toMatchObject([{ verdict: 'ok', facts: { platformid: { number: 4 }, name: { string: 4 } } }])
    expect(named('getchats fields')).toMatchObject([
      { verdict: 'note', facts: { destination: { string: 2, number: 3 }, message: { null: 5 }, status: { missing: 5 } } },
    ])
    expect(named('getmessages fields')[0]?.detail).toBe(
      'platformid, messageid: number ×3; platform, destination, datetime: string ×3; message: null ×3; status: missing ×3',
    )
  })

  test('has the fields in it that the manual does not name', async ({ doctor, examine, sandbox }) => {
    sandbox.shape({ extra })
    const { named, code } = await examine()
    const { out } = await doctor()

    expect(code).toBe(0)
    expect(named('extra fields')).toMatchObject([
      { verdict: 'note', facts: { colour: { string: 12 }, nested: { object: 12 }, '(not shown)': { string: 12 } } },
    ])
    expect(out).toMatch(/kept in `extra`: .*colour/)
  })

  test.for([
    [{ list: [] }, { 'empty array': 1 }],
    [{ list: {} }, { 'empty object': 1 }],
    [{ list: null }, { null: 1 }],
    [{}, { missing: 1 }],
    [[], undefined],
    [null, undefined],
    [undefined, undefined],
  ] as const)('of an account without channels is told: %j', async ([result, list], { examine, sandbox }) => {
    sandbox.answer({ body: JSON.stringify({ status: 'SUCCESS', result }) })
    const { named, wrong } = await examine()

    expect(wrong).toEqual([])
    expect(named('getchatchannels')).toMatchObject([{ verdict: 'ok', facts: { rows: 0 } }])
    expect(named('result.list')).toMatchObject(list ? [{ facts: { seen: list } }] : [])
    expect(named('getchats')).toMatchObject([{ verdict: 'skipped', detail: 'not asked: the account has no channel' }])
    expect(named('getmessages')).toMatchObject([{ verdict: 'skipped' }])
    expect(methodsOf(sandbox)).toEqual(['getchatchannels'])
  })

  test('is asked of four channels at most, each of another platform', async ({ examine, sandbox }) => {
    const platforms = ['whatsapp', 'whatsapp', 'viber', '34699999999', 'telegram', 'operator']
    sandbox.answer(listed(...platforms.map((platform, index) => ({ platform, platformid: `98761234${index}`, name: 'cn1' }))))
    sandbox.answer({ method: 'getchats', times: 9, ...listed() })
    const { named, wrong } = await examine()

    expect(wrong).toEqual([])
    expect(named('platforms')).toMatchObject([{ verdict: 'note', facts: { seen: { viber: 1, '(not shown)': 1, whatsapp: 2 } } }])
    const asked = sandbox.calls.slice(1).map(({ params }) => Object.fromEntries(params))
    expect(asked.map(({ method, platform }) => [method, platform])).toEqual(
      ['whatsapp', 'viber', '34699999999', 'telegram'].map(platform => ['getchats', platform]),
    )
    expect(named('getmessages')).toMatchObject([{ verdict: 'skipped', detail: 'not asked: no conversation was found' }])
  })

  test('may leave something over that the reader cannot place', async ({ doctor, examine, sandbox }) => {
    const row = { destination: '34699999999', message: { cn1: 'cn1' }, sent: 'cn1', datetime: '2026-01-31 09:30:00' }
    sandbox.answer({ method: 'getmessages', times: 2, ...listed(row, { ...row, sent: '1' }, { ...row, sent: null }) })
    const { named, wrong, code } = await examine()
    const { out } = await doctor()

    expect({ wrong, code }).toEqual({ wrong: ['not placed'], code: 1 })
    expect(named('not placed')).toMatchObject([{ verdict: 'warning', facts: { sent: 1, structures: { message: 3 } } }])
    expect(out).toMatch(/^ {2}warning +not placed +sent that is no boolean ×1; a structure for a text: message ×3\n +→ Report/m)
  })

  test.for([
    ['UTC', 'ok', 8, 0],
    ['Pacific/Auckland', 'ok', 8, 0],
    ['America/Los_Angeles', 'warning', 8, 8],
  ] as const)('has datetimes that %s makes instants of: %s', async ([timezone, verdict, instants, future], { examine }) => {
    const { named } = await examine({ env: { AFILNET_TIMEZONE: timezone } })

    expect(named('datetime')).toMatchObject([{ verdict, facts: { timezone, instants } }])
    if (future === 0) expect(named('datetime')).toMatchObject([{ facts: { future } }])
    else expect(named('datetime')[0]?.todo).toContain('AFILNET_TIMEZONE')
  })

  test('may have datetimes of another format', async ({ examine, sandbox }) => {
    sandbox.answer({ method: 'getmessages', ...listed({ datetime: '31/01/2026 09:30' }, { datetime: 'cn1' }) })
    sandbox.answer({ method: 'getchats', times: 3, ...listed() })
    sandbox.answer({ method: 'getchats', ...listed({ destination: 'ana', datetime: 1769851800 }) })
    const { named } = await examine({ env: { AFILNET_TIMEZONE: 'UTC' } })

    expect(named('datetime')).toMatchObject([
      { verdict: 'warning', facts: { seen: { '99/99/9999 99:99': 1, string: 1, 9999999999: 1 }, instants: 0 } },
    ])
  })

  test.for([
    [{ 'content-type': 'application/json' }, 'Content-Type', 'ok', { 'application/json': 1 }],
    [{ 'content-type': 'cn1' }, 'Content-Type', 'note', { unusual: 1 }],
    [{ 'content-encoding': 'gzip' }, 'Content-Encoding', 'note', { gzip: 1 }],
  ] as const)('has a head: %j', async ([headers, check, verdict, seen], { examine, sandbox }) => {
    sandbox.answer({ headers, ...listed() })
    const { named } = await examine()

    expect(named(check)).toMatchObject([{ verdict, facts: { seen } }])
  })

  test.for([
    ['encoding', 'UTF-8 with a byte order mark', '\uFEFF{"status":"SUCCESS"}'],
    ['encoding', 'not UTF-8', Buffer.from([0x7b, 0xff, 0x7d])],
    ['body', 'JSON, array', '["cn1"]'],
    ['body', 'not JSON', 'cn1'],
    ['status', 'another word', '{"status":"cn1"}'],
    ['status', 'missing', '{"cn1":1}'],
    ['result.list', 'array with items that are no rows', '{"status":"SUCCESS","result":{"list":["cn1"]}}'],
    ['result', 'string', '{"status":"SUCCESS","result":"cn1"}'],
  ] as const)('is told where the reader refuses it: %s, %s', async ([check, seen, body], { examine, sandbox }) => {
    sandbox.answer({ body })
    const { named, wrong } = await examine()

    expect(wrong).toEqual(['getchatchannels'])
    expect(named('getchatchannels')).toMatchObject([{ verdict: 'broken', facts: { fault: 'upstream-invalid-response', http: 200 } }])
    expect(named(check)).toMatchObject([{ verdict: 'note', facts: { seen: { [seen]: 1 } } }])
    expect(methodsOf(sandbox)).toEqual(['getchatchannels'])
  })
})

describe('a call to Afilnet', () => {
  const env = { AFILNET_TIMEOUT_MS: '700', AFILNET_MAX_RESPONSE_BYTES: '65536' }
  const faults: Record<Fault, string> = {
    silent: 'upstream-timeout',
    stall: 'upstream-timeout',
    drip: 'upstream-timeout',
    drop: 'upstream-connection-lost',
    reset: 'upstream-connection-lost',
    truncated: 'upstream-invalid-response',
    html: 'upstream-invalid-response',
    empty: 'upstream-invalid-response',
    ssh: 'upstream-invalid-response',
    'two-lengths': 'upstream-invalid-response',
    endless: 'upstream-response-too-large',
    'gzip-bomb': 'upstream-response-too-large',
  }

  test.for(Object.entries(faults) as [Fault, string][])('that ends as %s is broken: %s', async ([fault, code], { examine, sandbox }) => {
    sandbox.answer({ fault })
    const patience = code === 'upstream-timeout' ? {} : { AFILNET_TIMEOUT_MS: '10000' }
    const bytes = fault === 'gzip-bomb' ? { AFILNET_MAX_RESPONSE_BYTES: '1024' } : {}
    const { named, wrong } = await examine({ env: { ...env, ...patience, ...bytes } })

    expect(wrong).toEqual(['getchatchannels'])
    expect(named('getchatchannels')).toMatchObject([{ verdict: 'broken', todo: expect.any(String), facts: { fault: code } }])
    expect(named('getmessages')).toMatchObject([{ verdict: 'skipped', detail: 'not asked: see above' }])
    expect(named('wire format').length).toBe(['html', 'empty'].includes(fault) ? 0 : 1)
    expect(methodsOf(sandbox)).toEqual(['getchatchannels'])
  })

  test.for([
    [{ status: 302, headers: { location: 'https://cn1.example/' } }, 'broken', 'upstream-redirect'],
    [{ status: 404, body: 'cn1' }, 'broken', 'upstream-error'],
    [{ status: 503, body: 'cn1' }, 'broken', 'upstream-error'],
    [{ status: 429, headers: { 'retry-after': 'cn1' } }, 'warning', 'upstream-rate-limited'],
    [{ status: 401, headers: { 'www-authenticate': 'Basic realm="cn1"' } }, 'broken', 'upstream-credentials-rejected'],
  ] as const)('answered with %j is %s', async ([answer, verdict, fault], { examine, sandbox }) => {
    sandbox.answer(answer)
    const { named } = await examine()

    expect(named('getchatchannels')).toMatchObject([{ verdict, facts: { fault, http: answer.status } }])
    expect(named('HTTP status')).toEqual([])
    expect(methodsOf(sandbox)).toEqual(['getchatchannels'])
  })

  test.for([
    ['post', 'HTTP 200, INCORRECT_USER_PASSWORD'],
    ['basic', 'HTTP 401'],
  ] as const)('with a wrong password is made once (%s)', async ([transport, said], { doctor, sandbox }) => {
    const AFILNET_URL = `${sandbox.url}/api/${transport === 'basic' ? 'basic' : 'http'}/`

    const { code, out } = await doctor({ env: { AFILNET_PASSWORD: 'cn1-wrong', AFILNET_TRANSPORT: transport, AFILNET_URL } })

    expect(code).toBe(2)
    expect(out).toMatch(/^ {2}broken +getchatchannels .*\n +→ Correct user and password/m)
    expect(out).toContain(`(${said})`)
    expect(methodsOf(sandbox)).toEqual(['getchatchannels'])
  })

  test('stops with the account as soon as its credentials are no longer taken', async ({ examine, sandbox }) => {
    sandbox.answer({ method: 'getchats', body: '{"status":"ERROR","error":"INCORRECT_USER_PASSWORD"}' })
    const { wrong } = await examine()

    expect(wrong).toEqual(['getchats webchat'])
    expect(methodsOf(sandbox)).toEqual(['getchatchannels', 'getchats'])
  })

  test.for([
    ['NO_CREDITS', 'broken', 'upstream-out-of-credit'],
    ['MISSING_CLASS', 'broken', 'upstream-contract-mismatch'],
    ['NEVER_HEARD_OF', 'broken', 'upstream-unknown-error'],
    ['CHANNEL_NOT_FOUND', 'warning', 'channel-not-found'],
    ['CHAT_NOT_FOUND', 'warning', 'chat-not-found'],
  ] as const)('refused with %s is %s, and others are made', async ([error, verdict, fault], { examine, sandbox }) => {
    sandbox.answer({ method: 'getchats', body: JSON.stringify({ status: 'error', error }) })
    const { named } = await examine()

    expect(named('getchats webchat')).toMatchObject([{ verdict, todo: expect.any(String), facts: { fault, code: error } }])
    expect(named('getchats webchat')[0]?.detail).toContain(error)
    expect(named('status')).toMatchObject([{ facts: { seen: { 'upper case': 5, 'lower case': 1 } } }])
    expect(methodsOf(sandbox)).toEqual(everyRead)
  })

  test.for(['cn1 is no code', { cn1: 1 }, null])('refused with %j is told without it', async (error, { examine, sandbox }) => {
    sandbox.answer({ body: JSON.stringify({ status: 'ERROR', error }) })
    const { named } = await examine()

    expect(named('getchatchannels')).toMatchObject([{ verdict: 'broken', facts: { fault: 'upstream-unknown-error' } }])
  })
})

describe('the clock', () => {
  test.for([
    ['as here', 0, 'ok'],
    ['half a minute behind', -30, 'warning'],
    ['half a minute ahead', 30, 'warning'],
    ['an hour ahead', 3600, 'broken'],
  ] as const)('of an Afilnet that is %s', async ([, seconds, verdict], { examine, sandbox }) => {
    sandbox.answer({ times: 99, headers: { date: new Date(Date.now() + seconds * 1000).toUTCString() } })
    const { named, wrong } = await examine()

    expect(wrong).toEqual(verdict === 'ok' ? [] : ['difference'])
    expect(named('difference')).toMatchObject([{ verdict }])
    if (seconds !== 0) expect(named('difference')[0]?.detail).toContain(seconds > 0 ? 'behind' : 'ahead of')
  })

  test.for([[{ date: 'cn1' }], [{ date: 'Thu, 01 Jan 1970 00:00:00 GMT', age: '9' }]])(
    'is not read off a head like %j',
    async ([headers], { examine, sandbox }) => {
      sandbox.answer({ times: 99, headers: headers as Record<string, string> })
      const { named } = await examine()

      expect(named('difference')).toMatchObject([{ verdict: 'skipped' }])
    },
  )
})

describe('the network', () => {
  const freed = async () => {
    const server = createServer()
    const port = await new Promise<number>(resolve => server.listen(0, '127.0.0.1', () => resolve(Object(server.address()).port)))
    await new Promise(resolve => server.close(resolve))
    return port
  }
  // No resolver asks the network for a name whose label is too long for DNS.
  const nameless = `${'a'.repeat(64)}.localhost`
  const api = (origin: string) => ({ AFILNET_URL: `${origin}/api/http/`, AFILNET_TIMEOUT_MS: '700' })

  test('may not know the name', async ({ examine }) => {
    const { named, wrong } = await examine({ env: api(`https://${nameless}`) })

    expect(wrong).toEqual(['DNS', 'getchatchannels'])
    expect(named('TLS')).toMatchObject([{ verdict: 'skipped' }])
    expect(named('getchatchannels')).toMatchObject([{ facts: { fault: 'upstream-unreachable' } }])
    expect(named('difference')).toMatchObject([{ verdict: 'skipped' }])
    expect(named('wire format')).toMatchObject([{ verdict: 'skipped' }])
  })

  test.for([
    ['refuses', freed],
    ['never accepts', fullBacklog],
    ['accepts and is silent', () => listen(createServer(socket => socket.resume()))],
    ['speaks no TLS', () => listen(createServer(socket => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')))],
  ] as const)('may lead to a server that %s', async ([, port], { doctor }) => {
    const { code, out } = await doctor({ env: api(`https://127.0.0.1:${await port()}`) })

    expect(code).toBe(2)
    expect(out).toMatch(/^ {2}broken +TLS +.*no TLS connection came about \([\w]+\)\n +→ /m)
    expect(out).toMatch(/^ {2}broken +getchatchannels +Afilnet cannot be reached/m)
  })

  /** A server of TLS that answers every call with an empty list. */
  const answering = (identity: { key: string; cert: string }, seen: string[]) =>
    createHttps(identity, ({ url }, response) => {
      seen.push(String(url))
      response.end('{"status":"SUCCESS","result":{"list":[]}}')
    }) as Server

  const localhost = (to: number) => selfSigned('localhost', { from: -9, to })
  const elsewhere = selfSigned('elsewhere.invalid')

  test.for([
    ['that nobody vouches for', localhost(90), false, 'broken', /vouched for by nobody/],
    ['for another host', elsewhere, true, 'broken', /for another host/],
    ['that has expired', localhost(-1), true, 'broken', /has expired/],
    ['that is not valid yet', selfSigned('localhost', { from: 1, to: 90 }), true, 'broken', /not valid yet/],
    ['that ends soon', localhost(20.5), true, 'warning', /TLSv1\.3, trusted, 20 days left/],
    ['that is right', localhost(21.5), true, 'ok', /TLSv1\.3, trusted, 21 days left/],
  ] as const)('may show a certificate %s', async ([, identity, trusted, verdict, detail], { examine, dir }) => {
    const seen: string[] = []
    const port = await listen(answering(identity, seen))
    writeFileSync(join(dir, 'ca.pem'), identity.cert)
    const trust = trusted ? { NODE_EXTRA_CA_CERTS: join(dir, 'ca.pem') } : {}

    const { named, wrong } = await examine({ env: { ...api(`https://localhost:${port}`), AFILNET_TIMEOUT_MS: '5000', ...trust } })

    expect(named('TLS')).toMatchObject([{ verdict, detail: expect.stringMatching(detail) }])
    expect(wrong).toEqual({ ok: [], warning: ['TLS'], broken: ['TLS', 'getchatchannels'] }[verdict])
    expect(seen).toEqual(verdict === 'broken' ? [] : ['/api/http/'])
    expect(named('DNS')).toMatchObject([{ verdict: 'ok', detail: expect.stringMatching(/^localhost: \d IPv4 and \d IPv6 addresses/) }])
  })
})

describe('a configuration', () => {
  test('that is wrong is told in full, and nobody is asked', async ({ doctor, examine, sandbox, dir }) => {
    const file = join(dir, 'secret')
    writeFileSync(file, 'cn1')
    const env = { PORT: 'http', AFILNET_USER: '', AFILNET_PASSWORD_FILE: file, GATEWAY_KEY_SHA256: 'cn1', DOCS: 'cn1' }
    const { checks, code } = await examine({ env })
    const { out } = await doctor({ env })

    expect(code).toBe(2)
    const broken = checks.filter(({ verdict }) => verdict === 'broken').map(({ check }) => check)
    expect(broken.sort()).toEqual(['AFILNET_PASSWORD', 'AFILNET_USER', 'DOCS', 'GATEWAY_KEY_SHA256', 'PORT'])
    for (const section of ['store', 'network', 'clock', 'afilnet'])
      expect(out).toMatch(new RegExp(`^ {2}skipped +${section} +not checked: `, 'm'))
    expect(sandbox.calls).toEqual([])
    expect(readdirSync(dir)).toEqual(['secret'])
  })

  test.for([
    [0o644, 'warning'],
    [0o601, 'warning'],
    [0o640, 'ok'],
    [0o400, 'ok'],
  ] as const)('may have a secret in a file with mode %o: %s', async ([mode, verdict], { examine, dir }) => {
    const file = join(dir, "it's secret")
    writeFileSync(file, canaries.password)
    chmodSync(file, mode)
    const { named, code } = await examine({ env: { AFILNET_PASSWORD: '', AFILNET_PASSWORD_FILE: file } })

    expect(named('file mode')).toMatchObject([{ verdict, facts: { path: file } }])
    if (verdict === 'warning') expect(named('file mode')[0]?.todo).toContain(`chmod o-rwx '${dir}/it'\\''s secret'`)
    expect(code).toBe(verdict === 'warning' ? 1 : 0)
  })

  test('of several accounts and callers is examined account by account', async ({ doctor, examine, sandbox, dir }) => {
    const [config, password] = [join(dir, 'config.json'), join(dir, 'password')]
    const account = (file: string) => ({ user: sandbox.user, password: { file }, url: `${sandbox.url}/api/http/` })
    const caller = (name: string, days: number) => ({
      keySha256: [hash('sha256', `fake-key-of-${name}`)],
      account: 'main',
      scopes: [],
      expires: new Date(Date.now() + days * 86_400_000).toISOString(),
    })
    const callers = {
      gone: caller('gone', -4.5),
      soon: caller('soon', 5.5),
      later: caller('later', 90),
      off: { ...caller('off', -5), disabled: true },
    }
    const accounts = { main: account(password), wrong: account(join(dir, 'wrong')) }
    writeFileSync(config, JSON.stringify({ accounts, callers }), { mode: 0o644 })
    writeFileSync(password, canaries.password, { mode: 0o600 })
    writeFileSync(join(dir, 'wrong'), 'fake-wrong-password', { mode: 0o644 })
    const env = { AFILNET_USER: '', AFILNET_PASSWORD: '', AFILNET_URL: '', GATEWAY_KEY_SHA256: '', GATEWAY_CONFIG: config }

    const { code, named, checks } = await examine({ env })
    const { out } = await doctor({ env })

    expect(code).toBe(2)
    expect(named('values')).toMatchObject([{ verdict: 'ok', facts: { accounts: 2, callers: 4 } }])
    expect(named('expiry').map(({ facts }) => facts)).toEqual([
      { caller: 'gone', daysLeft: -5 },
      { caller: 'soon', daysLeft: 5 },
    ])
    expect(named('file mode').map(({ verdict }) => verdict)).toEqual(['ok', 'warning'])
    expect(named('getchatchannels').map(({ account, verdict }) => [account, verdict])).toEqual([
      ['main', 'ok'],
      ['wrong', 'broken'],
    ])
    expect(checks.filter(({ account }) => account === 'main').length).toBeGreaterThan(5)
    expect(out).toContain('afilnet, account wrong')
    expect(methodsOf(sandbox)).toHaveLength(2 * (everyRead.length + 1))
  })

  test('may have a secret where a path belongs', async ({ doctor }) => {
    for (const args of [[], ['--json']]) {
      const { code } = await doctor({ args, env: { AFILNET_PASSWORD: '', AFILNET_PASSWORD_FILE: canaries.password } })

      expect(code).toBe(2)
    }
  })
})

describe('the store', () => {
  const at = (path: string) => ({ env: { STORE_URL: `sqlite:${path}` } })

  test('that is not there yet is not made', async ({ examine, dir }) => {
    const { named, wrong } = await examine(at(join(dir, 'new', 'folder', 'ledger.sqlite')))

    expect(wrong).toEqual([])
    expect(named('place')).toMatchObject([{ verdict: 'note', detail: expect.stringContaining('will create it') }])
    expect(readdirSync(dir)).toEqual([])
  })

  test('that cannot be made is broken', async ({ examine, dir }) => {
    writeFileSync(join(dir, 'file'), '')
    const { wrong } = await examine(at(join(dir, 'file', 'ledger.sqlite')))

    expect(wrong.length).toBe(1)
    expect(readdirSync(dir)).toEqual(['file'])
  })

  test('in memory forgets', async ({ examine }) => {
    const { named, code } = await examine({ env: { STORE_URL: 'sqlite::memory:' } })

    expect(named('place')).toMatchObject([{ verdict: 'warning', todo: expect.stringContaining('STORE_URL') }])
    expect(code).toBe(1)
  })

  test('is written and read beside a gateway, and left as it was', async ({ examine, start, dir }) => {
    const path = join(dir, 'ledger.sqlite')
    const gateway = await start({ env: { STORE_URL: `sqlite:${path}` } })
    await gateway.post('/chats/whatsapp/100/34600000000/messages', { message: 'cn1' })
    const rows = () => {
      const db = new DatabaseSync(path, { readOnly: true })
      const all = ['sends', 'secrets'].map(table => db.prepare(`SELECT * FROM ${table}`).all())
      const owners = db.prepare('SELECT owner FROM leases').all()
      db.close()
      return [...all, owners]
    }
    const before = rows()

    const { named, wrong } = await examine()

    expect(wrong).toEqual([])
    expect(named('writing')).toMatchObject([{ verdict: 'ok' }])
    expect(named('reading')).toMatchObject([{ verdict: 'ok', facts: { problems: 0, maxMb: 1024 } }])
    expect(rows()).toEqual(before)
    expect((await gateway.post('/chats/whatsapp/100/34600000000/messages', { message: 'cn1' })).status).toBe(201)
    await gateway.drain() // before its folder goes: a ledger that is deleted is made again
  })

  /** A ledger that a gateway has left. */
  const ledger = async (start: () => Promise<{ drain(): Promise<void> }>) => (await start()).drain()

  test.for([
    ['is of a newer release', 'PRAGMA user_version = 99', /schema version 99/],
    ['is of another program', 'PRAGMA application_id = 7', /another program/],
  ] as const)('that %s is broken, and is not touched', async ([, sql, detail], { examine, start, dir }) => {
    const path = join(dir, 'ledger.sqlite')
    await ledger(() => start({ env: { STORE_URL: `sqlite:${path}` } }))
    const db = new DatabaseSync(path)
    db.exec(sql)
    db.close()
    const { named, wrong } = await examine()

    expect(wrong).toEqual(['opening'])
    expect(named('opening')).toMatchObject([{ verdict: 'broken', detail: expect.stringMatching(detail) }])
    expect(existsSync(`${path}-wal`)).toBe(false)
  })

  test('of an older release is not touched: a gateway of that release may be running', async ({ examine, dir }) => {
    const path = join(dir, 'ledger.sqlite')
    copyFileSync(new URL('../store/fixtures/version-1.sqlite', import.meta.url), path)
    const before = readFileSync(path)

    const { code, named } = await examine()

    expect(code).toBe(0)
    expect(named('version')).toMatchObject([{ verdict: 'note', facts: { found: 1 } }])
    expect(readFileSync(path)).toEqual(before)
  })

  test('that is no database is broken', async ({ examine, dir }) => {
    writeFileSync(join(dir, 'ledger.sqlite'), 'cn1'.repeat(1000))
    const { named, wrong } = await examine()

    expect(wrong).toEqual(['writing', 'reading'])
    expect(named('writing')).toMatchObject([{ facts: { fault: 'corrupt' } }])
  })

  test('that is too large is broken', async ({ examine, start, dir }) => {
    const path = join(dir, 'ledger.sqlite')
    await ledger(() => start({ env: { STORE_URL: `sqlite:${path}` } }))
    const db = new DatabaseSync(path)
    db.exec(`INSERT INTO secrets VALUES ('padding', zeroblob(2000000))`)
    db.close()
    const { named, wrong } = await examine({ env: { STORE_MAX_MB: '1' } })

    expect(wrong).toEqual(['size'])
    expect(named('size')[0]?.todo).toContain('STORE_MAX_MB')
  })

  // The superuser writes anywhere: it has to give that right away first
  const root = process.getuid?.() === 0
  const barred = root ? ['setpriv', '--bounding-set=-dac_override', '--'] : []
  test.skipIf(root && !installed('setpriv'))(
    'that cannot be written is read all the same (needs setpriv when run by root)',
    async ({ examine, start, dir }) => {
      const path = join(dir, 'ledger.sqlite')
      await ledger(() => start({ env: { STORE_URL: `sqlite:${path}` } }))
      chmodSync(path, 0o400)
      const { named, wrong } = await examine({ under: barred })

      expect(wrong).toEqual(['writing'])
      expect(named('writing')).toMatchObject([{ facts: { fault: 'readonly' } }])
      expect(named('reading')).toMatchObject([{ verdict: 'ok' }])
    },
  )

  test.skipIf(root && !installed('setpriv'))(
    'that is not there is broken in a folder that cannot be written (needs setpriv when run by root)',
    async ({ examine, dir }) => {
      chmodSync(dir, 0o500)
      const { wrong } = await examine({ under: barred })

      expect(wrong).toEqual(['place'])
      chmodSync(dir, 0o700)
    },
  )
})

describe.skipIf(noServer)('a store on a server (needs redis-server)', () => {
  const make = async (settings: Record<string, string> = {}) => {
    const server = await startServer({ settings })
    onTestFinished(server.end)
    return { server, env: { STORE_URL: server.url() } }
  }

  test('is written and read beside a gateway, and left as it was', async ({ examine, start }) => {
    const { server, env } = await make()
    const gateway = await start({ env })
    await gateway.post('/chats/whatsapp/100/34600000000/messages', { message: 'cn1' })
    await gateway.drain()
    const before = server.cli('DEBUG', 'DIGEST')

    const { named, wrong } = await examine({ env })

    expect(wrong).toEqual([])
    expect(named('server')).toMatchObject([
      { verdict: 'ok', detail: expect.stringMatching(/^\w+ \d+\.\d+\.\d+, \d+\.\d MB in use, replicas: 0$/) },
    ])
    expect(named('writing')).toMatchObject([{ verdict: 'ok' }])
    expect(named('reading')).toMatchObject([{ verdict: 'ok', facts: { problems: 0 } }])
    expect(server.cli('DEBUG', 'DIGEST')).toBe(before)
  })

  test('that is empty is not begun', async ({ examine }) => {
    const { server, env } = await make()

    const { named, wrong } = await examine({ env })

    expect(wrong).toEqual([])
    expect(named('place')).toMatchObject([{ verdict: 'note' }])
    expect(server.cli('DBSIZE')).toBe('0')
  })

  test('that could forget a key says when', async ({ examine }) => {
    const { env } = await make({ appendonly: 'no', 'maxmemory-policy': 'allkeys-lru' })

    const { named, code } = await examine({ env })

    expect(code).toBe(1)
    expect(named('durability').map(({ detail }) => detail)).toEqual([
      expect.stringMatching(/appendonly no.*sent again/),
      expect.stringMatching(/allkeys-lru.*sent again/),
    ])
  })

  test('of a newer release is broken, and is not touched', async ({ examine }) => {
    const { server, env } = await make()
    server.cli('SET', 'afg:schema', '99')
    const before = server.cli('DEBUG', 'DIGEST')

    const { named, wrong } = await examine({ env })

    expect(wrong).toEqual(['version'])
    expect(named('version')).toMatchObject([{ detail: expect.stringContaining('schema version 99'), facts: { fault: 'version' } }])
    expect(server.cli('DEBUG', 'DIGEST')).toBe(before)
  })

  test('that is full is broken, although it could still be read', async ({ examine, start }) => {
    const { server, env } = await make()
    await (await start({ env })).post('/chats/whatsapp/100/34600000000/messages', { message: 'cn1' })
    server.cli('CONFIG', 'SET', 'maxmemory', '1')

    const { named, wrong } = await examine({ env })

    expect(wrong).toContain('memory')
    expect(named('memory')).toMatchObject([{ verdict: 'broken', detail: 'the memory of the server is full', facts: { fault: 'full' } }])
  })

  test('that has lost keys is broken', async ({ examine, start }) => {
    const { server, env } = await make()
    const gateway = await start({ env })
    const { json } = await gateway.post('/chats/whatsapp/100/34600000000/messages', { message: 'cn1' })
    server.cli('DEL', `afg:send:${json.id}`)

    const { named, wrong } = await examine({ env })

    expect(wrong).toEqual(['reading'])
    expect(named('reading')).toMatchObject([{ verdict: 'broken', facts: { problems: 1 } }])
  })

  test('that is away, or wants a password, is broken', async ({ examine }) => {
    const { server } = await make({ requirepass: 'fake-store-password' })
    const denied = await examine({ env: { STORE_URL: server.url() } })
    await server.kill()
    const away = await examine({ env: { STORE_URL: server.url() } })

    expect([denied.named('server')[0]?.facts, away.named('server')[0]?.facts]).toEqual([{ fault: 'denied' }, { fault: 'away' }])
    expect([denied.wrong, away.wrong]).toEqual([['server'], ['server']])
  })
})
