import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { installed } from '../store/stores.ts'
import { isVariable, read } from './files.ts'

const path = 'deploy/systemd/afilnet-gateway.service'
const text = read(path)
const dropIn = text.match(/^# {3}\[Service\]\n(# {3}.*\n)+/m)?.[0].replaceAll(/^# {3}/gm, '') ?? ''
const values = (key: string) => [...text.matchAll(new RegExp(`^${key}=(.*)$`, 'gm'))].map(([, value = '']) => value)

describe(path, () => {
  test('runs the gateway as a user without rights, who can write only the ledger', () => {
    expect(values('ExecStart')).toEqual([expect.stringMatching(/^\/usr\/bin\/node --disable-sigusr1 .*\/src\/main\.ts$/)])
    expect(values('User')).toEqual(['afilnet-gateway'])
    expect(values('NoNewPrivileges')).toEqual(['yes'])
    expect(values('ProtectSystem')).toEqual(['strict'])
    expect(values('CapabilityBoundingSet')).toEqual([''])
    expect(text).toContain(`STORE_URL=sqlite:/var/lib/${values('StateDirectory')}/`)
    expect(text).not.toMatch(/^(MemoryDenyWriteExecute|ReadWritePaths)/m) // V8 compiles; the state directory is enough
  })

  test('writes no core dump', () => {
    expect(values('LimitCORE')).toEqual(['0'])
  })

  test('starts again after every end, however many there were, but not with a configuration that is not valid', () => {
    expect(values('Restart')).toEqual(['always']) // on-failure would call the SIGHUP of an early reload a success
    expect(values('StartLimitIntervalSec')).toEqual(['0'])
    expect(values('RestartPreventExitStatus')).toEqual(['78'])
  })

  test('waits longer than a drain takes', () => {
    expect(Number(values('TimeoutStopSec'))).toBeGreaterThan(15)
  })

  test('gives each secret as a credential, and sets variables that exist', () => {
    const variables = values('Environment').map(value => value.split('=', 2) as [string, string])
    const credentials = values('LoadCredential').map(value => `%d/${value.split(':')[0]}`)

    expect(variables.filter(([name]) => name.endsWith('_FILE')).map(([, file]) => file)).toEqual(credentials)
    expect(variables.map(([name]) => name).filter(name => name !== 'NODE_ENV' && !isVariable(name))).toEqual([])
  })

  test.skipIf(!installed('systemd-analyze'))(
    'is understood by systemd, also with the lines for several accounts (needs systemd-analyze)',
    () => {
      const folder = mkdtempSync(join(tmpdir(), 'unit-'))
      onTestFinished(() => rmSync(folder, { recursive: true }))
      const unit = join(folder, 'afilnet-gateway.service')
      writeFileSync(unit, text.replace('/usr/bin/node', process.execPath))
      mkdirSync(`${unit}.d`)
      writeFileSync(join(`${unit}.d`, 'override.conf'), dropIn)

      const { stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', unit], { encoding: 'utf8' })

      expect(dropIn).toMatch(/^LoadCredential=gateway\.json:.*\n[\s\S]*^Environment=GATEWAY_CONFIG=%d\/gateway\.json$/m)
      expect(stderr.split('\n').filter(line => /afilnet-gateway|override/.test(line))).toEqual([])
    },
  )
})
